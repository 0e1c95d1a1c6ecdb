/* SPDX-License-Identifier: Apache-2.0 */
/* A request and its answer, between libmicrohttpd and the operations. Loop thread. */
#ifndef LV_DAEMON_EXCHANGE_H
#define LV_DAEMON_EXCHANGE_H

#include "daemon/http_core.h"

/* libmicrohttpd's callbacks; context is struct http. */
enum MHD_Result exchange_request(void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *data,
				 size_t *size, void **request);
void exchange_completed(void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code);
/* We end: what waits is broken off. Accepts NULL. */
void exchange_abort(struct exchange *exchange);

#endif
