/* SPDX-License-Identifier: Apache-2.0 */
/* Starting other programs: by vfork, since a copied address space would cost more than all the rest of a start. */
#ifndef LV_BASE_SPAWN_H
#define LV_BASE_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

struct spawn {
	char **argv;
	const int *keep; /* descriptors that the program gets, under the same numbers; all others are close-on-exec */
	size_t keep_count;
	int in, out, err; /* become 0, 1, 2; -1: /dev/null for in, unchanged for the others */
	bool inherit_in;  /* 0 stays as it is */
	bool session;     /* a session of its own: the terminal's signals do not reach it */
	bool die_with_us; /* SIGKILL when the caller's thread ends */
	bool ignore_keys; /* SIGINT, SIGQUIT, SIGHUP are ignored: the caller forwards them */
};

/* The path of a program in the usual directories, in buffer; a name with a slash is its own path. NULL: nowhere. */
const char *spawn_find(const char *program, char *buffer, size_t room);
/* program: a path, or a name that is looked for in the usual directories. The process id, or a negative errno with a message. */
pid_t spawn_start(const struct spawn *spawn, const char *program, struct error *error);

#endif
