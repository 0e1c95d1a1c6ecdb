#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lightvm run --template-at: VMs that are copies of a program that has started once; services and the API that ask for such; what is refused, and what is left.
# timeout: 400
. "$(dirname "$0")/lib_net.sh"
way_out
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
guest=$build/tests/guest/guest_counter
copy() { "$lightvm" run --template-at call "$@"; }
templates() { "$lightvm" checkpoint ls --format json | jq -r '.[].name' | grep -c '^template-'; }
ask() { # PORT LINE
	local answer
	exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
	printf '%s\n' "$2" >&9
	read -rt 10 answer <&9
	exec 9>&-
	printf '%s\n' "$answer"
}

# like NAME [OPTION...] -- PROGRAM ARG...: output and exit status of a copy are those of the process, twice: of the one for which the template is made, too.
like() {
	local name=$1 options=() native=0 vm=0
	shift
	while [ "$1" != -- ]; do options+=("$1"); shift; done
	shift
	(cd / && env -i PATH="$PATH" HOME=/root "$@" <"$work/input" >"$work/native.out" 2>"$work/native.err") || native=$?
	copy ${options[@]+"${options[@]}"} "$@" <"$work/input" >"$work/copy.out" 2>"$work/copy.err" || vm=$?
	if [ $native = $vm ] && cmp -s "$work/native.out" "$work/copy.out"; then
		ok "$name"
	else
		diff "$work/native.out" "$work/copy.out"
		tail -n 5 "$work/copy.err"
		not_ok "$name" "exit status $vm, as a process $native"
	fi
}

# python3, whose start file comes with LightVM.
printf 'one line\nand another\n' >"$work/input"
like 'a python3 that has started' -- /usr/bin/python3 -c 'import sys; print(sys.argv, sys.stdin.read()); sys.exit(7)' a 'b  c' ''
like 'a copy of it' -- /usr/bin/python3 -c 'import sys; print(sys.argv, sys.stdin.readline())'
check 'both are of one template' test "$(templates)" = 1
check 'environment and directory are those of the request' test "$(copy -e MARK='a=b c' -w /usr/lib /usr/bin/python3 -c 'import os; print(os.environ["MARK"], os.getcwd())')" = 'a=b c /usr/lib'
check '  and make no other template' test "$(templates)" = 1
check 'no two draw the same number' test "$(for i in 1 2 3; do copy /usr/bin/python3 -c 'import os, random; print(os.urandom(4), random.random())'; done | sort -u | wc -l)" = 3
check 'what is loaded before is loaded' test "$(copy --preload json /usr/bin/python3 -c 'import sys; print("json" in sys.modules)')" = True
check '  of which the first one knows nothing' test "$(copy /usr/bin/python3 -c 'import sys; print("json" in sys.modules)')" = False
check 'nothing of them is listed as a VM' test -z "$("$lightvm" ps -aq -f status=saved)"
id=$("$lightvm" run -d --template-at call /usr/bin/python3 -c 'print(6 * 7)')
check 'in the background' "$lightvm" wait "$id"
check '  with a log of its own' test "$("$lightvm" logs "$id")" = 42

# A template is known by what went into it.
mkdir "$work/files"
echo 1 >"$work/files/number"
read_number() { copy --copy "$work/files:/files" /usr/bin/python3 -c 'print(open("/files/number").read())'; }
check 'an image with a file' test "$(read_number)" = 1
n=$(templates)
echo 2 >"$work/files/number"
check 'an image that changed has another template' test "$(read_number)$(templates)" = "2$((n + 1))"
for name in $("$lightvm" checkpoint ls --format json | jq -r '.[].name' | grep '^template-'); do "$lightvm" checkpoint rm "$name"; done
check 'removed ones are gone' test "$(templates)" = 0
copy /usr/bin/python3 -c 'print(1)' >"$work/first" & first=$!
copy /usr/bin/python3 -c 'print(2)' >"$work/second"
wait $first
check 'two at once make one, and both run' test "$(cat "$work/first" "$work/second")$(templates)" = $'1\n21'
for i in $(seq 100 140); do
	mkdir -m 700 "$LIGHTVM_KEPT/saved/template-000000000000000000000$i"
	touch "$LIGHTVM_KEPT/saved/template-000000000000000000000$i/vm.json"
	touch -d "2020-01-01 00:00:$((i % 60))" "$LIGHTVM_KEPT/saved/template-000000000000000000000$i"
