# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The network of a test. Sourced before lib.sh, whose directory must not be made twice: the script begins anew in its namespaces.

# passt, behind which a VM is if nothing else is said, serves only where it sees a way out; a container or a build machine may have none.
has_way_out() { ip -4 route show default 2>/dev/null | grep -q .; }

# own_network: the script goes on in network and mount namespaces of its own, with the loopback, and a way out that leads nowhere.
own_network() {
	local flags=-nm
	[ "$(id -u)" = 0 ] || flags=-rnm
	if [ -z "${LV_IN_NETNS:-}" ]; then
		unshare $flags true 2>/dev/null || { echo "skip ${0##*/} - no network namespace can be made here"; exit 0; }
		LV_IN_NETNS=1 exec unshare $flags "$0"
	fi
	ip link set lo up
	ip link add lvout type dummy 2>/dev/null || ip tuntap add lvout mode tap
	ip addr add 192.0.2.2/24 dev lvout
	ip link set lvout up
	ip route add default via 192.0.2.1 dev lvout onlink
	has_way_out || { echo "skip ${0##*/} - no interface can be made here: neither a dummy nor a tap"; exit 0; }
}

# way_out: so only where the machine's own network has none.
way_out() { [ -z "${LV_IN_NETNS:-}" ] && has_way_out || own_network; }
