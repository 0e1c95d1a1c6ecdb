#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# Restart policies: what lightvmd does when VMs end, when it is killed, and when the machine is restarted; and bad input.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"

field() { "$lightvm" inspect -f "$2" "$1" 2>/dev/null; }
# until_is VM KEY VALUE: waits for that; lightvmd changes it within seconds.
until_is() {
	local tries
	for ((tries = 0; tries < 200 * ${LV_TIME_FACTOR:-1}; tries++)); do
		[[ $(field "$1" "$2") != "$3" ]] || return 0
		read -rt 0.05 <> <(:) || :
	done
	echo "$2 of $1 is $(field "$1" "$2"), not $3"
	return 1
}
kill_guest() { kill -9 "$(field "$1" record.pid)"; }

# ---- without lightvmd
says 'a policy needs lightvmd' 125 '--restart always needs lightvmd: none answers' "$lightvm" run -d --restart always /bin/true
check '--restart no does not' "$lightvm" run --rm --restart no /bin/true
says 'a word that is no policy' 125 '--restart' "$lightvm" run -d --restart sometimes /bin/true

check 'lightvmd starts' start_daemon
says 'a count that is none' 125 'how often is a number from 1' "$lightvm" run -d --restart on-failure:x /bin/true
says 'a count of 0' 125 'how often is a number from 1' "$lightvm" run -d --restart on-failure:0 /bin/true
says 'a count for always' 125 'is none of' "$lightvm" run -d --restart always:3 /bin/true
says 'in the foreground' 125 'is for VMs in the background' "$lightvm" run --restart always /bin/true
says 'with --rm' 125 'is for VMs in the background that are kept' "$lightvm" run -d --rm --restart always /bin/true

# ---- on-failure
"$lightvm" run -d --net none --name fails --restart on-failure:2 sh -c 'echo run; exit 3' >/dev/null
check 'on-failure:2 starts it twice more' until_is fails restart.restarts 2
check '  and then leaves it' until_is fails state exited
check '  with the status of the last time' test "$(field fails exit_status)" = 3
check '  it has run three times' test "$("$lightvm" logs fails | grep -c run)" = 3
check '  nothing more is due' test "$(field fails restart.next_ns)" = 0
"$lightvm" run -d --net none --name fine --restart on-failure /bin/true >/dev/null
check 'on-failure leaves a VM that ends with 0' until_is fine state exited
check '  without a restart' test "$(field fine restart.restarts)" = 0

# ---- always, and back-off
"$lightvm" run -d --net none --name often --restart always sh -c 'echo run' >/dev/null
check 'always starts it also after 0' until_is often restart.restarts 3
check '  with a growing delay' test "$(field often restart.delay_ms)" -ge 400
check '  stop ends that' "$lightvm" stop often
check '  and inspect says so' test "$(field often restart.stopped)" = true
"$lightvm" run -d --net none --name up --restart unless-stopped sleep 1000 >/dev/null
kill_guest up
check 'a killed monitor is replaced' until_is up restart.restarts 1
check '  and the VM runs' until_is up state running
check 'restart by a user is no reason for another' "$lightvm" restart -t 0 up
check '  and is counted from 0' test "$(field up restart.restarts)" = 0
kill_guest up
check '  it is minded after that' until_is up restart.restarts 1

# ---- lightvmd is killed
"$lightvm" run -d --net none --name kept --restart always sleep 1000 >/dev/null
"$lightvm" run -d --net none --name held --restart always sleep 1000 >/dev/null
"$lightvm" kill held
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check 'VMs outlive lightvmd' test "$(field kept state)" = running
kill_guest kept
check 'lightvmd starts again' start_daemon
check '  and starts what ended meanwhile' until_is kept restart.restarts 1
check '  also one with "always" that a user has stopped' until_is held state running
check '  but not one with a policy that is over' test "$(field fails state)" = exited
kill_guest up
check '  and minds those that ran' until_is up restart.restarts 2

# ---- the machine is restarted: what lies in the runtime directory is gone
"$lightvm" run -d --net none --name stopped --restart unless-stopped sleep 1000 >/dev/null
"$lightvm" stop -t 0 stopped
"$lightvm" create --net none --name never --restart unless-stopped sleep 1000 >/dev/null
"$lightvm" rename kept again
id=$(field again id)
"$lightvm" rm -f often >/dev/null
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
for vm in $("$lightvm" ps -q); do kill -9 "$(field "$vm" record.pid)"; done
rm -rf "${XDG_RUNTIME_DIR:?}"/*
check 'after a restart of the machine lightvmd starts' start_daemon
check '  VMs with "always" run' until_is again state running
check '  under their id' test "$(field again id)" = "$id"
check '  those with "unless-stopped", too' until_is up state running
check '  but for those that were stopped' test "$(field stopped state)" = created
check '  and those that no user has started' test "$(field never state)" = created
check '  on-failure is listed, and does not run' test "$(field fails state)" = created
says '  what was removed is not' 125 'there is no VM' "$lightvm" inspect often
says '  nor what had no policy' 125 'there is no VM' "$lightvm" inspect fine-and-gone
check '  a stopped one can be started' "$lightvm" start stopped
for vm in again up stopped never fails held; do "$lightvm" rm -f "$vm" >/dev/null; done
check 'removed VMs leave nothing that would bring them back' test -z "$(ls "$LIGHTVM_KEPT/restart" | grep -v "$(field fine id)")"

# ---- what clears away VMs that have ended
"$lightvm" run -d --net none --name waits --restart always /bin/false >/dev/null
check 'a VM waits for its next start' until_is waits restart.restarts 3
check '  prune' "$lightvm" prune -f
check '  and rm --ended' "$lightvm" rm --ended
check '  leave it' test -n "$(field waits id)"
says '  and take what no policy starts again' 125 'there is no VM' "$lightvm" inspect fine
"$lightvm" stop waits
check '  one that was stopped goes' "$lightvm" prune -f
says '  and is gone' 125 'there is no VM' "$lightvm" inspect waits
finish
