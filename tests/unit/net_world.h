/* SPDX-License-Identifier: Apache-2.0 */
/* A network device between a test as the guest's driver and the same test as what is behind the device. */
#ifndef LV_TESTS_NET_WORLD_H
#define LV_TESTS_NET_WORLD_H

#include <linux/virtio_net.h>

#include "tests/unit/ring_driver.h"

#define HEADER 12
#define BIT(feature) (1ull << VIRTIO_NET_F_##feature)

struct fixture {
	struct guest guest;
	struct device *net;
	struct driver rx, tx;
	int peer; /* passt's end, or what sees the frames of a tap */
	gpa_t buffer, send;
};

/* Puts a frame behind its header into guest memory and sends it. */
void guest_sends(struct fixture *f, const struct virtio_net_hdr_v1 *header, const void *frame, uint32_t len);

#endif
