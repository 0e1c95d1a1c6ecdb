/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/dev/net_answers.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define PORTS 65536
#define IP_BYTES 20 /* without options */
#define TCP_FLAGS 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define DHCP_SERVER 67
#define DHCP_CLIENT 68

_Static_assert(NET_ANSWERS_BYTES == ETH_HLEN + IP_BYTES + 20, "as far as TCP's flags");

enum { UDP, TCP };

/* The two ends of a packet for, or from, the gateway. */
struct ends {
	const uint8_t *transport;
	unsigned kind;
	uint16_t from, to;
	bool whole; /* no fragment, no options, all of the header there: passt reads the ports where we do */
};

static uint16_t get16(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

/* False: not IPv4, or its address at that place (12: source, 16: destination) is another one. */
static bool is_gateways(const struct net_answers *answers, const uint8_t *frame, size_t len, unsigned place)
{
	return len >= ETH_HLEN + IP_BYTES && get16(frame + 12) == ETH_P_IP && !memcmp(frame + ETH_HLEN + place, &answers->gateway, sizeof(answers->gateway));
}

static struct ends read_ends(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + ETH_HLEN, *transport = ip + IP_BYTES;
	const bool udp = ip[9] == IPPROTO_UDP, tcp = ip[9] == IPPROTO_TCP;
	struct ends ends = { .transport = transport, .kind = tcp ? TCP : UDP };

	ends.whole = (udp || tcp) && len >= ETH_HLEN + IP_BYTES + (tcp ? 20u : 8u) && ip[0] == 0x45 && !(get16(ip + 6) & 0x3fff);
	if (ends.whole) {
		ends.from = get16(transport);
		ends.to = get16(transport + 2);
	}
	return ends;
}

/* Never 0. */
static uint32_t seconds(uint64_t now)
{
	return (uint32_t)(now / NS_PER_S) + 1;
}

int net_answers_init(struct net_answers *answers, uint32_t gateway)
{
	*answers = (struct net_answers){ .gateway = gateway };
	for (unsigned i = 0; i < 2; i++)
		if (!(answers->asked[i] = calloc(PORTS, sizeof(**answers->asked)))) {
			net_answers_free(answers);
			return -ENOMEM;
		}
	return 0;
}

void net_answers_free(struct net_answers *answers)
{
	for (unsigned i = 0; i < 2; i++)
		free(answers->asked[i]);
	*answers = (struct net_answers){ 0 };
}

void net_answers_hear(struct net_answers *answers, const uint8_t *frame, size_t len, uint64_t now)
{
	if (!answers->gateway || !is_gateways(answers, frame, len, 12))
		return;
	struct ends ends = read_ends(frame, len);

	/* passt itself is the gateway as far as DHCP goes. */
	if (!ends.whole || (ends.kind == UDP && ends.from == DHCP_SERVER && ends.to == DHCP_CLIENT))
		return;
	answers->asked[ends.kind][ends.from] = seconds(now);
}

bool net_answers_pass(const struct net_answers *answers, const uint8_t *frame, size_t len, uint64_t now)
{
	if (!answers->gateway || !is_gateways(answers, frame, len, 16))
		return true;
	struct ends ends = read_ends(frame, len);

	if (!ends.whole)
		return false;
	const uint32_t asked = answers->asked[ends.kind][ends.to];
	const bool recent = asked && seconds(now) - asked <= NET_ANSWERS_NS / NS_PER_S;

	if (ends.kind == UDP)
		return recent;
	const unsigned flags = ends.transport[TCP_FLAGS];

	return !(flags & TCP_SYN) || (flags & TCP_ACK && recent);
}