done
check 'one more' test "$(copy --preload csv /usr/bin/python3 -c 'print(3)')" = 3
check '  and those whose use is longest ago go' test "$(ls "$LIGHTVM_KEPT/saved" | grep -c '^template-')" = 32
check '  but not the first one' test "$(copy /usr/bin/python3 -c 'print(4)')$(ls "$LIGHTVM_KEPT/saved" | grep -c '^template-')" = 432
rm -rf "$LIGHTVM_KEPT"/saved/template-000*

# A program that asks for it itself.
words=(--preload -c --preload 'mapfile -d "" words </dev/template; printf "%s\n" "${words[@]}"; exit 3')
bash_copy() { copy "${words[@]}" -e A=B -w /tmp /usr/bin/bash one 'two words'; }
bash_copy >"$work/said"
check 'a program that reads /dev/template is told' test $? = 3 -a "$(head -n 3 "$work/said")" = $'arg=/usr/bin/bash\narg=one\narg=two words'
check '  all of it' test "$(grep -c '^env=A=B$\|^cwd=/tmp$' "$work/said")" = 2

# One that listens, behind passt; and one that runs for a time.
for i in 1 2; do
	ports[i]=$(free_port)
	check "a copy of a server, $i" "$lightvm" run -d --template-at listen --name "server$i" -p "127.0.0.1:${ports[i]}:7" "$guest" 7
	await 10 port_open "${ports[i]}" || not_ok 'its port' 'is not open'
done
check '  goes on where the template was' test "$(ask "${ports[1]}" count | cut -d' ' -f1)" = "$(ask "${ports[2]}" count | cut -d' ' -f1)"
check '  with numbers of its own' test "$(ask "${ports[1]}" random)" != "$(ask "${ports[2]}" random)"
check '  and a host name' test "$(ask "${ports[2]}" host)" = "$("$lightvm" inspect -f id server2)"
"$lightvm" rm -f server1 server2
"$lightvm" run --net none --template-at 1 "$guest" >"$work/numbers" 2>/dev/null & counter=$!
await 20 test -s "$work/numbers" || not_ok 'a copy after a second' 'says nothing'
check 'a copy of a program that ran for a second' test "$(head -n 1 "$work/numbers" | cut -d' ' -f2)" -gt 9
kill $counter
wait $counter 2>/dev/null

# Whoever makes one is killed: its VM goes with the next template that is made, or used.
makes() { # SECONDS: *maker, *left
	start "$lightvm" run --net none --template-at "$1" "$guest" >"$work/maker" 2>&1
	maker=$pid
	await 20 is_making
}
is_making() { left=$(cat "$LIGHTVM_KEPT/saved/.making") && [ "$("$lightvm" inspect -f state "$left")" = running ]; }
check 'a template is made' makes 600
kill -KILL "$maker"
wait "$maker" 2>/dev/null
check '  whoever makes it is killed: its VM runs on' is_making
copy /usr/bin/python3 -c 'print(5)' >"$work/said"
says '  until a template is used' 125 'there is no VM' "$lightvm" inspect "$left"
check '  and nothing tells of it' test ! -e "$LIGHTVM_KEPT/saved/.making"
check 'another one is made' makes 601
kill -KILL "$maker"
wait "$maker" 2>/dev/null
first=$left
copy --preload calendar /usr/bin/python3 -c 'print(6)' >"$work/said"
says '  its VM goes when one is made' 125 'there is no VM' "$lightvm" inspect "$first"

