/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may send to the host's loopback: answers. A program there that sends a datagram to a published port is, to the guest, its
 * gateway, and the passt of 2023 brings the answer back only if the gateway's address leads to the loopback for everything (no --no-map-gw). So
 * here the rest is held back: to the gateway go datagrams for a port that sent one itself (RFC 4787, REQ-5: five minutes ago at most),
 * and TCP segments that begin no connection. Neither ICMP nor fragments do.
 */
#ifndef LV_VMM_DEV_NET_ANSWERS_H
#define LV_VMM_DEV_NET_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_ANSWERS_NS 300000000000ull
#define NET_ANSWERS_BYTES 54 /* of a frame's beginning: Ethernet, IPv4 and TCP without options */

struct net_answers { /* all zero: nothing is held back */
	uint32_t gateway; /* network byte order */
	uint32_t *asked[2]; /* of UDP and TCP, by port of the loopback: when it sent something last, in seconds; 0: never */
};

/* gateway: not 0. 0 or -ENOMEM. Pages of the tables are there once a port in them is. */
int net_answers_init(struct net_answers *answers, uint32_t gateway);
void net_answers_free(struct net_answers *answers);

/* frame: what passt sends to the guest, or the first NET_ANSWERS_BYTES of it; now: ns of clock_now(). */
void net_answers_hear(struct net_answers *answers, const uint8_t *frame, size_t len, uint64_t now);
/* frame: the same of what the guest sends. False: passt must not have it. */
bool net_answers_pass(const struct net_answers *answers, const uint8_t *frame, size_t len, uint64_t now);

#endif
