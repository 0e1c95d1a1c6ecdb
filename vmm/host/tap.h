/* SPDX-License-Identifier: Apache-2.0 */
/* A tap device by its descriptor. Frames carry struct virtio_net_hdr_v1 in front, as the guest's do. */
#ifndef LV_VMM_HOST_TAP_H
#define LV_VMM_HOST_TAP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Sets header size and non-blocking mode, and asks for the offloads. *features: VIRTIO_NET_F_* (as a mask) that this tap can
 * serve. -EINVAL if it was not opened with IFF_TAP|IFF_NO_PI|IFF_VNET_HDR; or another negative errno.
 */
int tap_setup(int fd, uint64_t *features);

/* What may arrive from now on is what the driver took: *_GUEST_* of the features. 0 or a negative errno. */
int tap_set_offloads(int fd, uint64_t features);

/*
 * What of a shared network reaches this tap at all, as a network card would choose: frames to this MAC address, groups, and with ip (network
 * byte order; 0: not known) of ARP what asks for that address or announces one. Not what is for routers (RFC 4861's solicitations, MLDv2's
 * reports). alone: the guest has no IPv6 address but ip6 (NULL: none) and those made of the MAC address, so that neighbours looked for under others are not either.
 * Frames are dropped before they wake anybody: on a bridge with a thousand guests each start tells all of them of itself. 0 or a negative errno.
 */
int tap_choose(int fd, const uint8_t mac[6], uint32_t ip, const uint8_t ip6[16], bool alone);

/* Of a tap with several queues: whether frames come to this one. 0 or a negative errno. */
int tap_attach(int fd, bool on);

#endif
