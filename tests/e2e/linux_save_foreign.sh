#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# A kernel of somebody else's, with nothing of ours inside, is saved and goes on: its interrupt controllers, of which it uses what it finds, its timer and its serial port.
# timeout: 240
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib_linux.sh"
find_rig_kernel
linux_kernel=$rig_kernel need_linux linux_save_foreign
linux_initrd "$work/initrd" 'n=0; while :; do n=$((n + 1)); echo "turn $n"; sleep 0.2; done'
turns() { "$lightvm" logs vm 2>/dev/null | grep -c '^turn '; }
further() { [ "$(turns)" -gt "$1" ]; }
begun() { await 200 'its first turns' further 3; }
check 'a kernel of a distribution' "$lightvm" run -d --net none --name vm --cpus 2 -m 512M --kernel "$rig_kernel" --initrd "$work/initrd" --append 'console=ttyS0 quiet nokaslr'
check '  counts' begun
for time in 1 2; do
	before=$(turns)
	check "save, $time" "$lightvm" save vm
	check "restore, $time" "$lightvm" restore vm
	check '  it goes on' await 60 'more turns' further "$((before + 3))"
done
said=$("$lightvm" logs vm | sed -n 's/^turn \([0-9]*\)\r*$/\1/p')
check '  with no turn lost, and none twice' test "$said" = "$(seq "$(wc -l <<<"$said")")"

# How fast its time-stamp counters count is what its kernel has measured once.
counts_at() { # EXPRESSION: of the rate that was saved, as "rate * 2"
	PYTHONPATH=$top/tests/e2e PYTHONDONTWRITEBYTECODE=1 python3 - "$LIGHTVM_KEPT/saved/vm/state" "$1" - - - <<'PY'
import struct, sys
from saved import crc32c
state = bytearray(open(sys.argv[1], "rb").read())
at = state.index(b"LINX")
end = at + 12 + struct.unpack_from("<I", state, at + 8)[0]
rate, = struct.unpack_from("<I", state, end - 4)
struct.pack_into("<I", state, end - 4, eval(sys.argv[2]))
struct.pack_into("<I", state, end, crc32c(bytes(state[at:end])))
open(sys.argv[1], "wb").write(state)
print(rate)
PY
}
check 'saved once more' "$lightvm" save vm
cp "$LIGHTVM_KEPT/saved/vm/state" "$work/state"
PYTHONPATH=$top/tests/e2e PYTHONDONTWRITEBYTECODE=1 python3 - "$LIGHTVM_KEPT/saved/vm/state" - - - - <<'PY'
import struct, sys
from saved import crc32c
state = bytearray(open(sys.argv[1], "rb").read())
at = state.index(b"VCPU")
end = at + 12 + struct.unpack_from("<I", state, at + 8)[0]
state[end - 9] = 1 # a wait is underway, which guests of this kind have not
struct.pack_into("<I", state, end, crc32c(bytes(state[at:end])))
open(sys.argv[1], "wb").write(state)
PY
says 'a wait of another kind of guest is none of its' 125 'the state says what cannot be, in its record VCPU' "$lightvm" restore vm
cp "$work/state" "$LIGHTVM_KEPT/saved/vm/state"
rate=$(counts_at rate)
check '  with the rate of its time-stamp counters' test "$rate" -gt 100000
counts_at 0xffffffff >/dev/null
says '  which is no number at will' 125 'the state' "$lightvm" restore vm
counts_at "$rate + $rate // 5000" >/dev/null
before=$(turns)
check '  one that differs as two boots of a host do is the same' "$lightvm" restore vm
check '  it goes on' await 60 'more turns' further "$((before + 3))"
"$lightvm" save vm >/dev/null
counts_at "$rate * 2" >/dev/null
before=$(turns)
if "$lightvm" restore vm >/dev/null 2>"$work/refused"; then
	check 'on a host that counts otherwise it is scaled' await 60 'more turns' further "$((before + 3))"
else
	check 'on a host that counts otherwise, and cannot scale, it is refused' grep -q "its time-stamp counter counts $((rate * 2)) times in a millisecond, and here" "$work/refused"
fi
"$lightvm" rm -f vm
finish
