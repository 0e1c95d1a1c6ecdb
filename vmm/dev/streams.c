/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/dev/streams.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define CLIENT_PATIENCE 5000000000ull /* ns */

/* ---- output ---- */

static void tail_add(struct streams *streams, const char *data, size_t len)
{
	if (len > STREAM_TAIL) {
		data += len - STREAM_TAIL;
		len = STREAM_TAIL;
	}
	for (size_t i = 0; i < len; i++)
		streams->tail[(streams->tail_end + i) % STREAM_TAIL] = data[i];
	streams->tail_end += len;
	if (streams->tail_end >= 2 * STREAM_TAIL) /* keeps its remainder and "is full" for ever */
		streams->tail_end = STREAM_TAIL + streams->tail_end % STREAM_TAIL;
}

void streams_note(struct streams *streams, const char *data, unsigned size)
{
	const struct iovec part = { (void *)data, size };

	tail_add(streams, data, size);
	logfile_write(&streams->log, &part, 1);
}

unsigned streams_tail(const struct streams *streams, char *tail, unsigned size)
{
	unsigned n = streams->tail_end < STREAM_TAIL ? streams->tail_end : STREAM_TAIL;

	n = n < size ? n : size;
	for (unsigned i = 0; i < n; i++)
		tail[i] = streams->tail[(streams->tail_end - n + i) % STREAM_TAIL];
	return n;
}

