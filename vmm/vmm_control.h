/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: answers abi/control.h requests from the device loop. */
#ifndef LV_VMM_VMM_CONTROL_H
#define LV_VMM_VMM_CONTROL_H

#include "vmm/device.h"
#include "base/loop.h"
#include "vmm/status.h"

struct error;

#define CONTROL_CLIENTS 8
#define CONTROL_WAITERS 4 /* of them, at most: the others are for who stops the VM */

struct control_client {
	struct control *control;
	struct loop_watch watch; /* fd -1: free */
	bool saves;              /* it holds the VM, which it has saved or has been saved for it */
	unsigned asks;           /* the request that is answered later (LV_CTL_BALLOON, LV_CTL_AWAIT, LV_CTL_PAUSE, LV_CTL_THREADS), and heard again then; 0: none */
};

struct control {
	struct loop *loop;
	const struct status *status;
	struct devices *devices;
	struct loop_watch listen;
	struct control_client client[CONTROL_CLIENTS];
	struct loop_timer patience; /* with guests that are asked */
	bool no_descriptors;        /* for one more client: not listening, until one goes or ... */
	struct loop_timer retry;    /* ... this is over */
	/* set by the owner before control_start; called in the loop thread */
	int (*signal)(void *context, int number); /* 1..32, for the program; 0 or a negative errno */
	void (*kill)(void *context);
	int (*pause)(void *context); /* 0: it is so; 1: control_paused will tell; or a negative errno */
	int (*resume)(void *context, bool advance); /* 0 or a negative errno */
	/* 0: control_threads will tell; or a negative errno */
	int (*threads)(void *context);
	int (*limit)(void *context, uint64_t bytes); /* as guest_ops.limit */
	int (*agent)(void *context, int fd); /* as guest_ops.agent */
	/* fd: as for save_begin; 1: the descriptors are taken, and control_saved will tell; or a negative errno with a message */
	int (*save)(void *context, const int fd[3], int64_t what, struct error *error);
	/* Likewise: memory as it is, for a client that has looked before or not. */
	int (*look)(void *context, const int fd[2], bool again, int64_t what, struct error *error);
	int (*lend)(void *context, struct error *error); /* as touched */
	int (*take_back)(void *context); /* 0, or a negative errno */
	int (*touched)(void *context, int fd, struct error *error); /* 0, or a negative errno with a message */
	void (*save_over)(void *context, bool stays); /* its client has gone; stays: or is done with it, and what becomes of the VM comes next */
	void *context;
	char why[1024]; /* the last of the requests that tell why they failed */
	const struct lv_threads *told; /* while control_threads answers */
};

/* listen_fd: a listening SOCK_SEQPACKET socket, owned from now on; -1: no control socket. */
void control_init(struct control *control, struct loop *loop, const struct status *status, struct devices *devices, int listen_fd);
int control_start(struct control *control);
/* The program listens: answers who waits for that. Under the loop's lock. */
void control_listens(struct control *control);
/* The program waits to be copied: answers who waits for that. Under the loop's lock. */
void control_template(struct control *control);
/* Answers who asked for a pause. In the loop thread. */
void control_paused(struct control *control, int result);
/* Answers who asked for the threads. Under the loop's lock. */
void control_threads(struct control *control, const struct lv_threads *threads);
/* Answers who asked for a save; why: text of a failure. In the loop thread. */
void control_saved(struct control *control, int result, const char *why);
void control_fini(struct control *control);

#endif
