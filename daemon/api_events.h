/* SPDX-License-Identifier: Apache-2.0 */
/* Events for who wants to follow them: by the API as a server-sent stream, by the local socket through a pipe. And how a part tells of one. */
#ifndef LV_DAEMON_API_EVENTS_H
#define LV_DAEMON_API_EVENTS_H

#include "daemon/events.h"
#include "daemon/lightvmd.h"
#include "daemon/local.h"

extern const struct daemon_part events_part; /* before all parts that tell of something */
extern const struct local_op events_local_ops[];

/* What the part keeps; NULL: it is not there (yet, or any more). */
struct events *events_of(struct daemon *daemon);
/*
 * Tells that something happened. vm: its id, name: of the VM, service, pool, ...; either may be NULL. attributes: an object that says more, or NULL; it is
 * taken. Never fails: an event that finds no memory is told to readers as lost.
 */
void events_emit(struct daemon *daemon, enum event_type type, const char *vm, const char *name, json_t *attributes);

#endif
