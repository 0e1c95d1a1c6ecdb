/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far an operation is that takes long: with "progress" in the query it is answered as a server-sent stream, of events "progress" and at last one "end" with the status and the
 * answer that it would have had. In the operation's own process.
 */
#ifndef LV_DAEMON_API_PROGRESS_H
#define LV_DAEMON_API_PROGRESS_H

#include "daemon/api.h"
#include "tinyx/plan.h"

#define PROGRESS_QUERY "progress" /* route.streams of such an operation, beside its task */

/* route.stream of such an operation: runs its task. */
int progress_stream(struct api_request *request, int out, struct error *error);
/* What is done now; more is taken, and may be NULL. Nothing where nobody looks on. */
void progress_say(struct api_request *request, const char *step, json_t *more);
/* Says how far packing is, some times a second. request outlives it. */
struct pack_watch progress_watch(struct api_request *request);

#endif
