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
finish
