#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images trimmed to what is used: what stays and why, what was left out and is named when it is missed, servers, and what goes wrong.
# timeout: 240
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work" || exit 1
mkdir -m 700 cache
export LIGHTVM_CACHE=$work/cache
trim() { "$lightvm" image trim "$@"; }
why() { "$lightvm" image files "$1" --explain "$2"; }
paths() { "$lightvm" image files "$1" | awk '{ print $4 }'; }

# Opens, looks at, follows and lists what it is told to, and ends with the status that it is told.
cat >use.c <<'END'
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct stat st;
	char target[256];
	for (int i = 1; i < argc; i++) {
		const char *path = argv[i] + 1;
		int bad = 0;
		switch (argv[i][0]) {
		case 'o': bad = open(path, O_RDONLY) < 0; break;
		case 's': bad = stat(path, &st); break;
		case 'l': bad = readlink(path, target, sizeof(target)) < 0; break;
		case 'd': bad = !opendir(path) || !readdir(opendir(path)); break;
		case 'i': bad = !access(path, F_OK); break; /* is it there? Then it is another program */
		case 'w': pause(); break;
		case 'e': return atoi(path);
		}
		if (bad)
			return printf("%s failed\n", argv[i]), 1;
	}
	return 0;
}
END
cc -O1 -o use use.c
mkdir -p data/dir/deep data/untouched/more
for file in opened looked dir/one dir/deep/two untouched/x untouched/more/y kept unused $'odd\nname'; do echo "$file" >"data/$file"; done
ln -s opened data/link
"$lightvm" image build -o whole.lvm -v data:/data ./use >/dev/null

# ---- what stays

check 'trim' trim whole.lvm --run 'o/data/opened s/data/looked' --run 'l/data/link d/data/dir o/data/dir/one' --keep /data/kept -o small.lvm
check '  what was opened' grep -q 'opened by: "o/data/opened s/data/looked"' <(why small.lvm /data/opened)
check '  what was looked at' grep -q 'looked at by: "o/data/opened' <(why small.lvm /data/looked)
check '  a link that was read' grep -q 'followed by: "l/data/link' <(why small.lvm /data/link)
check '  what one of several runs used' grep -q 'opened by: "l/data/link d/data/dir o/data/dir/one"' <(why small.lvm /data/dir/one)
check '  --keep' grep -q 'in the image: --keep /data/kept' <(why small.lvm /data/kept)
check '  a rule' grep -q 'the rule "keep /etc/passwd' <(why small.lvm /etc/passwd)
check '  nothing else' eval '! paths small.lvm | grep -E "^/data/(unused|untouched|dir/deep)"'
check '  is smaller' test "$(stat -c %s small.lvm)" -lt "$(stat -c %s whole.lvm)"
check '  is whole' "$lightvm" image verify small.lvm
check '  says what of' test "$("$lightvm" image inspect small.lvm | jq -r .manifest.trimmed)" = "$("$lightvm" image inspect whole.lvm | jq -r .sha256)"
check '  what was left out' grep -q -e "--keep /data/unused\$" <(why small.lvm /data/unused)
check '  and what is below it' grep -q 'nor anything else of /data/untouched; it comes back with: lightvm image trim' <(why small.lvm /data/untouched/more/y)
check '  a name with a line feed' grep -q "left out" <(why small.lvm $'/data/odd\nname')
check '  what never was there' grep -q 'neither in the image nor in what it was made of' <(why small.lvm /data/nowhere)
check 'build says why, too' grep -q 'in the image: -v data:/data' <(why whole.lvm /data/unused)
trim whole.lvm --run 'o/data/opened s/data/looked' --run 'l/data/link d/data/dir o/data/dir/one' --keep /data/kept -o again.lvm 2>/dev/null >/dev/null
check 'the same use makes the same image' eval '[ "$("$lightvm" image files small.lvm | grep -v reasons)" = "$("$lightvm" image files again.lvm | grep -v reasons)" ]'

# ---- what is missed is named

