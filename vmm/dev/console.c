/* SPDX-License-Identifier: Apache-2.0 */
/* The console device. Its two shapes have a file each; what is the same for both is here. */
#include <errno.h>
#include <linux/virtio_console.h>
#include <string.h>

#include "vmm/dev/console.h"
#include "vmm/dev/console_kind.h"
#include "vmm/state/stream.h"

static struct console *console_of(struct device *device)
{
	return (struct console *)device;
}

static int console_init(struct device *device, const struct device_config *config)
{
	if (config->console.multiport)
		console_ports_init(console_of(device), config);
	else
		console_page_init(console_of(device), config);
	return 0;
}

static int console_describe(struct device *device, struct lv_device *entry)
{
	console_page_describe(console_of(device), entry);
	return 0;
}

static uint64_t console_offer(const struct device *device)
{
	return 1ull << VIRTIO_CONSOLE_F_SIZE | 1ull << VIRTIO_CONSOLE_F_MULTIPORT;
}

static unsigned console_configuration(const struct device *device, uint8_t *space)
{
	const struct console *console = (const struct console *)device;
	struct virtio_console_config config = { .cols = console->columns, .rows = console->rows, .max_nr_ports = CONSOLE_PORTS };

	memcpy(space, &config, sizeof(config));
	return sizeof(config);
}

static int console_start(struct device *device)
{
	return 0; /* stdin is watched once the guest wants input, outputs once they block */
}

static bool console_process(struct device *device, unsigned queue)
{
	struct streams *streams = &console_of(device)->streams;

	return streams->ops->process(streams, queue);
}

static void console_pause(struct device *device, bool on)
{
	streams_pause(&console_of(device)->streams, on);
}

static void console_reset(struct device *device)
{
	streams_reset(&console_of(device)->streams);
	console_ports_reset(console_of(device));
}

static bool console_drain(struct device *device)
{
	return streams_drain(&console_of(device)->streams);
}

/* ---- state ---- */

#define CONSOLE_TAG STREAM_TAG("CONS")
#define CONSOLE_VERSION 1

struct saved {
	uint32_t outputs, done[STREAM_OUTPUTS];
	uint16_t rows, columns;
	struct console_port port[CONSOLE_PORTS];
};

static void console_quiesce(struct device *device)
{
	streams_quiesce(&console_of(device)->streams);
}

/* Of output that is under way: how much of its chain has reached the reader. Clients stay behind. */
static int console_save(const struct device *device, struct stream *stream)
{
	const struct console *console = (const struct console *)device;

	stream_begin(stream, CONSOLE_TAG, CONSOLE_VERSION);
	stream_put32(stream, console->streams.outputs);
	for (unsigned i = 0; i < console->streams.outputs; i++)
		stream_put32(stream, console->streams.output[i].rewound ? console->streams.output[i].done : 0);
	stream_put16(stream, console->rows);
	stream_put16(stream, console->columns);
	for (unsigned i = 0; i < CONSOLE_PORTS; i++) {
		stream_put8(stream, console->port[i].guest_ready);
		stream_put8(stream, console->port[i].guest_open);
		stream_put8(stream, console->port[i].host_open);
		stream_put8(stream, console->port[i].tell);
	}
	return stream_end(stream);
}

static int read_saved(struct saved *saved, unsigned outputs, struct stream *stream)
{
	bool possible = true;

	stream_begin(stream, CONSOLE_TAG, CONSOLE_VERSION);
	saved->outputs = stream_get32(stream);
	for (unsigned i = 0; i < outputs; i++)
		saved->done[i] = stream_get32(stream);
	saved->rows = stream_get16(stream);
	saved->columns = stream_get16(stream);
	for (unsigned i = 0; i < CONSOLE_PORTS; i++) {
		struct console_port *port = &saved->port[i];

		port->guest_ready = stream_get_bool(stream);
		port->guest_open = stream_get_bool(stream);
		port->host_open = stream_get_bool(stream);
		port->tell = stream_get8(stream);
		possible &= console_port_possible(i, port);
	}
	int err = stream_end(stream);
	return err || (possible && saved->outputs == outputs) ? err : stream_refuse(stream);
}

static int console_load(struct device *device, struct stream *stream)
{
	struct console *console = console_of(device);
	struct saved saved;
	int err = read_saved(&saved, console->streams.outputs, stream);

	if (err)
		return err;
	for (unsigned i = 0; i < console->streams.outputs; i++) {
		console->streams.output[i].done = saved.done[i];
		console->streams.output[i].rewound = saved.done[i];
	}
	if (!console->rows) {
		console->rows = saved.rows;
		console->columns = saved.columns;
	}
	if (device->queues > LV_CONSOLE_STDERR + 1)
		console_ports_loaded(console, saved.port);
	return 0;
}

static void console_rights(const struct device *device, struct device_rights *rights)
{
	rights->descriptors += 2 * STREAM_CLIENTS;
}

static void console_free(struct device *device)
{
	streams_fini(&console_of(device)->streams);
}

/* ---- what others ask ---- */

int console_attach(struct device *device, int in, int out)
{
	return streams_attach(&console_of(device)->streams, in, out);
}

void console_note(struct device *device, const char *data, unsigned size)
{
	streams_note(&console_of(device)->streams, data, size);
}

unsigned console_tail(const struct device *device, char *tail, unsigned size)
{
	return streams_tail(&((const struct console *)device)->streams, tail, size);
}

int console_resize(struct device *device, uint16_t rows, uint16_t columns)
{
	struct streams *streams = &console_of(device)->streams;

	if (!rows || !columns)
		return -EINVAL;
	streams->ops->resize(streams, rows, columns);
	return 0;
}

_Static_assert(sizeof(struct console) <= DEVICE_SPARE, "what devices_prepare() keeps for it is large enough");

const struct device_ops console_ops = {
	.type = LV_DEV_CONSOLE,
	.name = "console",
	.failure = "console",
	.size = sizeof(struct console),
	.init = console_init,
	.describe = console_describe,
	.start = console_start,
	.process = console_process,
	.pause = console_pause,
	.reset = console_reset,
	.drain = console_drain,
	.quiesce = console_quiesce,
	.save = console_save,
	.load = console_load,
	.rights = console_rights,
	.offer = console_offer,
	.configuration = console_configuration,
	.free = console_free,
};
