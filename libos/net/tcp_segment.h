/* SPDX-License-Identifier: Apache-2.0 */
/* Segmentation offload as the driver sees it; tcp_socket.h has the side of the sockets. */
#ifndef LV_NET_TCP_SEGMENT_H
#define LV_NET_TCP_SEGMENT_H

#include <stdint.h>

struct netif;

/* The device behind this interface, which is IPv4's default, cuts segments. Its MTU must be set. */
void tcp_segment_enable(struct netif *netif);
/*
 * Looks at an IPv4 TCP packet that goes to the device: the size in which the device must cut its data, or 0. The MSS
 * option of a connection's first packet is corrected; checksums are the device's work then.
 */
unsigned tcp_segment_cut(uint8_t *ip, uint8_t *tcp, unsigned packet_len);

#endif