check 'the trimmed image runs' run --rm small.lvm o/data/opened
says 'a file that was left out is named' 1 '/data/unused was looked for, and was left out when the image was trimmed; it comes back with: lightvm image trim --run' run --rm small.lvm o/data/unused
says '  one below a directory that was' 1 '/data/untouched was looked for' run --rm small.lvm o/data/untouched/more/y
says '  after a directory was listed' 7 '/data/dir/ was listed, of which 1 names were left out' run --rm small.lvm d/data/dir e7
"$lightvm" run -d --name late small.lvm o/data/unused >/dev/null
"$lightvm" wait late >/dev/null
check '  in the background, by inspect' eval '"$lightvm" inspect late | jq -r ".[0].trimmed_files_missed" | grep -q "^/data/unused was looked for"'
command=$("$lightvm" inspect late | jq -r ".[0].trimmed_files_missed" | sed -n 's/.*comes back with: lightvm \(.*\)/\1/p')
check '  the command that is named works' eval "\"\$lightvm\" $command && run --rm small.lvm o/data/unused"

# ---- into the cache

check 'a name' test "$(trim whole.lvm --run o/data/opened -t tiny 2>/dev/null)" = tiny:latest
check '  runs by it' run --rm tiny o/data/opened
digest=$(trim whole.lvm --run o/data/looked 2>/dev/null)
check 'no name: the digest' run --rm "$LIGHTVM_CACHE/images/$digest.lvm" o/data/looked
says 'an image that was trimmed' 125 'was trimmed already' trim tiny --run o/data/opened
check 'a status that is not 0 counts as well' trim whole.lvm --run 'o/data/opened e3' -o three.lvm

# ---- rules

printf 'leave /etc/*\nkeep /data/untouched/*\n' >rules
trim whole.lvm --run o/data/opened --rules rules -o ruled.lvm >/dev/null 2>&1
check '--rules keep' grep -q 'the rule "keep /data/untouched' <(why ruled.lvm /data/untouched/more/y)
check '--rules leave' eval '! paths ruled.lvm | grep -q /etc/passwd'
"$lightvm" image rules --trim >printed
check 'the rules can be printed and read' trim whole.lvm --run o/data/opened --rules printed -o ruled.lvm

# ---- images of others

if command -v mkfs.erofs >/dev/null && command -v busybox >/dev/null; then
	mkdir -p tree/bin tree/data tree/tmp tree/dev tree/proc
	cp "$(command -v busybox)" tree/bin/busybox
	ln -s busybox tree/bin/cat
	echo small >tree/data/small
	head -c 10001 /dev/urandom >tree/data/tail
	ln tree/data/tail tree/data/second
	truncate -s 300k tree/data/hole
	echo unused >tree/data/unused
	mkfs.erofs foreign.lvm tree >/dev/null 2>&1
	check 'an image of mkfs.erofs, without a manifest' trim foreign.lvm --run '/bin/cat /data/small /data/tail /data/hole' -o native.lvm
	run --rm native.lvm /bin/cat /data/tail >tail
	check '  a file that did not lie in one piece' cmp tail tree/data/tail
	run --rm native.lvm /bin/cat /data/hole >hole
	check '  one with a hole' cmp hole tree/data/hole
	check '  both names of a file' eval 'paths native.lvm | grep -q /data/second && [ "$(stat -c %s native.lvm)" -lt 2500000 ]'
	check '  and nothing else' eval '! paths native.lvm | grep -q /data/unused'
	check '  is known to run on the library OS' test "$("$lightvm" image inspect native.lvm | jq -c .manifest.kernels)" = '["libos"]'
else
	skip 'an image of mkfs.erofs' 'erofs-utils or busybox is not installed'
fi

# ---- what goes wrong leaves nothing

