/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"
#include "daemon/routes.h"

#define PIECE 32768 /* of text that is made ready for one reader */

struct events_state {
	struct events *events;
	struct event_pipe *pipes;
};

struct events *events_of(struct daemon *daemon)
{
	struct events_state *state = daemon_part_find(daemon, events_part.name);
	return state ? state->events : NULL;
}

void events_emit(struct daemon *daemon, enum event_type type, const char *vm, const char *name, json_t *attributes)
{
	struct events *events = events_of(daemon);
	if (events)
		events_add(events, type, vm, name, NULL, attributes);
	else
		json_decref(attributes);
}

/* ---- what a client may ask for ---- */

/* "a,b": each is a condition. */
static int add_list(struct event_filter *filter, const char *key, const char *list, struct error *error)
{
	char *copy = alloc_copy(list), *rest = copy, *word;
	int err = copy ? 0 : error_set(error, -ENOMEM, "out of memory");
	while (!err && (word = strsep(&rest, ",")))
		err = event_filter_add(filter, key, word, error);
	free(copy);
	return err;
}

static int parse_id(const char *what, const char *word, uint64_t *id, struct error *error)
{
	return number_parse(word, id) ? error_set(error, -EINVAL, "%s: \"%.60s\" is not the id of an event", what, word) : 0;
}

/* ---- as a server-sent stream ---- */

struct event_stream {
	struct api_stream stream;
	struct event_reader reader;
	struct text out;
	size_t at;   /* what of it has gone */
	bool follow; /* goes on when all that are kept have been said */
};

static void put_event(struct text *out, const struct event *event)
{
	text_format(out, "id: %llu\ndata: ", (unsigned long long)event->id);
	text_add(out, event->text, event->size);
	text_put(out, "\n\n");
}

static void put_line(struct text *out, const struct event *event)
{
	text_add(out, event->text, event->size);
	text_put(out, "\n");
}

/* What is new and fits, as put() writes it. */
static void fill(struct event_reader *reader, struct text *out, size_t room, void (*put)(struct text *out, const struct event *event))
{
	while (out->size < room) {
		struct event lost;
		struct text text = { 0 };
		const struct event *event = event_reader_next(reader, &lost, &text);
		if (event)
			put(out, event);
		text_free(&text);
		if (!event)
			return;
	}
}

static ssize_t stream_read(struct api_stream *base, char *to, size_t room)
{
	struct event_stream *stream = (struct event_stream *)base;
	struct text *out = &stream->out;
	if (stream->at == out->size) {
		out->size = stream->at = 0;
		fill(&stream->reader, out, room, put_event);
	}
	if (text_error(out))
		return API_STREAM_END;
	if (stream->at == out->size)
		return stream->follow && stream->reader.events ? 0 : API_STREAM_END;
	size_t n = out->size - stream->at < room ? out->size - stream->at : room;
	memcpy(to, out->data + stream->at, n);
	stream->at += n;
	return (ssize_t)n;
}

static void stream_free(struct api_stream *base)
{
	struct event_stream *stream = (struct event_stream *)base;
	event_reader_detach(&stream->reader);
	text_free(&stream->out);
	free(stream);
}

static void stream_news(void *context)
{
	struct event_stream *stream = context;
	if (stream->stream.wake)
		stream->stream.wake(stream->stream.transport, false);
}

static void stream_overtaken(void *context)
{
	struct event_stream *stream = context;
	if (stream->stream.wake)
		stream->stream.wake(stream->stream.transport, true);
}

/* A browser that comes back says with the header what it has had, and its address is still that of the beginning. */
static int begin(struct event_stream *stream, struct api_request *request, struct error *error)
{
	const char *word = request->last_event ? request->last_event : api_query(request, "after");
	uint64_t after = 0;
	struct events *events = events_of(request->daemon);
	int err = word ? parse_id(request->last_event ? "Last-Event-ID" : "after", word, &after, error) : 0;
	if (!err && (!events || event_reader_attach(&stream->reader, events)))
		err = error_set(error, -EAGAIN, "%d others follow the events already", EVENT_READERS);
	if (!err && word)
		event_reader_resume(&stream->reader, after);
	return err;
}

