/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console: stdin, stdout and stderr of the program. Output goes to the monitor's own descriptors, to the log and to
 * attached clients; a chain returns to the guest once all of them have it, so a blocked reader blocks the guest and no
 * byte is lost or overtaken. Only a client that takes nothing for CLIENT_PATIENCE is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/device.h"
#include "vmm/host/logfile.h"
#include "vmm/host/sink.h"

#define CLIENTS 4
#define STDIN_SIZE 8
#define OUT_SIZE 32
#define TAIL 2048
#define CLIENT_PATIENCE 5000000000ull /* ns */
#define NS_PER_S 1000000000ull

struct console;

struct sink { /* one place where output goes */
	struct console *console;
	int fd;
	enum sink_kind kind;
	struct loop_watch watch;
};

struct output { /* stdout or stderr */
	struct sink sink;
	bool busy; /* a chain was taken and has not reached every sink */
	uint16_t head;
	unsigned parts;
	struct iovec part[OUT_SIZE];
	uint32_t total;
	uint32_t done;             /* bytes that sink took */
	uint32_t client_done[CLIENTS];
};

struct input {
	struct console *console;
	int fd; /* -1: none */
	bool ended;
	struct loop_watch watch;
};

struct client {
	struct input input;
	struct sink sink; /* kind SINK_NONE: free */
	uint64_t patience_ends; /* while it is blocked: monotonic ns */
};

struct console {
	struct device device;
	bool paused;
	struct input input;
	struct output output[2];
	struct client client[CLIENTS];
	struct loop_timer patience;
	struct logfile log;
	unsigned tail_end; /* bytes ever written to tail */
	char tail[TAIL];
};

static struct console *console_of(struct device *device)
{
	return (struct console *)device;
}

static unsigned out_queue(const struct console *console, const struct output *output)
{
	return LV_CONSOLE_STDOUT + (output - console->output);
}

/* ---- output ---- */

static void tail_add(struct console *console, const char *data, size_t len)
{
	if (len > TAIL) {
		data += len - TAIL;
		len = TAIL;
	}
	for (size_t i = 0; i < len; i++)
		console->tail[(console->tail_end + i) % TAIL] = data[i];
	console->tail_end += len;
	if (console->tail_end >= 2 * TAIL) /* keeps its remainder and "is full" for ever */
		console->tail_end = TAIL + console->tail_end % TAIL;
}

unsigned console_tail(const struct device *device, char *tail, unsigned size)
{
	const struct console *console = (const struct console *)device;
	unsigned n = console->tail_end < TAIL ? console->tail_end : TAIL;

	n = n < size ? n : size;
	for (unsigned i = 0; i < n; i++)
		tail[i] = console->tail[(console->tail_end - n + i) % TAIL];
	return n;
}

/* Writes to one sink what it lacks of the chain. 0: it has all; -EAGAIN; or a negative errno: it is dead. */
static int sink_feed(const struct output *output, const struct sink *sink, uint32_t *done)
{
	uint32_t start = 0;

	for (unsigned i = 0; i < output->parts; start += output->part[i++].iov_len) {
		const struct iovec *part = &output->part[i];

		while (*done < start + part->iov_len) {
			ssize_t n = sink_write(sink->fd, sink->kind, (char *)part->iov_base + (*done - start),
					       start + part->iov_len - *done);

			if (n == -EINTR)
				continue;
			if (n <= 0)
				return n ? n : -EIO;
			*done += n;
		}
	}
	return 0;
}

/* The reader of a stream has gone. The guest learns it from its device page at the next write. */
static void output_die(struct console *console, struct output *output)
{
	unsigned stream = out_queue(console, output);
	struct lv_device *entry = console->device.entry;

	loop_update(console->device.set->loop, &output->sink.watch, 0);
	output->sink.kind = SINK_NONE;
	if (entry)
		__atomic_store_n(&entry->config.console.stream[stream], LV_STREAM_BROKEN, __ATOMIC_RELAXED);
}

static void input_close(struct console *console, struct input *input)
{
	loop_update(console->device.set->loop, &input->watch, 0);
	if (input->fd >= 0)
		close(input->fd);
	input->fd = -1;
}

