/* SPDX-License-Identifier: Apache-2.0 */
/* --help, out of the verb table. */
#include <string.h>

#include "cli/verb.h"

static void usage_line(const struct verb *verb, const char *parent, struct text *out)
{
	text_format(out, "usage: %s %s", parent, verb->name);
	if (verb->options)
		text_put(out, " [OPTIONS]");
	if (verb->operands)
		text_format(out, " %s", verb->operands);
	text_put(out, "\n");
}

void verb_help(const struct verb *verb, const char *parent, struct text *out)
{
	usage_line(verb, parent, out);
	text_format(out, "\n%s.\n", verb->summary);
	if (verb->text)
		text_format(out, "\n%s\n", verb->text);
	if (verb->options) {
		text_put(out, "\noptions:\n");
		options_help(verb->options, out);
	}
	if (verb->examples) {
		text_put(out, "\nexamples:\n");
		for (const char *line = verb->examples; *line;) {
			size_t n = strcspn(line, "\n");
			text_format(out, "  %.*s\n", (int)n, line);
			line += n + (line[n] == '\n');
		}
	}
}

void verbs_help(const struct verb *const *table, const char *parent, struct text *out)
{
	text_format(out, "usage: %s COMMAND [OPTIONS] ...\n\n", parent);
	if (!strcmp(parent, "lightvm"))
		text_put(out, "Runs Linux programs, each in a virtual machine of its own.\n\n");
	text_put(out, "commands:\n");
	for (; *table; table++)
		if (!(*table)->hidden)
			text_format(out, "  %-12s %s\n", (*table)->name, (*table)->summary);
	text_format(out, "\n\"%s COMMAND --help\" tells more.\n", parent);
}
