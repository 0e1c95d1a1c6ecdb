/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/number.h"
#include "daemon/routes.h"
#include "daemon/task.h"

#define CONNECTION_MEMORY 16384 /* for a request's line and headers, and what is read at once */
#define DISCARD_MAX (4u << 20)	/* of a body that is too long, before the connection is ended without a word */

struct http {
	struct daemon *daemon;
	struct MHD_Daemon *mhd;
	struct loop_watch watch;
	struct loop_timer timer;
	struct client *clients; /* all of them */
	unsigned connections, requests;
};

struct client { /* a connection */
	struct http *http;
	struct client *next, **before;
	struct loop_timer limit;
	struct exchange *exchange; /* the request that is being answered; NULL: none */
	int fd;
};

struct exchange { /* a request and its answer */
	struct http *http;
	struct client *client;
	struct MHD_Connection *connection;
	struct api_request request;
	struct text body, answer, allow;
	size_t discarded;
	unsigned status; /* of the answer; 0: none yet */
	const char *type;
	bool suspended;	 /* waits for its task */
	struct task task;
};

/* ---- libmicrohttpd in our loop ---- */

static void schedule(struct http *http)
{
	MHD_UNSIGNED_LONG_LONG ms;
	bool waits = MHD_get_timeout(http->mhd, &ms) == MHD_YES;
	loop_timer_set(&http->daemon->loop, &http->timer, waits ? clock_now() + ms * NS_PER_MS : 0);
}

static void run(struct http *http)
{
	MHD_run(http->mhd);
	schedule(http);
}

static void on_events(void *context, uint32_t events)
{
	run(context);
}

static void on_timer(void *context)
{
	run(context);
}

/* Not from within one of its calls. */
static void run_soon(struct http *http)
{
	loop_timer_set(&http->daemon->loop, &http->timer, clock_now());
}

/* ---- connections ---- */

/* The library has no way to end a connection from outside: it finds that the other side has gone. */
static void too_slow(void *context)
{
	struct client *client = context;
	shutdown(client->fd, SHUT_RDWR);
	run_soon(client->http);
}

static void limit(struct client *client, uint64_t milliseconds)
{
	if (client)
		loop_timer_set(&client->http->daemon->loop, &client->limit, milliseconds ? clock_now() + milliseconds * NS_PER_MS : 0);
}

static void on_started(struct http *http, struct MHD_Connection *connection, void **context)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct client *client = alloc_zero(sizeof(*client));
	http->connections++;
	*context = client;
	if (!client) {
		shutdown(info->connect_fd, SHUT_RDWR);
		return;
	}
	*client = (struct client){ .http = http, .fd = info->connect_fd, .next = http->clients, .before = &http->clients };
	client->limit = (struct loop_timer){ .fire = too_slow, .context = client };
	if (client->next)
		client->next->before = &client->next;
	http->clients = client;
	limit(client, HTTP_REQUEST_MS);
}

static void on_closed(struct http *http, struct client *client)
{
	http->connections--;
	if (!client)
		return;
	limit(client, 0);
	*client->before = client->next;
	if (client->next)
		client->next->before = client->before;
	free(client);
	daemon_settle(http->daemon);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		on_started(context, connection, socket_context);
	else
		on_closed(context, *socket_context);
}

void http_connect(struct http *http, int fd)
{
	const struct sockaddr_un nobody = { .sun_family = AF_UNIX };
	if (MHD_add_connection(http->mhd, fd, (const struct sockaddr *)&nobody, sizeof(nobody)) != MHD_YES)
		log_warn("a connection was refused: %s", strerror(errno)); /* and closed */
	run_soon(http);
}

/* ---- answers ---- */

