/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux' Kconfig files, read for what an option is, what it depends on and who selects it (Documentation/kbuild/kconfig-language.rst). Nothing is
 * decided here that "make olddefconfig" decides: it has the last word on what a configuration becomes.
 */
#ifndef LV_TINYX_KCONFIG_H
#define LV_TINYX_KCONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/specialise/kernel_source.h"

struct kconfig_entry { /* one place that defines an option: there may be several of a name */
	char *name;	   /* without CONFIG_ */
	char *file;
	unsigned line;
	const char *type;  /* "bool", "tristate", "string", "int", "hex"; NULL: another place says */
	char *prompt;	   /* NULL: nobody is asked, it is selected or follows from others */
	struct strings depends;	 /* expressions that all have to hold: its own, and those of what is around it */
	struct strings selects;	 /* "NAME" or "NAME if EXPRESSION" */
	struct strings implies;	 /* likewise */
	struct strings defaults; /* "VALUE" or "VALUE if EXPRESSION" */
};

struct kconfig { /* zero-initialised: nothing read */
	struct kconfig_entry *entry; /* by name, and of one name by file and line */
	size_t count;
};

/* Reads path and what it sources. -EINVAL or another negative errno, with a message that names file and line. Free in any case. */
int kconfig_read(struct kconfig *kconfig, const struct kernel_source *source, const char *path, struct error *error);
void kconfig_free(struct kconfig *kconfig);
/* The first of the *count entries of that name (without CONFIG_), which follow each other; NULL: there is no such option. */
const struct kconfig_entry *kconfig_find(const struct kconfig *kconfig, const char *name, size_t *count);

/* ---- expressions ---- */

struct kconfig_values {
	/* What a symbol (without CONFIG_) is worth: "y", "m", "n", a number, a text; "" if it is not set. */
	const char *(*value)(void *context, const char *name);
	void *context;
};

enum kconfig_truth { KCONFIG_NO, KCONFIG_MODULE, KCONFIG_YES };

/* What an expression is worth; -EINVAL: it is none. A macro, $(...), is taken for yes: what it asks a compiler is not asked here. */
int kconfig_evaluate(const char *expression, const struct kconfig_values *values);
/*
 * Adds the symbols by which an expression that holds does hold: of "A && B" both, of "A || B" the first that holds, of "!A" none; nothing of one that
 * does not hold. Answers what it is worth, or -EINVAL.
 */
int kconfig_holders(const char *expression, const struct kconfig_values *values, struct strings *names);
/* Cuts "NAME if EXPRESSION": NAME, the caller's, and where EXPRESSION begins, NULL without one. */
char *kconfig_condition(const char *clause, const char **expression);
/* One of its "select NAME if EXPRESSION" is of that name and holds, if the entry itself does. */
bool kconfig_selects(const struct kconfig_entry *entry, const char *name, const struct kconfig_values *values);

#endif
