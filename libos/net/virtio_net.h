/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the net driver: receive buffers (rx_buffer.c). */
#ifndef LV_NET_VIRTIO_NET_H
#define LV_NET_VIRTIO_NET_H

#include "libos/libos.h"

#include "lwip/pbuf.h"

/* Puts the first few buffers into the ring; more follow under load. whole_mtu: 0, or a frame of this MTU must fit into one. */
void rx_buffer_start(struct ring *rx, unsigned whole_mtu);
/* The next buffer that the device used, as a pbuf of *len bytes; NULL: none. */
struct pbuf *rx_buffer_take(struct ring *rx, uint32_t *len);
/* A small frame is copied so that it does not hold a whole buffer while it waits in a socket; takes p, gives p or the copy. */
struct pbuf *rx_buffer_shrink(struct pbuf *p);
/* Fills the ring up again after so many frames were taken at once. */
void rx_buffer_refill(struct ring *rx, unsigned frames);

#endif
