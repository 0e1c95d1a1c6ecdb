/* SPDX-License-Identifier: Apache-2.0 */
/* Copies bytes from one descriptor to another without ever blocking the one thread there is; both are non-blocking. */
#ifndef LV_GUEST_PUMP_H
#define LV_GUEST_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#define PUMP_ROOM (32u << 10)

struct pump {
	int from, to; /* owned; -1 each once closed */
	size_t start, end; /* of what was read and not written yet */
	char *buffer;
};
#define PUMP_NONE ((struct pump){ .from = -1, .to = -1 })

/* 0, or -ENOMEM; both descriptors belong to the pump in either case. */
int pump_init(struct pump *pump, int from, int to);
void pump_close(struct pump *pump);
/* What to wait for: two entries. */
void pump_poll(const struct pump *pump, struct pollfd fds[2]);
/* Moves what can be moved. When either side has ended (for `from`: and all is written), both are closed. */
void pump_move(struct pump *pump, const struct pollfd fds[2]);
/* Moves the rest that is there now, waiting for `to` as long as it takes something every patience_ms; then closes. */
void pump_drain(struct pump *pump, int patience_ms);

#endif
