#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Images of Debian packages, from a package source of this test's own: what comes along, what the scripts would have made, what is started, and bad packages.
# timeout: 240
. "$(dirname "$0")/lib.sh"
for tool in apt-get dpkg-deb cc; do
	command -v $tool >/dev/null || { skip packages "$tool is not installed"; finish; }
done
export LIGHTVM_CACHE=$work/cache
repo=$work/repo
mkdir -p "$repo" "$work/out" "$work/etc"

# deb NAME VERSION SECTION DEPENDS [FIELD...]: the tree $work/tree as a package in the source; an empty tree is left.
deb() {
	local name=$1 version=$2 section=$3 depends=$4
	shift 4
	mkdir -p "$work/tree/DEBIAN"
	{
		printf 'Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: a test\nSection: %s\nPriority: optional\nDescription: test\n' "$name" "$version" "$section"
		[ -z "$depends" ] || printf 'Depends: %s\n' "$depends"
		[ $# = 0 ] || printf '%s\n' "$@"
	} >"$work/tree/DEBIAN/control"
	dpkg-deb --root-owner-group -Znone -b "$work/tree" "$repo/${name}_$version.deb" >/dev/null
	rm -rf "$work/tree"
	mkdir "$work/tree"
}
mkdir "$work/tree"
put() { mkdir -p "$(dirname "$work/tree$1")" && cat >"$work/tree$1"; }

# list: Packages of the source; of the package LIAR the digest is another one's.
list() {
	local file
	for file in "$repo"/*.deb; do
		dpkg-deb -f "$file"
		printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "${file##*/}" "$(stat -c %s "$file")" "$(case $file in */liar_*) echo x;; *) cat "$file";; esac | sha256sum | cut -d' ' -f1)"
	done >"$repo/Packages"
}

