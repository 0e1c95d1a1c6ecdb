/* SPDX-License-Identifier: Apache-2.0 */
/* A service as it is asked for and kept: where it listens, which VM serves it, how many of them and for how long. Touches no socket. */
#ifndef LV_DAEMON_SERVICE_DEF_H
#define LV_DAEMON_SERVICE_DEF_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "node/net_spec.h"

#define SERVICE_VERSION 1
#define SERVICE_IDLE_MS 30000
#define SERVICE_WAIT_MS 30000
#define SERVICE_SHARE 100
#define SERVICE_MAX 1
#define SERVICE_MAX_EACH 32 /* with per_connection */

struct service_def {
	char *name;          /* as of a VM */
	uint32_t address;    /* network order; 0: all IPv4 addresses of the host */
	uint16_t port, guest_port; /* port 0: by address: packets to its VM's own address, on net, start it */
	uint32_t idle_ms;    /* without a connection for so long, a VM is stopped; by address: when it has sent nothing for so long */
	uint32_t wait_ms;    /* for a new VM to listen */
	uint32_t max;        /* VMs at once; per_connection: connections at once */
	uint32_t share;      /* connections of each VM before there is another one */
	bool per_connection; /* each connection gets a VM of its own, whose standard input and output it is */
	json_t *vm;          /* a wish (node/vm_wish.h) */
	struct net_spec net; /* by address: what vm says of it; otherwise nothing */
};

/* -EINVAL, -ERANGE with a message that names key and value. Free in both cases. */
int service_def_read(struct service_def *def, const json_t *json, struct error *error);
/* A new reference, which reads back to the same; NULL: out of memory. */
json_t *service_def_write(const struct service_def *def);
void service_def_free(struct service_def *def);

#endif
