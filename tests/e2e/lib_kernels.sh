# SPDX-License-Identifier: Apache-2.0
# Kernels in a cache of the test's own that only look like kernels: for what reads them and starts none.
# shellcheck shell=bash disable=SC2154
export LIGHTVM_CACHE=$work/cache
store=$LIGHTVM_CACHE/kernel
mkdir -m 700 "$LIGHTVM_CACHE" "$store"
kernel() { # NAME OPTION...: from the tree that $source_id names, if it is set
	mkdir -p "$store/$1-0123456789ab"
	head -c 2048 /dev/zero >"$store/$1-0123456789ab/vmlinux"
	printf '{"release": "6.1", "source": "linux-made.tar.xz", %s"built": 100}\n' "${source_id:+"\"source_id\": \"$source_id\", "}" >"$store/$1-0123456789ab/meta.json"
	printf '%s\n' "${@:2}" >"$store/$1-0123456789ab/config"
	ln -sfn "$1-0123456789ab" "$store/$1"
}
