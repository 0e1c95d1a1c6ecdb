/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs that name VMs and other things share: going through the names, and printing JSON. */
#ifndef LV_CLI_DESCRIBE_H
#define LV_CLI_DESCRIBE_H

#include "cli/verb.h"
#include "node/vm_info.h"

/* The options of verbs that have no others than --format. */
struct format_options {
	const char *format;
};
extern const struct option_spec format_options[];
bool format_is_json(const struct format_options *given);

/* A number of an object that lightvmd or a monitor sent; 0 where there is none. */
long long json_number(const json_t *object, const char *key);

/* Pretty JSON on standard output; takes value. The exit status. */
int json_print(json_t *value);

/* Calls each() for every word, going on after errors; prints them. The exit status: 0, or EXIT_OWN. */
int word_for_each(struct operands operands, int (*each)(const char *word, struct error *error));
/* Opens the state and calls each() for every word, going on after errors; prints them. The exit status: 0, or EXIT_OWN. */
int vm_for_each(struct operands operands, int (*each)(const struct state *state, struct vm_info *info, void *context, struct error *error),
		void *context);
/*
 * The same for many at once, for what mostly waits: each() is called from several threads, with a VM's row in place of its configuration.
 * Messages come when all is done, in the order of the words.
 */
int vm_for_each_at_once(struct operands operands, int (*each)(const struct state *state, struct vm_info *info, const struct vm_row *row, void *context,
							       struct error *error), void *context);

#endif
