#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What container users type: labels and filters, --entrypoint, --cidfile, --pid-file, create, port, prune; and what they get for words that
# mean nothing here.
# timeout: 120
. "$(dirname "$0")/lib.sh"
guest=$build/tests/guest/guest_
is() { [ "$("${@:2}" 2>/dev/null)" = "$1" ]; }
contains() { "${@:2}" 2>&1 | grep -qF -- "$1"; }

# ---- labels and filters
printf '# notes\n\ntier=db\nowner=file\n' >"$work/labels"
web=$("$lightvm" run -d --name web -l tier=web --label owner=x --label owner=me -l bare -p 127.0.0.1:$(free_port):80 -p 127.0.0.1:$(free_port):53/udp sleep 1000)
db=$("$lightvm" run -d --name db --label-file "$work/labels" --net none -l owner=given sleep 1000)
check 'labels stand in the configuration, the last of a name wins' test "$("$lightvm" inspect -f config.labels web)" = '["tier=web", "owner=me", "bare="]'
check '  and what is given wins over the file' test "$("$lightvm" inspect -f config.labels db)" = '["tier=db", "owner=given"]'
check '  ps as JSON has them' jq -e '.[] | select(.name == "db").labels | index("tier=db")' <("$lightvm" ps --format json)
filter() { is "$2" "$lightvm" ps -aq --filter "$1"; }
check 'ps --filter label=NAME=VALUE' filter label=tier=web "$web"
check 'ps --filter label=NAME' filter label=bare "$web"
check '  a part of a name is none' filter label=tie ''
check '  nor is a part of a value' filter label=tier=we ''
check 'ps --filter name' filter name=we "$web"
check 'ps --filter id' filter "id=${db:0:5}" "$db"
check 'ps --filter network' filter network=none "$db"
check 'two filters' is '' "$lightvm" ps -aq --filter label=tier=web --filter network=none
check 'ps --filter status' test "$("$lightvm" ps -q --filter status=running | wc -l)" = 2
check 'ps --filter ancestor' test "$("$lightvm" ps -q --filter ancestor=sleep | wc -l)" = 2
check 'ps --last' is "$db" "$lightvm" ps -q -n 1
check 'ps --latest' is "$db" "$lightvm" ps -q -l
says 'a filter that is none' 125 '"colour=red" is not KEY=VALUE with a key of these: state' "$lightvm" ps --filter colour=red
says 'a filter without a value' 125 '"label" is not KEY=VALUE' "$lightvm" ps --filter label
says 'a label without a name' 125 '"=x" is neither' "$lightvm" run --label =x /bin/true
says 'an empty label' 125 '"" is neither' "$lightvm" run --label '' /bin/true
says 'a label file that is not there' 125 "--label-file $work/none" "$lightvm" run --label-file "$work/none" /bin/true
echo word >"$work/bad"
says 'a label file with a line that is none' 125 '"word" is not NAME=VALUE' "$lightvm" run --label-file "$work/bad" /bin/true

# ---- port
check 'port' contains '80/tcp -> 127.0.0.1:' "$lightvm" port web
check 'port VM PORT' contains '127.0.0.1:' "$lightvm" port web 53/udp
says 'a port that is not published' 125 'its port 81 is not published' "$lightvm" port web 81
says 'a port of another protocol' 125 'its port 80/udp is not published' "$lightvm" port web 80/udp
says 'a port that is none' 125 '"http" is not a port' "$lightvm" port web http
says 'port of what is not there' 125 'there is no VM "nothere"' "$lightvm" port nothere
check 'port of a VM without any' is '' "$lightvm" port db

# ---- cidfile, pid-file
id=$("$lightvm" run -d --cidfile "$work/cid" --pid-file "$work/pid" --name files sleep 1000)
check '--cidfile has the id' test "$(cat "$work/cid")" = "$id"
check '--pid-file has the process' test "$(cat "$work/pid")" = "$("$lightvm" inspect -f record.pid files)"
old=$(cat "$work/pid")
"$lightvm" restart -t 1 files >/dev/null
check '  that of the next start, too' bash -c '[ "$(cat "$1")" != "$2" ] && kill -0 "$(cat "$1")"' - "$work/pid" "$old"
says '--cidfile that is there' 125 "--cidfile $work/cid is there already" "$lightvm" run -d --cidfile "$work/cid" --name second sleep 1000
check '  nothing was made' bash -c '! "$1" inspect second 2>/dev/null' - "$lightvm"
says '--cidfile where there is no directory' 125 "--cidfile $work/no/cid" "$lightvm" run -d --cidfile "$work/no/cid" sleep 1000
says 'a taken name' 125 'is taken' "$lightvm" run -d --cidfile "$work/cid2" --name files sleep 1000
check '  leaves no cidfile' test ! -e "$work/cid2"
says '--pid-file where there is no directory' 125 "--pid-file $work/no/pid" "$lightvm" run -d --pid-file "$work/no/pid" --name second sleep 1000
check '  nothing is left of it' bash -c '! "$1" inspect second 2>/dev/null' - "$lightvm"
(cd "$work" && "$lightvm" run --pid-file front.pid /bin/true)
check '--pid-file in the foreground, from here' test -s "$work/front.pid"

