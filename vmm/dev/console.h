/* SPDX-License-Identifier: Apache-2.0 */
/* What others ask of the console device: attached clients, the tail of the output, the window's size. In the loop thread. */
#ifndef LV_VMM_DEV_CONSOLE_H
#define LV_VMM_DEV_CONSOLE_H

#include <stdint.h>

struct device;

/* Takes both descriptors (in may be -1) and makes them non-blocking. The client gets all output from now on, and is stdin if there is no other. -ENOSPC */
int console_attach(struct device *console, int in, int out);
/* What another device printed for the same reader: into the log, and the tail. With the loop's lock. */
void console_note(struct device *console, const char *data, unsigned size);
/* Copies the last output, at most size bytes; answers how many. */
unsigned console_tail(const struct device *console, char *tail, unsigned size);
/* The terminal has another size now; the guest is told as its kind can be. -EINVAL for 0. */
int console_resize(struct device *console, uint16_t rows, uint16_t columns);

#endif
