/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"
#include "daemon/metrics.h"
#include "daemon/page_door.h"
#include "daemon/routes.h"
#include "daemon/tls_peer.h"

#define DISCARD_MAX (4u << 20) /* of a body that is too long, before the connection is ended without a word */
#define UPGRADE "lightvm"

/* ---- answers ---- */

static struct MHD_Response *whole_answer(struct exchange *exchange)
{
	struct text *answer = &exchange->answer;
	struct MHD_Response *response = MHD_create_response_from_buffer(answer->size, answer->data, answer->data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (response)
		*answer = (struct text){ 0 };
	return response;
}

static void count(const struct exchange *exchange)
{
	const struct route *route = exchange->request.route;
	metrics_request(exchange->http->daemon, route ? route->operation : NULL, exchange->status);
}

static enum MHD_Result queue(struct exchange *exchange)
{
	struct MHD_Response *response = exchange->streaming ? exchange_pieces(exchange) : whole_answer(exchange);
	if (!response)
		return MHD_NO;
	if (exchange->type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->type);
	if (exchange->streaming)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	for (const struct route_header *line = exchange->request.route ? exchange->request.route->headers : NULL; line && line->name; line++)
		MHD_add_response_header(response, line->name, line->value);
	if (exchange->status == 405)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, exchange->allow.data);
	if (exchange->status == 426)
		MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, UPGRADE);
	if (exchange->http->daemon->ending)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	count(exchange);
	enum MHD_Result result = MHD_queue_response(exchange->connection, exchange->status, response);
	MHD_destroy_response(response);
	client_limit(exchange->client, HTTP_REPLY_MS);
	return result;
}

static void say_error(struct exchange *exchange, unsigned status, const char *message)
{
	text_free(&exchange->answer);
	exchange->answer = (struct text){ 0 };
	exchange->status = status;
	exchange->type = "application/json";
	api_error_text(status, message, &exchange->answer);
}

static enum MHD_Result refuse(struct exchange *exchange, unsigned status, const struct error *error)
{
	say_error(exchange, status, error->text);
	return queue(exchange);
}

static enum MHD_Result refuse_err(struct exchange *exchange, int err, struct error *error)
{
	if (!error->text[0])
		error_set(error, err, "%s: %s", exchange->request.route->operation, strerror(-err));
	return refuse(exchange, api_error_status(err), error);
}

static enum MHD_Result busy(struct exchange *exchange, int err)
{
	struct error error;
	if (err == -EBUSY)
		error_set(&error, err, "%s: too much is under way; try again", exchange->request.route->operation);
	else
		error_set(&error, err, "%s: no process can be started: %s", exchange->request.route->operation, strerror(-err));
	return refuse(exchange, 503, &error);
}

/* ---- operations in a process of their own ---- */

static bool is_workers(const struct exchange *exchange)
{
	return exchange->request.route->worker && exchange->http->daemon->worker;
}

void exchange_work(void *context, int out)
{
	struct exchange *exchange = context;
	struct api_head head = { 0 };
	struct text answer = { 0 };
	if (exchange->request.route->starts)
		caller_take_place(&exchange->request.caller);
	const struct route *route = exchange->request.route;
	head.status = api_run(is_workers(exchange) ? route->worker : route->task, &exchange->request, &answer, &head.type);
	if (text_error(&answer) || fd_write(out, &head, sizeof(head)))
		_exit(EXIT_FAILURE);
	(void)!fd_write(out, answer.data, answer.size);
}

static void task_failed(struct exchange *exchange, int err)
{
	const char *operation = exchange->request.route->operation;
	char *why = err == -ETIMEDOUT ? alloc_format("%s: not ended after %d s", operation, TASK_MS / 1000) :
		    err == -ECHILD    ? alloc_format("%s: its process was killed", operation) :
					alloc_format("%s: %s", operation, strerror(-err));
	say_error(exchange, err == -ECHILD ? 500 : api_error_status(err), why ? why : "out of memory");
	free(why);
}

void exchange_task_done(void *context, struct text *said, int failed)
{
	struct exchange *exchange = context;
	exchange->http->requests--;
	if (!failed && said->size < sizeof(exchange->head))
		failed = -ECHILD;
	if (!failed) {
		memcpy(&exchange->head, said->data, sizeof(exchange->head));
		exchange->status = exchange->head.status;
		exchange->type = exchange->head.type;
		text_add(&exchange->answer, said->data + sizeof(exchange->head), said->size - sizeof(exchange->head));
		failed = text_error(&exchange->answer);
	}
	if (failed)
		task_failed(exchange, failed);
	exchange_go_on(exchange);
}