# What cannot be.
says 'no time' 125 '--template-at: "soon" is neither call nor listen nor 1 to 3600 seconds' "$lightvm" run --template-at soon /bin/true
says 'a time that is too long' 125 '"3601" is neither' "$lightvm" run --template-at 3601 /bin/true
says 'words for no template' 125 '--preload goes with --template-at' "$lightvm" run --preload json /usr/bin/python3 -c 1
says 'words for one that listens' 125 'preload: "json" is for a template that is copied at its call' "$lightvm" run --template-at listen --preload json "$guest"
says 'acceptance of nothing' 125 '--accept-shared-random goes with --template-at' "$lightvm" run --accept-shared-random /bin/true
says 'create' 125 '--template-at is for what runs at once' "$lightvm" create --template-at call /usr/bin/python3
says 'with --restore' 125 '--template-at does not go with --restore' "$lightvm" run --template-at call --restore somewhere
says 'a program that ends' 125 'ended before its program read /dev/template: exited (0)' copy /bin/true
says 'a module that is not there' 125 "No module named 'nothere'" copy --preload nothere /usr/bin/python3 -c 1
head -c 512 /dev/zero >"$work/disk"
says 'a disk' 125 "template: disk $work/disk: a template has no disks" copy --disk "$work/disk,ro" /usr/bin/python3 -c 1
says 'a generator that nothing can tell' 125 'whose random numbers, keys too, would be the same in every copy' "$lightvm" run --template-at 1 /usr/bin/python3 -c 'input()'
"$lightvm" image build -o "$work/bare.lvm" /usr/bin/python3 >/dev/null
says 'an image without the start file' 125 'has no /usr/share/lightvm/template/python3.py' copy "$work/bare.lvm" -c 1
python3 "$top/tests/data/oci_make.py" busybox "$work/python"
says 'an image of containers with the name of a runtime' 125 'ended before its program read /dev/template: exited (0)' copy "oci:$work/python:1.0"
check 'nothing is left of those' test -z "$("$lightvm" ps -aq -f status=saved -f status=running)"
for i in "$LIGHTVM_KEPT"/saved/template-*/vm.json; do echo >"$i"; done
says 'a damaged one' 125 '"lightvm checkpoint rm" removes it' copy /usr/bin/python3 -c 1
rm -rf "$LIGHTVM_KEPT"/saved/template-*

# Services and the API.
start_daemon
port=$(free_port)
says 'a service with half of it' 125 '--preload goes with --template-at' "$lightvm" service add half -p "127.0.0.1:$port" --per-connection --preload json -- /usr/bin/python3 -c 1
check 'a service of copies' "$lightvm" service add sum -p "127.0.0.1:$port" --per-connection --template-at call --preload json -- /usr/bin/python3 -c 'import sys; print(sum(map(int, input().split())), "json" in sys.modules)'
check '  answers' test "$(ask "$port" '1 2 3')" = '6 True'
check '  each connection with one of its own' test "$(ask "$port" '4 5')" = '9 True'
check '  all of one template' test "$(templates)" = 1
other=$(free_port)
check 'a service that is copied when it listens' "$lightvm" service add counter -p "127.0.0.1:$other:7" --template-at listen -- "$guest" 7
check '  is reached' test "$(ask "$other" count | cut -d' ' -f2)" = 0
"$lightvm" service rm sum counter

