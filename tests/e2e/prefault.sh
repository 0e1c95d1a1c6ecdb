#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pages that a start touches are there before the next one touches them: who has a list, what it does, and that whatever is in it costs nothing but speed.
# timeout: 120
# rig
. "$(dirname "$0")/lib.sh"
own_cache "$work/lists"
lists() { find "$LIGHTVM_CACHE/index" -name 'pages-*'; }
lists_are() { [ "$(lists | wc -l)" = "$1" ]; }
says_prefault() { [ "$("$lightvm" inspect "$1" | jq -r '.[0].config.prefault')" = "$2" ]; }
program=(/bin/sh -c 'echo "$((6 * 7))"; exit 3')
same_as_process() { local out status=0; out=$("$lightvm" run --net none --prefault all "${program[@]}") || status=$?; [ "$out" = 42 ] && [ $status = 3 ]; }

says 'what it can be' 125 '--prefault' "$lightvm" run --prefault some /bin/true
"$lightvm" run --name off --net none --prefault off /bin/true
check 'off has no list' lists_are 0
check '  and inspect says so' says_prefault off off
"$lightvm" run -d --name behind --net none "$build/apps/pause" >/dev/null
check 'nor has a VM in the background, by itself' lists_are 0
check '  whose policy is auto' says_prefault behind auto
"$lightvm" kill behind

check 'the first start' same_as_process
check '  has a list' lists_are 1
list=$(lists)
if [ ! -s "$list" ]; then
	! printf '6.7\n%s\n' "$(uname -r)" | sort -CV || { not_ok '  that says something' 'it is empty'; finish; }
	skip 'the others' 'this kernel does not tell which pages of a file were touched (Linux 6.7 does)'
	finish
fi
check '  that only its user can read' test "$(stat -c %a "$list")" = 600
cp "$list" "$work/first"
check 'the second start' same_as_process
check '  leaves it as it is' cmp "$list" "$work/first"

# Its own pages, of the image too, and not of all of it.
copies() { # OPTION...: KiB of its own that a VM has whose program waits
	"$lightvm" run -d --name copies --net none "$@" /bin/sh -c 'echo waits; while :; do sleep 100; done' >/dev/null
	await 20 'its program' bash -c '"$1" logs copies | grep -q waits' - "$lightvm" >&2
	awk '/^RssAnon/ { print $2 }' "/proc/$("$lightvm" ps --format json | jq -r '.[] | select(.name == "copies").pid')/status"
	"$lightvm" rm -f copies >/dev/null
}
without=$(copies --prefault off) with=$(copies --prefault all) auto=$(copies)
echo "KiB of its own: $without without, $with with, $auto in the background by itself"
check 'it has copies' test "$with" -gt $((without + 100))
check '  in bounds' test "$with" -lt $((without + 17 * 1024))
check '  and none in the background, unless asked for' test "$auto" -le $((without + 64))

# An image of the user's own has a list, too.
"$lightvm" image build -o "$work/own.lvm" /bin/sh >/dev/null
own_image() { [ "$("$lightvm" run --net none --prefault all "$work/own.lvm" -c 'echo own')" = own ]; }
had=$(lists | wc -l)
check 'an image elsewhere' own_image
check '  has a list' lists_are $((had + 1))
check '  and starts with it' own_image

# The dynamic linker's CPUID, which leaves the VM, is libos' to answer from the second start on: it was seen where they are.
with_cpuid() { "$lightvm" run --net none --prefault all "$build/tests/guest/guest_cpuid" "$@"; }
first=$(with_cpuid linker)
second=$(with_cpuid linker)
echo "CPUID in the dynamic linker that are jumps: $first at the first start, $second at the second"
check 'at the first start none is a jump' test "$first" = 0
check '  at the second most that it asks are' test "$second" -ge 16
check '  which answer alike, also in programs after it' with_cpuid >/dev/null

# Whatever the file holds, the program does what it does. "hostile NAME" writes a list whose checksum is right.
hostile() {
	python3 - "$work/first" "$list" "$1" <<'P'
import struct, sys
first, out, what = sys.argv[1:]
data = open(first, "rb").read()
def crc(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff
head = data[12:12 + 28]
cpuid = data[40:72]
base = 0x4000000000 >> 12
runs = {
    "backwards": [(base + 600, 4), (base + 520, 4)],
    "endless": [(base - 512, 0xffffffff)],
    "nowhere": [(0, 100), (base + (64 << 18), 100)],
    "everything": [(base - 512 * i, 512) for i in range(400, 0, -1)] + [(base, 2048)],
    "zero": [(base - 10, 0), (base + 512, 0)],
    "overflow": [(0xffffffff, 0xffffffff)],
}.get(what, list(struct.iter_unpack("<II", data[76:-4])))
if what == "cpuid": # libos looks there, and finds nothing or what is no CPUID of its program's
    cpuid = struct.pack("<8I", *(run[0] for run in runs[:8]))
elif what == "cpuid nowhere":
    cpuid = struct.pack("<8I", 1, base, base + 600, 0xffffffff, base - (64 << 18), 0, 2, 3)
count = 0xffffffff if what == "zero" else len(runs)
fields = head + cpuid + struct.pack("<I", count) + b"".join(struct.pack("<II", *run) for run in runs)
record = data[:8] + struct.pack("<I", len(fields)) + fields
open(out, "wb").write(record + struct.pack("<I", crc(record)))
P
}
hostile none
cp "$list" "$work/remade"
check 'one that is written so, and is not hostile' same_as_process
check '  is taken, and stays' cmp "$list" "$work/remade"
hostile_is_harmless() { hostile "$1" && same_as_process; }
for what in backwards endless nowhere everything zero overflow cpuid "cpuid nowhere"; do check "a list that is hostile: $what" hostile_is_harmless "$what"; done
cp "$work/first" "$work/damaged"
printf X | dd of="$work/damaged" bs=1 seek=50 conv=notrunc status=none
cp "$work/damaged" "$list"
check 'a damaged one' same_as_process
check '  is made anew' bash -c '! cmp -s "$@"' - "$list" "$work/damaged"
head -c 30 "$work/first" >"$list"
check 'half of one' same_as_process
check '  is made anew' test "$(stat -c %s "$list")" -gt 30
head -c 300000 /dev/zero >"$list"
check 'one that is too long' same_as_process

# A VM that has such pages is saved and goes on, and what is saved is not more for it.
counts() { [ -n "$("$lightvm" logs "$1")" ]; }
counter() { "$lightvm" run -d --name "$1" --net none --prefault "$2" "$build/tests/guest/guest_counter" >/dev/null && await 20 'a number' counts "$1" >&2; }
had=$(lists | wc -l)
counter watched all
"$lightvm" stop watched >/dev/null
check 'a program that was stopped has a list' lists_are $((had + 1))
size_of_save() { # off|all: KiB
	counter saved "$1"
	"$lightvm" save saved "$work/saved-$1" >&2
	du -kc "$work/saved-$1"/* | tail -n 1 | cut -f 1
}
goes_on() { # off|all
	"$lightvm" restore --name again "$work/saved-$1" >/dev/null && await 20 'its next number' counts again
}
off=$(size_of_save off)
check 'it goes on without' goes_on off
"$lightvm" rm -f again saved >/dev/null
all=$(size_of_save all)
check '  and with them' goes_on all
echo "KiB of a save: $off without, $all with"
check 'a save is no larger' test "$all" -le $((off + 64))
finish