static enum MHD_Result start_task(struct exchange *exchange)
{
	exchange->task = (struct task){ .work = exchange_work, .done = exchange_task_done, .context = exchange, .keep = -1, .lasting = exchange->request.route->lasting };
	int err = task_start(exchange->http->daemon->tasks, &exchange->task);
	if (err)
		return busy(exchange, err);
	exchange->http->requests++;
	exchange_wait(exchange);
	return MHD_YES;
}

/* ---- streams from a process ---- */

static void stream_work(void *context, int out)
{
	struct exchange *exchange = context;
	struct api_reply reply = { 0 };
	struct error error = { 0 };
	struct api_head head = { 0 };
	struct text answer = { 0 };
	if (exchange->request.route->starts)
		caller_take_place(&exchange->request.caller);
	int err = exchange->request.route->stream(&exchange->request, out, &error);
	if (exchange->request.began)
		_exit(err ? EXIT_FAILURE : EXIT_SUCCESS);
	head.status = api_say(err, &reply, &error, &answer, &head.type);
	if (text_error(&answer) || fd_write(out, &head, sizeof(head)) || fd_write(out, answer.data, answer.size))
		_exit(EXIT_FAILURE);
}

static void stream_piece(void *context, const char *data, size_t size)
{
	struct exchange *exchange = context;
	size_t n = sizeof(exchange->head) - exchange->have;
	if (n) {
		n = n < size ? n : size;
		memcpy((char *)&exchange->head + exchange->have, data, n);
		exchange->have += n;
		if (exchange->have == sizeof(exchange->head))
			later_begin(&exchange->later, exchange->head.status, exchange->head.type);
	}
	if (size > n && !later_put(&exchange->later, data + n, size - n))
		task_hold(&exchange->task, true);
}

static void stream_done(void *context, struct text *said, int failed)
{
	struct exchange *exchange = context;
	if (exchange->have == sizeof(exchange->head)) {
		later_end(&exchange->later, !failed);
		return;
	}
	exchange->open = false;
	task_failed(exchange, failed ? failed : -ECHILD);
	exchange_go_on(exchange);
}

static void stream_drained(void *context)
{
	struct exchange *exchange = context;
	task_hold(&exchange->task, false);
}

static void stream_cancel(void *context)
{
	struct exchange *exchange = context;
	task_cancel(&exchange->task);
}

static enum MHD_Result start_stream(struct exchange *exchange)
{
	exchange->later = (struct later){ .cancel = stream_cancel, .drained = stream_drained, .context = exchange, .exchange = exchange };
	exchange->task = (struct task){ .work = stream_work, .piece = stream_piece, .done = stream_done, .context = exchange, .keep = -1 };
	int err = task_start(exchange->http->daemon->tasks, &exchange->task);
	if (err)
		return busy(exchange, err);
	exchange->open = true;
	exchange_wait(exchange);
	return MHD_YES;
}

/* ---- connections that a process gets ---- */

static void session_work(void *context, int out)
{
	struct exchange *exchange = context;
	fcntl(exchange->task.keep, F_SETFL, 0); /* not ours any more, and it may wait */
	exchange->request.route->session(&exchange->request, exchange->task.keep);
}

static void session_done(void *context, struct text *said, int failed)
{
	struct exchange *exchange = context;
	exchange->open = false;
	MHD_upgrade_action(exchange->upgraded, MHD_UPGRADE_ACTION_CLOSE);
	http_soon(exchange->http);
}

static void session_cancel(void *context)
{
	struct exchange *exchange = context;
	task_cancel(&exchange->task);
	MHD_upgrade_action(exchange->upgraded, MHD_UPGRADE_ACTION_CLOSE);
}

static void on_upgrade(void *context, struct MHD_Connection *connection, void *request, const char *early, size_t size, MHD_socket socket,
		       struct MHD_UpgradeResponseHandle *handle)
{
	struct exchange *exchange = context;
	exchange->upgraded = handle;
	client_limit(exchange->client, 0);
	text_add(&exchange->request.early, early, size);
	exchange->later = (struct later){ .cancel = session_cancel, .context = exchange, .exchange = exchange };
	exchange->task = (struct task){ .work = session_work, .done = session_done, .context = exchange, .keep = socket, .lasting = true };
	exchange->open = true;
	if (text_error(&exchange->request.early) || task_start(exchange->http->daemon->tasks, &exchange->task))
		session_done(exchange, NULL, -EAGAIN);
}

static bool wants_upgrade(const struct exchange *exchange)
{
	const char *word = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_UPGRADE);
	return word && !strcasecmp(word, UPGRADE);
}

static enum MHD_Result upgrade(struct exchange *exchange)
{
	struct api_reply reply = { 0 };
	struct error error = { 0 };
	int err = exchange->request.route->check(&exchange->request, &reply, &error);
	if (err)
		return refuse_err(exchange, err, &error);
	struct MHD_Response *response = MHD_create_response_for_upgrade(on_upgrade, exchange);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_UPGRADE, UPGRADE);
	exchange->status = 101;
	count(exchange);
	enum MHD_Result result = MHD_queue_response(exchange->connection, 101, response);
	MHD_destroy_response(response);
	return result;
}

