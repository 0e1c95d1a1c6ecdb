/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 4096 /* of one command: a short one may name a long variable many times */
#define VARIABLES_MAX 4096
#define VALUE_MAX 4096 /* bytes of one word: a variable may hold another one, many times */

void variables_set(struct variables *variables, const char *name, const char *value)
{
	for (size_t i = 0; i + 1 < variables->list.count; i += 2) {
		if (strcmp(variables->list.item[i], name))
			continue;
		char *copy = alloc_copy(value); /* which may be part of the old one */
		free(variables->list.item[i + 1]);
		variables->list.item[i + 1] = copy;
		return;
	}
	if (variables->list.count / 2 >= VARIABLES_MAX)
		return;
	strings_add(&variables->list, name);
	strings_add(&variables->list, value);
}

const char *variables_get(const struct variables *variables, const char *name)
{
	for (size_t i = variables ? variables->list.count / 2 : 0; i > 0; i--)
		if (!strcmp(variables->list.item[2 * i - 2], name))
			return variables->list.item[2 * i - 1];
	return NULL;
}

void variables_free(struct variables *variables)
{
	strings_free(&variables->list);
}

struct splitter {
	const struct variables *variables;
	struct strings *words;
	struct text word;
	bool started; /* there is a word, though it may be empty */
	bool dropped; /* it is a redirection's */
	bool unclear;
};

static void put(struct splitter *split, const char *text, size_t size)
{
	split->started = true;
	if (split->word.size + size > VALUE_MAX)
		split->unclear = true;
	else
		text_add(&split->word, text, size);
}

static void end_word(struct splitter *split)
{
	if (split->started && !split->dropped && split->words->count >= WORDS_MAX)
		split->unclear = true;
	else if (split->started && !split->dropped)
		strings_add(split->words, split->word.data ? split->word.data : "");
	if (split->started)
		split->dropped = false;
	split->started = false;
	split->word.size = 0;
	if (split->word.data)
		split->word.data[0] = 0;
}

/* Behind the bracket that closes the one before at. */
static const char *skip_nested(const char *at)
{
	int depth = 1;
	for (; *at && depth; at++)
		depth += *at == '(' || *at == '{' ? 1 : *at == ')' || *at == '}' ? -1 : 0;
	return at;
}

static void put_value(struct splitter *split, const char *value, bool quoted)
{
	if (quoted) {
		put(split, value, strlen(value));
		return;
	}
	for (; *value; value++)
		if (isspace((unsigned char)*value))
			end_word(split);
		else
			put(split, value, 1);
}

/* at: behind the dollar. NAME, {NAME}, {NAME:-DEFAULT}; what else a shell knows is unclear. Behind it. */
static const char *variable(struct splitter *split, const char *at, bool quoted)
{
	if (*at == '(') {
		split->unclear = true;
		return skip_nested(at + 1);
	}
	bool braces = *at == '{';
	const char *name = at + braces, *end = name;
	while (isalnum((unsigned char)*end) || *end == '_')
		end++;
	if (end == name && *end == '@') /* all arguments, where somebody has set them */
		end += variables_get(split->variables, "@") != NULL;
	const char *after = braces ? skip_nested(name) : end;
	char *key = alloc_format("%.*s", (int)(end - name), name);
	const char *value = variables_get(split->variables, key);
	free(key);
	if (end == name || (braces && *end != '}' && strncmp(end, ":-", 2))) {
		split->unclear = true;
	} else if (value && (*value || !braces || *end == '}')) {
		put_value(split, value, quoted);
	} else if (braces && *end == ':' && after > end + 2) {
		char *other = alloc_format("%.*s", (int)(after - end - 3), end + 2);
		split->unclear = split->unclear || strpbrk(other, "$`\"'");
		put_value(split, other, quoted);
		free(other);
	} /* not set: empty, as for a shell */
	return end == name && !braces && *end ? end + 1 : after;
}

/* at: behind the quote that begins it. */
static const char *quoted(struct splitter *split, const char *at, char quote)
{
	split->started = true;
	while (*at && *at != quote) {
		if (quote == '"' && *at == '\\' && at[1]) {
			put(split, at + 1, at[1] != '\n');
			at += 2;
		} else if (quote == '"' && *at == '$') {
			at = variable(split, at + 1, true);
		} else {
			split->unclear = split->unclear || (quote == '"' && *at == '`');
			put(split, at++, 1);
		}
	}
	return *at ? at + 1 : at;
}

/* at: at "<" or ">": what follows, up to the next word's end, is not the command's. */
static const char *redirection(struct splitter *split, const char *at)
{
	if (split->started && split->word.size == 1 && isdigit((unsigned char)split->word.data[0]))
		split->dropped = true; /* 2>... */
	end_word(split);
	at += strspn(at, "<>&|");
	split->dropped = true;
	return at + strspn(at, " \t");
}

/* Of a shell's line signs end the command; of a unit's only a ";" that is a word. */
static bool ends(const struct splitter *split, const char *at, bool shell)
{
	if (!*at || *at == '\n')
		return true;
	return shell ? strchr(";|()`&", *at) != NULL : *at == ';' && !split->started && (!at[1] || isspace((unsigned char)at[1]));
}

static const char *split_line(const char *text, const struct variables *variables, struct strings *words, bool *unclear, bool shell)
{
	struct splitter split = { .variables = variables, .words = words };
	const char *at = text;
	while (!ends(&split, at, shell)) {
		if (shell && *at == '#' && !split.started) {
			at += strcspn(at, "\n");
		} else if (*at == '\\' && at[1]) {
			if (at[1] != '\n')
				put(&split, at + 1, 1);
			at += 2;
		} else if (*at == '\'' || *at == '"') {
			at = quoted(&split, at + 1, *at);
		} else if (*at == '$') {
			at = variable(&split, at + 1, false);
		} else if (shell && (*at == '<' || *at == '>')) {
			at = redirection(&split, at);
		} else if (isspace((unsigned char)*at)) {
			end_word(&split);
			at++;
		} else {
			put(&split, at++, 1);
		}
	}
	end_word(&split);
	*unclear = split.unclear || *at == '`';
	text_free(&split.word);
	return *at ? at + 1 : at;
}

const char *words_split(const char *text, const struct variables *variables, struct strings *words, bool *unclear)
{
	return split_line(text, variables, words, unclear, true);
}

const char *words_split_unit(const char *text, const struct variables *variables, struct strings *words, bool *unclear)
{
	return split_line(text, variables, words, unclear, false);
}
