/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <errno.h>
#include <stdio.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

static size_t table_count(const struct option_spec *table)
{
	size_t n = 0;
	while (table && table[n].name)
		n++;
	return n;
}

static const char *table_name(const void *context, size_t i)
{
	const struct option_spec *table = context;
	return table[i].name ? table[i].name : "help";
}

const char *options_nearest(const char *word, size_t count, const char *(*at)(const void *context, size_t i), const void *context)
{
	const char *best = NULL;
	/* A third of the letters may be wrong; one always may. */
	unsigned limit = (unsigned)strlen(word) / 3 + 1;
	for (size_t i = 0; i < count; i++) {
		const char *name = at(context, i);
		unsigned distance = text_distance(word, name);
		if (strlen(word) >= 3 && text_starts(name, word))
			distance = 1;
		if (distance < limit || (distance == limit && !best)) {
			best = name;
			limit = distance;
		}
	}
	return best;
}

static int unknown(const struct option_spec *table, const char *name, struct option_result *result, struct error *error)
{
	snprintf(result->unknown, sizeof(result->unknown), "%s", name);
	const char *near = options_nearest(name, table_count(table) + 1, table_name, table);
	if (near)
		return error_set(error, -EINVAL, "unknown option --%s; did you mean --%s?", name, near);
	return error_set(error, -EINVAL, "unknown option --%s", name);
}

static bool word_allowed(const char *words, const char *value)
{
	size_t len = strlen(value);
	for (const char *at = words; *at;) {
		size_t n = strcspn(at, " ");
		if (n && at[n - 1] == ':' ? len >= n && !strncmp(at, value, n) : n == len && !strncmp(at, value, n))
			return true;
		at += n + strspn(at + n, " ");
	}
	return false;
}

static const char *bound_print(bool is_size, uint64_t bound, char *out, size_t size)
{
	if (is_size)
		return size_print(bound, out, size);
	snprintf(out, size, "%" PRIu64, bound);
	return out;
}

static int parse_quantity(const struct option_spec *spec, const char *value, uint64_t *out, struct error *error)
{
	uint64_t number = 0;
	bool is_size = spec->kind == OPTION_SIZE;
	int err = is_size ? size_parse(value, &number) : number_parse(value, &number);
	if (err == -EINVAL)
		return error_set(error, -EINVAL, "--%s: \"%s\" is not a %s", spec->name, value,
				 is_size ? "size (examples: 64M, 1G)" : "number");
	char low[24], high[24];
	if (err || number < spec->low || (spec->high && number > spec->high))
		return error_set(error, -EINVAL, "--%s: %s is out of range (%s to %s)", spec->name, value,
				 bound_print(is_size, spec->low, low, sizeof(low)), bound_print(is_size, spec->high, high, sizeof(high)));
	*out = number;
	return 0;
}

static int store(const struct option_spec *spec, const char *value, void *target, struct error *error)
{
	void *field = (char *)target + spec->offset;
	if (spec->words && value && !word_allowed(spec->words, value))
		return error_set(error, -EINVAL, "--%s: \"%s\" is none of: %s", spec->name, value, spec->words);
	switch (spec->kind) {
	case OPTION_FLAG: *(bool *)field = true; return 0;
	case OPTION_STRING: *(const char **)field = value; return 0;
	case OPTION_LIST: strings_add(field, value); return 0;
	case OPTION_NUMBER:
	case OPTION_SIZE: return parse_quantity(spec, value, field, error);
	}
	return error_set(error, -EINVAL, "--%s: unknown kind", spec->name);
}

struct cursor {
	int argc, at;
	char **argv;
};

static int parse_long(const struct option_spec *table, struct cursor *cursor, void *target, struct option_result *result,
		      struct error *error)
{
	char *word = cursor->argv[cursor->at++] + 2;
	char *equals = strchr(word, '=');
	size_t len = equals ? (size_t)(equals - word) : strlen(word);
	if (len == 4 && !strncmp(word, "help", 4)) {
		result->help = true;
		return 0;
	}
	for (const struct option_spec *spec = table; spec && spec->name; spec++) {
		if (strlen(spec->name) != len || strncmp(spec->name, word, len))
			continue;
		if (spec->kind == OPTION_FLAG && equals)
			return error_set(error, -EINVAL, "--%s takes no value, but \"%s\" was given", spec->name, equals + 1);
		if (spec->kind == OPTION_FLAG)
			return store(spec, NULL, target, error);
		if (spec->otherwise)
			return store(spec, equals ? equals + 1 : spec->otherwise, target, error);
		if (!equals && cursor->at >= cursor->argc)
			return error_set(error, -EINVAL, "--%s needs a value: --%s %s", spec->name, spec->name, spec->value);
		return store(spec, equals ? equals + 1 : cursor->argv[cursor->at++], target, error);
	}
	char name[64];
	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	return unknown(table, name, result, error);
}

