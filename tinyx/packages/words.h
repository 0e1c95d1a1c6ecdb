/* SPDX-License-Identifier: Apache-2.0 */
/* Words of a shell's command or of a unit's ExecStart: quotes and variables are followed, nothing is run. */
#ifndef LV_TINYX_WORDS_H
#define LV_TINYX_WORDS_H

#include <stdbool.h>

#include "base/text.h"

struct variables { /* name, value, name, value ... */
	struct strings list;
};

/* After 4096 of them new ones are not kept. */
void variables_set(struct variables *variables, const char *name, const char *value);
/* NULL: not set. Valid until the next one is set. */
const char *variables_get(const struct variables *variables, const char *name);
void variables_free(struct variables *variables);

/*
 * Splits the command at text, which ends at a line's end or at one of ; & | ( ) ` outside of quotes, into words. A comment and redirections are passed over. *unclear: a word
 * depends on a command's output, or on what only a shell can tell; variables that are not set are empty. More than 4096 words are unclear, too. Where the next command begins; text's end if there is none.
 */
const char *words_split(const char *text, const struct variables *variables, struct strings *words, bool *unclear);
/* The same of a line of systemd's, to which signs of a shell mean nothing but quotes, variables, and a ";" between blanks. */
const char *words_split_unit(const char *text, const struct variables *variables, struct strings *words, bool *unclear);

#endif