/* A connection that was not asked for as one; if there is nothing to connect to, that comes first. */
static enum MHD_Result refuse_plain(struct exchange *exchange)
{
	struct api_reply reply = { 0 };
	struct error error = { 0 };
	int err = exchange->request.route->check(&exchange->request, &reply, &error);
	if (err)
		return refuse_err(exchange, err, &error);
	error_set(&error, -EPROTO, "%s: needs the header \"Upgrade: " UPGRADE "\"", exchange->request.route->operation);
	return refuse(exchange, 426, &error);
}

/* ---- requests ---- */

static enum MHD_Result on_query(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct exchange *exchange = context;
	struct error error;
	unsigned status = route_query(&exchange->request, key, value, &error);
	if (status)
		say_error(exchange, status, error.text);
	return status ? MHD_NO : MHD_YES;
}

static const char *header(const struct exchange *exchange, const char *name)
{
	return MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, name);
}

static unsigned check_length(struct exchange *exchange, struct error *error)
{
	const char *word = header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t length;
	if (!word || exchange->request.route->body == API_TAR)
		return 0;
	if (number_parse(word, &length) || length > API_BODY_MAX)
		return error_set(error, -EFBIG, "Content-Length: %.40s is more than %u bytes", word, API_BODY_MAX), 413;
	return 0;
}

/* Where one reader takes a body to end elsewhere than another, what follows is a request to one of them only: there is one way to say it. */
struct framing {
	unsigned lengths, encodings, hosts;
	bool strange; /* an encoding that is none of ours, or a name with a space behind it */
};

static enum MHD_Result on_header(void *context, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct framing *framing = context;
	framing->lengths += !strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH);
	framing->hosts += !strcasecmp(key, MHD_HTTP_HEADER_HOST);
	if (!strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
		framing->encodings++;
		framing->strange |= !value || strcasecmp(value, "chunked");
	}
	framing->strange |= strpbrk(key, " \t") != NULL;
	return MHD_YES;
}

static unsigned check_framing(const struct exchange *exchange, const char *version, struct error *error)
{
	struct framing framing = { 0 };
	MHD_get_connection_values(exchange->connection, MHD_HEADER_KIND, on_header, &framing);
	if (framing.strange || framing.lengths + framing.encodings > 1)
		error_set(error, -EINVAL, "the body's length is said in no way that is served: one Content-Length, or Transfer-Encoding: chunked");
	else if (framing.hosts > 1 || (!framing.hosts && !strcmp(version, MHD_HTTP_VERSION_1_1)))
		error_set(error, -EINVAL, "%u headers Host: one is needed", framing.hosts);
	else
		return 0;
	return 400;
}

static enum MHD_Result begin_body(struct exchange *exchange)
{
	struct error error = { 0 };
	unsigned status = route_body_type(header(exchange, MHD_HTTP_HEADER_CONTENT_TYPE), &error);
	if (status)
		return refuse(exchange, status, &error);
	int err = body_begin(exchange);
	return err ? busy(exchange, err) : MHD_YES;
}

/* The headers are there. */
static enum MHD_Result begin(struct exchange *exchange, const char *url, const char *method, const char *version)
{
	struct error error = { 0 };
	const struct daemon *daemon = exchange->http->daemon;
	unsigned status = 0;
	if (daemon->ending)
		status = (error_set(&error, -EAGAIN, "lightvmd is ending"), 503);
	else if (exchange->http->serving >= HTTP_CONNECTIONS)
		status = (error_set(&error, -EAGAIN, "%d requests are being answered", HTTP_CONNECTIONS), 503);
	if (!status)
		status = check_framing(exchange, version, &error);
	if (!status && exchange->http->is_secure && tls_peer_check(exchange->connection, &error))
		status = 403;
	if (!status)
		status = route_find(&exchange->request, method, url, &exchange->allow, &error);
	if (!status && exchange->client && exchange->client->page)
		status = page_check(exchange->client->page, method, exchange->request.route->open, header(exchange, MHD_HTTP_HEADER_HOST),
				    header(exchange, MHD_HTTP_HEADER_AUTHORIZATION), &error);
	if (!status)
		status = check_length(exchange, &error);
	exchange->request.last_event = header(exchange, "Last-Event-ID");
	if (status)
		return refuse(exchange, status, &error);
	MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, on_query, exchange);
	if (!exchange->status && exchange->request.route->body == API_TAR)
		return begin_body(exchange);
	return exchange->status ? queue(exchange) : MHD_YES;
}

