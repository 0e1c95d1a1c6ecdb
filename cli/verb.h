/* SPDX-License-Identifier: Apache-2.0 */
/* The verb table: it dispatches, prints --help, and feeds completion and man pages. */
#ifndef LV_CLI_VERB_H
#define LV_CLI_VERB_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/options.h"

/* As with other programs that run programs. */
#define EXIT_OWN 125	       /* lightvm itself failed */
#define EXIT_NO_EXECUTABLE 126 /* the program cannot be executed */
#define EXIT_NO_PROGRAM 127    /* there is no such program */

/* What every verb gets. */
struct context {
	uint64_t start_ns; /* CLOCK_MONOTONIC when the command started */
};

/* Operands, without the verb: argv[0 .. argc-1], argv[argc] is NULL. */
struct operands {
	int argc;
	char **argv;
};

struct verb {
	const char *name;
	const char *operands; /* "VM...", for the usage line; NULL: none */
	const char *summary;  /* one line, no full stop */
	const char *text;     /* paragraphs for --help and the man page, separated by empty lines; NULL: none */
	const char *examples; /* lines; NULL: none */
	const struct option_spec *options; /* NULL: none */
	size_t options_size;  /* of the structure that options fill */
	void (*defaults)(void *options); /* NULL: all zero */
	const char *complete; /* what operands complete to: "vm", "file", "image", "host", ... (cli_self.c); NULL: nothing */
	const struct verb *const *sub; /* verbs below this one, ended by NULL; run is unused then */
	int min, max;         /* number of operands; max -1: any */
	bool first_ends;      /* what follows the first operand belongs to the program */
	bool hidden;
	bool no_guess; /* it ends or removes something: never what a mistyped word is taken for */
	/* The exit status of lightvm, or a negative errno with a message. */
	int (*run)(const struct context *context, void *options, struct operands operands, struct error *error);
};

/* All verbs, in the order of help; ended by NULL. */
extern const struct verb *const verbs[];

/* Parses and runs; prints errors. Returns the exit status. parent: "lightvm" or "lightvm image". */
int verbs_run(const struct verb *const *table, const char *parent, const struct context *context, int argc, char **argv);
/* --help of one verb, of the whole. */
void verb_help(const struct verb *verb, const char *parent, struct text *out);
void verbs_help(const struct verb *const *table, const char *parent, struct text *out);
/* Prints out and frees it; 0 or EXIT_OWN. */
int text_print(struct text *out);

#endif
