#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A Linux guest whose migration is cut: either process is killed, or loses its connection, at messages that it sends, of each kind. Exactly one goes on, the one that there was.
# One boot for all: when it has moved it comes back by another migration.
# timeout: 600
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
. "$(dirname "$0")/lib_migrate.sh"
. "$(dirname "$0")/lib_cut.sh"
need_linux linux_migrate_cut
strace -o /dev/null -e inject=getpid:signal=USR1:when=1000 true 2>/dev/null || { skip "migrations that are cut" "strace cannot trace here"; finish; }
port=$(free_port) other=$((port + 1)) way=--stop-and-copy
vm_options=(--kernel linux --net none -m 64M)
share_kernels
hosts_know_each_other "$port" "$other"
start "$work/as-a" "$lightvm" host serve --listen "127.0.0.1:$other" 2>"$work/serve-a.log"
await 20 "the first host" port_open "$other"
# An emulated machine may need longer for a handshake than is waited for: it is asked again.
is_back() { [ "$(running b)" = 0 ] || within 100 "$work/as-b" "$lightvm" migrate one small; }
back() { await 60 "the VM, here again" is_back; }

serve
check "a VM" ready
boot=$(a "$lightvm" ps -q)
cp -a "$work/cache-a/images" "$work/cache-b/" # what is sent is always the same then
counts() { source_counts 2>"$work/moved"; }
check "it moves, and comes back" asked_again counts
# Each kind of message once: they are many, and take long here. migrate_cut has all of them.
count=$(wc -l <"$work/source.count")
hello=2 config=3 memory=$((count / 2)) state=$((count - 3)) commit=$((count - 1))
check "which message is which" eval "sed -n ${commit}p '$work/source.count' | grep -q 'LMIG.*iov_base=NULL' && sed -n ${config}p '$work/source.count' | grep -q '{..vm'"
each "the source is killed" "$work/source.count" source_hurt signal=KILL $hello $config $memory $state $commit
each "the source loses its connection" "$work/source.count" source_hurt error=ECONNRESET $commit
unserve
seq 8 >"$work/destination.count" # as migrate_cut has them
wanted=2 ready=4 committed=7
each "the destination is killed" "$work/destination.count" destination_hurt signal=KILL $wanted $ready $committed
each "the destination loses its connection" "$work/destination.count" destination_hurt error=ECONNRESET $committed
check "all the time it was one boot" test "$(a "$lightvm" ps -q)" = "$boot"
finish
