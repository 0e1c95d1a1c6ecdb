/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/exchange.h"
#include "daemon/page_door.h"

#define CONNECTION_MEMORY 16384 /* for a request's line and headers, and what is read at once */

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

void http_soon(struct http *http)
{
	loop_timer_set(&http->daemon->loop, &http->timer, clock_now());
}

/* ---- connections ---- */

/* The library has no way to end a connection from outside: it finds that the other side has gone. */
static void end_client(struct client *client)
{
	client->is_closed = true;
	shutdown(client->fd, SHUT_RDWR);
	http_soon(client->http);
}

static void too_slow(void *context)
{
	end_client(context);
}

void client_limit(struct client *client, uint64_t milliseconds)
{
	if (client)
		loop_timer_set(&client->http->daemon->loop, &client->limit, milliseconds ? clock_now() + milliseconds * NS_PER_MS : 0);
}

void client_serve(struct client *client, bool served)
{
	if (!client || client->is_served == served)
		return;
	struct http *http = client->http;
	if (served) {
		TAILQ_REMOVE(&http->reading, client, link);
		TAILQ_INSERT_TAIL(&http->served, client, link);
	} else {
		TAILQ_REMOVE(&http->served, client, link);
		TAILQ_INSERT_TAIL(&http->reading, client, link);
	}
	client->is_served = served;
	http->serving = served ? http->serving + 1 : http->serving - 1;
}

/* Who connects and says nothing keeps nobody out: the one that has done so for longest goes. */
static void make_room(struct http *http)
{
	struct client *client;
	if (http->connections <= HTTP_CONNECTIONS)
		return;
	TAILQ_FOREACH(client, &http->reading, link)
		if (!client->is_closed) {
			end_client(client);
			return;
		}
}

/* As it was when it connected, also where the connection came by way of another process. */
static struct caller caller_of(int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size))
		return (struct caller){ 0 };
	return (struct caller){ cred.pid, cred.uid };
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
	make_room(http);
	*client = (struct client){ .http = http, .fd = info->connect_fd, .page = http->is_secure ? NULL : page_of(http->daemon, info->connect_fd) };
	client->caller = caller_of(client->fd);
	client->remote = http->is_secure || client->page;
	client->limit = (struct loop_timer){ .fire = too_slow, .context = client };
	TAILQ_INSERT_TAIL(&http->reading, client, link);
	client_limit(client, HTTP_REQUEST_MS);
}

static void on_closed(struct http *http, struct client *client)
{
	http->connections--;
	if (!client)
		return;
	client_limit(client, 0);
	client_serve(client, false);
	TAILQ_REMOVE(&http->reading, client, link);
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

void http_connect_secure(struct http *http, int fd)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t size = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &size)) {
		close(fd); /* it has gone already */
		return;
	}
	if (MHD_add_connection(http->secure->mhd, fd, (struct sockaddr *)&peer, size) != MHD_YES)
		log_warn("a connection was refused: %s", strerror(errno));
	http_soon(http->secure);
}

static void end_those(struct http *http, struct client *first, const struct page *page)
{
	for (struct client *client = first; client; client = TAILQ_NEXT(client, link))
		if (client->page == page) {
			client->page = NULL;
			end_client(client);
		}
}

void http_end_page(struct http *http, const struct page *page)
{
	end_those(http, TAILQ_FIRST(&http->reading), page);
	end_those(http, TAILQ_FIRST(&http->served), page);
}

void http_connect(struct http *http, int fd)
{
	const struct sockaddr_un nobody = { .sun_family = AF_UNIX };
	if (MHD_add_connection(http->mhd, fd, (const struct sockaddr *)&nobody, sizeof(nobody)) != MHD_YES)
		log_warn("a connection was refused: %s", strerror(errno)); /* and closed */
	http_soon(http);
}

/* ---- its life ---- */

static void on_log(void *context, const char *format, va_list arguments)
{
	char line[512];
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = 0;
	log_debug("http: %s", line);
}

/* A zero byte in a path or a query would be its end, and what is before it something else: it becomes what nothing is called. */
static size_t unescape(void *context, struct MHD_Connection *connection, char *word)
{
	for (char *at = word; (at = strstr(at, "%00")); at += 3)
		memset(at, '?', 3);
	return MHD_http_unescape(word);
}

#define COMMON_OPTIONS MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_NOTIFY_COMPLETED, exchange_completed, http, MHD_OPTION_NOTIFY_CONNECTION, \
	on_connection, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_MOST, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, \
	MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL
#define COMMON_FLAGS (MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG)

static struct http *http_alloc(struct daemon *daemon, struct error *error)
{
	struct http *http = alloc_zero(sizeof(*http));
	if (!http) {
		error_set(error, -ENOMEM, "out of memory");
		return NULL;
	}
	http->daemon = daemon;
	TAILQ_INIT(&http->reading);
	TAILQ_INIT(&http->served);
	http->watch = (struct loop_watch){ .fd = -1, .ready = on_events, .context = http };
	http->timer = (struct loop_timer){ .fire = on_timer, .context = http };
	return http;
}

/* mhd: as it was started, or NULL. http is freed if that fails. */
static int begin(struct http *http, struct MHD_Daemon *mhd, struct error *error)
{
	http->mhd = mhd;
	const union MHD_DaemonInfo *info = mhd ? MHD_get_daemon_info(mhd, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info)
		http->watch.fd = info->epoll_fd;
	int err = info ? loop_update(&http->daemon->loop, &http->watch, EPOLLIN) : errno ? -errno : -EINVAL;
	if (err) {
		error_set(error, err, "libmicrohttpd does not start: %s", strerror(-err));
		http_free(http);
	}
	return err;
}

struct http *http_new(struct daemon *daemon, struct error *error)
{
	struct http *http = http_alloc(daemon, error);
	if (!http)
		return NULL;
	return begin(http, MHD_start_daemon(COMMON_FLAGS, 0, NULL, NULL, exchange_request, http, COMMON_OPTIONS, MHD_OPTION_END), error) ? NULL : http;
}

int http_secure(struct http *plain, const char *certificate, const char *key, const char *clients, struct error *error)
{
	struct http *http = http_alloc(plain->daemon, error);
	if (!http)
		return -ENOMEM;
	http->is_secure = true;
	errno = 0;
	struct MHD_Daemon *mhd = MHD_start_daemon(COMMON_FLAGS | MHD_USE_TLS, 0, NULL, NULL, exchange_request, http, COMMON_OPTIONS, MHD_OPTION_HTTPS_MEM_CERT,
						  certificate, MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_MEM_TRUST, clients,
						  MHD_OPTION_HTTPS_PRIORITIES, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", MHD_OPTION_END);
	if (!mhd) {
		http_free(http);
		return error_set(error, -EINVAL, "TLS does not start: certificate and key do not fit, or one of the files holds none");
	}
	int err = begin(http, mhd, error);
	if (!err)
		plain->secure = http;
	return err;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	http_free(http->secure);
	struct client *client;
	TAILQ_FOREACH(client, &http->served, link)
		exchange_abort(client->exchange);
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
	return http->requests + (http->secure ? http->secure->requests : 0);
}

unsigned http_connections(const struct http *http)
{
	return http->connections + (http->secure ? http->secure->connections : 0);
}