static void client_drop(struct console *console, struct client *client)
{
	if (client->sink.kind == SINK_NONE)
		return;
	loop_update(console->device.set->loop, &client->sink.watch, 0);
	input_close(console, &client->input);
	close(client->sink.fd);
	client->sink.fd = -1;
	client->sink.kind = SINK_NONE;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static bool feed_clients(struct console *console, struct output *output)
{
	struct loop *loop = console->device.set->loop;
	bool all = true;

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *client = &console->client[i];
		int r = client->sink.kind == SINK_NONE ? 0 : sink_feed(output, &client->sink, &output->client_done[i]);

		if (r == -EAGAIN)
			all = false;
		else if (r)
			client_drop(console, client);
		if (client->sink.kind == SINK_NONE)
			continue;
		if (r == -EAGAIN && !client->sink.watch.armed) {
			client->patience_ends = now_ns() + CLIENT_PATIENCE;
			loop_timer_set(loop, &console->patience, client->patience_ends);
		}
		loop_update(loop, &client->sink.watch, r == -EAGAIN ? EPOLLOUT : 0);
	}
	return all;
}

/* True if every sink has all of the chain. */
static bool output_feed(struct console *console, struct output *output)
{
	int r = sink_feed(output, &output->sink, &output->done);
	bool clients = feed_clients(console, output);

	if (r && r != -EAGAIN) {
		output_die(console, output);
		r = 0;
	}
	if (output->sink.kind != SINK_NONE)
		loop_update(console->device.set->loop, &output->sink.watch, r == -EAGAIN ? EPOLLOUT : 0);
	return !r && clients;
}

/* The log and the tail take a chain at once, when it is taken. */
static bool output_take(struct console *console, struct output *output)
{
	struct chain *chain = &console->device.set->chain;

	if (!device_pop(&console->device, out_queue(console, output), chain))
		return false;
	output->head = chain->head;
	output->parts = chain->readable;
	output->total = chain->read_len;
	output->done = 0;
	memset(output->client_done, 0, sizeof(output->client_done));
	memcpy(output->part, chain->iov, chain->readable * sizeof(*chain->iov));
	for (unsigned i = 0; i < output->parts; i++) {
		tail_add(console, output->part[i].iov_base, output->part[i].iov_len);
		logfile_write(&console->log, output->part[i].iov_base, output->part[i].iov_len);
	}
	return true;
}

/* False: some sink is blocked. */
static bool output_process(struct console *console, struct output *output)
{
	unsigned queue = out_queue(console, output);
	bool free = true;

	for (unsigned n = 0; n < OUT_SIZE && !console->paused; n++) {
		if (!output->busy)
			output->busy = output_take(console, output);
		if (!output->busy)
			break;
		free = output_feed(console, output);
		if (!free)
			break;
		output->busy = false;
		device_push(&console->device, queue, output->head, 0);
	}
	device_publish(&console->device, queue);
	return free;
}

static void sink_ready(void *context, uint32_t events)
{
	struct sink *sink = context;
	struct console *console = sink->console;

	/* A client holds up either stream, or both. */
	loop_update(console->device.set->loop, &sink->watch, 0);
	for (unsigned i = 0; i < 2; i++)
		if (console->output[i].busy)
			device_run(&console->device, LV_CONSOLE_STDOUT + i);
}

static void patience_over(void *context)
{
	struct console *console = context;
	uint64_t now = now_ns();

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *client = &console->client[i];

		if (!client->sink.watch.armed)
			continue;
		if (client->patience_ends <= now)
			client_drop(console, client);
		else
			loop_timer_set(console->device.set->loop, &console->patience, client->patience_ends);
	}
	for (unsigned i = 0; i < 2; i++)
		if (console->output[i].busy)
			device_run(&console->device, LV_CONSOLE_STDOUT + i);
}

/* ---- input ---- */

