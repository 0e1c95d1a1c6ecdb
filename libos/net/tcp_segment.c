/* SPDX-License-Identifier: Apache-2.0 */
/* Segments larger than the wire's, for devices that cut them (HOST_TSO4). */
#include "libos/net/tcp_socket.h"

#include "lwip/tcp.h"

void tcp_segment_start(struct tcp_pcb *pcb, struct tcp_socket *t)
{
	t->wire_mss = pcb->mss;
}

void tcp_segment_adapt(struct tcp_pcb *pcb, struct tcp_socket *t)
{
}
