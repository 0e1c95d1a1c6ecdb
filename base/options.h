/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line options driven by one table: the same table parses, prints help, and feeds completion and man pages.
 * An option names the field of the caller's structure that it fills.
 */
#ifndef LV_BASE_OPTIONS_H
#define LV_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

enum option_kind {
	OPTION_FLAG,   /* bool, becomes true */
	OPTION_STRING, /* const char *, points into argv */
	OPTION_LIST,   /* struct strings, each use adds one */
	OPTION_NUMBER, /* uint64_t, between low and high */
	OPTION_SIZE,   /* uint64_t, bytes, between low and high */
};

struct option_spec {
	const char *name; /* long name without dashes; NULL ends the table */
	char letter;      /* 0: none */
	enum option_kind kind;
	size_t offset;        /* of the field in the caller's structure */
	const char *value;    /* what help calls the value: "NAME"; flags: NULL */
	const char *help;     /* one sentence, no full stop needed */
	uint64_t low, high;   /* NUMBER, SIZE; high 0: no limit */
	const char *words;    /* choices, space-separated ("json table"); NULL: anything. A value that ends with ':' is a prefix. */
	const char *otherwise; /* STRING: the value that the bare option has, whose own is given with "=" only; NULL: a value has to be there */
	const char *complete; /* what the shell completes: "file", "dir", "vm", "none"; NULL: words or none */
};

struct option_result {
	int first; /* index of the first operand in argv; operands are argv[first .. argc-1], in order */
	bool help; /* --help or -? was given: nothing else was checked */
	char unknown[64]; /* the option that the table lacks, without dashes; "": none */
};

/*
 * Parses argv[1..argc-1] into target. table NULL: there are no options. Operands are moved to the end of argv; with
 * first_ends the first operand ends the options (what follows belongs to somebody else); "--" always does. 0, or -EINVAL with a message that names the
 * option, the value, and a suggestion if an option is near.
 */
int options_parse(const struct option_spec *table, int argc, char **argv, bool first_ends, void *target, struct option_result *result,
		  struct error *error);
/* Releases what OPTION_LIST fields hold. */
void options_free(const struct option_spec *table, void *target);
/* One line an option, wrapped at 100 columns, as --help shows it. */
void options_help(const struct option_spec *table, struct text *out);
/* "-m, --memory SIZE" */
void options_heading(const struct option_spec *spec, struct text *out);
/* The nearest name among count words taken with at(context, i), or NULL if none is near enough. */
const char *options_nearest(const char *word, size_t count, const char *(*at)(const void *context, size_t i), const void *context);

#endif
