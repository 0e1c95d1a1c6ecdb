#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# The life of a monitor that is started before its program is known: configured by message, paused, ended.
# timeout: 120
. "$(dirname "$0")/lib.sh"
export LV_TIME_FACTOR=${LV_TIME_FACTOR:-1}
image=$work/echo.lvm echo=$(readlink -f /bin/echo)
"$lightvm" image build -o "$image" "$echo" >/dev/null
by_hand() { timeout 100 python3 "$(dirname "$0")/monitor_client.py" "$build/vmm/lightvm-vmm" "$build/libos/libos.elf" "$image" "$echo" "$1"; }
check 'created, then configured by message, it runs and ends' by_hand life
check 'an image has its room, or a slot of its own' by_hand room
check 'who made it goes: it ends' by_hand orphan
check 'a configuration that is wrong is refused by name, and loses nothing' by_hand refusals

image=$work/yes.lvm echo=$(readlink -f /usr/bin/yes)
"$lightvm" image build -o "$image" "$echo" >/dev/null
check 'paused, nothing runs; resumed, it goes on; it is killed while it stands still' by_hand pause
check 'who goes before its guest answers leaves its place to the next' by_hand lines

# The same of a VM that lightvm started.
request() { timeout 100 python3 "$(dirname "$0")/monitor_client.py" - - "$XDG_RUNTIME_DIR/lightvm/vms/$id/control" "$1" request; }
says_state() { [ "$("$lightvm" ps -a --format json | jq -r '.[0].state')" = "$1" ]; }
id=$("$lightvm" run -d --name still sleep 1000)
id=$(basename "$(dirname "$(echo "$XDG_RUNTIME_DIR/lightvm/vms/$id"*/status)")")
check 'PAUSE over the control socket' request PAUSE
check 'ps says paused' says_state paused
check 'RESUME over the control socket' request RESUME
check 'ps says running' says_state running
check 'paused again' request PAUSE
check 'one that stands still is stopped in order' "$lightvm" stop -t 60 still
check 'it ended by its signal, and was not killed' sh -c '"$0" ps -a | grep "still.*SIGTERM"' "$lightvm"
finish
