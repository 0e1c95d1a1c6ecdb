/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/shown.h"
#include "cli/all_verbs.h"
#include "cli/habits.h"
#include "cli/verb.h"

static const struct verb *verb_find(const struct verb *const *table, const char *name)
{
	for (; *table; table++)
		if (!strcmp((*table)->name, name))
			return *table;
	return NULL;
}

static const char *verb_name(const void *context, size_t i)
{
	const struct verb *const *table = context;
	return table[i]->name;
}

static int unknown_verb(const struct verb *const *table, const char *parent, const char *word)
{
	const char *kind = word[0] == '-' ? "option" : "command", *below = strrchr(parent, ' ');
	const char *answer = table == verbs ? habit_command(word) : below ? habit_below(below + 1, word) : NULL;
	size_t n = 0;
	if (answer) {
		log_error("%s: %s", word, answer);
		return EXIT_OWN;
	}
	while (table[n] && !table[n]->hidden)
		n++;
	const char *near = options_nearest(word, n, verb_name, table);
	if (near && !verb_find(table, near)->no_guess)
		log_error("unknown %s \"%s\"; did you mean \"%s\"?", kind, word, near);
	else
		log_error("unknown %s \"%s\"; \"%s --help\" lists them", kind, word, parent);
	return EXIT_OWN;
}

int text_print(struct text *out)
{
	shown_from(out, 0, SHOWN_LINES); /* names, arguments and reasons in it may be a guest's or an image's */
	int err = out->size ? fd_write(STDOUT_FILENO, out->data, out->size) : 0;
	text_free(out);
	if (err && err != -EPIPE)
		log_error("standard output: %s", strerror(-err));
	return err ? EXIT_OWN : 0;
}

/* Go's, with which Docker formats. */
static bool has_template(int argc, char **argv)
{
	bool has = false;
	for (int i = 1; i < argc; i++)
		has |= strstr(argv[i], "{{") != NULL;
	return has;
}

static int parse_and_run(const struct verb *verb, const char *parent, const struct context *context, void *options, int argc, char **argv)
{
	struct option_result result;
	struct error error = { 0 };
	if (options_parse(verb->options, argc, argv, verb->first_ends, options, &result, &error)) {
		const char *answer = result.unknown[0] ? habit_option(verb->name, result.unknown) : NULL;
		if (answer)
			log_error("%s%s %s", result.unknown[1] ? "--" : "-", result.unknown, answer);
		else if ((answer = habit_value(error.text)))
			log_error("%s; %s", error.text, answer);
		else if (has_template(argc, argv))
			log_error("%s; templates are not read: use --format json, and jq", error.text);
		else
			log_error("%s (\"%s %s --help\" lists the options)", error.text, parent, verb->name);
		return EXIT_OWN;
	}
	if (result.help) {
		struct text out = { 0 };
		verb_help(verb, parent, &out);
		return text_print(&out);
	}
	struct operands operands = { argc - result.first, argv + result.first };
	if (operands.argc < verb->min || (verb->max >= 0 && operands.argc > verb->max)) {
		log_error("usage: %s %s%s%s%s", parent, verb->name, verb->options ? " [OPTIONS]" : "", verb->operands ? " " : "",
			  verb->operands ? verb->operands : "");
		return EXIT_OWN;
	}
	int status = verb->run(context, options, operands, &error);
	if (status < 0) {
		log_error("%s", error.text[0] ? error.text : strerror(-status));
		return EXIT_OWN;
	}
	return status;
}

int verbs_run(const struct verb *const *table, const char *parent, const struct context *context, int argc, char **argv)
{
	struct text out = { 0 };
	if (argc > 2 && !strcmp(argv[1], "help")) { /* "help VERB" is "VERB --help", and "help VERB SUB" "VERB SUB --help" */
		const struct verb *about = verb_find(table, argv[2]);
		int last = about && about->sub && argc > 3 ? 3 : 2;
		memmove(argv + 1, argv + 2, (size_t)(last - 1) * sizeof(*argv));
		argv[last] = "--help";
	}
	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		verbs_help(table, parent, &out);
		int status = text_print(&out);
		return argc < 2 ? EXIT_OWN : status;
	}
	const struct verb *verb = verb_find(table, argv[1]);
	if (!verb)
		return unknown_verb(table, parent, argv[1]);
	if (verb->sub) {
		char *name = alloc_format("%s %s", parent, verb->name);
		int status = verbs_run(verb->sub, name, context, argc - 1, argv + 1);
		free(name);
		return status;
	}
	void *options = alloc_zero(verb->options_size);
	if (verb->defaults)
		verb->defaults(options);
	int status = parse_and_run(verb, parent, context, options, argc - 1, argv + 1);
	options_free(verb->options, options);
	free(options);
	return status;
}
