#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A VM is switched to the other host before its memory is there: its program checks all of that each time, and writes to it.
# timeout: 300
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_migrate.sh"
. "$(dirname "$0")/lib_writer.sh"
[ -w /dev/userfaultfd ] || { skip "memory after the switch" "/dev/userfaultfd cannot be opened: it would be pre-copy"; finish; }
check "it is switched, and gets its memory" to a b --post-copy
check "  most of it afterwards" reported '.pushed_bytes > .memory_bytes / 2 and .rounds == 1 and .instead == null'
check "nothing is left here" nothing_at a
check "and back" to b a --post-copy
check "in one round before, and the rest afterwards" to a b --hybrid
check "  which is less" reported '.rounds == 2 and .memory_bytes > .pushed_bytes'
check "and back, slowly" to b a --hybrid --bandwidth 4M
check "  it runs while it comes" to a b --post-copy --bandwidth 2M
check "it can be moved again, by rounds" to b a
check "where its monitor cannot tell what is written, too" to a b --post-copy --compare
check "  most of it afterwards" reported '.pushed_bytes > .memory_bytes / 2 and .rounds == 1 and .instead == null and .compared'
check "  and in one round before" to b a --hybrid --compare
check "  which is less" reported '.rounds == 2 and .memory_bytes > .pushed_bytes and .instead == null and .compared'
finish
