/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a VM: what the user asked for, and the host's end of it. */
#ifndef LV_NODE_LINK_H
#define LV_NODE_LINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/text.h"

enum net_kind { NET_NONE, NET_PASST, NET_TAP, NET_BRIDGE };

struct net_port { /* host order, but for the address */
	uint32_t host_ip; /* network order; 0: every address of the host */
	uint16_t host, guest;
	bool udp;
};

struct net_spec {
	enum net_kind kind;
	bool host_loopback; /* passt: the gateway's address leads to the host's own loopback (--net passt,host) */
	char *name; /* of the tap device or the bridge */
	unsigned queues; /* of the tap: 1 to NET_QUEUES */
	struct net_port *port;
	size_t ports;
	uint32_t ip, mask, gateway, dns; /* network order; ip 0: by DHCP */
	uint8_t mac[6];
	uint16_t mtu;
};

struct net_request { /* as on the command line; NULL: not given */
	const char *net, *ip, *gateway, *dns, *mac;
	const struct strings *ports;
	const char *id; /* of the VM: its MAC address follows from it */
};

#define NET_QUEUES 4

struct net_link { /* the host's end; fd -1: none */
	int fd;         /* for the monitor: tap, or connected stream socket */
	int more[NET_QUEUES - 1]; /* the tap's further queues */
	unsigned mores;
	pid_t passt;    /* 0: none, or not yet */
	int peer;       /* passt's end of the socket while it is not started: readable once the guest sends; -1: none */
	int ready;      /* passt: readable when it serves (its pid), end of file when it failed; -1: none */
};
#define NET_LINK_NONE ((struct net_link){ .fd = -1, .peer = -1, .ready = -1 })

/* Parses and checks. Free in both cases. */
int net_parse(struct net_spec *spec, const struct net_request *request, struct error *error);
void net_free(struct net_spec *spec);
/* Host ports can be bound now? -EADDRINUSE: "port N is in use on the host"; -EACCES. */
int net_check_ports(const struct net_spec *spec, struct error *error);
/*
 * Opens the tap or starts passt, whose messages go to log_fd. Without ports to forward passt is not started yet: most
 * programs never send a packet, and until one does a socket is all there is. See net_wake and net_leave.
 */
int net_start(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
/* Waits until passt serves its ports; -EIO if it ended instead. */
int net_wait(struct net_link *link, struct error *error);
/*
 * link->peer became readable: does somebody wait for an answer? What the guest announces of itself when it
 * starts, and IPv6, is taken out and forgotten.
 */
bool net_has_traffic(int peer);
/* Starts passt late. */
int net_wake(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
/* The caller will end before the VM: leaves a process behind that waits in its place. */
int net_leave(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error);
void net_close(struct net_link *link);
/* The value of the monitor's --net for link->fd as number fd. */
void net_argument(const struct net_spec *spec, const struct net_link *link, struct text *out);
json_t *net_json(const struct net_spec *spec);

/* link_passt.c, link_tap.c: the two ways to a link */
int passt_connect(struct net_link *link, struct error *error);
/* Gives link->peer to a new passt; with wait link->ready tells when it serves. */
int passt_start(const struct net_spec *spec, int log_fd, struct net_link *link, bool wait, struct error *error);
/* Becomes passt; returns only on failure. */
void passt_become(const struct net_spec *spec, int peer);
int tap_open(const char *name, const char *bridge, unsigned queues, struct net_link *link, struct error *error);

#endif
