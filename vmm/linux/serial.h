/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first serial port of a PC, a 16550A (National Semiconductor PC16550D data sheet), for early messages and foreign
 * kernels. A register access is an exit: the virtio console is the fast one. All calls with the loop's lock held.
 */
#ifndef LV_VMM_LINUX_SERIAL_H
#define LV_VMM_LINUX_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/host/sink.h"
#include "vmm/host/source.h"
#include "base/loop.h"

struct stream;

#define SERIAL_PORT 0x3f8
#define SERIAL_PORTS 8
#define SERIAL_OUT 8192
#define SERIAL_IN 64
#define SERIAL_LINE 256

struct serial {
	struct loop *loop;
	struct source in_source; /* of none, input never comes */
	struct sink sink;        /* in none, output vanishes (but panics are seen) */
	int irq_fd;              /* eventfd; owned by the caller */
	struct loop_watch out_watch, in_watch;
	uint8_t interrupt_enable, line_control, modem_control, scratch, divisor[2];
	bool fifo, transmit_empty_pending;
	uint8_t out[SERIAL_OUT], in[SERIAL_IN];
	unsigned out_count, in_count;
	unsigned matched; /* characters of the panic message seen so far */
	struct loop_timer log_timer; /* when the line goes to the log although it has not ended */
	bool log_due;                /* the timer is set */
	char line[SERIAL_LINE];      /* of the log */
	unsigned line_count;
	/* The host's own copy of what is printed, also where there is no sink. Both may be NULL. */
	void (*log)(void *context, const char *data, unsigned size);
	void (*panicked)(void *context);
	void *context;
};

struct serial_state { /* of it, what is saved: registers, and bytes that are on their way */
	uint8_t interrupt_enable, line_control, modem_control, scratch, divisor[2];
	bool fifo, transmit_empty_pending;
	uint32_t out_count, in_count, line_count;
	uint8_t out[SERIAL_OUT], in[SERIAL_IN], line[SERIAL_LINE];
};

/* in_fd, out_fd: -1 for none; they stay the caller's. Before the jail. */
void serial_init(struct serial *serial, struct loop *loop, int in_fd, int out_fd, int irq_fd);
int serial_start(struct serial *serial); /* begins to watch stdin; 0 or a negative errno */
void serial_write(struct serial *serial, unsigned reg, uint8_t value);
uint8_t serial_read(struct serial *serial, unsigned reg);
/* True when everything that was printed has gone out, or cannot. */
bool serial_drain(struct serial *serial);
/* Fields of a record that is open. Reading touches nothing but state; loading is for a port that has never been used. */
void serial_save(const struct serial *serial, struct stream *stream);
void serial_read_saved(struct serial_state *state, struct stream *stream);
void serial_load(struct serial *serial, const struct serial_state *state);
void serial_fini(struct serial *serial);

#endif
