/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/later.h"

#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "daemon/http_core.h"

/* ---- waiting ---- */

static void on_gone(void *context, uint32_t events)
{
	struct exchange *exchange = context;
	exchange_cancel(exchange);
	exchange->ended = true;
	exchange_go_on(exchange);
}

/*
 * libmicrohttpd does not look at a connection that waits. A local client that has closed its end is told by EPOLLHUP, which is always watched for; of a
 * remote one only its own half tells.
 */
void exchange_wait(struct exchange *exchange)
{
	struct daemon *daemon = exchange->http->daemon;
	exchange->suspended = true;
	client_limit(exchange->client, 0);
	MHD_suspend_connection(exchange->connection);
	if (!exchange->client || !(exchange->open || exchange->request.stream))
		return;
	exchange->gone = (struct loop_watch){ .fd = exchange->client->fd, .ready = on_gone, .context = exchange };
	loop_update(&daemon->loop, &exchange->gone, exchange->client->remote ? EPOLLRDHUP : EPOLLPRI);
}

void exchange_go_on(struct exchange *exchange)
{
	if (!exchange->suspended)
		return;
	exchange->suspended = false;
	if (exchange->gone.armed)
		loop_update(&exchange->http->daemon->loop, &exchange->gone, 0);
	MHD_resume_connection(exchange->connection);
	http_soon(exchange->http);
}

void exchange_cancel(struct exchange *exchange)
{
	bool open = exchange->open;
	exchange->open = false;
	if (open && exchange->later.cancel)
		exchange->later.cancel(exchange->later.context);
}

/* ---- an answer ---- */

void later_answer(struct later *later, unsigned status, struct text *body, const char *type)
{
	struct exchange *exchange = later->exchange;
	exchange->open = false;
	exchange->status = status;
	exchange->type = type;
	exchange->answer = *body;
	*body = (struct text){ 0 };
	exchange_go_on(exchange);
}

void later_reply(struct later *later, int err, struct api_reply *reply, const struct error *error)
{
	struct text out = { 0 };
	const char *type = NULL;
	unsigned status = api_say(err, reply, error, &out, &type);
	later_answer(later, status, &out, type);
}

/* ---- a stream ---- */

void later_begin(struct later *later, unsigned status, const char *type)
{
	struct exchange *exchange = later->exchange;
	exchange->streaming = true;
	exchange->status = status;
	exchange->type = type;
	exchange_go_on(exchange);
}

size_t later_waits(const struct later *later)
{
	return later->exchange->answer.size - later->exchange->taken;
}

/* What was taken makes room when it is the greater part. */
static void compact(struct exchange *exchange)
{
	struct text *answer = &exchange->answer;
	if (exchange->taken < answer->size && exchange->taken < answer->size / 2)
		return;
	answer->size -= exchange->taken;
	if (answer->size)
		memmove(answer->data, answer->data + exchange->taken, answer->size);
	exchange->taken = 0;
}

bool later_put(struct later *later, const void *data, size_t size)
{
	struct exchange *exchange = later->exchange;
	compact(exchange);
	text_add(&exchange->answer, data, size);
	if (text_error(&exchange->answer))
		exchange->ended = true;
	exchange->full = later_waits(later) > LATER_BUFFER;
	exchange_go_on(exchange);
	return !exchange->full && !exchange->ended;
}

void later_end(struct later *later, bool whole)
{
	struct exchange *exchange = later->exchange;
	exchange->open = false;
	exchange->ended = true;
	exchange->whole = whole;
	exchange_go_on(exchange);
}

static void stream_wake(void *transport, bool end)
{
	struct exchange *exchange = transport;
	exchange->ended |= end;
	if (end && exchange->client)
		shutdown(exchange->client->fd, SHUT_RDWR); /* it may not read, and then nobody would ask for more */
	exchange_go_on(exchange);
}

/* What an operation's own stream has to say, into the buffer. */
static void ask_stream(struct exchange *exchange, struct api_stream *stream, size_t room)
{
	char piece[8192];
	ssize_t n = stream->read(stream, piece, room < sizeof(piece) ? room : sizeof(piece));
	compact(exchange);
	if (n > 0)
		text_add(&exchange->answer, piece, (size_t)n);
	if (n < 0 || text_error(&exchange->answer)) {
		exchange->ended = true;
		exchange->whole = n < 0;
	}
}

static ssize_t take_piece(void *context, uint64_t at, char *out, size_t room)
{
	struct exchange *exchange = context;
	struct api_stream *stream = exchange->request.stream;
	if (stream && !exchange->ended && exchange->taken == exchange->answer.size)
		ask_stream(exchange, stream, room);
	size_t n = exchange->answer.size - exchange->taken;
	if (n > room)
		n = room;
	if (n) {
		memcpy(out, exchange->answer.data + exchange->taken, n);
		exchange->taken += n;
		client_limit(exchange->client, HTTP_REPLY_MS);
	} else if (exchange->ended) {
		return exchange->whole ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
	} else {
		exchange_wait(exchange);
	}
	if (exchange->full && exchange->open && exchange->later.drained && exchange->taken == exchange->answer.size) {
		exchange->full = false;
		exchange->later.drained(exchange->later.context);
	}
	return (ssize_t)n;
}

struct MHD_Response *exchange_pieces(struct exchange *exchange)
{
	struct api_stream *stream = exchange->request.stream;
	if (stream) {
		stream->wake = stream_wake;
		stream->transport = exchange;
	}
	return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 32768, take_piece, exchange, NULL);
}
