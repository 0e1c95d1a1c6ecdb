/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the net driver: receive buffers (rx_buffer.c). */
#ifndef LV_NET_VIRTIO_NET_H
#define LV_NET_VIRTIO_NET_H

#include "libos/core/libos.h"
#include "libos/dev/dev.h"

#include "lwip/pbuf.h"

/* Puts the first few buffers into the ring; more follow under load. merged: a frame may span buffers; largest: bytes of a frame. */
void rx_buffer_start(struct ring *rx, bool merged, unsigned largest);
/* The next buffer that the device used, as a pbuf of *len bytes; NULL: none. */
struct pbuf *rx_buffer_take(struct ring *rx, uint32_t *len);
/* A small frame is copied so that it does not hold a whole buffer while it waits in a socket; takes p, gives p or the copy. */
struct pbuf *rx_buffer_shrink(struct pbuf *p);
void rx_buffer_refill(struct ring *rx); /* fills the ring up again after frames were taken */

#endif
