/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's program: its streams, its start, and what PID 1 does while it runs. */
#ifndef LV_GUEST_SUPERVISE_H
#define LV_GUEST_SUPERVISE_H

#include "guest/agent.h"
#include "guest/pump.h"

struct supervisor {
	struct agent_world world;
	int listener; /* of the agent; -1: none */
	int signals;  /* signalfd; -1: none */
	int terminal; /* -1: none */
	unsigned sessions;
	pid_t session[AGENT_SESSIONS];
	struct pump in, out, err;
	int status; /* wait status of the program */
};

/* Opens streams and starts the program. 0, or a negative errno with a message. supervise_finish in every case. */
int supervise_start(struct supervisor *supervisor, const struct guest_config *config);
/* Until the program has ended: relays, reaps, forwards signals, serves the agent. The program's wait status. */
int supervise_run(struct supervisor *supervisor);
/* Ends what still runs and lets out what was printed. */
void supervise_finish(struct supervisor *supervisor);

#endif
