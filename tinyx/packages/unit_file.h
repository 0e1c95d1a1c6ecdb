/* SPDX-License-Identifier: Apache-2.0 */
/* What a unit file of systemd's says of the service: command, user, directories. */
#ifndef LV_TINYX_UNIT_FILE_H
#define LV_TINYX_UNIT_FILE_H

#include <stdbool.h>

#include "base/text.h"

struct unit { /* zero-initialised: empty */
	struct strings command; /* of ExecStart; empty: there is none */
	struct strings env;     /* NAME=VALUE */
	struct strings dirs;    /* absolute paths, which the user owns: RuntimeDirectory and the like */
	char *user, *group, *cwd;
	bool forks; /* Type=forking: it goes into the background */
};

/*
 * Reads text, the unit NAME.service. files(context, path): the contents of an EnvironmentFile, the reader's to free, or NULL. The text is hostile: what makes no sense is passed over.
 */
void unit_parse(struct unit *unit, const char *name, const char *text, char *(*files)(void *context, const char *path), void *context);
void unit_free(struct unit *unit);

#endif
