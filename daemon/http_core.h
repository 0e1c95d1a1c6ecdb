/* SPDX-License-Identifier: Apache-2.0 */
/* What http.c (connections, libmicrohttpd in our loop) and exchange.c (requests and answers) share. Theirs alone. */
#ifndef LV_DAEMON_HTTP_CORE_H
#define LV_DAEMON_HTTP_CORE_H

#include <microhttpd.h>
#include <sys/queue.h>

#include "daemon/later.h"
#include "daemon/task.h"

#define HTTP_CONNECTIONS 1024  /* above them that one is closed which has been without a whole request for longest; if there is none, a request is answered by 503 */
#define HTTP_MOST 2048	       /* above them a connection is closed */
#define HTTP_REQUEST_MS 15000  /* for a client to send its request, or to begin with the next one */
#define HTTP_REPLY_MS 60000    /* for a client to read an answer that is no stream */

struct http {
	struct daemon *daemon;
	struct http *secure; /* the same for TLS; NULL: none */
	bool is_secure;
	struct MHD_Daemon *mhd;
	struct loop_watch watch;
	struct loop_timer timer;
	TAILQ_HEAD(, client) reading; /* those whose request is not whole yet: for longest, first */
	TAILQ_HEAD(, client) served;
	unsigned connections, serving, requests; /* serving: in the second list */
};

struct client { /* a connection */
	struct http *http;
	TAILQ_ENTRY(client) link;
	bool is_served, is_closed; /* in which of the two lists; it was told to end */
	struct loop_timer limit;
	struct exchange *exchange; /* the request that is being answered; NULL: none */
	int fd;
	struct caller caller;
	struct page *page; /* by which it came (daemon/page_door.h); NULL: by another socket */
	bool remote; /* TCP: half of a connection may end */
};

struct exchange { /* a request and its answer */
	struct http *http;
	struct client *client;
	struct MHD_Connection *connection;
	struct api_request request;
	struct text body, allow;
	size_t discarded; /* bytes of a body that is too long */
	unsigned status;  /* of the answer; 0: none yet */
	const char *type;
	struct text answer; /* all of it, or of a stream what the client has not taken */
	size_t taken;	    /* bytes of that which it has */
	bool suspended;	    /* libmicrohttpd leaves it alone */
	bool open;	    /* an operation will say more, and has to be told if nobody listens */
	bool streaming, ended, whole, full;
	struct loop_watch gone; /* while it is suspended and we may say more */
	struct later later;
	struct loop_watch input; /* API_TAR: where the body goes, while there is no room for it; fd -1: nobody takes it any more */
	struct task task;
	struct api_head head; /* a process' */
	size_t have;	      /* bytes of it */
	struct MHD_UpgradeResponseHandle *upgraded;
	int session; /* the connection that a process gets; -1: none */
};

/* Lets libmicrohttpd look at its connections, not from within one of its calls. In http.c. */
void http_soon(struct http *http);
/* The response of a stream: pieces as they come. In http_later.c. */
struct MHD_Response *exchange_pieces(struct exchange *exchange);
/* Waits for what the operation says; the client's end is noticed. In http_later.c. */
void exchange_wait(struct exchange *exchange);
/* Goes on with it; nothing if it does not wait. In http_later.c. */
void exchange_go_on(struct exchange *exchange);
/* Nobody listens any more. In http_later.c. */
void exchange_cancel(struct exchange *exchange);
/* A body that a task reads as it comes. In http_body.c. */
int body_begin(struct exchange *exchange);
/* *size becomes what is left of it. */
enum MHD_Result body_add(struct exchange *exchange, const char *data, size_t *size);
/* All has come. */
void body_end(struct exchange *exchange);
/* An operation in a process of its own, and how it ends. In exchange.c. */
void exchange_work(void *context, int out);
void exchange_task_done(void *context, struct text *said, int failed);
/* Its request is whole, or has been answered. In http.c. */
void client_serve(struct client *client, bool served);
/* The connection ends in so many milliseconds; 0: not by time. In http.c. */
void client_limit(struct client *client, uint64_t milliseconds);

#endif
