/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/dev/net_filter.h"

#include <linux/if_ether.h>
#include <string.h>

#define TAGS 2 /* of VLANs; frames with more do not pass where the address matters */

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

static bool is_own(const struct net_filter *filter, const uint8_t *address)
{
	return !memcmp(address, &filter->ip, sizeof(filter->ip));
}

/* A probe for an address that nobody shall have yet comes from no address (RFC 5227). */
static bool arp_passes(const struct net_filter *filter, const uint8_t *arp, size_t len)
{
	static const uint8_t for_ipv4[] = { 0, 1, 8, 0, 6, 4 }, none[4];

	return len >= 28 && !memcmp(arp, for_ipv4, sizeof(for_ipv4)) && !memcmp(arp + 8, filter->mac, sizeof(filter->mac)) &&
	       (is_own(filter, arp + 14) || !memcmp(arp + 14, none, sizeof(none)));
}

/* The link-local address of this MAC address (RFC 4291, appendix A). */
static bool is_link_local(const struct net_filter *filter, const uint8_t *address)
{
	const uint8_t *mac = filter->mac;
	const uint8_t own[16] = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	return !memcmp(address, own, sizeof(own));
}

static bool is_own6(const struct net_filter *filter, const uint8_t *address)
{
	return !memcmp(address, filter->ip6, sizeof(filter->ip6)) || is_link_local(filter, address);
}

enum { ROUTER_ADVERTISEMENT = 134, NEIGHBOUR_ADVERTISEMENT = 136, REDIRECT = 137 }; /* RFC 4861 */

/* That messages of neighbours have a hop limit of 255 when they arrive is what others know them by; behind a header in between they are not looked for. */
static bool ipv6_passes(const struct net_filter *filter, const uint8_t *packet, size_t len)
{
	static const uint8_t none[16]; /* whose own is looked for on the link first */
	enum { NEXT = 6, HOPS = 7, FROM = 8, HEADER = 40, TARGET = HEADER + 8, TCP = 6, UDP = 17, ICMP = 58 };

	if (!filter->has_ip6 || len < HEADER || (!is_own6(filter, packet + FROM) && memcmp(packet + FROM, none, sizeof(none))))
		return false;
	if (packet[NEXT] != ICMP)
		return packet[HOPS] != 255 || packet[NEXT] == TCP || packet[NEXT] == UDP;
	if (len < TARGET || packet[HEADER] == ROUTER_ADVERTISEMENT || packet[HEADER] == REDIRECT)
		return false;
	return packet[HEADER] != NEIGHBOUR_ADVERTISEMENT || (len >= TARGET + 16 && is_own6(filter, packet + TARGET));
}

static bool packet_passes(const struct net_filter *filter, const uint8_t *frame, size_t len)
{
	size_t at = 12;

	for (unsigned tags = 0; at + 2 <= len; tags++, at += 4) {
		uint16_t type = get16(frame + at);

		if (type == ETH_P_ARP)
			return arp_passes(filter, frame + at + 2, len - at - 2);
		if (type == ETH_P_IP)
			return len - at - 2 >= 20 && is_own(filter, frame + at + 2 + 12);
		if (type == ETH_P_IPV6)
			return ipv6_passes(filter, frame + at + 2, len - at - 2);
		if (type == ETH_P_RARP) /* nobody gave the guest an address of that kind */
			return false;
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			return true;
		if (tags == TAGS)
			return false;
	}
	return false;
}

/* IPv4's link-local addresses, IPv6's, and the one of IPv6 that has the same use (Amazon's). */
static bool leads_to_metadata(const uint8_t *frame, size_t len)
{
	static const uint8_t amazon[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };
	const uint8_t *to = frame + ETH_HLEN;

	if (len >= ETH_HLEN + 20 && get16(frame + 12) == ETH_P_IP)
		return to[16] == 169 && to[17] == 254;
	if (len < ETH_HLEN + 40 || get16(frame + 12) != ETH_P_IPV6)
		return false;
	return !memcmp(to + 24, amazon, sizeof(amazon)) || (to[24] == 0xfe && (to[25] & 0xc0) == 0x80);
}

bool net_filter_passes(const struct net_filter *filter, const uint8_t *frame, size_t len)
{
	static const uint8_t bridges[] = { 0x01, 0x80, 0xc2 }; /* IEEE 802.1Q, 8.6.3: never forwarded, and its relatives */

	if (filter->off)
		return true;
	if (filter->alone)
		return !leads_to_metadata(frame, len);
	if (len < ETH_HLEN || memcmp(frame + ETH_ALEN, filter->mac, ETH_ALEN) || !memcmp(frame, bridges, sizeof(bridges)))
		return false;
	return !filter->ip || packet_passes(filter, frame, len);
}
