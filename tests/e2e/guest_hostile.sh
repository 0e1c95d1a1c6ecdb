#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
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

# The device stops, and the VM lives on and leaves with 42; or libos finds what the device did with chains it never
# made, and says that it is broken. Standard input is closed, so that only the attacked queue speaks.
options=()
for name in $(attacks ring); do
	attack "console ring: $name" '42 134' "$name" 1
done
for name in scribble-all random-contents race used-scribble; do
	for seed in 2 3; do attack "console ring: $name, seed $seed" '42 134' "$name" $seed; done
done
options=(--disk "$work/disk")
for name in $(attacks ring); do
	attack "block ring: $name" '42 134' "$name" 1 block
done
if command -v passt >/dev/null; then
	options=(--net passt)
	for name in $(attacks ring); do
		attack "net ring: $name" '42 134' "$name" 1 net
	done
else
	skip 'net ring' 'passt is missing'
fi
options=()

# What a program can do to itself in these ways may also leave it spinning for ever: then it ends when it is killed.
endless='never-end spin-stubs release-everything shared-scribble smash-libos smash-heap trap-scribble stop-interrupts'
for name in $(attacks call); do
	allowed='42 125 139 134'
	case $name in
	exit-garbage) allowed=$(echo {0..255}) ;;
	crash-*) allowed=$(echo {125..255}) ;;
	esac
	[[ " $endless " == *" $name "* ]] || attack "call: $name" "$allowed" "$name" 1
done
for seed in 2 3 4; do
	attack "call: random-calls, seed $seed" '42 125 134 139' random-calls $seed
done
for name in $(attacks machine); do
	[[ " $endless " == *" $name "* ]] || attack "machine: $name" '42 125 134 139 132 133 135 136' "$name" 1
done

ended() { "$lightvm" inspect "$1" | grep -q '"exited"'; }
spoke_or_ended() { "$lightvm" logs "$1" | grep -q attack || ended "$1"; }
for name in $endless; do
	for seed in 1 2 3; do
		vm=$name-$seed
		if ! "$lightvm" run -d --name "$vm" "$hostile" "$name" $seed >/dev/null 2>"$work/err"; then
			cat "$work/err"
			not_ok "endless: $name, seed $seed" 'does not start'
			continue
		fi
		await 2 "the first line of $vm, which may never be sent" spoke_or_ended "$vm" 2>/dev/null
		timeout 10 "$lightvm" kill "$vm" >/dev/null 2>"$work/err"
		if await 5 "the end of $vm" ended "$vm"; then ok "endless: $name, seed $seed"; else
			cat "$work/err"
			not_ok "endless: $name, seed $seed" 'not dead 5 s after kill'
		fi
	done
done

# The status record says which device stopped and why.
"$lightvm" run -d --name broken "$hostile" bad-head 1 >/dev/null 2>&1
if await $limit 'the end of the VM with a broken ring' ended broken && "$lightvm" inspect broken >"$work/inspect" && grep -q needs_reset "$work/inspect"; then
	check 'inspect names the broken device' jq -e '[.. | objects | select(.needs_reset? == true or .needs_reset? == 1)] | length == 1' "$work/inspect"
else
	not_ok 'inspect names the broken device' 'no needs_reset'
fi
finish
