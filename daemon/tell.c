/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tell.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

void daemon_tell(struct daemon *daemon, enum event_type type, const char *vm, const char *name, const char *action, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	log_info("%s %s%s%s: %s: %s", event_type_name(type), name ? name : "", name && vm ? " " : "", vm ? vm : "", action, text);
	json_t *said = json_string(text); /* NULL where it is not UTF-8 */
	events_emit(daemon, type, vm, name, json_pack("{s:s, s:o}", "action", action, "text", said ? said : json_null()));
}
