/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API over TCP with TLS, for whom it is switched on. The client has to show a certificate that was signed by who is named for that, and may then do all that
 * this daemon may: there is no user at the other end. Loop thread.
 */
#ifndef LV_DAEMON_TLS_H
#define LV_DAEMON_TLS_H

#include "daemon/lightvmd.h"

struct tls_options { /* NULL: not said */
	const char *listen;	  /* "ADDRESS:PORT", "[ADDRESS]:PORT": numbers; NULL: no TLS */
	const char *certificate, *key; /* PEM files: ours */
	const char *clients;	  /* and of who signs the clients' */
};

/* 0, also where nothing is to be listened at. The socket and what was read live until tls_close. */
int tls_open(struct daemon *daemon, const struct tls_options *options, struct error *error);
void tls_close(struct daemon *daemon);

#endif
