#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Services and restart policies of a user whom root's lightvmd serves: with his rights, over kills of lightvmd and of the process that minds them.
[ "$(id -u)" != 0 ] || [ -n "${LV_OWN_BOOKS:-}" ] || exec unshare -m env LV_OWN_BOOKS=1 "$0" "$@"
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_daemon.sh"
if [ "$(id -u)" != 0 ]; then
	skip "other users" "root's daemon is what serves them"
	finish
fi

# A user of this test alone, in books of its own.
other=54322
home=$work/home
mkdir -m 700 "$home"
cp /etc/passwd "$work/passwd" && cp /etc/group "$work/group"
echo "lvkeeper:x:$other:$other::$home:/bin/sh" >>"$work/passwd"
printf 'lvkeeper:x:%d:\nlvkvm:x:%d:lvkeeper\n' $other "$(stat -c %g /dev/kvm)" >>"$work/group"
if ! mount --bind "$work/passwd" /etc/passwd || ! mount --bind "$work/group" /etc/group; then
	skip "other users" "no file can be mounted over another here"
	finish
fi
chown "$other:$other" "$home"
chmod 755 "$work"
as_user=(env -i PATH="$PATH" HOME="$home" LIGHTVM_RUN="$LIGHTVM_RUN" setpriv --reuid="$other" --regid="$other" --init-groups)
if ! "${as_user[@]}" test -x "$build/vmm/lightvm-vmm"; then
	skip "other users" "they cannot read the build"
	finish
fi
mine() { "${as_user[@]}" "$lightvm" "$@"; }
inspected() { mine inspect -f "$2" "$1" 2>/dev/null; }
is() { [ "$("${@:2}")" = "$1" ] || { echo "$("${@:2}"), not $1"; false; }; }
keeper() { pgrep -o -u "$other" -f -- '^lightvmd --worker .* --keeper$'; }
at_least() { [ "$(inspected "$1" "$2")" -ge "$3" ]; }

says 'without lightvmd there are none' 125 'none' mine run -d --restart always /bin/true
check 'lightvmd starts' start_daemon
gone() { [ -z "$(keeper)" ]; }
check 'nobody has a process that minds anything' gone

