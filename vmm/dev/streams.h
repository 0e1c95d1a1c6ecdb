/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a console, which the two kinds of console device share: the monitor's own descriptors, the log, the
 * tail, and attached clients. A chain of output returns to the guest once all of them have it, so a blocked reader blocks
 * the guest and no byte is lost or overtaken. Only a client that takes nothing for some seconds is dropped.
 */
#ifndef LV_VMM_DEV_STREAMS_H
#define LV_VMM_DEV_STREAMS_H

#include "vmm/device.h"
#include "vmm/host/logfile.h"
#include "vmm/host/sink.h"
#include "vmm/host/source.h"

#define STREAM_CLIENTS 4
#define STREAM_OUTPUTS 3
#define STREAM_IN_SIZE 8   /* entries of an input queue */
#define STREAM_OUT_SIZE 32 /* entries of an output queue */
#define STREAM_TAIL 2048

struct streams;

struct outlet { /* one place where output goes */
	struct streams *streams;
	struct sink sink;
	struct loop_watch watch;
};

struct output { /* one queue of output */
	unsigned queue;
	struct outlet outlet;
	bool busy; /* a chain was taken and has not reached every sink */
	bool rewound; /* it was given back, and is the next one: what follows counts for it */
	uint16_t head;
	unsigned parts;
	struct iovec part[STREAM_OUT_SIZE];
	uint32_t total;
	uint32_t done; /* bytes that the outlet took */
	uint32_t client_done[STREAM_CLIENTS];
};

struct input {
	struct streams *streams;
	struct source source; /* fd -1: none */
	bool ended;
	struct loop_watch watch;
};

struct client {
	struct input input;
	struct outlet outlet;   /* kind SINK_NONE: free */
	struct loop_timer patience; /* set while it is blocked */
};

struct stream_ops { /* where the two consoles differ */
	/* The reader of an output has gone; what is written there vanishes from now on. */
	void (*output_died)(struct streams *streams, struct output *output);
	/* The monitor's own stdin reached its end (of a terminal: for now). A buffer waits in the input queue. */
	void (*input_ended)(struct streams *streams);
	void (*resize)(struct streams *streams, uint16_t rows, uint16_t columns);
	bool (*process)(struct streams *streams, unsigned queue); /* as device_ops.process */
	void (*typed)(struct streams *streams); /* the guest has got input; NULL: that is all */
};

/* The base of the console device. */
struct streams {
	struct device device;
	const struct stream_ops *ops;
	bool paused;
	bool own_input; /* the monitor's stdin may be read: it is meant for input_queue */
	unsigned input_queue;
	struct input input;
	unsigned outputs;
	struct output output[STREAM_OUTPUTS];
	struct client client[STREAM_CLIENTS];
	struct logfile log;
	unsigned tail_end; /* bytes ever written to tail */
	char tail[STREAM_TAIL];
};

/* in and log: -1 for none; the log is owned from now on, and what is own is. Outputs are added next. */
void streams_init(struct streams *streams, const struct stream_ops *ops, unsigned input_queue, int in, bool own, int log);
struct output *streams_add_output(struct streams *streams, unsigned queue, int fd, bool own);
void streams_fini(struct streams *streams);

/* Moves what the output's queue holds to its sinks. False: one of them is blocked. */
bool streams_output(struct streams *streams, struct output *output);
struct output *streams_find_output(struct streams *streams, unsigned queue); /* or NULL */

/* True: whoever is stdin now has nothing any more, and nobody will come but a client. */
bool streams_input_ended(struct streams *streams);
/* Watches the one descriptor that stdin comes from, if input is wanted. Answers whether it is watched. */
bool streams_watch_input(struct streams *streams, bool wanted);

/* As console_attach and its like (console.h). */
int streams_attach(struct streams *streams, int in, int out);
void streams_note(struct streams *streams, const char *data, unsigned size);
unsigned streams_tail(const struct streams *streams, char *tail, unsigned size);

void streams_pause(struct streams *streams, bool on);
void streams_reset(struct streams *streams);
void streams_quiesce(struct streams *streams); /* gives back the chains that it has */
/* True when all that the guest sent has gone out. */
bool streams_drain(struct streams *streams);

#endif
