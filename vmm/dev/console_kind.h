/* SPDX-License-Identifier: Apache-2.0 */
/* The console device in its two shapes: console.c is the device, console_page.c what libos sees of it, console_ports.c what Linux sees. */
#ifndef LV_VMM_DEV_CONSOLE_KIND_H
#define LV_VMM_DEV_CONSOLE_KIND_H

#include "vmm/dev/streams.h"

#define CONSOLE_PORTS 4

struct console_port {
	bool guest_ready, guest_open;
	bool host_open;
	uint8_t tell; /* messages that it still has to get */
};

struct console {
	struct streams streams;
	bool terminal; /* it is one of the guest's own; of Linux: the monitor's 0 and 1 are port 0, not the streams */
	/* for Linux */
	uint16_t rows, columns; /* 0: not known */
	struct console_port port[CONSOLE_PORTS];
};

void console_page_init(struct console *console, const struct device_config *config);
void console_page_describe(struct console *console, struct lv_device *entry);

void console_ports_init(struct console *console, const struct device_config *config);
void console_ports_reset(struct console *console);
/* The guest's side of the ports as it was saved; what has changed on the host's side meanwhile, the guest is told. */
void console_ports_loaded(struct console *console, const struct console_port *port);
/* Whether a port can be like this, whatever its guest did. */
bool console_port_possible(unsigned id, const struct console_port *port);

#endif
