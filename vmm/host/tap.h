/* SPDX-License-Identifier: Apache-2.0 */
/* A tap device by its descriptor. Frames carry struct virtio_net_hdr_v1 in front, as the guest's do. */
#ifndef LV_VMM_HOST_TAP_H
#define LV_VMM_HOST_TAP_H

#include <stdint.h>

/*
 * Sets header size, offloads and non-blocking mode. *features: LV_NET_F_* that this tap can serve.
 * -EINVAL if it was not opened with IFF_TAP|IFF_NO_PI|IFF_VNET_HDR; or another negative errno.
 */
int tap_setup(int fd, uint64_t *features);

#endif