/* Writes to one outlet what it lacks of the chain. 0: it has all; -EAGAIN; or a negative errno: it is dead. */
static int outlet_feed(const struct output *output, const struct outlet *outlet, uint32_t *done)
{
	uint32_t start = 0;

	for (unsigned i = 0; i < output->parts; start += output->part[i++].iov_len) {
		const struct iovec *part = &output->part[i];

		while (*done < start + part->iov_len) {
			ssize_t n = sink_write(&outlet->sink, (char *)part->iov_base + (*done - start),
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

/* A reader that has gone is the program's affair (EPIPE); a disk that is full loses what nobody else will ever tell of. */
static void output_die(struct streams *streams, struct output *output, int err)
{
	char why[64];

	if (err != -EPIPE && err != -ECONNRESET) {
		snprintf(why, sizeof(why), LV_OUTPUT_LOST "%s", strerror(-err));
		device_note(&streams->device, why);
	}
	loop_update(streams->device.set->loop, &output->outlet.watch, 0);
	sink_close(&output->outlet.sink);
	streams->ops->output_died(streams, output);
}

static void input_close(struct streams *streams, struct input *input)
{
	loop_update(streams->device.set->loop, &input->watch, 0);
	source_close(&input->source);
}

static bool client_here(const struct client *client)
{
	return client->outlet.sink.kind != SINK_NONE;
}

static void client_drop(struct streams *streams, struct client *client)
{
	if (!client_here(client))
		return;
	loop_update(streams->device.set->loop, &client->outlet.watch, 0);
	loop_timer_set(streams->device.set->loop, &client->patience, 0);
	input_close(streams, &client->input);
	sink_close(&client->outlet.sink);
}

/* A client holds up one output, or several. */
static bool client_owed(const struct streams *streams, unsigned index)
{
	for (unsigned i = 0; i < streams->outputs; i++)
		if (streams->output[i].busy && streams->output[i].client_done[index] < streams->output[i].total)
			return true;
	return false;
}

static void client_wait(struct streams *streams, unsigned index)
{
	struct loop *loop = streams->device.set->loop;
	struct client *client = &streams->client[index];
	bool owed = client_owed(streams, index);

	if (!owed)
		loop_timer_set(loop, &client->patience, 0);
	else if (!client->outlet.watch.armed)
		loop_timer_set(loop, &client->patience, clock_now() + CLIENT_PATIENCE);
	loop_update(loop, &client->outlet.watch, owed ? EPOLLOUT : 0);
}

static bool feed_clients(struct streams *streams, struct output *output)
{
	bool all = true;

	for (unsigned i = 0; i < STREAM_CLIENTS; i++) {
		struct client *client = &streams->client[i];
		int r = client_here(client) ? outlet_feed(output, &client->outlet, &output->client_done[i]) : 0;

		if (r == -EAGAIN)
			all = false;
		else if (r)
			client_drop(streams, client);
		if (client_here(client))
			client_wait(streams, i);
	}
	return all;
}

/* True if every sink has all of the chain. */
static bool output_feed(struct streams *streams, struct output *output)
{
	int r = outlet_feed(output, &output->outlet, &output->done);
	bool clients = feed_clients(streams, output);

	if (r && r != -EAGAIN) {
		output_die(streams, output, r);
		r = 0;
	}
	if (output->outlet.sink.kind != SINK_NONE)
		loop_update(streams->device.set->loop, &output->outlet.watch, r == -EAGAIN ? EPOLLOUT : 0);
	return !r && clients;
}

/* The log and the tail take a chain at once, when it is first taken. */
static void output_begin(struct streams *streams, struct output *output)
{
	output->done = 0;
	memset(output->client_done, 0, sizeof(output->client_done));
	for (unsigned i = 0; i < output->parts; i++)
		tail_add(streams, output->part[i].iov_base, output->part[i].iov_len);
	logfile_write(&streams->log, output->part, output->parts);
	if (streams->log.full)
		device_note(&streams->device, "no room for the console log: older output was dropped");
}

/* The guest may have changed it meanwhile: nobody has got more of it than there is. */
static void output_resume(struct output *output)
{
	output->rewound = false;
	output->done = output->done < output->total ? output->done : output->total;
	for (unsigned i = 0; i < STREAM_CLIENTS; i++)
		output->client_done[i] = output->client_done[i] < output->total ? output->client_done[i] : output->total;
}

static bool output_take(struct streams *streams, struct output *output)
{
	struct chain *chain = &streams->device.set->chain;

	if (!device_pop(&streams->device, output->queue, chain))
		return false;
	if (chain->readable > STREAM_OUT_SIZE) {
		device_break(&streams->device, "console output in more parts than its queue has entries");
		return false;
	}
	output->head = chain->head;
	output->parts = chain->readable;
	output->total = chain->read_len;
	memcpy(output->part, chain->iov, chain->readable * sizeof(*chain->iov));
	if (output->rewound)
		output_resume(output);
	else
		output_begin(streams, output);
	return true;
}

bool streams_output(struct streams *streams, struct output *output)
{
	bool free = true;

	for (unsigned n = 0; n < STREAM_OUT_SIZE && !streams->paused; n++) {
		if (!output->busy)
			output->busy = output_take(streams, output);
		if (!output->busy)
			break;
		free = output_feed(streams, output);
		if (!free)
			break;
		output->busy = false;
		device_push(&streams->device, output->queue, output->head, 0);
	}
	device_publish(&streams->device, output->queue);
	return free;
}

static void feed_again(struct streams *streams)
{
	for (unsigned i = 0; i < streams->outputs; i++)
		if (streams->output[i].busy)
			device_run(&streams->device, streams->output[i].queue);
}

static void outlet_ready(void *context, uint32_t events)
{
	struct outlet *outlet = context;
	struct streams *streams = outlet->streams;

	loop_update(streams->device.set->loop, &outlet->watch, 0);
	feed_again(streams);
}

static void patience_over(void *context)
{
	struct client *client = context;
	struct streams *streams = client->outlet.streams;

	client_drop(streams, client);
	feed_again(streams);
}

/* ---- input ---- */

/* The newest client that brought a stdin, else the monitor's own; NULL if that is not meant for this queue. */
static struct input *input_source(struct streams *streams)
{
	for (unsigned i = STREAM_CLIENTS; i-- > 0;)
		if (client_here(&streams->client[i]) && streams->client[i].input.source.fd >= 0)
			return &streams->client[i].input;
	return streams->own_input ? &streams->input : NULL;
}

bool streams_input_ended(struct streams *streams)
{
	const struct input *source = input_source(streams);

	return source && (source->ended || source->source.fd < 0);
}

bool streams_watch_input(struct streams *streams, bool wanted)
{
	struct loop *loop = streams->device.set->loop;
	struct input *source = input_source(streams);
	bool watched = wanted && !streams->paused && source && !source->ended && source->source.fd >= 0;

	if (streams->input.watch.armed && source != &streams->input)
		loop_update(loop, &streams->input.watch, 0);
	for (unsigned i = 0; i < STREAM_CLIENTS; i++)
		if (streams->client[i].input.watch.armed && source != &streams->client[i].input)
			loop_update(loop, &streams->client[i].input.watch, 0);
	if (source)
		loop_update(loop, &source->watch, watched ? EPOLLIN : 0);
	return watched;
}

/* A client leaves the rest to whoever was stdin before it. */
static void input_end(struct streams *streams, struct input *input)
{
	if (input != &streams->input) {
		input_close(streams, input);
		return;
	}
	input->ended = !isatty(input->source.fd);
	streams->ops->input_ended(streams);
}

static void input_ready(void *context, uint32_t events)
{
	struct input *input = context;
	struct streams *streams = input->streams;
	struct chain *chain = &streams->device.set->chain;
	unsigned queue = streams->input_queue;
	ssize_t n;

	if (!device_pop(&streams->device, queue, chain)) {
		streams_watch_input(streams, false);
		return;
	}
	n = source_read(&input->source, chain_writable(chain), chain->writable);
	if (n > 0) {
		device_push(&streams->device, queue, chain->head, n);
		device_publish(&streams->device, queue);
		if (streams->ops->typed)
			streams->ops->typed(streams);
	} else {
		device_unpop(&streams->device, queue, chain->read_len);
		if (n == -EAGAIN) /* another reader was quicker: more will come */
			return;
		input_end(streams, input);
	}
	device_run(&streams->device, queue);
}

/* ---- life ---- */

static void input_init(struct streams *streams, struct input *input)
{
	*input = (struct input){ .streams = streams, .source.fd = -1 };
	input->watch = (struct loop_watch){ .fd = -1, .ready = input_ready, .context = input };
}

static void outlet_init(struct streams *streams, struct outlet *outlet)
{
	*outlet = (struct outlet){ .streams = streams, .sink.fd = -1 };
	outlet->watch = (struct loop_watch){ .fd = -1, .ready = outlet_ready, .context = outlet };
}

void streams_init(struct streams *streams, const struct stream_ops *ops, unsigned input_queue, int in, bool own, int log)
{
	streams->ops = ops;
	streams->input_queue = input_queue;
	streams->own_input = true;
	input_init(streams, &streams->input);
	(own ? source_take : source_open)(&streams->input.source, in);
	streams->input.watch.fd = streams->input.source.fd;
	for (unsigned i = 0; i < STREAM_CLIENTS; i++) {
		input_init(streams, &streams->client[i].input);
		outlet_init(streams, &streams->client[i].outlet);
		streams->client[i].patience = (struct loop_timer){ .fire = patience_over, .context = &streams->client[i] };
	}
	logfile_init(&streams->log, log);
}

struct output *streams_add_output(struct streams *streams, unsigned queue, int fd, bool own)
{
	struct output *output = &streams->output[streams->outputs++];

	output->queue = queue;
	outlet_init(streams, &output->outlet);
	(own ? sink_take : sink_open)(&output->outlet.sink, fd);
	output->outlet.watch.fd = output->outlet.sink.fd;
	return output;
}

struct output *streams_find_output(struct streams *streams, unsigned queue)
{
	for (unsigned i = 0; i < streams->outputs; i++)
		if (streams->output[i].queue == queue)
			return &streams->output[i];
	return NULL;
}

void streams_fini(struct streams *streams)
{
	for (unsigned i = 0; i < STREAM_CLIENTS; i++)
		client_drop(streams, &streams->client[i]);
	input_close(streams, &streams->input);
	for (unsigned i = 0; i < streams->outputs; i++) {
		loop_update(streams->device.set->loop, &streams->output[i].outlet.watch, 0);
		sink_close(&streams->output[i].outlet.sink);
	}
	if (streams->log.fd >= 0)
		close(streams->log.fd);
}

void streams_pause(struct streams *streams, bool on)
{
	struct device *device = &streams->device;

	streams->paused = on;
	if (on) {
		streams_watch_input(streams, false);
		for (unsigned i = 0; i < streams->outputs; i++)
			loop_update(device->set->loop, &streams->output[i].outlet.watch, 0);
		for (unsigned i = 0; i < STREAM_CLIENTS; i++) {
			loop_update(device->set->loop, &streams->client[i].outlet.watch, 0);
			loop_timer_set(device->set->loop, &streams->client[i].patience, 0);
		}
		return;
	}
	for (unsigned i = 0; i < device->queues; i++)
		device_run(device, i);
}

void streams_reset(struct streams *streams)
{
	streams_watch_input(streams, false);
	for (unsigned i = 0; i < streams->outputs; i++)
		streams->output[i].busy = streams->output[i].rewound = false;
}

void streams_quiesce(struct streams *streams)
{
	for (unsigned i = 0; i < streams->outputs; i++) {
		struct output *output = &streams->output[i];

		if (!output->busy)
			continue;
		device_unpop(&streams->device, output->queue, output->total);
		output->busy = false;
		output->rewound = true;
	}
}

bool streams_drain(struct streams *streams)
{
	bool done = true;

	for (unsigned i = 0; i < streams->outputs; i++) {
		struct output *output = &streams->output[i];

		device_run(&streams->device, output->queue);
		if (output->busy || queue_ready(&streams->device.queue[output->queue]))
			done = false;
	}
	return done;
}

static void client_take(struct streams *streams, struct client *client, int in, int out)
{
	unsigned index = client - streams->client;

	/* It begins with the next chain: half of a chain would be half of a line. */
	for (unsigned o = 0; o < streams->outputs; o++)
		streams->output[o].client_done[index] = streams->output[o].total;
	outlet_init(streams, &client->outlet);
	sink_take(&client->outlet.sink, out);
	client->outlet.watch.fd = out;
	input_init(streams, &client->input);
	source_take(&client->input.source, in);
	client->input.watch.fd = in;
}

int streams_attach(struct streams *streams, int in, int out)
{
	struct client *client = streams->client;

	if (out < 0)
		return -EBADF;
	while (client < streams->client + STREAM_CLIENTS && client_here(client))
		client++;
	if (client == streams->client + STREAM_CLIENTS)
		return -ENOSPC;
	client_take(streams, client, in, out);
	device_run(&streams->device, streams->input_queue);
	return 0;
}
