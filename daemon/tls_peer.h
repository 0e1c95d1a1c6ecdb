/* SPDX-License-Identifier: Apache-2.0 */
/* Whose certificate the client of a TLS connection has shown. */
#ifndef LV_DAEMON_TLS_PEER_H
#define LV_DAEMON_TLS_PEER_H

#include <microhttpd.h>

#include "base/error.h"

/* 0: one that was signed by who is named for that, for clients, and is valid now. -EACCES with a message. */
int tls_peer_check(struct MHD_Connection *connection, struct error *error);

#endif
