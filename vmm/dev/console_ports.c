/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of Linux guests (virtio 1.2, section 5.3, with MULTIPORT): port 0 is the terminal /dev/hvc0; the program's
 * streams are ports that PID 1 finds by name. Each stream has a port of its own because Linux blocks writes to a port whose
 * host side is closed, and a closed host side is how the end of stdin, or a reader that has gone, is told.
 */
#include <errno.h>
#include <linux/virtio_console.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/dev/console_kind.h"

enum { PORT_TERMINAL, PORT_STDIN, PORT_STDOUT, PORT_STDERR, PORTS };
static_assert(PORTS == CONSOLE_PORTS, "as many as there is room for");
#define CONTROL_RX 2 /* host to guest */
#define CONTROL_TX 3
#define CONTROL_SIZE 8
#define NAME_MAX_SIZE 16

enum { /* messages that a port still has to get, in the order in which it gets them */
	TELL_ADD = 1,
	TELL_CONSOLE = 2,
	TELL_OPEN = 4, /* before the name: who sees a name may rely on the port being connected */
	TELL_NAME = 8,
	TELL_SIZE = 16,
	TELLS = 5, /* of them */
};

struct message {
	struct virtio_console_control head;
	char more[NAME_MAX_SIZE];
	unsigned size;
};

static const char *const port_name[PORTS] = { NULL, "lightvm.stdin", "lightvm.stdout", "lightvm.stderr" };

/* Ports 0, 1, 2 ... have the queues 0/1, 4/5, 6/7 ...: behind those of port 0 lie those of control. */
static unsigned rx_queue(unsigned port)
{
	return port ? 2 * port + 2 : 0;
}

static unsigned tx_queue(unsigned port)
{
	return rx_queue(port) + 1;
}

static unsigned port_of_queue(unsigned queue)
{
	return queue < CONTROL_RX ? PORT_TERMINAL : queue / 2 - 1;
}

static bool multiport(const struct console *console)
{
	return console->streams.device.features & 1ull << VIRTIO_CONSOLE_F_MULTIPORT;
}

/* ---- control: to the guest ---- */

static struct message message_make(const struct console *console, unsigned id, unsigned what)
{
	/* As in section 5.3.6.2. Linux before 6.15, unless its distribution took the repair, reads rows first. */
	uint16_t size[2] = { console->columns, console->rows };
	struct message message = { .head = { .id = id, .value = 1 }, .size = sizeof(message.head) };

	switch (what) {
	case TELL_ADD:
		message.head.event = VIRTIO_CONSOLE_PORT_ADD;
		break;
	case TELL_CONSOLE:
		message.head.event = VIRTIO_CONSOLE_CONSOLE_PORT;
		break;
	case TELL_OPEN:
		message.head.event = VIRTIO_CONSOLE_PORT_OPEN;
		message.head.value = console->port[id].host_open;
		break;
	case TELL_NAME:
		message.head.event = VIRTIO_CONSOLE_PORT_NAME;
		strcpy(message.more, port_name[id]);
		message.size += strlen(port_name[id]);
		break;
	default:
		message.head.event = VIRTIO_CONSOLE_RESIZE;
		memcpy(message.more, size, sizeof(size));
		message.size += sizeof(size);
	}
	return message;
}

static bool tell(struct console *console, unsigned id, unsigned what)
{
	struct device *device = &console->streams.device;
	struct chain *chain = &device->set->chain;
	struct message message = message_make(console, id, what);

	if (!device_pop(device, CONTROL_RX, chain))
		return false;
	device_push(device, CONTROL_RX, chain->head, chain_copy_out(chain, 0, &message, message.size));
	console->port[id].tell &= ~what;
	return true;
}

/* True: there is more to tell than there were buffers. */
static bool tell_all(struct console *console)
{
	bool more = false;

	for (unsigned id = 0; id < PORTS && !more; id++)
		for (unsigned bit = 0; bit < TELLS && !more; bit++)
			if (console->port[id].tell & 1u << bit)
				more = !tell(console, id, 1u << bit);
	device_publish(&console->streams.device, CONTROL_RX);
	return more;
}