/* The newest client that brought a stdin, else the monitor's own. */
static struct input *input_source(struct console *console)
{
	for (unsigned i = CLIENTS; i-- > 0;)
		if (console->client[i].sink.kind != SINK_NONE && console->client[i].input.fd >= 0)
			return &console->client[i].input;
	return &console->input;
}

/* Watches the one descriptor that stdin comes from, and only while the guest wants input. */
static void input_watch(struct console *console, bool wanted)
{
	struct loop *loop = console->device.set->loop;
	struct input *source = input_source(console);

	if (console->input.watch.armed && source != &console->input)
		loop_update(loop, &console->input.watch, 0);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (console->client[i].input.watch.armed && source != &console->client[i].input)
			loop_update(loop, &console->client[i].input.watch, 0);
	loop_update(loop, &source->watch, wanted ? EPOLLIN : 0);
}

static void push_input(struct console *console, uint16_t head, uint32_t len)
{
	device_push(&console->device, LV_CONSOLE_STDIN, head, len);
	device_publish(&console->device, LV_CONSOLE_STDIN);
}

static bool has_ended(struct console *console)
{
	struct input *source = input_source(console);

	return source->ended || source->fd < 0;
}

/* True: wants a doorbell for the next buffer, as there is none now. */
static bool input_process(struct console *console)
{
	struct chain *chain = &console->device.set->chain;
	bool wanted;

	for (unsigned n = 0; has_ended(console) && n < STDIN_SIZE && device_pop(&console->device, LV_CONSOLE_STDIN, chain); n++)
		push_input(console, chain->head, 0);
	wanted = !console->paused && !has_ended(console) && queue_ready(&console->device.queue[LV_CONSOLE_STDIN]);
	input_watch(console, wanted);
	return !wanted;
}

static void client_input_ended(struct console *console, struct input *input)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (&console->client[i].input == input)
			input_close(console, input);
}

static void input_ready(void *context, uint32_t events)
{
	struct input *input = context;
	struct console *console = input->console;
	struct chain *chain = &console->device.set->chain;
	ssize_t n;

	if (!device_pop(&console->device, LV_CONSOLE_STDIN, chain)) {
		input_watch(console, false);
		return;
	}
	n = readv(input->fd, chain_writable(chain), chain->writable);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		queue_unpop(&console->device.queue[LV_CONSOLE_STDIN], 1);
		return;
	}
	if (n > 0 || input == &console->input) {
		input->ended = n <= 0 && !isatty(input->fd);
		push_input(console, chain->head, n > 0 ? n : 0);
	} else {
		queue_unpop(&console->device.queue[LV_CONSOLE_STDIN], 1);
		client_input_ended(console, input);
	}
	device_run(&console->device, LV_CONSOLE_STDIN);
}

/* ---- device operations ---- */

static void input_init(struct console *console, struct input *input, int fd)
{
	*input = (struct input){ .console = console, .fd = fd };
	input->watch = (struct loop_watch){ .fd = fd, .ready = input_ready, .context = input };
}

static void sink_init(struct console *console, struct sink *sink, int fd)
{
	*sink = (struct sink){ .console = console, .fd = fd, .kind = sink_kind(fd) };
	sink->watch = (struct loop_watch){ .fd = fd, .ready = sink_ready, .context = sink };
}

static int console_init(struct device *device, const struct device_config *config)
{
	struct console *console = console_of(device);

	input_init(console, &console->input, sink_kind(config->console.in) == SINK_NONE ? -1 : config->console.in);
	sink_init(console, &console->output[0].sink, config->console.out);
	sink_init(console, &console->output[1].sink, config->console.err);
	for (unsigned i = 0; i < CLIENTS; i++) {
		input_init(console, &console->client[i].input, -1);
		sink_init(console, &console->client[i].sink, -1);
	}
	logfile_init(&console->log, config->console.log);
	console->patience = (struct loop_timer){ .watch.fd = -1, .fire = patience_over, .context = console };
	return 0;
}

