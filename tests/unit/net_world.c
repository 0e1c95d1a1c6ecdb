/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/net_world.h"

#include <string.h>

void guest_sends(struct fixture *f, const struct virtio_net_hdr_v1 *header, const void *frame, uint32_t len)
{
	struct part part[] = { { f->send, HEADER, false }, { f->send + 64, len, false } };

	memcpy(guest_ptr(&f->guest, f->send), header, HEADER);
	memcpy(guest_ptr(&f->guest, f->send + 64), frame, len);
	driver_post(&f->tx, part, 2);
	guest_ring(&f->guest, f->net);
}
