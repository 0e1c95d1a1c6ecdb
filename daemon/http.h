/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP, which is libmicrohttpd's: in our loop, without a thread of its own. Connections are given to it; what it reads becomes an api_request, and what
 * an operation answers a response. Here are the bounds that a client cannot exceed: connections, time, size.
 */
#ifndef LV_DAEMON_HTTP_H
#define LV_DAEMON_HTTP_H

#include "daemon/lightvmd.h"

struct http *http_new(struct daemon *daemon, struct error *error);
/* Ends what is still open. */
void http_free(struct http *http);
/* A connected socket, which becomes http's. */
void http_connect(struct http *http, int fd);
/* Connections with TLS, too: PEM texts, which stay until http_free: our certificate and key, and those of who signs the clients'. */
int http_secure(struct http *http, const char *certificate, const char *key, const char *clients, struct error *error);
/* A connected TCP socket. */
void http_connect_secure(struct http *http, int fd);
struct page;
/* Ends the connections that came by it. */
void http_end_page(struct http *http, const struct page *page);
/* Requests that have not been answered yet; connections. With those of TLS. */
unsigned http_requests(const struct http *http);
unsigned http_connections(const struct http *http);

#endif
