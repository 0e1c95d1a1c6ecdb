# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Two hosts on this machine: two state directories, each with a key, a cache and an address of its own. Sourced after lib.sh.

# $work/as-a COMMAND..., a COMMAND..., host a COMMAND...: as on that host.
for who in a b; do
	printf '#!/bin/sh\nLIGHTVM_STATE=%s LIGHTVM_KEPT=%s LIGHTVM_CACHE=%s exec "$@"\n' "$work/$who" "$work/kept-$who" "$work/cache-$who" >"$work/as-$who"
	chmod +x "$work/as-$who"
done
host() { "$work/as-$1" "${@:2}"; }
a() { host a "$@"; }
b() { host b "$@"; }
end_all() { local who id; for who in a b; do for id in $(host $who "$lightvm" ps -q); do host $who "$lightvm" kill "$id" >/dev/null; done; done; }
trap 'end_all 2>/dev/null; cleanup' EXIT

# "NAME:STATE ..." of all VMs of a host.
states() { host "$1" "$lightvm" ps -a --format json | jq -r '[.[] | .name + ":" + .state] | sort | join(" ")'; }
nothing_at() { [ -z "$(states "$1")" ] && [ -z "$(find "$work/$1/vms" "$work/$1/names" -mindepth 1 2>/dev/null)" ]; }
# said HOST VM LINES: more than so many.
said() { [ "$(host "$1" "$lightvm" logs "$2" 2>/dev/null | wc -l)" -gt "$3" ]; }

# Both have the same kernels, each below a path of its own; what is built is never written to again.
share_kernels() {
	local who
	for who in a b; do
		mkdir -p "$work/cache-$who"
		chmod 700 "$work/cache-$who"
		ln -s "$(readlink -f "$cache/kernel")" "$work/cache-$who/kernel"
	done
}

# b, which listens on the first port, is big to a; a is small to b.
hosts_know_each_other() { # PORT PORT
	a "$lightvm" host add big "127.0.0.1:$1" "$(b "$lightvm" host init)"
	b "$lightvm" host add small "127.0.0.1:$2" "$(a "$lightvm" host init)"
}
move_once() { # HOST OPTION...
	if [ "$1" = b ]; then within 100 "$work/as-a" "$lightvm" migrate "${@:2}" vm big; else within 100 "$work/as-b" "$lightvm" migrate "${@:2}" vm small; fi
}
# asked_again COMMAND...: what it says is in $work/moved. An emulated machine may need longer for a handshake than is waited for: nothing has begun then, and it is asked once more.
asked_again() {
	local try status
	for try in 1 2 3 4 5; do
		status=0
		"$@" || status=$?
		grep -q 'did not secure the connection in time' "$work/moved" || break
	done
	cat "$work/moved" >&2
	return $status
}
# VM "vm" from the other of these two.
moves_noted() { move_once "$@" 2>"$work/moved"; }
moves_to() { asked_again moves_noted "$@"; } # HOST OPTION...

# A program with a word that only this life knows, a number for each turn, and memory that is looked through each time: one that began again would be seen.
cat >"$work/count.c" <<'C'
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t size = (argc > 1 ? strtoul(argv[1], NULL, 0) : 64) << 10;
	uint64_t nonce, *memory = malloc(size);
	getrandom(&nonce, sizeof(nonce), 0);
	for (size_t i = 0; i < size / 8; i++)
		memory[i] = nonce ^ i;
	for (unsigned turn = 0;; turn++) {
		for (size_t i = 0; i < size / 8; i++)
			if (memory[i] != (nonce ^ i))
				return 1;
		printf("%016llx %u\n", (unsigned long long)nonce, turn);
		fflush(stdout);
		usleep(20000);
	}
}
C
gcc -O2 -o "$work/count" "$work/count.c" || { not_ok "a program" "gcc failed"; finish; }
start_vm() { a "$lightvm" run -d --name "$1" "${@:2}" "$work/count" >/dev/null && await 20 "a VM that counts" said a "$1" 2; }

# two_networks: each host gets a network namespace with br0, on a switch on which the test is, too (10.77.0.254). False: none can be made here.
holder=()
network() { # HOST ADDRESS
	start unshare -n sleep 1000
	holder+=("$pid")
	await 5 "a namespace" eval "[ \"\$(readlink /proc/$pid/ns/net)\" != \"\$(readlink /proc/self/ns/net)\" ]"
	ip link add "v$1" type veth peer name uplink netns "$pid" && ip link set "v$1" master switch up &&
		nsenter -t "$pid" -n sh -ec "ip link set lo up; ip link add br0 type bridge forward_delay 0; ip link set uplink master br0 up; ip addr add $2/24 dev br0; ip link set br0 up"
}
two_networks() {
	ip link add name switch type bridge forward_delay 0 2>/dev/null && ip addr add 10.77.0.254/24 dev switch && ip link set switch up && network a 10.77.0.1 && network b 10.77.0.2
}
in_a() { nsenter -t "${holder[0]}" -n "$work/as-a" "$@"; }
in_b() { nsenter -t "${holder[1]}" -n "$work/as-b" "$@"; }

# Each knows the other one, as big (b) and small (a), at its address in its network, and serves there.
trust_each_other() {
	local fa fb
	fa=$(a "$lightvm" host init) fb=$(b "$lightvm" host init)
	a "$lightvm" host add big 10.77.0.2 "$fb" && b "$lightvm" host add small 10.77.0.1 "$fa"
}
listens() { nsenter -t "$1" -n bash -c ': <>/dev/tcp/127.0.0.1/7433' 2>/dev/null; }
serve_both() {
	start nsenter -t "${holder[0]}" -n "$work/as-a" "$lightvm" host serve 2>"$work/serve-a.log"
	start nsenter -t "${holder[1]}" -n "$work/as-b" "$lightvm" host serve 2>"$work/serve-b.log"
	await 10 "a" listens "${holder[0]}" && await 10 "b" listens "${holder[1]}"
}
# moves HOST VM [OPTION...]: from there to the other one.
moves() {
	if [ "$1" = a ]; then
		within 60 nsenter -t "${holder[0]}" -n "$work/as-a" "$lightvm" migrate "${@:3}" "$2" big
	else
		within 60 nsenter -t "${holder[1]}" -n "$work/as-b" "$lightvm" migrate "${@:3}" "$2" small
	fi
}
