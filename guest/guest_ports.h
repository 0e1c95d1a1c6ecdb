/* SPDX-License-Identifier: Apache-2.0 */
/* The ports of the virtio console, by name. */
#ifndef LV_GUEST_CONSOLE_PORTS_H
#define LV_GUEST_CONSOLE_PORTS_H

/*
 * Opens the port of this name, non-blocking, and waits for it if the driver has not heard of it yet. flags: O_RDONLY or
 * O_WRONLY. A descriptor, or a negative errno; -ENODEV: there is none, and none came within wait_ms.
 */
int port_open(const char *name, int flags, int wait_ms);
/* The terminal of the console (port 0), blocking; waits likewise. */
int port_open_terminal(int wait_ms);

#endif