before=$(ls -A cache/images | sort)
says 'a command that never ends' 125 'it did not end within 1 s; it was ended. --timeout' trim whole.lvm --run w --timeout 1 -o never.lvm
says 'what a shell would have to do' 125 'there is no shell in between' trim whole.lvm --run 'a | b' -o never.lvm
says 'another image for the second run' 125 'ends with status 1 on the trimmed image, and with 0 on the whole one; nothing was made' trim whole.lvm --run 'i/.lightvm/reasons.not i/data/nowhere' --run 'o/data/opened' --rules <(printf 'leave /data/opened\n') -o never.lvm
says 'no such rules' 125 '--rules gone: No such file' trim whole.lvm --run e0 --rules gone -o never.lvm
says '--keep of nothing' 125 '--keep: nothing in whole.lvm is, or matches, "/nope"' trim whole.lvm --run e0 --keep /nope -o never.lvm
says '--keep of a relative path' 125 'is no absolute path' trim whole.lvm --run e0 --keep nope -o never.lvm
says '-p without a test' 125 '-p is for a server' trim whole.lvm --run e0 -p 1:1 -o never.lvm
says '-t and -o' 125 'into the cache or into a file' trim whole.lvm --run e0 -t x -o never.lvm
says 'a place that is not there' 125 'gone: No such file' trim whole.lvm --run e0 -o gone/never.lvm
says 'no image' 125 'there is no image "nope"' trim nope --run e0
head -c 100000 whole.lvm >cut.lvm
says 'a damaged image' 125 'image damaged' trim cut.lvm --run e0 -o never.lvm
says 'an image that does not say why' 125 'does not say why its files are there' "$lightvm" image files "$("$lightvm" run --rm ./use; echo cache/images/$(ls -t cache/images | head -n 1))" --explain /data
says '--explain of a relative path' 125 'is no absolute path' why small.lvm data
check 'nothing is left' eval '[ ! -e never.lvm ] && [ -z "$(ls -A | grep stage)" ] && [ "$("$lightvm" ps -aq | wc -l)" = 1 ]'
"$lightvm" rm late >/dev/null
check 'nothing more in the cache' eval '[ "$(ls -A cache/images | grep -c stage)" = 0 ] && [ -n "$before" ]'
start "$lightvm" image trim whole.lvm --run w --timeout 60 -o never.lvm
for _ in {1..100}; do [ -n "$("$lightvm" ps -q)" ] && break; timeout 0.1 tail -f /dev/null; done
kill -9 $pid
check 'killed: the VM ends, too' within 10 "$lightvm" wait "$("$lightvm" ps -q)"
check '  and nothing is left of it' eval '[ -z "$("$lightvm" ps -aq)" ] && [ ! -e never.lvm ]'

# ---- a guest that says anything

"$lightvm" image build -o hostile.lvm "$build/tests/guest/guest_hostile" >/dev/null
trim hostile.lvm --run 'files-garbage 1' -o garbage.lvm >/dev/null 2>err
status=$?
check 'a guest that says anything of its files' eval '[ $status = 0 ] || grep -q "ends with status" err || { cat err; false; }'

# ---- a server

if command -v nginx >/dev/null && command -v curl >/dev/null && command -v passt >/dev/null; then
	mkdir site
	echo first >site/index.html
	echo other >site/other.html
	"$lightvm" image build -o web.lvm -v site:/var/www/html "$(command -v nginx)" -g 'daemon off; master_process off;' >/dev/null
	check 'a server' eval 'trim web.lvm --test "curl -fsS http://127.0.0.1:18913/ | grep -q first" -p 18913:80 -o websmall.lvm'
	check '  what the test fetched' eval 'paths websmall.lvm | grep -q /var/www/html/index.html'
	check '  and nothing else' eval '! paths websmall.lvm | grep -q /var/www/html/other.html'
	says '  a test that fails' 125 'ends with status 1 on the whole image' trim web.lvm --test false -p 18913:80 -o never.lvm
	says '  a test that never ends' 125 'the test did not end within 2 s' trim web.lvm --test 'exec tail -f /dev/null' --timeout 2 -p 18913:80 -o never.lvm
else
	skip 'a server' 'nginx, curl or passt is not installed'
fi
finish
