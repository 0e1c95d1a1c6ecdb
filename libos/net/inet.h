/* SPDX-License-Identifier: Apache-2.0 */
/* What TCP, UDP and raw sockets share: addresses in both forms, errors, ports. */
#ifndef LV_NET_INET_H
#define LV_NET_INET_H

#include "libos/net/socket.h"

#include "lwip/err.h"
#include "lwip/ip_addr.h"
#include "lwip/pbuf.h"

/*
 * An address of the program in lwIP's form; the socket's family says which the program may use, and IPv4 addresses
 * mapped into IPv6 become IPv4. 0, -EINVAL (too short), -EAFNOSUPPORT.
 */
int inet_from_user(const struct socket *s, const union address *addr, uint32_t len, ip_addr_t *ip, uint16_t *port);
/* The way back, in the form of the socket's family; the address' length. */
int inet_to_user(const struct socket *s, union address *addr, const ip_addr_t *ip, uint16_t port);
/* 0 if the address is one of ours, a wildcard or a multicast group: what may be bound. Else -EADDRNOTAVAIL. */
int inet_check_local(const ip_addr_t *ip);
/* What bind() of an inet socket was given, checked, in lwIP's form with the type that its pcb must have. */
int inet_bind_address(const struct socket *s, const union address *addr, uint32_t len, ip_addr_t *ip, uint16_t *port);
/* The address that packets to remote come from; -ENETUNREACH without a route. Waits for DHCP when that still runs. */
int inet_route(const struct socket *s, const ip_addr_t *remote, ip_addr_t *local);
int inet_error(err_t err); /* negative errno */
uint8_t inet_ip_type(const struct socket *s); /* IPADDR_TYPE_* for a new pcb */
/* Copies bytes of a pbuf chain into the message: at most n, from offset on. The number, or -EFAULT. */
int64_t inet_copy_out(struct message *m, struct pbuf *p, size_t offset, size_t n);
/* A pbuf of the whole message, with room for headers; NULL and *error. */
struct pbuf *inet_copy_in(struct message *m, pbuf_layer layer, int *error);

/* Packets that wait to be read, of TCP, UDP and raw sockets. */
struct packet {
	struct packet *next;
	struct pbuf *pbuf;
	ip_addr_t from, to;
	uint16_t port;
	uint8_t ttl, tos, interface; /* of the IP header, and where it came in; of datagrams, as to and time */
	uint64_t time; /* ns since the epoch */
};
struct packet_queue {
	struct packet *first, *last;
	size_t bytes;
	unsigned count;
};
/* Takes p if true. from: of a datagram, in lwIP's callback for it, of which more is noted then; NULL: bytes of a stream. */
bool packet_push(struct packet_queue *queue, struct pbuf *p, const ip_addr_t *from, uint16_t port);
void packet_pop(struct packet_queue *queue); /* frees the first */
void packet_clear(struct packet_queue *queue);

struct udp_pcb;
bool udp_is_socket(const struct udp_pcb *pcb); /* or one of the stack's own */

/* ---- inet_option.c ---- */
struct inet_fields { /* of a pcb or a socket: where its options lie */
	uint8_t *tos, *ttl, *multicast_ttl; /* the last is NULL for TCP */
};
struct inet_control { /* of one datagram to send */
	uint8_t tos, ttl; /* the caller puts the socket's own in */
	bool has_from;
	ip_addr_t from;
};
/* Options of SOL_IP and SOL_IPV6. */
int inet_setopt(struct socket *s, int level, int option, const void *value, uint32_t len, const struct inet_fields *field);
int inet_getopt(struct socket *s, int level, int option, void *value, uint32_t *len, const struct inet_fields *field);
/* IP_MTU_DISCOVER forbids fragments, and a datagram with that many bytes behind its IP header would need them. */
bool inet_too_large(const struct socket *s, const ip_addr_t *remote, size_t size);
void inet_put_control(struct socket *s, struct message *m, const struct packet *packet); /* what the receiver asked for */
int inet_get_control(const struct socket *s, const struct message *m, struct inet_control *c); /* what the sender gives; -EINVAL */

#endif
