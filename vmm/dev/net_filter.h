/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may send to a network that it shares with others: frames under its own address, and, where it was given an IPv4
 * address, packets and ARP messages under that one. Then IPv6 only if it was given an address of that as well, under that one and the link-local
 * one that is made of its MAC address, and nothing that makes it the router of its neighbours, or another one of them. Nothing for the bridge's own protocols (spanning tree, pause frames). By passt a guest sends as a program of the host: what clouds tell every
 * program of a machine, keys among it, at link-local addresses is not for guests.
 */
#ifndef LV_VMM_DEV_NET_FILTER_H
#define LV_VMM_DEV_NET_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net_filter {
	bool off;
	bool alone; /* the network is this VM's own (passt): only what leads to the host's own services is looked for */
	uint8_t mac[6];
	uint32_t ip; /* network byte order; 0: any, of IPv6 too */
	bool has_ip6;
	uint8_t ip6[16];
};

#define NET_FILTER_BYTES 96 /* of a frame's beginning: Ethernet, two VLAN tags, ARP, or IPv6 and an answer of RFC 4861 */

/* frame: the first bytes of a frame, as many as there are up to NET_FILTER_BYTES. */
bool net_filter_passes(const struct net_filter *filter, const uint8_t *frame, size_t len);

#endif