static int parse_letters(const struct option_spec *table, struct cursor *cursor, void *target, struct option_result *result,
			 struct error *error)
{
	for (char *letter = cursor->argv[cursor->at++] + 1; *letter; letter++) {
		if (*letter == '?') {
			result->help = true;
			return 0;
		}
		const struct option_spec *spec = table;
		while (spec && spec->name && spec->letter != *letter)
			spec++;
		if (!spec || !spec->name) {
			snprintf(result->unknown, sizeof(result->unknown), "%c", *letter);
			return error_set(error, -EINVAL, "unknown option -%c", *letter);
		}
		int err = 0;
		if (spec->kind == OPTION_FLAG) {
			err = store(spec, NULL, target, error);
			if (err)
				return err;
			continue;
		}
		if (letter[1])
			return store(spec, letter[1] == '=' ? letter + 2 : letter + 1, target, error);
		if (cursor->at >= cursor->argc)
			return error_set(error, -EINVAL, "-%c needs a value: -%c %s", *letter, *letter, spec->value);
		return store(spec, cursor->argv[cursor->at++], target, error);
	}
	return 0;
}

int options_parse(const struct option_spec *table, int argc, char **argv, bool first_ends, void *target, struct option_result *result,
		  struct error *error)
{
	static const struct option_spec none[] = { { 0 } };
	struct cursor cursor = { .argc = argc, .at = 1, .argv = argv };
	table = table ? table : none;
	char **operand = alloc_zero(((size_t)argc + 1) * sizeof(*operand));
	int operands = 0, err = 0;
	*result = (struct option_result){ .first = argc };
	if (!operand)
		return error_set(error, -ENOMEM, "out of memory");
	while (cursor.at < argc && !err && !result->help) {
		char *word = argv[cursor.at];
		if (word[0] == '-' && word[1] == '-' && !word[2]) {
			cursor.at++;
			break;
		}
		if (word[0] == '-' && word[1] == '-') {
			err = parse_long(table, &cursor, target, result, error);
		} else if (word[0] == '-' && word[1]) {
			err = parse_letters(table, &cursor, target, result, error);
		} else if (first_ends) {
			break;
		} else {
			operand[operands++] = word;
			cursor.at++;
		}
	}
	/* Operands that were passed over come first; all that is left over follows them. */
	if (!err) {
		result->first = cursor.at - operands;
		memcpy(argv + result->first, operand, (size_t)operands * sizeof(*operand));
	}
	free(operand);
	return err;
}

void options_free(const struct option_spec *table, void *target)
{
	for (; table && table->name; table++)
		if (table->kind == OPTION_LIST)
			strings_free((struct strings *)((char *)target + table->offset));
}

void options_heading(const struct option_spec *spec, struct text *out)
{
	if (spec->letter)
		text_format(out, "-%c, ", spec->letter);
	else
		text_put(out, "    ");
	text_format(out, "--%s", spec->name);
	if (spec->value)
		text_format(out, spec->otherwise ? "[=%s]" : " %s", spec->value);
}

/* Writes words so that lines end before column 100; column is where they begin. */
static void wrap(struct text *out, const char *words, size_t column)
{
	size_t at = column;
	while (*words) {
		size_t n = strcspn(words, " ");
		if (at + n > 100 && at > column) {
			text_format(out, "\n%*s", (int)column, "");
			at = column;
		} else if (at > column) {
			text_put(out, " ");
			at++;
		}
		text_add(out, words, n);
		at += n;
		words += n + strspn(words + n, " ");
	}
	text_put(out, "\n");
}

void options_help(const struct option_spec *table, struct text *out)
{
	const size_t column = 34;
	for (; table && table->name; table++) {
		size_t start = out->size;
		text_put(out, "  ");
		options_heading(table, out);
		size_t used = out->size - start;
		if (used + 2 > column)
			text_format(out, "\n%*s", (int)column, "");
		else
			text_format(out, "%*s", (int)(column - used), "");
		wrap(out, table->help, column);
	}
}