static enum MHD_Result add_body(struct exchange *exchange, const char *data, size_t size)
{
	if (exchange->body.size + size <= API_BODY_MAX && !exchange->discarded)
		text_add(&exchange->body, data, size);
	else
		exchange->discarded += size;
	return exchange->discarded > DISCARD_MAX || text_error(&exchange->body) ? MHD_NO : MHD_YES;
}

static enum MHD_Result start_later(struct exchange *exchange)
{
	struct error error = { 0 };
	exchange->later = (struct later){ .exchange = exchange };
	int err = exchange->request.route->later(&exchange->request, &exchange->later, &error);
	if (err)
		return refuse_err(exchange, err, &error);
	if (exchange->status)
		return queue(exchange);
	exchange->open = true;
	exchange_wait(exchange);
	return MHD_YES;
}

static int wants_stream(const struct exchange *exchange, bool *wanted, struct error *error)
{
	const struct route *route = exchange->request.route;
	*wanted = route->stream && !route->task;
	return route->stream && route->task ? api_query_bool(&exchange->request, route->streams, wanted, error) : 0;
}

static enum MHD_Result perform(struct exchange *exchange)
{
	struct api_request *request = &exchange->request;
	const struct route *route = request->route;
	if (route->session && wants_upgrade(exchange))
		return upgrade(exchange);
	struct error error = { 0 };
	bool stream;
	int err = wants_stream(exchange, &stream, &error);
	if (err)
		return refuse_err(exchange, err, &error);
	if (stream)
		return start_stream(exchange);
	if (route->task || is_workers(exchange))
		return start_task(exchange);
	if (route->later)
		return start_later(exchange);
	if (!route->now)
		return refuse_plain(exchange);
	exchange->status = api_run(route->now, request, &exchange->answer, &exchange->type);
	if (request->stream) {
		exchange->status = 200;
		exchange->type = request->stream->type;
		exchange->streaming = true;
	}
	if (text_error(&exchange->answer))
		say_error(exchange, 503, "out of memory");
	return queue(exchange);
}

/* The whole request is there. */
static enum MHD_Result complete(struct exchange *exchange)
{
	struct error error = { 0 };
	client_limit(exchange->client, 0);
	client_serve(exchange->client, true);
	if (exchange->request.route->body == API_TAR)
		return body_end(exchange), MHD_YES;
	if (exchange->discarded)
		return error_set(&error, -EFBIG, "the body is longer than %u bytes", API_BODY_MAX), refuse(exchange, 413, &error);
	const char *type = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
	unsigned status = route_body(&exchange->request, type, exchange->body.data, exchange->body.size, &error);
	text_free(&exchange->body);
	return status ? refuse(exchange, status, &error) : perform(exchange);
}

static struct exchange *exchange_new(struct http *http, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct exchange *exchange = alloc_zero(sizeof(*exchange));
	if (!exchange)
		return NULL;
	exchange->http = http;
	exchange->client = info->socket_context;
	exchange->connection = connection;
	exchange->request.daemon = http->daemon;
	if (exchange->client)
		exchange->request.caller = exchange->client->caller;
	if (exchange->client)
		exchange->client->exchange = exchange;
	return exchange;
}

/* Called with the headers, with each piece of the body, at its end, and again when it goes on after it has waited. */
enum MHD_Result exchange_request(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *data,
				 size_t *size, void **request)
{
	struct exchange *exchange = *request;
	size_t n = *size;
	if (!exchange) {
		*request = exchange = exchange_new(context, connection);
		return exchange ? begin(exchange, url, method, version) : MHD_NO;
	}
	if (n && exchange->request.route && exchange->request.route->body == API_TAR)
		return body_add(exchange, data, size);
	*size = 0;
	if (n)
		return add_body(exchange, data, n);
	if (exchange->status)
		return queue(exchange);
	return exchange->ended ? MHD_NO : complete(exchange); /* ended: the client has gone while it waited */
}

void exchange_completed(void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *request;
	if (!exchange)
		return;
	exchange_cancel(exchange);
	if (exchange->client) {
		exchange->client->exchange = NULL;
		client_serve(exchange->client, false);
		client_limit(exchange->client, HTTP_REQUEST_MS);
	}
	api_request_clear(&exchange->request);
	text_free(&exchange->body);
	text_free(&exchange->answer);
	text_free(&exchange->allow);
	free(exchange);
	*request = NULL;
}

void exchange_abort(struct exchange *exchange)
{
	if (!exchange)
		return;
	if (exchange->suspended && !exchange->open && !exchange->status)
		task_cancel(&exchange->task);
	exchange_cancel(exchange);
	if (!exchange->status)
		say_error(exchange, 503, "lightvmd is ending");
	exchange->ended = true;
	exchange_go_on(exchange);
}
