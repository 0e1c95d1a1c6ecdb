/* SPDX-License-Identifier: Apache-2.0 */
/* What of packages goes into an image: a text that people read and change (packages/default.rules says how). */
#ifndef LV_TINYX_RULES_H
#define LV_TINYX_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"

extern const char default_rules[], trim_rules[];

struct rule_path {
	char *glob, *place; /* place: "FILE:12", where the rule stands */
	bool keep;
};

struct rules { /* zero-initialised: none */
	struct rule_path *path;
	size_t paths;
	struct strings used, whole, assumed, scripts; /* packages */
	struct strings start;		     /* package, command, package, command ... */
};

/* name: what messages call the text. -EINVAL with a message that names the line; free in any case. */
int rules_parse(struct rules *rules, const char *text, const char *name, struct error *error);
/* The file's rules; NULL: those in otherwise, which are called "default rules" where that is default_rules. */
int rules_load(struct rules *rules, const char *file, const char *otherwise, struct error *error);
/* The rule that says whether path is packed: the last one that matches; NULL: none, it is. */
const struct rule_path *rules_for(const struct rules *rules, const char *path);
/* Words, as a shell has them, of the package's command; NULL: there is none. */
const char *rules_start(const struct rules *rules, const char *package);
void rules_free(struct rules *rules);

#endif
