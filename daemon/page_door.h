/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who comes by a socket of the page (daemon/browser_page.h) is not known by its user: it needs the token that only the command was told, in a header that no other site
 * can have a browser send; names its host, against names that lead elsewhere; and only reads.
 */
#ifndef LV_DAEMON_PAGE_DOOR_H
#define LV_DAEMON_PAGE_DOOR_H

#include "daemon/lightvmd.h"

#define PAGE_PART "page"
#define PAGE_TOKEN 64 /* hexadecimal digits */

struct page { /* a socket that was handed over */
	struct daemon *daemon;
	struct page *next, **before;
	struct loop_watch listener, lease; /* lease: a pipe whose other end the command has */
	unsigned port;
	char token[PAGE_TOKEN + 1];
};

struct pages { /* what the part keeps */
	struct page *first;
	unsigned count;
};

/* The port of a TCP socket, and whether only this machine reaches it; 0: it is none. */
unsigned page_port(int fd, bool *loopback);
/* The page by which a connected socket came; NULL: by none. */
struct page *page_of(struct daemon *daemon, int fd);
/*
 * Whether a request that came by it may be answered: 0, or the HTTP status of the refusal with a message. host, authorization: headers, NULL: not there.
 * open: what is asked for is part of the page itself, which tells nothing.
 */
unsigned page_check(const struct page *page, const char *method, bool open, const char *host, const char *authorization, struct error *error);

#endif
