/* SPDX-License-Identifier: Apache-2.0 */
/* The agent (abi/agent.h): each connection is served by a process of its own, so that PID 1 waits for nobody. */
#ifndef LV_GUEST_GUEST_AGENT_H
#define LV_GUEST_GUEST_AGENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "guest/config.h"

#define AGENT_SESSIONS 64 /* at the same time */
#define AGENT_RESERVE 16  /* and this many more for requests that are over at once: who ends a VM finds a place */
#define AGENT_BACKLOG 256 /* who finds no place in it is refused as if nobody listened */

struct agent_world { /* what a session knows of the VM */
	const struct guest_config *config; /* of the VM's program: environment and user of what is started beside it */
	pid_t program;                     /* 0: not yet, or ended */
	bool starting;                     /* not yet: what shall end it is for our parent, PID 1 */
	bool crowded;                      /* only requests that are over at once */
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
/* renew.c: 0, or a negative errno and *what failed. */
struct lv_agent_renew;
int guest_renew(const struct lv_agent_renew *renew, const char **what);
/* tcp_listens.c: does anything accept connections of TCP on it now? */
bool tcp_listens(uint16_t port);
/* processes.c: at most room of them; how many those are, and how many there are in all. */
struct lv_agent_process;
size_t processes_read(struct lv_agent_process *process, size_t room, uint32_t *total);

#endif
