/* SPDX-License-Identifier: Apache-2.0 */
/* A DHCP client as small as one can be (RFC 2131): each lease is asked for from the beginning; what is renewed is asked for anew. */
#ifndef LV_GUEST_DHCP_H
#define LV_GUEST_DHCP_H

#include <stddef.h>
#include <stdint.h>

#include "abi/guest_config.h"

#define DHCP_MESSAGE 576 /* bytes that every client must take */
#define DHCP_DISCOVER 1
#define DHCP_OFFER 2
#define DHCP_REQUEST 3
#define DHCP_ACK 5
#define DHCP_NAK 6

struct dhcp_lease { /* network byte order, but for lease_s */
	struct lv_guest_net net;
	uint32_t server;
	uint32_t lease_s; /* seconds; 0: not said */
};

/* A message of the client in buffer (DHCP_MESSAGE bytes); its length. lease: what to ask for (REQUEST), or NULL. */
size_t dhcp_build(uint8_t *buffer, int type, uint32_t transaction, const uint8_t mac[6], const struct dhcp_lease *lease);
/* The type of an answer to this transaction, with *lease filled, or a negative errno: not for us, or damaged. */
int dhcp_parse(const uint8_t *message, size_t size, uint32_t transaction, const uint8_t mac[6], struct dhcp_lease *lease);
/* Asks on an interface that is up: at most three seconds where nobody answers. 0, or -ETIMEDOUT or another negative errno. */
int dhcp_ask(const char *interface, const uint8_t mac[6], struct dhcp_lease *lease);

#endif