# ---- a service
port=$(free_port)
check 'a user adds a service' mine service add --per-connection --port "127.0.0.1:$port" echo /usr/bin/cat
check 'his own process has it' test -n "$(keeper)"
check '  with his ids, and no capability' bash -c 'grep -q "^CapEff:.0*$" /proc/$1/status && [ "$(awk "/^[UG]id/ { print \$2, \$3, \$4, \$5 }" /proc/$1/status | sort -u)" = "$2 $2 $2 $2" ]' - "$(keeper)" $other
talk() ( # in a shell of its own: a connection that is refused ends it
	local line
	exec 5<>"/dev/tcp/127.0.0.1/$port" || return 1
	echo "$1" >&5
	IFS= read -rt $((20 * ${LV_TIME_FACTOR:-1})) line <&5
	[ "$line" = "$1" ]
)
check 'it answers' talk hello
exec 6<>"/dev/tcp/127.0.0.1/$port"
echo held >&6
IFS= read -rt 20 line <&6
one_left() { [ "$(mine ps -q | wc -l)" = 1 ]; }
await 20 "the end of the first connection's VM" one_left
vm=$(mine ps -q)
check 'its VM is the user'"'"'s' test "$(stat -c %u "/proc/$(mine inspect -f record.pid "$vm")")" = "$other"
exec 6>&-
check 'he sees it' bash -c '"$@" | grep -q echo' - "${as_user[@]}" "$lightvm" service ls
check 'root does not' bash -c '! "$1" service ls | grep -q echo' - "$lightvm"
as=("${as_user[@]}")
answers 'by the API he sees it' 200 '"name":"echo"' GET /v1/services
answers '  one' 200 '"per_connection":true' GET /v1/services/echo
answers '  none of that name' 404 'there is no service' GET /v1/services/none
answers '  he adds one' 201 '"name":"second"' POST /v1/services '{"name": "second", "port": '"$(free_port)"', "address": "127.0.0.1", "per_connection": true, "vm": {"image": "/usr/bin/cat", "net": {"kind": "none"}}}'
answers '  not twice' 409 'there is a service' POST /v1/services '{"name": "second", "port": 9, "vm": {"image": "/usr/bin/cat"}}'
answers '  a port that is not his to take' 403 'Permission denied' POST /v1/services '{"name": "low", "port": 81, "vm": {"image": "/usr/bin/cat"}}'
answers '  what is no service' 400 'port' POST /v1/services '{"name": "third", "port": 0, "vm": {"image": "/usr/bin/cat"}}'
answers '  he removes it' 204 '' DELETE /v1/services/second
as=()
secret=$work/secret
mkdir -m 700 "$secret"
cp /usr/bin/cat "$secret/program"
mine service add --per-connection --port "127.0.0.1:$(free_port)" spy "$secret/program" >"$work/out" 2>&1
refused() { grep -q 'Permission denied' "$work/out" || mine service ls --format json | grep -q 'Permission denied'; }
check 'what root alone may read is not served' await 10 refused
says '  nor with a directory that he may not look into' 125 "$secret: Permission denied" mine service add other --per-connection --port "127.0.0.1:$(free_port)" -v "$secret:/secret:copy" /usr/bin/cat
mine service rm spy >"$work/out" 2>&1
as_fewer=(env -i PATH="$PATH" HOME="$home" LIGHTVM_RUN="$LIGHTVM_RUN" setpriv --reuid="$other" --regid="$other" --clear-groups)
says 'who has given up his groups does not get them back so' 125 'other groups than those' "${as_fewer[@]}" "$lightvm" service ls

# ---- a policy
check 'a policy' mine run -d --net none --name again --restart unless-stopped sh -c 'read -rt 0.2 <> <(:); exit 3'
check '  is minded' await 20 at_least again restart.restarts 2
check 'a VM that runs for long' mine run -d --net none --name long --restart always sleep 1000
as=("${as_user[@]}")
answers 'a policy by the API' 201 '"running"' POST /v1/vms '{"image": "/usr/bin/sleep", "args": ["sleep", "1000"], "name": "byapi", "restart": "always", "net": {"kind": "none"}}'
as=()
kill -9 "$(inspected byapi record.pid)"
check '  is minded' await 20 at_least byapi restart.restarts 1
mine stop again >"$work/out"
check 'one that is stopped stays so' is exited inspected again state
restarts=$(inspected again restart.restarts)

# ---- the process that minds them is killed
first=$(keeper)
kill -9 "$first"
check 'after its kill it serves again' await 20 talk again
check '  by another process' test "$(keeper)" != "$first"
check '  with the groups that he has by the books' is "$(stat -c %g /dev/kvm) $other" bash -c 'awk "/^Groups/ { for (i = 2; i <= NF; i++) print \$i }" "/proc/$1/status" | sort -n | xargs' - "$(keeper)"
kill -9 "$(inspected long record.pid)"
check '  and minds' await 20 at_least long restart.restarts 1

# ---- lightvmd is killed
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
check 'lightvmd comes back' start_daemon
check '  nobody has asked for anything: it serves' await 30 talk back
kill -9 "$(inspected long record.pid)"
check '  and minds' await 30 at_least long restart.restarts 2
check '  one that is stopped has stayed so' is exited inspected again state
check '    all the time' is "$restarts" inspected again restart.restarts

# ---- it ends with what it kept
check 'the service goes' mine service rm echo
check 'the VMs, too' mine rm -f again long byapi
check 'nothing is kept: the process ends after a minute' await 100 gone
check '  and does not come back with lightvmd' test ! -e "$LIGHTVM_KEPT/users/$other.json"
kill "$daemon"
wait "$daemon"
finish
