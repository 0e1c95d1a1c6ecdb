#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# 200 steps in a row of pause, save, restore and clone on one VM, whose program checks all that it has. LV_SEED=N replays a walk.
# timeout: 300
. "$(dirname "$0")/lib.sh"
export LV_TIME_FACTOR=${LV_TIME_FACTOR:-1} work
gcc -O1 -static -pthread -o "$work/walker" "$top/tests/data/walker.c" || { not_ok 'the program' 'is not compiled'; finish; }
check 'the program finds nothing wrong as a process' test "$(timeout 2 "$work/walker" | grep -c wrong)" = 0
steps=200
[ -z "${LV_RIG:-}" ] || steps=20
walk() { timeout 280 python3 "$(dirname "$0")/state_walk.py" "$lightvm" "$work/walker" $steps "${LV_SEED:-$((RANDOM * 32768 + RANDOM))}" >"$work/walk" 2>&1; }
if walk; then ok "$steps steps"; cat "$work/walk"; else not_ok "$steps steps" "$(cat "$work/walk")"; fi
finish
