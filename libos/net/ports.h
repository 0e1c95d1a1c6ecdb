/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of TCP and UDP: who may have one, and who of several gets what comes for it. */
#ifndef LV_NET_PORTS_H
#define LV_NET_PORTS_H

#include "libos/net/inet.h"

struct tcp_pcb;
struct udp_pcb;
struct tcp_socket;

/* In so_options of a pcb, beside lwIP's SOF_*: what its socket said; they stay when the socket has closed and the pcb has not. */
#define PORTS_REUSE_ADDRESS 0x40
#define PORTS_REUSE_PORT 0x80

uint8_t ports_options(const struct socket *s); /* for so_options of its pcb */
/* Binds a pcb whose so_options are set; port 0: one that nobody has. 0, -EADDRINUSE. */
int ports_bind_tcp(struct tcp_pcb *pcb, const ip_addr_t *ip, uint16_t port);
int ports_bind_udp(struct udp_pcb *pcb, const ip_addr_t *ip, uint16_t port);
/* The socket, whose pcb is bound, is about to listen: 0, or -EADDRINUSE where another one does. It is known until ports_listen_end. */
int ports_listen(struct tcp_socket *t);
void ports_listen_end(struct tcp_socket *t);
/* lwIP found a listener, a receiver: who of those that share its address and port with SO_REUSEPORT takes this peer. */
struct tcp_socket *ports_listener(struct tcp_socket *found, const ip_addr_t *remote, uint16_t port);
struct udp_pcb *ports_receiver(struct udp_pcb *found, const ip_addr_t *remote, uint16_t port);

#endif
