/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's program: its streams, its start, and what PID 1 does while it runs. */
#ifndef LV_GUEST_SUPERVISE_H
#define LV_GUEST_SUPERVISE_H

#include "guest/guest_agent.h"
#include "guest/pump.h"

struct supervisor {
	struct agent_world world;
	int listener; /* of the agent; -1: none */
	int signals;  /* signalfd; -1: none */
	int terminal; /* -1: none */
	int network;  /* ends when the network is up or nobody answers; -1: it is so */
	int asked;    /* the signal that came before the program had started; 0: none */
	unsigned sessions;
	pid_t session[AGENT_SESSIONS + AGENT_RESERVE];
	struct pump in, out, err;
	struct pump evidence; /* is not moved before the program has ended */
	int status; /* wait status of the program */
};

/*
 * Listens for the agent's clients, brings up the network, opens streams and starts the program; serves the agent meanwhile. 0, or a
 * negative errno with a message. supervise_finish in every case.
 */
int supervise_start(struct supervisor *supervisor, const struct guest_config *config);
/* Until the program has ended: relays, reaps, forwards signals, serves the agent. The program's wait status. */
int supervise_run(struct supervisor *supervisor);
/* Ends what still runs and lets out what was printed. */
void supervise_finish(struct supervisor *supervisor);

#endif
