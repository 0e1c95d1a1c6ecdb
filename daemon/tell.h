/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the daemon did by themselves, told in one place: to the log, and as an event. */
#ifndef LV_DAEMON_TELL_H
#define LV_DAEMON_TELL_H

#include "daemon/api_events.h"

/* vm: its id or NULL; name: of the service or NULL; action: one word; the rest a sentence without an end. Loop thread. */
void daemon_tell(struct daemon *daemon, enum event_type type, const char *vm, const char *name, const char *action, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

#endif