static int conditions(struct event_filter *filter, const struct api_request *request, struct error *error)
{
	static const char *const keys[] = { "vm", "type", "label" };
	int err = 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys) && !err; i++) {
		const char *value = api_query(request, keys[i]);
		if (value) /* a label may have a comma in it */
			err = strcmp(keys[i], "label") ? add_list(filter, keys[i], value, error) : event_filter_add(filter, keys[i], value, error);
	}
	return err;
}

static const char *const list_query[] = { "after", "follow", "vm", "type", "label", NULL };

static int follow_events(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct event_stream *stream = alloc_zero(sizeof(*stream));
	if (!stream)
		return error_set(error, -ENOMEM, "out of memory");
	stream->stream = (struct api_stream){ .type = "text/event-stream", .read = stream_read, .free = stream_free };
	stream->reader.wake = stream_news;
	stream->reader.overtaken = stream_overtaken;
	stream->reader.context = stream;
	stream->follow = true;
	int err = api_query(request, "follow") ? api_query_bool(request, "follow", &stream->follow, error) : 0;
	if (!err)
		err = conditions(&stream->reader.filter, request, error);
	if (!err)
		err = begin(stream, request, error);
	if (err) {
		event_filter_free(&stream->reader.filter);
		free(stream);
		return err;
	}
	/* So that the client sees that it is heard; and a browser comes back soon. */
	text_put(&stream->out, "retry: 1000\n\n");
	request->stream = &stream->stream;
	return 0;
}

const struct route routes_events[] = {
	{ .method = "GET", .path = "/v1/events", .operation = "followEvents", .query = list_query, .now = follow_events },
	{ 0 },
};

/* ---- through a pipe ---- */

struct event_pipe {
	struct daemon *daemon;
	struct event_pipe *next, **before;
	struct event_reader reader;
	struct loop_watch watch;
	struct text out;
	size_t at;
	bool follow;
};

static void pipe_close(struct event_pipe *pipe)
{
	if (pipe->watch.events)
		loop_update(&pipe->daemon->loop, &pipe->watch, 0);
	close(pipe->watch.fd);
	event_reader_detach(&pipe->reader);
	*pipe->before = pipe->next;
	if (pipe->next)
		pipe->next->before = pipe->before;
	text_free(&pipe->out);
	free(pipe);
}

/* True: all that there is was written, or as much as the pipe takes. */
static bool pump(struct event_pipe *pipe)
{
	struct text *out = &pipe->out;
	for (;;) {
		if (pipe->at == out->size) {
			out->size = pipe->at = 0;
			fill(&pipe->reader, out, PIECE, put_line);
		}
		if (text_error(out) || (!out->size && !pipe->follow))
			return false;
		if (!out->size)
			return !loop_update(&pipe->daemon->loop, &pipe->watch, EPOLLERR);
		ssize_t n = write(pipe->watch.fd, out->data + pipe->at, out->size - pipe->at);
		if (n < 0 && errno == EAGAIN)
			return !loop_update(&pipe->daemon->loop, &pipe->watch, EPOLLOUT);
		if (n < 0 && errno != EINTR)
			return false;
		pipe->at += n > 0 ? (size_t)n : 0;
	}
}

static void pipe_go_on(void *context)
{
	struct event_pipe *pipe = context;
	if (!pump(pipe))
		pipe_close(pipe);
}

static void pipe_overtaken(void *context)
{
	pipe_close(context);
}

static void pipe_ready(void *context, uint32_t events)
{
	struct event_pipe *pipe = context;
	if (events & EPOLLERR)
		pipe_close(pipe);
	else
		pipe_go_on(pipe);
}

