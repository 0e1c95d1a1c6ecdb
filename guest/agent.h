/* SPDX-License-Identifier: Apache-2.0 */
/* The agent (abi/agent.h): each connection is served by a process of its own, so that PID 1 waits for nobody. */
#ifndef LV_GUEST_AGENT_H
#define LV_GUEST_AGENT_H

#include <sys/types.h>

#include "guest/config.h"

#define AGENT_SESSIONS 64 /* at the same time */

struct agent_world { /* what a session knows of the VM */
	const struct guest_config *config; /* of the VM's program: environment and user of what is started beside it */
	pid_t program;                     /* 0: not yet, or ended */
};

/* A listening vsock socket, or a negative errno: this kernel has none. */
int agent_listen(void);
/* Takes a connection of the host (others are closed) and starts its process. The process id, or a negative errno. */
pid_t agent_accept(int listener, const struct agent_world *world);
/* Serves one connection to its end; closes it. For agent_accept and tests. */
void agent_serve(int fd, const struct agent_world *world);

/* session.c: EXEC. bytes: the request, aligned to four. */
void session_run(int fd, const struct agent_world *world, const void *bytes, size_t size);
/* resources.c */
struct lv_agent_resources;
void resources_read(struct lv_agent_resources *resources);

#endif