# ---- what is in the source ----
dpkg -L libc6 | while read -r file; do
	[ ! -f "$file" ] || [[ $file = /usr/share/* ]] || { mkdir -p "$work/tree$(dirname "$file")" && cp -P "$file" "$work/tree$file"; }
done
mkdir -p "$work/tree/lib64" && cp -P /lib64/ld-linux-x86-64.so.2 "$work/tree/lib64/"
deb libc6 2.99 libs ''

printf 'int greet_unused;\n' | cc -shared -x c - -o "$work/libunused.so.1" -Wl,-soname,libunused.so.1
printf '#include <stdio.h>\nvoid greet(const char *s) { printf("greetings, %%s\\n", s); }\n' | cc -shared -fPIC -x c - -o "$work/libgreet.so.1" -Wl,-soname,libgreet.so.1
put /usr/lib/x86_64-linux-gnu/libgreet.so.1 <"$work/libgreet.so.1"
put /usr/share/libgreet/data <<<'data of the library'
put /usr/share/doc/libgreet1/copyright <<<'free'
deb libgreet1 1.0 libs libc6
put /usr/lib/x86_64-linux-gnu/libunused.so.1 <"$work/libunused.so.1"
deb libunused1 1.0 libs libc6

cat >"$work/greeter.c" <<'EOF'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
void greet(const char *s);
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		greet(argv[i]);
	printf("user %d:%d home %s\n", (int)getuid(), (int)getgid(), getenv("GREETER_HOME") ? getenv("GREETER_HOME") : "-");
	FILE *state = fopen("/var/lib/greeter/state", "w");
	puts(state ? "state written" : "state cannot be written");
	return argc > 1 ? 3 : 0;
}
EOF
cc -o "$work/greeter" "$work/greeter.c" "$work/libgreet.so.1"
put /usr/sbin/greeter <"$work/greeter" && chmod 755 "$work/tree/usr/sbin/greeter"
put /etc/greeter.conf <<<'greeting = hello'
# Two names of one file where the base system has a link: /bin.
put /bin/greet-again <"$work/greeter" && chmod 755 "$work/tree/bin/greet-again" && ln "$work/tree/bin/greet-again" "$work/tree/bin/greet-twice"
put /usr/share/man/man8/greeter.8 <<<'manual'
put /lib/systemd/system/greeter.service <<'EOF'
[Service]
User=greeter
StateDirectory=greeter
Environment=GREETER_HOME=/srv/greeter
ExecStart=/usr/sbin/greeter "from the unit"
EOF
put /DEBIAN/postinst <<'EOF'
#!/bin/sh
adduser --system --group --home /srv/greeter greeter
touch /tmp/lightvm-test-ran-a-maintainer-script
chown root:greeter /etc/greeter.conf
chmod 0640 /etc/greeter.conf
EOF
chmod 755 "$work/tree/DEBIAN/postinst"
deb greeter 1.0 net 'libgreet1, libunused1, adduser, greeter-common'
put /usr/share/greeter/words <<<'words'
deb greeter-common 1.0 net ''
put /usr/bin/one <<<x
deb only-one 1.0 net '' 'Conflicts: other-one'
deb other-one 1.0 net ''
deb needs-missing 1.0 net 'is-not-there (>= 2)'
put /.lightvm/manifest.json <<<'{ "lightvm": 1, "program": "/usr/bin/greeter" }'
mkdir -p "$work/tree/usr/bin"
cp "$work/greeter" "$work/tree/usr/bin/owner"
deb owner 1.0 net libgreet1
put /usr/bin/escapes <"$work/greeter" && chmod 755 "$work/tree/usr/bin/escapes"
printf '[Service]\nExecStart=/usr/bin/escapes "\033]0;title\007"\n' | put /lib/systemd/system/escapes.service
deb escapes 1.0 net libgreet1
put /usr/bin/liar <<<x
deb liar 1.0 net ''
# What starts a server is often a script, which nobody's dependencies give its commands: those are of essential packages.
put /usr/sbin/scripted <<'EOF' && chmod 755 "$work/tree/usr/sbin/scripted"
#!/bin/sh
mkdir -p /tmp/a/b && ls /tmp/a && id -u && echo "$@"
EOF
printf '[Service]\nExecStart=/usr/sbin/scripted in the foreground\n' | put /lib/systemd/system/scripted.service
deb scripted 1.0 net libc6
for name in mkdir ls id true; do put "/usr/bin/$name" <"$(command -v "/usr/bin/$name")" && chmod 755 "$work/tree/usr/bin/$name"; done
ldd /usr/bin/ls | awk '$3 ~ /selinux|pcre/ { print $3 }' | while read -r file; do put "/usr/lib/x86_64-linux-gnu/${file##*/}" <"$file"; done
deb coreutils 9.9 utils libc6 'Essential: yes'
for name in debianutils diffutils findutils grep gzip hostname mawk sed tar util-linux; do deb $name 9.9 utils ''; done
put /usr/bin/dash <"$(readlink -f /bin/dash)" && chmod 755 "$work/tree/usr/bin/dash" && ln -s dash "$work/tree/usr/bin/sh"
deb dash 0.9 shells libc6 'Essential: yes'
# A package whose archive leads out of it: "../evil".
mkdir -p "$work/bad/in" && echo evil >"$work/bad/evil" && echo 2.0 >"$work/bad/debian-binary"
tar -C "$work/bad/in" -P -cf "$work/bad/data.tar" ../evil
printf 'Package: traversal\nVersion: 1.0\nArchitecture: amd64\nMaintainer: a test\nDescription: test\n' >"$work/bad/control"
tar -C "$work/bad" -cf "$work/bad/control.tar" ./control
(cd "$work/bad" && ar rc "$repo/traversal_1.0.deb" debian-binary control.tar data.tar)
list

export APT_CONFIG=$work/apt.conf
cat >"$APT_CONFIG" <<EOF
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "$work/etc";
Dir::Etc::parts "$work/etc";
Dir::Etc::main "$work/etc/none";
Dir::State::lists "$work/lists";
EOF
echo "deb [trusted=yes] file:$repo ./" >"$work/etc/sources.list"
mkdir "$work/lists"
lists_before=$(ls -A "$work/lists" /var/lib/apt/lists 2>/dev/null)

# ---- an image ----
check 'an image of a package is built' "$lightvm" image build --package greeter -o "$work/out/g.lvm"
"$lightvm" image build --package greeter -o "$work/out/h.lvm" >/dev/null 2>"$work/said"
check 'the user is said' grep -qx 'user greeter (101): as greeter makes it' "$work/said"
check 'what is started is said' grep -qF "starts /usr/sbin/greeter 'from the unit': greeter.service" "$work/said"
check 'the same packages, the same bytes' cmp "$work/out/g.lvm" "$work/out/h.lvm"
check 'no maintainer script has run' test ! -e /tmp/lightvm-test-ran-a-maintainer-script
check "nothing is written to the host's package lists" test "$(ls -A "$work/lists" /var/lib/apt/lists 2>/dev/null)" = "$lists_before"

status=0
run --rm "$work/out/g.lvm" >"$work/got" 2>"$work/err" || status=$?
printf 'greetings, from the unit\nuser 101:101 home /srv/greeter\nstate written\n' >"$work/want"
check 'it does as its unit says, as its user' diff "$work/want" "$work/got"
check 'with its status' test $status = 3

files_of() { "$lightvm" image files "$1"; }
files_of "$work/out/g.lvm" >"$work/files"
has() { check "$1" grep -qx -- "$2" "$work/files"; }
lacks() { check "$1" sh -c '! grep -q "$1" "$2"' sh "$2" "$work/files"; }
has 'a file of /etc comes with the owner that the script gives it' '-0640 0:101 17 /etc/greeter.conf'
has 'the second name of a file below a link of the base system' '-0755 0:0 [0-9]* /usr/bin/greet-twice'
has 'the link of the base system to what is packed' 'l0777 0:0 8 /sbin -> usr/sbin'
has 'a library that is needed' '-0[0-7]* 0:0 [0-9]* /usr/lib/x86_64-linux-gnu/libgreet.so.1'
has 'and the data of its package' '-0644 0:0 [0-9]* /usr/share/libgreet/data'
has 'a package that is no library comes whole' '-0644 0:0 [0-9]* /usr/share/greeter/words'
lacks 'a library that nothing needs does not' libunused
lacks 'nor what is for people' /usr/share/doc
lacks 'nor manuals' /usr/share/man
lacks 'nor unit files' greeter.service
lacks "nor all of the C library's converters" gconv

run --rm --package scripted >"$work/got" 2>"$work/err"
printf 'b\n0\nin the foreground\n' >"$work/want"
check 'a script that is started has the commands of every system' diff "$work/want" "$work/got"

# ---- run, from the cache, without a network or a source ----
status=0
run --rm --package greeter greeter to you >"$work/got" 2>"$work/err" || status=$?
check 'run --package with a program of its own' grep -qx 'greetings, you' "$work/got"
check 'whose status it has' test $status = 3
mkdir "$work/away" && mv "$repo"/*.deb "$work/away"
status=0
run --rm --package greeter greeter to you >"$work/got" 2>"$work/err" || status=$?
check 'a second time without the source' grep -qx 'greetings, you' "$work/got"
check 'and it says nothing more' test ! -s "$work/err"
check 'packages that the cache has, packed anew without the source' "$lightvm" image build --package greeter -o "$work/out/i.lvm" greeter
says 'a package that it does not have' 125 "only-one_1.0.deb: No such file" "$lightvm" image build --package only-one -o "$work/out/no.lvm"
mv "$work/away"/*.deb "$repo"

# ---- rules ----
"$lightvm" image rules >"$work/rules"
check 'the rules can be read' grep -q '^leave /usr/share/doc' "$work/rules"
printf 'keep /usr/share/man/*\nleave /usr/share/greeter/*\nstart greeter /usr/sbin/greeter ruled\n' >>"$work/rules"
check 'rules of another file' "$lightvm" image build --package greeter --rules "$work/rules" -o "$work/out/r.lvm"
files_of "$work/out/r.lvm" >"$work/files"
has 'keep what they keep' '-0644 0:0 [0-9]* /usr/share/man/man8/greeter.8'
lacks 'leave what they leave' /usr/share/greeter/words
run --rm "$work/out/r.lvm" >"$work/got" 2>/dev/null
check 'and start what they start' grep -qx 'greetings, ruled' "$work/got"
check 'the difference of two images' sh -c '"$1" image diff "$2" "$3" >"$4"' sh "$lightvm" "$work/out/g.lvm" "$work/out/r.lvm" "$work/diff"
check 'says what there is more' grep -qxF '+ /usr/share/man/man8/greeter.8' "$work/diff"
check 'and less' grep -qxF -- '- /usr/share/greeter/words' "$work/diff"
check 'and what is another one' grep -qxF '~ /.lightvm/manifest.json (contents)' "$work/diff"
says 'the difference to what is no image' 125 'no.lvm' "$lightvm" image diff "$work/out/g.lvm" "$work/out/no.lvm"

# ---- why ----
explains() { # NAME TEXT PATH [OPTION...]
	"$lightvm" image build --explain "$3" -o "$work/out/no.lvm" "${@:4}" >"$work/why" 2>&1
	check "$1" grep -qF -- "$2" "$work/why"
}
explains 'why the program is there' 'packed: the program that is started' /usr/sbin/greeter --package greeter
explains 'a library, by another path' 'packed, as /usr/lib/x86_64-linux-gnu/libgreet.so.1: library libgreet.so.1, needed by /usr/sbin/greeter; of the package libgreet1' \
	/lib/x86_64-linux-gnu/libgreet.so.1 --package greeter
explains 'data' 'data and plugins of a library that is needed; of the package libgreet1' /usr/share/libgreet/data --package greeter
explains 'what a rule leaves, and what adds it' 'the rule "leave /usr/share/man/*" (default rules:' /usr/share/man/man8/greeter.8 --package greeter
explains 'what is not needed, and what adds it' '--package libunused1 adds all of it' /usr/lib/x86_64-linux-gnu/libunused.so.1 --package greeter
explains 'what no package has' 'none of the packages has it' /no/such --package greeter
explains "a program of the host" 'packed: the program that is started' "$(readlink -f /bin/sh)" /bin/sh
explains 'a file of the host that is not packed' "-v $work:$work adds it" "$work" /bin/sh
explains 'a path that is none' '--explain: "x" is no absolute path' x /bin/sh
echo 'bogus /x' >"$work/rules"
says 'a rule that is none' 125 "$work/rules:1: \"bogus\" is no rule" "$lightvm" image build --package greeter --rules "$work/rules" -o "$work/out/no.lvm"
says 'rules that are not there' 125 '--rules /no/rules: No such file' "$lightvm" image build --package greeter --rules /no/rules -o "$work/out/no.lvm"
says 'rules without packages' 125 '--rules is for packages' "$lightvm" image build --rules "$work/rules" /bin/true

"$lightvm" image build --package escapes -o "$work/out/escapes.lvm" >/dev/null 2>"$work/escapes.err"
check "what a unit says is fit for a terminal" eval 'grep -q "starts /usr/bin/escapes" "$work/escapes.err" && ! grep -q "[[:cntrl:]]" "$work/escapes.err"'

# ---- what is wrong ----
wrong() { says "$1" 125 "$2" "$lightvm" image build -o "$work/out/no.lvm" --package "${@:3}"; }
wrong 'a name with odd characters' '"a;b" is not the name of a Debian package' 'a;b'
wrong 'a name that would be an option' '"-oX=1" is not the name of a Debian package' -oX=1
wrong 'a name that would remove' '"greeter-" is not the name' greeter-
wrong 'an unknown package' 'Unable to locate package not-known' not-known
wrong 'a pattern' 'greete' greete.
wrong 'a version that there is not' "Version '9' for 'greeter' was not found" greeter=9
wrong 'packages that do not go together' 'only-one : Conflicts: other-one' only-one --package other-one
wrong 'a dependency that cannot be had' 'is-not-there' needs-missing
wrong 'a package that is not what the lists say' 'is not what the package lists say' liar
wrong 'a path that leads out of a package' 'the path "../evil" leads out of the archive' traversal
wrong 'a package with a manifest of its own' "/.lightvm/manifest.json is LightVM's own" owner
wrong 'a package that starts nothing' 'do not say which program to start' greeter-common
wrong 'a program that they have not' 'there is no program "nothing" in the packages' greeter nothing
says 'nothing to build' 125 'of what? Name a program' "$lightvm" image build
says 'packages and a container image' 125 '--from and --package' "$lightvm" image build --package greeter --from oci:x
says 'run with an unknown package' 125 'Unable to locate package not-known' "$lightvm" run --package not-known
says '--package and --entrypoint' 125 '--entrypoint is for images' "$lightvm" run --package greeter --entrypoint x
says '--package and --restore' 125 '--package does not go with --restore' "$lightvm" run --package greeter --restore "$work"
check 'nothing is left of these' test ! -e "$work/out/no.lvm"
check 'nor of packages that are wrong' sh -c '! ls "$1" | grep -qv -e "^[0-9a-f]\{64\}[.]deb$" -e "^apt$" -e "^lock$"' sh "$LIGHTVM_CACHE/packages"
check 'nor outside of the archive' test ! -e "$work/evil" -a ! -e "$LIGHTVM_CACHE/evil"
damaged=$(find "$LIGHTVM_CACHE/packages" -name '*.deb' -size -40k | head -n 1)
chmod u+w "$damaged" && echo damage >>"$damaged"
check 'a package that was damaged in the cache is fetched again' "$lightvm" image build --package greeter -o "$work/out/j.lvm"
check 'and is as it was' cmp "$work/out/g.lvm" "$work/out/j.lvm"

# ---- over a network, with a cache that has nothing ----
port=$(free_port)
start python3 -m http.server "$port" --bind 127.0.0.1 --directory "$repo" >/dev/null 2>&1
await 20 'the source to answer' port_open "$port"
echo "deb [trusted=yes] http://127.0.0.1:$port/ ./" >"$work/etc/sources.list"
"$lightvm" image rm --all
check 'image rm --all removes packages, too' test ! -e "$LIGHTVM_CACHE/packages"
check 'packages of a server' "$lightvm" image build --package greeter -o "$work/out/k.lvm"
check 'make the same image' cmp "$work/out/g.lvm" "$work/out/k.lvm"
wrong 'a package of a server that is not what the lists say' 'liar' liar
rm "$repo/only-one_1.0.deb"
put /usr/bin/one <<<newer
deb only-one 1.1 net ''
list
check 'lists that name what the server no longer has are fetched again' "$lightvm" image build --package greeter --package only-one -o "$work/out/m.lvm"
check 'and the newer package is taken' sh -c '"$1" image diff "$2" "$3" | grep -qxF "+ /usr/bin/one"' sh "$lightvm" "$work/out/g.lvm" "$work/out/m.lvm"
kill "$pid"
says 'a server that is gone' 125 'packages cannot be fetched' "$lightvm" image build --package other-one -o "$work/out/no.lvm"
check 'packages that the cache has without their server' "$lightvm" image build --package greeter -o "$work/out/l.lvm" greeter
echo "deb [trusted=yes] http://127.0.0.1:9/ ./" >"$work/etc/sources.list"
rm -rf "$LIGHTVM_CACHE/packages/apt/lists"
says 'no package lists, and nobody who has them' 125 'the package lists cannot be fetched' "$lightvm" image build --package greeter -o "$work/out/no.lvm"
finish