/* {"after": ID, "since_ns": TIME, "follow": BOOL, "filter": ["KEY=VALUE", ...]}, each may be missing. */
static int read_wish(const json_t *wish, struct event_pipe *pipe, uint64_t *after, uint64_t *since_ns, struct error *error)
{
	static const char *const keys[] = { "after", "since_ns", "follow", "filter", NULL };
	const json_t *filter = json_object_get(wish, "filter");
	int err = api_body_keys(wish, keys, error);
	if (!err)
		err = api_body_number(wish, "after", 0, INT64_MAX, 0, after, error);
	if (!err)
		err = api_body_number(wish, "since_ns", 0, INT64_MAX, 0, since_ns, error);
	if (!err)
		err = api_body_bool(wish, "follow", true, &pipe->follow, error);
	for (size_t i = 0; i < json_array_size(filter) && !err; i++) {
		const char *word = json_string_value(json_array_get(filter, i)), *equals = word ? strchr(word, '=') : NULL;
		char *key = equals ? strndup(word, (size_t)(equals - word)) : NULL;
		err = key ? event_filter_add(&pipe->reader.filter, key, equals + 1, error)
			  : error_set(error, -EINVAL, "filter: \"%.60s\" is not KEY=VALUE", word ? word : "?");
		free(key);
	}
	return err;
}

static int attach(struct event_pipe *pipe, const json_t *wish, struct error *error)
{
	uint64_t after = 0, since_ns = 0;
	struct events *events = events_of(pipe->daemon);
	int err = read_wish(wish, pipe, &after, &since_ns, error);
	if (err)
		return err;
	if (!events || event_reader_attach(&pipe->reader, events))
		return error_set(error, -EAGAIN, "%d others follow the events already", EVENT_READERS);
	if (since_ns)
		event_reader_since(&pipe->reader, since_ns);
	else if (json_object_get(wish, "after"))
		event_reader_resume(&pipe->reader, after);
	return 0;
}

static int open_pipe(struct event_pipe *pipe, struct local_reply *reply, struct error *error)
{
	struct events_state *state = daemon_part_find(pipe->daemon, events_part.name);
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return error_set(error, -errno, "a pipe: %s", strerror(errno));
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	reply->fds[reply->fd_count++] = pair[0];
	pipe->watch = (struct loop_watch){ .fd = pair[1], .ready = pipe_ready, .context = pipe };
	pipe->next = state->pipes;
	pipe->before = &state->pipes;
	if (pipe->next)
		pipe->next->before = &pipe->next;
	state->pipes = pipe;
	return 0;
}

static int serve_events(struct local_call *call, struct local_reply *reply, struct error *error)
{
	json_t *wish = call->head.size ? json_loadb(call->body, call->head.size, JSON_REJECT_DUPLICATES, NULL) : json_object();
	struct event_pipe *pipe = json_is_object(wish) ? alloc_zero(sizeof(*pipe)) : NULL;
	int err = pipe ? 0 : error_set(error, wish ? -ENOMEM : -EINVAL, "what events are wanted is no JSON object");
	if (pipe) {
		*pipe = (struct event_pipe){ .daemon = call->daemon, .reader = { .wake = pipe_go_on, .overtaken = pipe_overtaken, .context = pipe } };
		err = attach(pipe, wish, error);
		if (!err)
			err = open_pipe(pipe, reply, error);
		if (err) {
			event_reader_detach(&pipe->reader);
			event_filter_free(&pipe->reader.filter);
			free(pipe);
		} else {
			pipe_go_on(pipe);
		}
	}
	json_decref(wish);
	return err;
}

const struct local_op events_local_ops[] = { { LV_DMN_EVENTS, serve_events }, { 0 } };

/* ---- the part ---- */

/* Microseconds since 1970 are higher than any id before: nobody has told of a million events a second since then. */
static int start(struct daemon *daemon, void **part, struct error *error)
{
	struct events_state *state = alloc_zero(sizeof(*state));
	if (state)
		state->events = events_new(&daemon->loop, clock_wall() / 1000);
	if (!state || !state->events) {
		free(state);
		return error_set(error, -ENOMEM, "out of memory");
	}
	*part = state;
	events_add(state->events, EVENT_DAEMON, NULL, NULL, NULL, json_pack("{s:s, s:s, s:i}", "action", "start", "version", LIGHTVM_VERSION, "pid", (int)getpid()));
	return 0;
}

static void stop(struct daemon *daemon, void *part)
{
	struct events_state *state = part;
	while (state->pipes)
		pipe_close(state->pipes);
	events_free(state->events);
	free(state);
}

const struct daemon_part events_part = { .name = "events", .start = start, .stop = stop };