static uint32_t stream_flags(const struct console *console, int fd, bool output)
{
	if (fd < 0)
		return output && console->log.fd >= 0 ? 0 : LV_STREAM_CLOSED;
	struct stat st;
	if (!output && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return LV_STREAM_FILE;
	return isatty(fd) ? LV_STREAM_TTY : 0;
}

/* True if both descriptors lead to the same file, so that the order of writes to them can be seen by its reader. */
static bool same_file(int a, int b)
{
	struct stat sa, sb;

	if (a < 0 || b < 0)
		return a < 0 && b < 0;
	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static void console_describe(struct device *device, struct lv_device *entry)
{
	struct console *console = console_of(device);
	struct lv_console_config *config = &entry->config.console;
	int out = console->output[0].sink.kind == SINK_NONE ? -1 : console->output[0].sink.fd;
	int err = console->output[1].sink.kind == SINK_NONE ? -1 : console->output[1].sink.fd;
	struct winsize size;

	config->stream[0] = stream_flags(console, console->input.fd, false);
	config->stream[1] = stream_flags(console, out, true);
	config->stream[2] = stream_flags(console, err, true);
	if (!(config->stream[2] & LV_STREAM_CLOSED) && same_file(out, err))
		config->stream[2] |= LV_STREAM_SAME;
	if ((config->stream[1] & LV_STREAM_TTY) && ioctl(out, TIOCGWINSZ, &size) == 0) {
		config->rows = size.ws_row;
		config->columns = size.ws_col;
	}
}

static int console_start(struct device *device)
{
	return 0; /* stdin is watched once the guest wants input, outputs once they block */
}

static bool console_process(struct device *device, unsigned queue)
{
	struct console *console = console_of(device);

	if (queue == LV_CONSOLE_STDIN)
		return input_process(console);
	return output_process(console, &console->output[queue - LV_CONSOLE_STDOUT]);
}

static void console_pause(struct device *device, bool on)
{
	struct console *console = console_of(device);

	console->paused = on;
	if (on) {
		input_watch(console, false);
		for (unsigned i = 0; i < 2; i++)
			loop_update(device->set->loop, &console->output[i].sink.watch, 0);
		for (unsigned i = 0; i < CLIENTS; i++)
			loop_update(device->set->loop, &console->client[i].sink.watch, 0);
		return;
	}
	for (unsigned i = 0; i < device->ops->queues; i++)
		device_run(device, i);
}

static void console_reset(struct device *device)
{
	struct console *console = console_of(device);

	console->output[0].busy = console->output[1].busy = false;
}

static bool console_drain(struct device *device)
{
	struct console *console = console_of(device);
	bool done = true;

	for (unsigned i = 0; i < 2; i++) {
		device_run(device, LV_CONSOLE_STDOUT + i);
		if (console->output[i].busy || queue_ready(&device->queue[LV_CONSOLE_STDOUT + i]))
			done = false;
	}
	return done;
}

static void console_free(struct device *device)
{
	struct console *console = console_of(device);

	loop_timer_fini(device->set->loop, &console->patience);
	for (unsigned i = 0; i < CLIENTS; i++)
		client_drop(console, &console->client[i]);
	if (console->log.fd >= 0)
		close(console->log.fd);
}

int console_attach(struct device *device, int in, int out)
{
	struct console *console = console_of(device);

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *client = &console->client[i];

		if (client->sink.kind != SINK_NONE)
			continue;
		sink_init(console, &client->sink, out);
		if (client->sink.kind == SINK_NONE)
			return -EBADF;
		/* It begins with the next chain: half of a chain would be half of a line. */
		for (unsigned o = 0; o < 2; o++)
			console->output[o].client_done[i] = console->output[o].total;
		input_init(console, &client->input, in);
		device_run(device, LV_CONSOLE_STDIN);
		return 0;
	}
	return -ENOSPC;
}

const struct device_ops console_ops = {
	.type = LV_DEV_CONSOLE,
	.name = "console",
	.failure = "console",
	.size = sizeof(struct console),
	.queues = 3,
	.queue_size = { STDIN_SIZE, OUT_SIZE, OUT_SIZE },
	.init = console_init,
	.describe = console_describe,
	.start = console_start,
	.process = console_process,
	.pause = console_pause,
	.reset = console_reset,
	.drain = console_drain,
	.free = console_free,
};