# ---- entrypoint
mkdir "$work/tree"
cp "$(readlink -f "$(command -v busybox)")" "$work/tree/echo"
"$lightvm" image build -o "$work/box.lvm" -v "$work/tree/echo:/opt/bin/echo" -v "$work/tree/echo:/usr/bin/echo" "$(command -v busybox)" >/dev/null
check '--entrypoint with a path' is 'over here' "$lightvm" run --rm --entrypoint /opt/bin/echo "$work/box.lvm" over here
check '--entrypoint by its name' is 'over here' "$lightvm" run --rm --entrypoint echo "$work/box.lvm" over here
says '--entrypoint that is not there' 125 'there is no program "nothing" in' "$lightvm" run --entrypoint nothing "$work/box.lvm"
says '--entrypoint with a directory' 125 'there is no program "/bin" in' "$lightvm" run --entrypoint /bin "$work/box.lvm"
says '--entrypoint of a program' 125 'is for images' "$lightvm" run --entrypoint /bin/sh /bin/true

# ---- create
id=$("$lightvm" create --name made -p 127.0.0.1:$(free_port):80 "${guest}waiter" up)
check 'create: an id, and nothing runs' is created "$lightvm" inspect -f state made
check '  ps shows it with -a only' bash -c '! "$1" ps -q | grep -q "$2" && "$1" ps -a | grep -q "$2.*created"' - "$lightvm" "$id"
says 'stop -s of it' 125 'has not been started yet' "$lightvm" kill -s TERM made
says 'pause of it' 125 'has not been started yet' "$lightvm" pause made
says 'wait for it' 125 'has not been started yet' "$lightvm" wait made
check 'rename of it' "$lightvm" rename made ready
check 'start of it' is "$id" "$lightvm" start ready
check '  it runs' is running "$lightvm" inspect -f state ready
"$lightvm" create --rm --name brief /bin/echo brief >/dev/null
check 'create --rm: it stays until it has run' is created "$lightvm" inspect -f state brief
check '  ps leaves it' bash -c '"$1" ps -a | grep -q "brief.*created"' - "$lightvm"
says '  its name is taken' 125 'name "brief" is taken' "$lightvm" create --name brief /bin/true
check '  start -a runs it' is brief "$lightvm" start -a brief
says '  and then it is gone' 125 'there is no VM "brief"' "$lightvm" inspect brief
"$lightvm" create --rm --name brief /bin/true >/dev/null
"$lightvm" start brief >/dev/null
"$lightvm" wait brief 2>/dev/null
check '  in the background: ps finds that it has ended, and it is gone' bash -c '! "$1" ps -a | grep -q brief' - "$lightvm"
check '  its name is free' "$lightvm" create --rm --name brief /bin/true
check '  rm of one that has never run' "$lightvm" rm brief
says 'create --wait' 125 '--wait is for' "$lightvm" create --wait /bin/true
says 'create of what is not there' 127 'there is no program' "$lightvm" create nothing-of-this-name
"$lightvm" create --name never /bin/true >/dev/null

# ---- prune
"$lightvm" run --name bad -l job=nightly /bin/false
ln -s ../vms/0123456789ab "$XDG_RUNTIME_DIR/lightvm/names/stale"
says 'prune without a terminal asks for -f' 125 'use -f' "$lightvm" prune
check '  and removes nothing' "$lightvm" inspect bad
check 'prune --filter' contains '1 VMs removed' "$lightvm" prune -f --filter label=job=nightly
check '  leaves the others' "$lightvm" inspect never
says 'prune with a filter that is none' 125 'is not KEY=VALUE' "$lightvm" prune -f --filter until=1h
script -qec "echo n | cat; '$lightvm' prune" "$work/typescript" <<<n >/dev/null
check 'prune at a terminal asks, and takes n' bash -c 'grep -q "Go on" "$1" && "$2" inspect never' - "$work/typescript" "$lightvm"
check 'prune -f' "$lightvm" prune -f
check '  what was created is gone' bash -c '! "$1" inspect never 2>/dev/null' - "$lightvm"
check '  what runs is not' is running "$lightvm" inspect -f state ready
check '  nor is a name left that leads nowhere' test ! -L "$XDG_RUNTIME_DIR/lightvm/names/stale"

# ---- words that are understood, or answered
check '--init' "$lightvm" run --rm --init /bin/true
check '--restart no' "$lightvm" run --rm --restart no /bin/true
says '--restart always' 125 '--restart always needs lightvmd' "$lightvm" run -d --restart always /bin/true
says '--restart on-failure:3' 125 'needs lightvmd' "$lightvm" run -d --restart on-failure:3 /bin/true
says '--restart sometimes' 125 'sometimes' "$lightvm" run -d --restart sometimes /bin/true
check '--network none' "$lightvm" run --rm --network none /bin/true
"$lightvm" rm -f web db files ready
finish
