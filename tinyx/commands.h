/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of a shell: what it starts is named by no library and no package, but by its scripts. Rule: with a shell come the usual commands of every
 * system (POSIX' utilities and what scripts take for granted beside them), and those of the machine that its words or its script name where a command can
 * stand; the same for a program that starts the one which its arguments name (env, timeout, nice ...). With an interpreter of a language come the usual ones.
 */
#ifndef LV_TINYX_COMMANDS_H
#define LV_TINYX_COMMANDS_H

#include <stdbool.h>

#include "base/text.h"
#include "tinyx/plan.h"

#define COMMANDS_MAX 64 /* that one script names, beside the usual ones */

struct commands { /* zero-initialised: none */
	bool shell;           /* the usual ones come, too */
	struct strings named; /* absolute paths, as PATH has them, in the order in which they were found */
};

/* Where PATH has an executable of this name; the caller's. NULL: nowhere. */
char *program_find(const char *name);
/* The same for a plan that packages make: where they have one. */
char *program_find_for(const struct plan *plan, const char *name);
/*
 * What program (a path of the host) will start, as its arguments, which may be NULL, or its text say. Files that cannot be read, and words that name nothing,
 * are passed over: a script may name what it only looks for.
 */
void commands_find(const char *program, const struct strings *words, struct commands *commands);
/* Whether the program of this path, with this text, is a shell or a script of one. */
bool commands_start_shell(const char *program, const char *text);
void commands_free(struct commands *commands);
/* Adds /bin/sh. */
void commands_add_shell(struct plan *plan);
/* Adds the usual ones that the host, or the packages, have. */
void commands_add_usual(struct plan *plan);

#endif