# A pool whose shells are copies already.
pool() { "$lightvm" pool ls --format json | jq -r ".pools[] | select(.name == \"$1\") | .$2"; }
is() { [ "$("${@:2}")" = "$1" ]; }
ready() { [ "$(pool "$1" ready)" -ge "$2" ]; }
rm -rf "$LIGHTVM_KEPT"/saved/template-*
copy --net none --preload json /usr/bin/python3 -c 1
template=$("$lightvm" checkpoint ls --format json | jq -r '.[0].name')
says 'a pool of nothing' 125 'template: "nothing" is none of "lightvm checkpoint ls"' "$lightvm" pool add no --template nothing
says '  of a template that is not there' 125 'pool no: template: template-000000000000000000000000 is none of "lightvm checkpoint ls"' "$lightvm" pool add no --template template-000000000000000000000000
says '  with a size of its own' 125 "--memory, --image-room and --ram are the template's" "$lightvm" pool add no -m 1G --template "$template"
check 'a pool of a template' "$lightvm" pool add python --min 2 --max 2 --template "$template"
check '  has its memory' is 268435456 pool python memory
check '  makes shells' await 30 ready python 2
from_pool() { copy --net none --preload json "$@"; }
check 'a copy from it' test "$(echo in | from_pool -e A=B -w /usr /usr/bin/python3 -c 'import sys, os; print(sys.argv[1:], sys.stdin.read().strip(), os.environ["A"], os.getcwd(), "json" in sys.modules)' x)" = "['x'] in B /usr True"
check '  was one' is 1 pool python hits
from_pool /usr/bin/python3 -c 'import sys; sys.exit(9)'
check '  has its exit status' test $? = 9
numbers() { for _ in 1 2 3; do await 20 ready python 1; from_pool /usr/bin/python3 -c 'import os, random; print(os.urandom(4), random.random())'; done | sort -u | wc -l; }
check '  and numbers of its own' is 3 numbers
hits=$(pool python hits)
check 'another program gets none of them' test "$(run --net none /usr/bin/python3 -c 'print(1)')" = 1
check '  nor does a copy of another template' test "$(copy --net none /usr/bin/python3 -c 'print(2)')" = 2
check '  as is counted' is "$hits" pool python hits
"$lightvm" checkpoint rm "$template"
check 'a template that was made anew' from_pool /usr/bin/python3 -c pass
hits=$(pool python hits)
another() { from_pool /usr/bin/python3 -c pass && [ "$(pool python hits)" -gt "$hits" ]; }
check '  has shells again' await 30 another
# lightvmd is started again when that template is gone: its pool waits for it, and is kept with the others.
"$lightvm" pool add later -m 32M --min 1 --max 1 >/dev/null
"$lightvm" checkpoint rm "$template"
kill "$daemon" && wait "$daemon"
start_daemon
check 'a pool behind one whose template is gone' is 33554432 pool later memory
check '  which says so' is "template: $template is none of \"lightvm checkpoint ls\"" pool python error
check '  and is kept when another goes' "$lightvm" pool rm later
check '  on disk, too' is "$template" jq -r '.[] | select(.name == "python").template' "$XDG_RUNTIME_DIR/lightvm/pools.json"
kill "$daemon" && wait "$daemon"
start_daemon
check '  for the next daemon as well' is 268435456 pool python memory
check '  when its template is made anew' from_pool /usr/bin/python3 -c pass
hits=$(pool python hits)
check '  it has shells' await 30 another
"$lightvm" pool rm python
answers 'a pool of nothing by the API' 400 'is none of' POST /v1/pools '{"name": "no", "template": "nothing"}'
answers 'a copy by the API' 201 '"id"' POST /v1/vms '{"image": "/usr/bin/python3", "args": ["python3", "-c", "print(6 * 7)"], "net": {"kind": "none"}, "template": {"at": "call"}}'
"$lightvm" image build -o "$work/python3" /bin/true >/dev/null
answers 'an image by the API with the name of a runtime' 409 'ended before its program read /dev/template' POST /v1/vms "{\"image\": \"$work/python3\", \"net\": {\"kind\": \"none\"}, \"template\": {\"at\": \"call\"}}"
answers 'one that starts later' 400 'template: is for what starts at once' POST '/v1/vms?start=false' '{"image": "/usr/bin/python3", "net": {"kind": "none"}, "template": {"at": "call"}}'
answers 'another key' 400 'template.from: there is no such key' POST /v1/vms '{"image": "/bin/true", "template": {"at": "call", "from": 1}}'
answers 'no time' 400 'template.at: neither a text nor a number of seconds' POST /v1/vms '{"image": "/bin/true", "template": {"preload": []}}'
answers 'no object' 400 'template: not an object' POST /v1/vms '{"image": "/bin/true", "template": "call"}'
answers 'words that are none' 400 'template.preload: not a text' POST /v1/vms '{"image": "/bin/true", "template": {"at": "call", "preload": [1]}}'
finish