static void port_tell(struct console *console, unsigned id, unsigned what)
{
	if (!multiport(console))
		return;
	console->port[id].tell |= what;
	device_run(&console->streams.device, CONTROL_RX);
}

static void port_close(struct console *console, unsigned id)
{
	console->port[id].host_open = false;
	if (console->port[id].guest_ready)
		port_tell(console, id, TELL_OPEN);
}

/* ---- input ---- */

/* To the program where it is wanted, else to the terminal. The monitor's own stdin waits for its port. */
static void choose_input(struct console *console)
{
	struct streams *streams = &console->streams;
	unsigned home = console->terminal ? PORT_TERMINAL : PORT_STDIN;
	unsigned port = console->port[home].guest_open ? home : PORT_TERMINAL;

	streams_watch_input(streams, false);
	streams->input_queue = rx_queue(port);
	streams->own_input = port == home;
}

static void direct_input(struct console *console)
{
	choose_input(console);
	device_run(&console->streams.device, console->streams.input_queue);
}

static bool input_process(struct console *console, unsigned queue)
{
	struct streams *streams = &console->streams;
	bool open = console->port[port_of_queue(queue)].guest_open || !multiport(console);
	bool ready = queue_ready(&streams->device.queue[queue]);

	if (queue != streams->input_queue)
		return false;
	streams_watch_input(streams, ready && open);
	return !ready;
}

static void input_ended(struct streams *streams)
{
	struct console *console = (struct console *)streams;

	streams->input.ended = true; /* of a terminal too: what a port says of its end is final */
	if (!console->terminal)
		port_close(console, PORT_STDIN);
}

/* ---- control: from the guest ---- */

static void port_ready(struct console *console, unsigned id)
{
	console->port[id].guest_ready = true;
	if (id == PORT_TERMINAL)
		port_tell(console, id, TELL_CONSOLE | TELL_OPEN | (console->rows ? TELL_SIZE : 0));
	else
		port_tell(console, id, TELL_OPEN | TELL_NAME);
}

static void driver_ready(struct console *console)
{
	for (unsigned id = 0; id < PORTS; id++)
		port_tell(console, id, TELL_ADD);
}

/* What makes no sense is ignored: nothing here can hurt anybody but the guest. */
static void heard(struct console *console, const struct virtio_console_control *message)
{
	if (message->event == VIRTIO_CONSOLE_DEVICE_READY && message->value == 1)
		driver_ready(console);
	if (message->id >= PORTS)
		return;
	if (message->event == VIRTIO_CONSOLE_PORT_READY && message->value == 1)
		port_ready(console, message->id);
	if (message->event == VIRTIO_CONSOLE_PORT_OPEN) {
		console->port[message->id].guest_open = message->value;
		direct_input(console);
	}
}

static void control_process(struct console *console)
{
	struct device *device = &console->streams.device;
	struct chain *chain = &device->set->chain;

	for (unsigned n = 0; n < CONTROL_SIZE && device_pop(device, CONTROL_TX, chain); n++) {
		struct virtio_console_control message;
		bool whole = chain_copy_in(chain, 0, &message, sizeof(message)) == sizeof(message);

		device_push(device, CONTROL_TX, chain->head, 0);
		if (whole)
			heard(console, &message); /* takes other chains */
	}
	device_publish(device, CONTROL_TX);
}

/* Bytes that nobody asked for. */
static void discard(struct device *device, unsigned queue)
{
	struct chain *chain = &device->set->chain;

	for (unsigned n = 0; n < device->queue_size[queue] && device_pop(device, queue, chain); n++)
		device_push(device, queue, chain->head, 0);
	device_publish(device, queue);
}

/* ---- for the device ---- */

