/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations that cannot be reached: see unreachable.c. */
#ifndef LV_NET_UNREACHABLE_H
#define LV_NET_UNREACHABLE_H

struct pbuf;

/* An ICMP message came in; its header starts at offset in the packet. */
void unreachable_icmp(const struct pbuf *p, unsigned offset);
void unreachable_icmp6(const struct pbuf *p, unsigned offset);
/* Once a second: gives connections up whose first packet waits for a neighbour who does not answer. */
void unreachable_tick(void);
/* Each slow tick: gives connections up as TCP_SYNCNT and TCP_USER_TIMEOUT say, offers those that TCP_DEFER_ACCEPT held back. */
void unreachable_patience(void);

#endif
