/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of the agent's connections (abi/agent.h), for both sides. Blocking descriptors; negative errno on failure. */
#ifndef LV_BASE_FRAME_H
#define LV_BASE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "abi/agent.h"

/* All bytes; -EPIPE: the other side has gone (no signal). */
int frame_send(int fd, enum lv_agent_type type, const void *data, size_t size);
/* "text", formatted, with error as an errno (positive). */
int frame_send_error(int fd, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
/*
 * The header, then the body into room bytes, all of it before the deadline (base/deadline.h): -ETIMEDOUT. -ECONNRESET: the end, before anything; -EPROTO: within a frame;
 * -EMSGSIZE: longer than room.
 */
int frame_receive(int fd, struct lv_agent_frame *frame, void *body, size_t room, uint64_t deadline);
/* All size bytes. -ECONNRESET: the end, before the first; -EPROTO: after it; -ETIMEDOUT: not before the deadline. */
int fd_read_exactly(int fd, void *data, size_t size, uint64_t deadline);

#endif
