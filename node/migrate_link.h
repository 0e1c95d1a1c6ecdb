/* SPDX-License-Identifier: Apache-2.0 */
/* The source's connection to a host that it knows, as far as both have greeted each other. */
#ifndef LV_NODE_MIGRATE_LINK_H
#define LV_NODE_MIGRATE_LINK_H

#include "node/migrate_wire.h"

struct link_order {
	const char *host; /* its name */
	bool relay;       /* no encryption by the kernel */
	void (*reached)(void *context); /* somebody answers there: what takes time can be begun while the connection is secured. NULL: nothing */
	void *context;
};
/* Connects, secures, says HELLO and has heard it. Close the wire in every case. */
int migrate_link_open(const struct link_order *order, const uint8_t uuid[LV_MIGRATE_UUID], struct wire *wire, struct error *error);

#endif
