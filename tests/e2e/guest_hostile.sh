#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# rig
# Guests that attack their monitor. Whatever they do, the VM ends within bounded time, with a status a shell knows and
# without the death of the monitor; or it goes on until it is killed, which works at once.
# timeout: 400
. "$(dirname "$0")/lib.sh"
hostile=$build/tests/guest/guest_hostile
limit=$((15 * ${LV_TIME_FACTOR:-1}))
truncate -s 1M "$work/disk"

# What a dead monitor looks like: it died of a signal itself, or a sanitizer spoke.
harmed() { grep -qiE 'monitor (died|was killed|crashed|ended unexpectedly)|sanitizer|runtime error|seccomp|assert' "$1"; }

# attack LABEL ALLOWED-STATUSES NAME [ARG...]: one attack as a VM.
attack() {
	local label=$1 allowed=$2 name=$3 status=0
	shift 2
	timeout -k 5 $limit "$lightvm" run ${options[@]+"${options[@]}"} "$hostile" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
	if harmed "$work/err"; then
		cat "$work/err"
		not_ok "$label" 'the monitor was harmed'
	elif [ $status = 124 ] || [ $status = 137 ]; then
		not_ok "$label" "no end after $limit s"
	elif [[ " $allowed " != *" $status "* ]]; then
		tail -n 30 "$work/err"
		not_ok "$label" "status $status, not one of: $allowed"
	elif grep -qP '\x1b' "$work/err"; then
		not_ok "$label" 'an escape sequence reached the terminal'
	elif [ $status -ge 125 ] && [ $status -lt 160 ] && [ "$name" != exit-garbage ] && [ ! -s "$work/err" ]; then
		not_ok "$label" "status $status without a report"
	else
		ok "$label"
	fi
}
attacks() { "$hostile" list | awk -v set="$1" '$1 == set { print $2 }'; }

# ring DEVICE NAME SEED: the program lives on and ends with 42. The attacked device was stopped, and this is said with the
# reason, or works on: "hostile list" knows which, where it is not a race.
ring() {
	local device=$1 name=$2 seed=$3 label="$1 ring: $2, seed $3" stops
	stops=$("$hostile" list | awk -v name="$name" '$1 == "ring" && $2 == name { $1 = $2 = ""; print }')
	attack "$label" 42 "$name" "$seed" "$device"
	case "$stops " in
	*"? "*) ;;
	*" $device "*)
		if grep -q "the $device device was stopped, as the guest broke a rule of its rings: " "$work/err"; then ok "$label: stopped"; else
			cat "$work/err"
			not_ok "$label: stopped" 'the device works on'
		fi ;;
	*)
		if [ ! -s "$work/err" ]; then ok "$label: works on"; else
			cat "$work/err"
			not_ok "$label: works on" 'there is a message'
		fi ;;
	esac
}
# In the rig, where every start takes a second, one seed each.
seeds=(1 2 3)
[ -z "${LV_RIG:-}" ] || seeds=(1)
options=()
for name in $(attacks ring); do ring console "$name" 1; done
for name in scribble-all random-contents race used-scribble; do
	for seed in "${seeds[@]:1}"; do ring console "$name" "$seed"; done
done
options=(--disk "$work/disk")
for name in $(attacks ring); do ring block "$name" 1; done
if command -v passt >/dev/null; then
	options=(--net passt)
	for name in $(attacks ring); do ring net "$name" 1; done
else
	skip 'net ring' 'passt is missing'
fi
options=()

# What a program can do to itself in these ways may leave it computing for ever. While libos lives, such a VM ends when it is
# asked to (SIGTERM); if libos was destroyed, the monitor finds out by itself: after 15 s of processor time without an answer.
stuck='spin-stubs release-everything'
endless="never-end stop-interrupts shared-scribble smash-libos smash-heap trap-scribble $stuck"
for name in $(attacks call); do
	allowed='42 125 139 134'
	case $name in
	exit-garbage) allowed=$(echo {0..255}) ;;
	crash-*) allowed=$(echo {125..255}) ;;
	esac
	[[ " $endless " == *" $name "* ]] || attack "call: $name" "$allowed" "$name" 1
done
for seed in "${seeds[@]:1}"; do
	attack "call: random-calls, seed $seed" '42 125 134 139' random-calls $seed
done
for name in $(attacks machine); do
	[[ " $endless " == *" $name "* ]] || attack "machine: $name" '42 125 134 139 132 133 135 136' "$name" 1
done

# A kernel stack that is too small is said to be that, and what lies below it is not written.
for name in overflow-first-stack overflow-stack; do
	timeout -k 5 $limit "$lightvm" run "$hostile" "$name" >"$work/out" 2>"$work/err" </dev/null || true
	check "$name, and why" grep -q 'kernel stack overflow: address' "$work/err"
done

ended() { "$lightvm" inspect "$1" | grep -q '"exited"'; }
spoke_or_ended() { "$lightvm" logs "$1" | grep -q attack || ended "$1"; }
vms=()
for name in $endless; do
	for seed in "${seeds[@]}"; do
		[[ " shared-scribble smash-libos smash-heap trap-scribble " == *" $name "* ]] || [ $seed = 1 ] || continue
		if ! "$lightvm" run -d --name "$name-$seed" "$hostile" "$name" $seed >/dev/null 2>"$work/err"; then
			cat "$work/err"
			not_ok "endless: $name, seed $seed" 'does not start'
			continue
		fi
		vms+=("$name-$seed")
	done
done
for vm in ${vms[@]+"${vms[@]}"}; do
	await 5 "the first line of $vm, which may never be sent" spoke_or_ended "$vm" 2>/dev/null
	case " $stuck " in *" ${vm%-*} "*) ;; *) "$lightvm" kill -s TERM "$vm" >/dev/null 2>&1 ;; esac
done
for vm in ${vms[@]+"${vms[@]}"}; do
	check "endless: $vm" await 100 "the end of $vm" ended "$vm"
	case $vm in
	spin-stubs-*) check "endless: $vm, and why" grep -q 'does not answer any more' <("$lightvm" inspect "$vm") ;;
	# Without its memory libos may be silent, or find itself in an exception.
	release-everything-*) check "endless: $vm, and why" grep -qE 'does not answer any more|"crash": "lightvm: ' <("$lightvm" inspect "$vm") ;;
	esac
done

# The status record says which device stopped and why.
"$lightvm" run -d --name broken "$hostile" bad-head 1 >/dev/null 2>&1
if await $limit 'the end of the VM with a broken ring' ended broken && "$lightvm" inspect broken >"$work/inspect" && grep -q needs_reset "$work/inspect"; then
	check 'inspect names the broken device' jq -e '[.. | objects | select(.needs_reset? == true or .needs_reset? == 1)] | length == 1' "$work/inspect"
else
	not_ok 'inspect names the broken device' 'no needs_reset'
fi
finish