static enum MHD_Result queue(struct exchange *exchange)
{
	enum MHD_Result result = MHD_NO;
	struct text *answer = &exchange->answer;
	struct MHD_Response *response = MHD_create_response_from_buffer(answer->size, answer->data, answer->data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	*answer = (struct text){ 0 };
	if (exchange->type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, exchange->type);
	if (exchange->status == 405)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, exchange->allow.data);
	if (exchange->http->daemon->ending || exchange->http->connections > HTTP_CONNECTIONS)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(exchange->connection, exchange->status, response);
	MHD_destroy_response(response);
	limit(exchange->client, HTTP_REPLY_MS);
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

/* ---- operations in a process of their own ---- */

struct answer_head { /* what comes back, before the body. The same program: what is static lies at the same address. */
	unsigned status;
	const char *type;
};

static void work(void *context, int out)
{
	struct exchange *exchange = context;
	struct answer_head head = { 0 };
	struct text answer = { 0 };
	head.status = api_run(exchange->request.route->task, &exchange->request, &answer, &head.type);
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

static void task_done(void *context, struct text *said, int failed)
{
	struct exchange *exchange = context;
	struct answer_head head;
	exchange->http->requests--;
	if (!failed && said->size < sizeof(head))
		failed = -ECHILD;
	if (failed) {
		task_failed(exchange, failed);
	} else {
		memcpy(&head, said->data, sizeof(head));
		exchange->status = head.status;
		exchange->type = head.type;
		text_add(&exchange->answer, said->data + sizeof(head), said->size - sizeof(head));
		if (text_error(&exchange->answer))
			task_failed(exchange, -ENOMEM);
	}
	exchange->suspended = false;
	MHD_resume_connection(exchange->connection);
	run_soon(exchange->http);
}

static enum MHD_Result start_task(struct exchange *exchange)
{
	exchange->task = (struct task){ .work = work, .done = task_done, .context = exchange };
	int err = task_start(exchange->http->daemon->tasks, &exchange->task);
	if (err) {
		struct error error;
		error_set(&error, err, "%s: %s; try again", exchange->request.route->operation, err == -EAGAIN ? "too much is under way" : strerror(-err));
		return refuse(exchange, 503, &error);
	}
	exchange->http->requests++;
	exchange->suspended = true;
	MHD_suspend_connection(exchange->connection);
	return MHD_YES;
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

static unsigned check_length(struct exchange *exchange, struct error *error)
{
	const char *word = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
	uint64_t length;
	if (!word)
		return 0;
	if (number_parse(word, &length) || length > API_BODY_MAX)
		return error_set(error, -EFBIG, "Content-Length: %.40s is more than %u bytes", word, API_BODY_MAX), 413;
	return 0;
}

/* The headers are there. */
static enum MHD_Result begin(struct exchange *exchange, const char *url, const char *method)
{
	struct error error = { 0 };
	const struct daemon *daemon = exchange->http->daemon;
	unsigned status = 0;
	if (daemon->ending)
		status = (error_set(&error, -EAGAIN, "lightvmd is ending"), 503);
	else if (exchange->http->connections > HTTP_CONNECTIONS)
		status = (error_set(&error, -EAGAIN, "more than %d connections", HTTP_CONNECTIONS), 503);
	if (!status)
		status = route_find(&exchange->request, method, url, &exchange->allow, &error);
	if (!status)
		status = check_length(exchange, &error);
	if (status)
		return refuse(exchange, status, &error);
	MHD_get_connection_values(exchange->connection, MHD_GET_ARGUMENT_KIND, on_query, exchange);
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

/* The whole request is there. */
static enum MHD_Result perform(struct exchange *exchange)
{
	struct api_request *request = &exchange->request;
	struct error error = { 0 };
	limit(exchange->client, 0);
	if (exchange->discarded)
		return error_set(&error, -EFBIG, "the body is longer than %u bytes", API_BODY_MAX), refuse(exchange, 413, &error);
	unsigned status = route_body(request, MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE),
				     exchange->body.data, exchange->body.size, &error);
	text_free(&exchange->body);
	if (status)
		return refuse(exchange, status, &error);
	if (request->route->task)
		return start_task(exchange);
	exchange->status = api_run(request->route->now, request, &exchange->answer, &exchange->type);
	if (text_error(&exchange->answer))
		say_error(exchange, 503, "out of memory");
	return queue(exchange);
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
		exchange->client->exchange = exchange;
	return exchange;
}

/* Called with the headers, with each piece of the body, at its end, and again when it goes on after a task. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
				  const char *data, size_t *size, void **request)
{
	struct exchange *exchange = *request;
	size_t n = *size;
	if (!exchange) {
		*request = exchange = exchange_new(context, connection);
		return exchange ? begin(exchange, url, method) : MHD_NO;
	}
	*size = 0;
	if (n)
		return add_body(exchange, data, n);
	return exchange->status ? queue(exchange) : perform(exchange);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code)
{
	struct exchange *exchange = *request;
	if (!exchange)
		return;
	if (exchange->client) {
		exchange->client->exchange = NULL;
		limit(exchange->client, HTTP_REQUEST_MS);
	}
	api_request_clear(&exchange->request);
	text_free(&exchange->body);
	text_free(&exchange->answer);
	text_free(&exchange->allow);
	free(exchange);
	*request = NULL;
}

/* ---- its life ---- */

static void on_log(void *context, const char *format, va_list arguments)
{
	char line[512];
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = 0;
	log_debug("http: %s", line);
}

struct http *http_new(struct daemon *daemon, struct error *error)
{
	struct http *http = alloc_zero(sizeof(*http));
	if (!http) {
		error_set(error, -ENOMEM, "out of memory");
		return NULL;
	}
	http->daemon = daemon;
	http->watch = (struct loop_watch){ .fd = -1, .ready = on_events, .context = http };
	http->timer = (struct loop_timer){ .fire = on_timer, .context = http };
	http->mhd = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, http,
				     MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
				     on_connection, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_MOST, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				     (size_t)CONNECTION_MEMORY, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	const union MHD_DaemonInfo *info = http->mhd ? MHD_get_daemon_info(http->mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info)
		http->watch.fd = info->epoll_fd;
	int err = info ? loop_update(&daemon->loop, &http->watch, EPOLLIN) : -errno;
	if (!err)
		return http;
	error_set(error, err, "libmicrohttpd does not start: %s", strerror(-err));
	http_free(http);
	return NULL;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	for (struct client *client = http->clients; client; client = client->next)
		if (client->exchange && client->exchange->suspended) {
			say_error(client->exchange, 503, "lightvmd is ending");
			MHD_resume_connection(client->exchange->connection);
		}
	if (http->watch.fd >= 0)
		loop_update(&http->daemon->loop, &http->watch, 0);
	if (http->mhd) {
		MHD_run(http->mhd);
		MHD_stop_daemon(http->mhd);
	}
	loop_timer_set(&http->daemon->loop, &http->timer, 0);
	free(http);
}

unsigned http_requests(const struct http *http)
{
	return http->requests;
}

unsigned http_connections(const struct http *http)
{
	return http->connections;
}
