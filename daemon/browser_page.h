/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page for a browser. A browser cannot reach a Unix socket, so "lightvm daemon page" makes a socket that listens on the loopback address and
 * hands it over; it is served for as long as that command lives.
 */
#ifndef LV_DAEMON_BROWSER_PAGE_H
#define LV_DAEMON_BROWSER_PAGE_H

#include "daemon/lightvmd.h"
#include "daemon/local.h"

#define PAGES_MOST 8

extern const struct daemon_part page_part;
extern const struct local_op page_local_ops[];

#endif
