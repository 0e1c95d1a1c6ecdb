/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: VMs that are there when somebody connects. The daemon holds the port; the first connection starts a VM, is held until the VM's
 * program listens, and is then handed on (daemon/relay.h). Or each connection is the standard input and output of a VM of its own. Or the daemon
 * holds the tap of a VM's address, and the first packet starts the VM, which gets the tap and what waits in it. Loop thread.
 */
#ifndef LV_DAEMON_SERVICE_H
#define LV_DAEMON_SERVICE_H

#include "daemon/relay.h"
#include "daemon/service_def.h"
#include "daemon/task.h"
#include "node/link.h"
#include "node/state.h"

#define SERVICE_LABEL "lightvm.service" /* of a VM: which service it serves */
#define SERVICE_CONNECTIONS 4096 /* of one service; more wait where the kernel keeps them */

enum instance_state { INSTANCE_STARTING, INSTANCE_READY, INSTANCE_STOPPING };

struct ahead { /* a passt that waits for its VM; AHEAD_NONE */
	struct net_link link;
	uint16_t port; /* of the loopback, that leads to the VM; 0: there is none */
	struct loop_watch ended;
};
#define AHEAD_NONE ((struct ahead){ .link = NET_LINK_NONE, .ended = { .fd = -1 } })

struct instance { /* a VM of a service */
	struct service *service;
	struct instance *next, **before;
	enum instance_state state;
	char id[STATE_ID + 1]; /* empty until it runs */
	uint32_t ip;           /* where it listens; network order */
	uint16_t port;
	int client;            /* per_connection: what it is started for, until it has it; -1: none */
	struct ahead ahead;    /* what it is started with, until it has it */
	unsigned connections;
	unsigned opening;      /* of them, those that it has not answered yet */
	uint64_t asked_ns;     /* CLOCK_MONOTONIC when it was asked for */
	struct loop_watch process; /* its monitor */
	struct loop_timer idle;
	uint64_t sent, sent_ns; /* by address: packets that it had sent, and since when it has sent no more; 0: not looked yet */
	struct task task;
	bool busy;  /* the task runs */
	bool ended; /* nothing of it is left but this */
};

struct connection {
	struct service *service;
	struct connection *next, **before;
	struct instance *instance; /* NULL: held, or its VM has ended */
	struct relay relay;
	int client; /* held; -1: the relay has it */
	bool opening;
	struct loop_timer opened; /* if it speaks only when it is spoken to, it counts as open after a while */
	unsigned tries;
};

struct service {
	struct services *services;
	struct service *next, **before;
	struct service_def def;
	struct loop_watch listen; /* a socket; by address: the tap. fd -1: not there (yet) */
	struct loop_timer again; /* accepts again: after a failure, or a shortage */
	struct loop_timer look;  /* soon: a VM has gone */
	bool passed;  /* the socket is the service manager's */
	bool removed; /* goes when its VMs have */
	struct instance *instances;
	struct connection *connections, **last; /* in the order in which they came */
	unsigned vms, open, waiting; /* instances, connections of both kinds, those that are held */
	uint32_t delay_ms; /* after the last failure; 0: the last start went well */
	struct ahead ahead; /* for its next VM */
	uint64_t used_ns;   /* when the last one was asked for; 0: never */
	struct task prepare;
	bool preparing;
	char *error;       /* of the last failure; NULL: none */
	uint64_t accepted, started, failed; /* ever */
};

struct services {
	struct daemon *daemon;
	struct service *first;
	struct state state;
	int kept; /* of the definitions, locked */
	struct relay_pipes pipes;
	struct { char *name; int fd; } passed[16]; /* sockets of the service manager */
	unsigned passed_count;
};

/* ---- service_vm.c: its VMs ---- */

/* Starts one; client: per_connection, becomes the instance's. -EAGAIN, -ENOMEM: there is none, and client is still the caller's. */
int instance_start(struct service *service, int client);
/* One that runs already; its monitor is watched. */
void instance_adopt(struct service *service, const char *id, uint32_t ip, uint16_t port);
/* Asks its program to end. */
void instance_stop(struct instance *instance);
/* Forgets it without a word: the daemon ends. */
void instance_drop(struct instance *instance);

/* ---- service_ahead.c: what is started before a VM ---- */

/* One that nobody has, now; 0: there is none. */
uint16_t service_free_port(void);
/* The service's passt, started now if it was not before; false: it needs none, or there is none. */
bool ahead_take(struct service *service, struct ahead *taken);
/* Starts one for the next VM, if it was one of the last ones that were used. */
void ahead_look(struct service *service);
void ahead_drop(struct service *service);

/* ---- service_address.c: services by address ---- */

/* The tap, at which it waits from now on. */
int address_listen(struct service *service, struct error *error);
/* The same, as soon as it can be done: what hinders it is the service's error until then. */
void address_listen_again(struct service *service);
void address_on_packet(void *context, uint32_t events);
/* Its VM has it no longer. ended: by itself, so that what it has left would only start another one for the same. */
void address_take_back(struct service *service, bool ended);
/* Has it sent anything lately? Asks again later, or has it stopped. */
void address_look_idle(struct instance *instance);

/* ---- service.c: what they have come to ---- */

void service_instance_ready(struct instance *instance);
void service_instance_failed(struct instance *instance, const char *problem);
/* It is about to be freed. */
void service_instance_gone(struct instance *instance);
void service_instance_idle(struct instance *instance);

/* ---- and for services.c, which has them ---- */

void service_on_connection(void *context, uint32_t events);
void service_accept_again(void *context);
/* Nothing is taken for so long; 0: until service_accept_again. What comes waits in the kernel, and is not refused. */
void service_hold_off(struct service *service, uint64_t milliseconds);
/* A VM, if there may be one more and none is on its way. */
void service_start_another(struct service *service, const char *why);
static inline bool service_by_address(const struct service *service)
{
	return !service->def.port;
}
void service_look(void *context);
/* All connections that are held or relayed are reset. */
void service_reset_all(struct service *service);
/* One that was removed, and has no VM, connection or task any more. */
void service_free_when_over(struct service *service);

/* ---- services.c ---- */

extern const struct daemon_part service_part;
/* NULL with a message: there is none here. */
struct services *services_of(struct daemon *daemon, struct error *error);
int services_add(struct services *services, const json_t *json, struct error *error);
int services_remove(struct services *services, const char *name, struct error *error);
/* A new reference; -ENOENT with a message, -ENOMEM. name NULL: an array of all. */
json_t *services_json(struct services *services, const char *name, struct error *error);

#endif
