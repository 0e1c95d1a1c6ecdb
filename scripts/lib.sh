# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the project's shell scripts share; sourced, never run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${LV_BUILD:-$top/build}
# What was fetched or built by third parties' sources: kept between runs, each under a name that tells its content. Tests keep
# their images elsewhere (LIGHTVM_CACHE), so LV_CACHE then says where this is.
cache=${LV_CACHE:-${LIGHTVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lightvm}}
lightvm=$build/cli/lightvm

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Runs a command as root: directly, or by sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "needs root for: $* (run it as root, or install sudo)"
	fi
}

kvm_usable() { [ -r /dev/kvm ] && [ -w /dev/kvm ]; }
# Runs the script anew in the group of /dev/kvm, if the user was added to it after this login: enter_kvm_group "$0" "$@".
enter_kvm_group() {
	local group
	[ -e /dev/kvm ] && ! kvm_usable && [ -z "${LV_ENTERED:-}" ] || return 0
	group=$(stat -c %G /dev/kvm)
	id -nG "$(id -un)" | grep -qw -- "$group" || return 0
	LV_ENTERED=1 exec sg "$group" -c "$(printf '%q ' "$@")"
}

# The packages of the argument list that are not installed.
missing_packages() {
	local package
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
	done
}

# Waits until a command succeeds: await SECONDS WHAT COMMAND... A time-out names what was awaited.
await() {
	local end=$((SECONDS + $1 * ${LV_TIME_FACTOR:-1})) what=$2
	shift 2
	[ -z "${LV_AWAIT_FILE:-}" ] || printf '%s\n' "$what" >"$LV_AWAIT_FILE"
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || { printf 'timed out waiting for %s\n' "$what" >&2; return 1; }
		read -rt 0.02 <> <(:) || :
	done
}

# A cache of its own for the images of tests: the user's is neither filled nor read. own_cache DIRECTORY; only the kernels are shared.
own_cache() {
	export LV_CACHE=$cache LIGHTVM_CACHE=$1
	mkdir -m 700 "$LIGHTVM_CACHE"
	ln -s "$LV_CACHE/kernel" "$LIGHTVM_CACHE/kernel"
}

# The newest cloud kernel for the rig: installed, or unpacked by scripts/setup. Sets rig_kernel, rig_release, rig_modules.
find_rig_kernel() {
	rig_modules=/
	rig_kernel=$(ls -v /boot/vmlinuz-*-cloud-amd64 2>/dev/null | tail -n 1)
	if [ -z "$rig_kernel" ]; then
		rig_modules=$cache/rig-kernel
		rig_kernel=$(ls -v "$rig_modules"/boot/vmlinuz-*-cloud-amd64 2>/dev/null | tail -n 1)
	fi
	rig_release=${rig_kernel##*/vmlinuz-}
	[ -n "$rig_kernel" ] && [ -r "$rig_kernel" ]
}

# The initial RAM disk that the distribution makes for that kernel. Sets rig_initrd.
find_rig_initrd() {
	find_rig_kernel || return 1
	rig_initrd=/boot/initrd.img-$rig_release
	[ -r "$rig_initrd" ] || rig_initrd=$cache/rig-initrd/initrd.img-$rig_release
	[ -r "$rig_initrd" ]
}

# A disk image with a Debian of debootstrap's, as scripts/setup --test made it. Sets debian_root.
find_debian_root() {
	debian_root=$cache/debian-root/bookworm-1.img
	[ -r "$debian_root" ]
}
