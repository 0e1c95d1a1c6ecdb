/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a VM as the user asked for it. */
#ifndef LV_NODE_NET_SPEC_H
#define LV_NODE_NET_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum net_kind { NET_NONE, NET_PASST, NET_TAP, NET_BRIDGE };
enum net_protocol { NET_TCP, NET_UDP };

struct net_port { /* host order, but for the address */
	uint32_t host_ip; /* network order; 0: every address of the host */
	uint16_t host, guest;
	enum net_protocol protocol;
};

struct net_spec { /* NET_NONE: all zero */
	enum net_kind kind;
	bool host_loopback; /* passt: the gateway's address leads to the host's own loopback (--net passt,host) */
	bool spoof; /* tap: the guest may send under foreign addresses */
	char *name; /* of the tap device or the bridge */
	unsigned queues; /* of the tap: 1 to NET_QUEUES */
	struct net_port *port;
	size_t ports;
	uint32_t ip, mask, gateway, dns; /* network order; ip 0: by DHCP */
	uint8_t ip6[16], gateway6[16]; /* zeroes: none but by router advertisement; its network has 64 bits */
	uint8_t mac[6];
	uint16_t mtu; /* 0: that of the tap or bridge */
};

struct net_request { /* as on the command line; NULL: not given */
	const char *net, *ip, *gateway, *dns, *mac;
	const struct strings *ports;
	const char *id; /* of the VM: its MAC address follows from it */
	const char *ip6, *gateway6;
};

#define NET_QUEUES 4
#define NET_MTU_MIN 576 /* RFC 791 */

/* Whether it asks for anything of a network. */
bool net_asked(const struct net_request *request);
/* Parses and checks. Free in both cases. */
int net_parse(struct net_spec *spec, const struct net_request *request, struct error *error);
void net_free(struct net_spec *spec);
/*
 * Of a VM that goes on: what the request names takes the place of what is there; the rest stays, but for what another kind of network does not have. -EINVAL too for passt in the
 * place of a tap or bridge.
 */
int net_change(struct net_spec *spec, const struct net_request *request, struct error *error);
/*
 * Whether a UDP port is published where the host's loopback reaches it: then passt lets the gateway's address lead there, since it brings no answers
 * back otherwise, and the monitor holds back all else (vmm/dev/net_answers.h). Never with host_loopback, which asks for nothing to be held back.
 */
bool net_answers_loopback(const struct net_spec *spec);
bool net_has_ip6(const struct net_spec *spec);
/* The hardware address of another VM, of this id. */
void net_renew(struct net_spec *spec, const char *id);
/* What net_parse would have refused, of a specification that came from elsewhere. */
int net_validate(const struct net_spec *spec, struct error *error);
/* A new reference, or NULL: out of memory. What it wrote reads back to the same. */
json_t *net_to_json(const struct net_spec *spec);
/* spec is zero before; without a hardware address it gets that of its own IP address, or else the one of this id. Free in both cases. */
int net_from_json(struct net_spec *spec, const json_t *json, const char *id, struct error *error);

#endif
