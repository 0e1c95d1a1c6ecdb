/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/browser_page.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "daemon/http.h"
#include "daemon/page_door.h"
#include "daemon/routes.h"

#include "daemon/page_files.inc" /* made from page.html, page.js and page.css at build time */

/* ---- the page itself ---- */

static int say(struct api_reply *reply, const unsigned char *data, size_t size, const char *type)
{
	text_add(&reply->text, data, size);
	reply->type = type;
	return 0;
}

static int get_page(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return say(reply, page_html, sizeof(page_html), "text/html; charset=utf-8");
}

static int get_script(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return say(reply, page_js, sizeof(page_js), "text/javascript; charset=utf-8");
}

static int get_style(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return say(reply, page_css, sizeof(page_css), "text/css; charset=utf-8");
}

/* Nothing from outside, no script in the text, in nobody's frame. */
static const struct route_header headers[] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cache-Control", "no-store" },
	{ 0 },
};

const struct route routes_page[] = {
	{ .method = "GET", .path = "/", .operation = "getPage", .now = get_page, .open = true, .headers = headers },
	{ .method = "GET", .path = "/page.js", .operation = "getPageScript", .now = get_script, .open = true, .headers = headers },
	{ .method = "GET", .path = "/page.css", .operation = "getPageStyle", .now = get_style, .open = true, .headers = headers },
	{ 0 },
};

/* ---- sockets that are handed over ---- */

static void page_close(struct page *page)
{
	struct pages *pages = daemon_part_find(page->daemon, PAGE_PART);
	http_end_page(page->daemon->http, page);
	loop_update(&page->daemon->loop, &page->listener, 0);
	loop_update(&page->daemon->loop, &page->lease, 0);
	close(page->listener.fd);
	close(page->lease.fd);
	*page->before = page->next;
	if (page->next)
		page->next->before = page->before;
	pages->count--;
	free(page);
}

/* The command has ended: nobody writes to that pipe. */
static void lease_ended(void *context, uint32_t events)
{
	page_close(context);
}

static void on_connection(void *context, uint32_t events)
{
	struct page *page = context;
	int fd = accept4(page->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		http_connect(page->daemon->http, fd);
	else if (errno == EMFILE || errno == ENFILE)
		page_close(page); /* it would be told to us for ever */
}

static int check_socket(int fd, unsigned *port, struct error *error)
{
	int type = 0, listens = 0;
	socklen_t size = sizeof(type);
	bool loopback;
	*port = page_port(fd, &loopback);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || type != SOCK_STREAM || !listens || !*port)
		return error_set(error, -EINVAL, "the page: not a TCP socket that listens");
	return loopback ? 0 : error_set(error, -EPERM, "the page: a socket that others than this machine reach");
}

static int make_token(char token[PAGE_TOKEN + 1], struct error *error)
{
	uint8_t random[PAGE_TOKEN / 2];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set(error, -EIO, "no random numbers: %s", strerror(errno));
	hex_print(random, sizeof(random), token);
	return 0;
}

static int watch(struct page *page, struct error *error)
{
	struct loop *loop = &page->daemon->loop;
	fcntl(page->listener.fd, F_SETFL, O_NONBLOCK);
	int err = loop_update(loop, &page->listener, EPOLLIN);
	if (!err && (err = loop_update(loop, &page->lease, EPOLLHUP)))
		loop_update(loop, &page->listener, 0);
	return err ? error_set(error, err, "the page: %s", strerror(-err)) : 0;
}

static int open_page(struct local_call *call, struct page *page, struct error *error)
{
	int err = check_socket(call->fds[0], &page->port, error);
	if (!err)
		err = make_token(page->token, error);
	if (err)
		return err;
	page->daemon = call->daemon;
	page->listener = (struct loop_watch){ .fd = call->fds[0], .ready = on_connection, .context = page };
	page->lease = (struct loop_watch){ .fd = call->fds[1], .ready = lease_ended, .context = page };
	return watch(page, error);
}

static int serve_page(struct local_call *call, struct local_reply *reply, struct error *error)
{
	struct pages *pages = daemon_part_find(call->daemon, PAGE_PART);
	if (call->fd_count != 2)
		return error_set(error, -EINVAL, "the page wants a socket and a pipe, not %u descriptors", call->fd_count);
	if (pages->count == PAGES_MOST)
		return error_set(error, -EAGAIN, "the page is served %d times already", PAGES_MOST);
	struct page *page = alloc_zero(sizeof(*page));
	int err = page ? open_page(call, page, error) : error_set(error, -ENOMEM, "out of memory");
	if (err) {
		free(page);
		return err;
	}
	call->fds[0] = call->fds[1] = -1;
	page->next = pages->first;
	page->before = &pages->first;
	if (page->next)
		page->next->before = &page->next;
	pages->first = page;
	pages->count++;
	text_put(&reply->body, page->token);
	return text_error(&reply->body);
}

const struct local_op page_local_ops[] = { { LV_DMN_PAGE, serve_page }, { 0 } };

/* ---- the part ---- */

static int start(struct daemon *daemon, void **part, struct error *error)
{
	*part = alloc_zero(sizeof(struct pages));
	return *part ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static void stop(struct daemon *daemon, void *part)
{
	struct pages *pages = part;
	while (pages->first)
		page_close(pages->first);
	free(pages);
}

/* A worker stays for a page that somebody looks at. */
static bool busy(struct daemon *daemon, void *part)
{
	const struct pages *pages = part;
	return pages->count > 0;
}

const struct daemon_part page_part = { .name = PAGE_PART, .start = start, .stop = stop, .busy = busy };