static void output_died(struct streams *streams, struct output *output)
{
	unsigned port = port_of_queue(output->queue);

	if (port != PORT_TERMINAL)
		port_close((struct console *)streams, port);
}

static void resize(struct streams *streams, uint16_t rows, uint16_t columns)
{
	struct console *console = (struct console *)streams;

	console->rows = rows;
	console->columns = columns;
	device_reconfigured(&streams->device);
	if (console->port[PORT_TERMINAL].guest_ready)
		port_tell(console, PORT_TERMINAL, TELL_SIZE);
}

static void read_size(struct console *console, int fd)
{
	struct winsize size;

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) < 0)
		return;
	console->rows = size.ws_row;
	console->columns = size.ws_col;
}

static bool process(struct streams *streams, unsigned queue)
{
	struct console *console = (struct console *)streams;
	struct output *output = streams_find_output(streams, queue);

	if (output)
		return streams_output(streams, output);
	if (queue == CONTROL_RX)
		return tell_all(console);
	if (queue == CONTROL_TX)
		control_process(console);
	else if (queue % 2)
		discard(&streams->device, queue);
	else
		return input_process(console, queue);
	return true;
}

static const struct stream_ops stream_ops = { output_died, input_ended, resize, process, NULL };

/* Linux fills the even ones with a page each: no more than is used. Counted as with the library OS, then the terminal both ways. */
static const struct {
	uint8_t size, slot;
} queues[2 * PORTS + 2] = {
	{ 4, 3 }, { STREAM_OUT_SIZE, 3 }, { CONTROL_SIZE, LV_MAX_QUEUES }, { CONTROL_SIZE, LV_MAX_QUEUES }, { STREAM_IN_SIZE, 0 },
	{ 2, LV_MAX_QUEUES }, { 2, LV_MAX_QUEUES }, { STREAM_OUT_SIZE, 1 }, { 2, LV_MAX_QUEUES }, { STREAM_OUT_SIZE, 2 },
};

void console_ports_init(struct console *console, const struct device_config *config)
{
	struct streams *streams = &console->streams;
	bool terminal = config->console.terminal;

	for (unsigned i = 0; i < sizeof(queues) / sizeof(*queues); i++)
		device_add_queue(&streams->device, queues[i].size, queues[i].slot);
	console->terminal = terminal;
	const unsigned own = config->console.own;
	streams_init(streams, &stream_ops, rx_queue(PORT_TERMINAL), config->console.in, own & CONSOLE_IN, config->console.log);
	streams->own_input = terminal;
	streams_add_output(streams, tx_queue(PORT_TERMINAL), terminal ? config->console.out : -1, own & CONSOLE_OUT);
	streams_add_output(streams, tx_queue(PORT_STDOUT), terminal ? -1 : config->console.out, own & CONSOLE_OUT);
	streams_add_output(streams, tx_queue(PORT_STDERR), terminal ? -1 : config->console.err, own & CONSOLE_ERR);
	for (unsigned id = 0; id < PORTS; id++)
		console->port[id].host_open = id != PORT_STDIN || (!terminal && streams->input.source.fd >= 0);
	if (terminal)
		read_size(console, config->console.out);
}

void console_ports_reset(struct console *console)
{
	for (unsigned id = 0; id < PORTS; id++)
		console->port[id] = (struct console_port){ .host_open = console->port[id].host_open };
	console->streams.input_queue = rx_queue(PORT_TERMINAL);
	console->streams.own_input = console->terminal;
}

bool console_port_possible(unsigned id, const struct console_port *port)
{
	return port->tell < 1u << TELLS && (port_name[id] || !(port->tell & TELL_NAME));
}

void console_ports_loaded(struct console *console, const struct console_port *port)
{
	for (unsigned id = 0; id < PORTS; id++) {
		bool here = console->port[id].host_open;

		console->port[id] = port[id];
		console->port[id].host_open = here;
		if (port[id].guest_ready && port[id].host_open != here)
			console->port[id].tell |= TELL_OPEN;
	}
	choose_input(console);
}
