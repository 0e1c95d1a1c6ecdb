#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# run -it of the library OS: a terminal with its line discipline, window size, signals of keys; three Ctrl-C end the VM.
# timeout: 240
. "$(dirname "$0")/lib.sh"
session() { "$top/tests/e2e/run_terminal.py" "$1" "$lightvm" "$2"; }
keys=$build/tests/guest/guest_keys

check 'run -it: lines are edited and echoed in the VM' session lines "$(command -v cat)"
check 'run -it: raw keys, the size of the window, signals of keys, also while the program computes' session keys "$keys"
check 'run -it: Ctrl-C ends a program that has no handler' session interrupted "$keys"
check 'run -it: three Ctrl-C within two seconds end a VM, other ones are the program'"'"'s' session killed "$keys"
"$lightvm" run -dt --name attached --net none "$keys" >/dev/null
check 'console: a VM with a terminal has ours, and Ctrl-P Ctrl-Q leaves' session attached attached
"$lightvm" rm -f attached >/dev/null
if busybox=$(command -v busybox); then
	check 'run -it: a shell with its size, Ctrl-C, job control' "$top/tests/e2e/terminal.py" "$lightvm" run --net none --rm -it -e 'PS1=# ' "$busybox" sh
else
	skip 'run -it: a shell' 'there is no busybox'
fi
says 'run -t without a terminal is refused' 125 '-t: standard input is not a terminal; leave -t out' run -t "$keys"
finish
