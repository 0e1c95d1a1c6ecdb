/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/guards.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define AROUND_MAX 64
#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define CONFIG "CONFIG_"

struct name { /* in a text that goes on behind it */
	const char *at;
	size_t size;
};

struct reader {
	const char *around[AROUND_MAX]; /* what stands behind the # of each open #if; NULL: an #else, or what is not followed */
	size_t depth;			/* may be more than there is room for */
};

/* ---- conditions ---- */

static bool is_word(const char *at, const char *word)
{
	size_t len = strlen(word);
	return !strncmp(at, word, len) && (!at[len] || !strchr(NAME_LETTERS, at[len]));
}

static bool follows(const char *from, const char *at, const char *what)
{
	size_t len = strlen(what);
	return (size_t)(at - from) >= len && !memcmp(at - len, what, len);
}

/* Whether it is asked there that an option is set, and nothing else of it: not which number it is. */
static bool is_asked(const char *line, const char *at)
{
	static const char *const before[] = { "defined(", "defined ", "IS_ENABLED(", "IS_BUILTIN(", "IS_REACHABLE(" };
	for (size_t i = 0; i < sizeof(before) / sizeof(*before); i++)
		if (follows(line, at, before[i]))
			return true;
	return false;
}

static void take_option(const char *at, struct strings *options)
{
	int len = (int)strspn(at + strlen(CONFIG), NAME_LETTERS);
	if (len)
		strings_take(options, alloc_format("%.*s", len, at + strlen(CONFIG)));
}

/* "ifdef CONFIG_X", "if defined(CONFIG_X) && IS_ENABLED(CONFIG_Y)": what all has to be set. */
static void take_condition(const char *line, struct strings *options)
{
	size_t size = strcspn(line, "\n");
	if (is_word(line, "ifdef")) {
		line += strlen("ifdef");
		line += strspn(line, " \t");
		if (text_starts(line, CONFIG))
			take_option(line, options);
		return;
	}
	if (!is_word(line, "if") || memchr(line, '!', size) || memchr(line, '|', size) || memchr(line, '?', size) || line[size - 1] == '\\')
		return;
	for (const char *at = line; (at = strstr(at, CONFIG)) && at < line + size; at += strlen(CONFIG))
		if (is_asked(line, at))
			take_option(at, options);
}

static void directive(struct reader *reader, const char *line)
{
	line += strspn(line, " \t");
	bool opens = is_word(line, "if") || is_word(line, "ifdef") || is_word(line, "ifndef"), turns = is_word(line, "else") || is_word(line, "elif");
	if (opens && reader->depth++ < AROUND_MAX)
		reader->around[reader->depth - 1] = line;
	if (turns && reader->depth && reader->depth <= AROUND_MAX)
		reader->around[reader->depth - 1] = NULL;
	if (is_word(line, "endif") && reader->depth)
		reader->depth--;
}

/* ---- definitions ---- */

static struct name name_of(const char *function)
{
	static const char *const prefixes[] = { "__x64_sys_", "__do_sys_", "__se_sys_" };
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (text_starts(function, prefixes[i]))
			function += strlen(prefixes[i]);
	return (struct name){ function, strcspn(function, ".") };
}

/* Behind its parameters a definition has a body, a declaration ends. */
static bool has_body(const char *at)
{
	at += strcspn(at, ";{");
	return *at == '{';
}

/* "static int name(...)" or "SYSCALL_DEFINE3(name, ...)", from the first column on: what is further right is a call. */
static bool is_definition(const char *line, const struct name *name)
{
	if (!isalpha((unsigned char)*line) && *line != '_')
		return false;
	const char *end = line + strcspn(line, "\n");
	for (const char *at = line; (at = memchr(at, *name->at, (size_t)(end - at))); at++) {
		if ((size_t)(end - at) <= name->size || memcmp(at, name->at, name->size) || (at > line && strchr(NAME_LETTERS, at[-1])))
			continue;
		const char *behind = at + name->size + strspn(at + name->size, " \t");
		bool call = text_starts(line, "SYSCALL_DEFINE") && at > line && at[-1] == '(' && (*behind == ',' || *behind == ')');
		if ((call || *behind == '(') && has_body(behind))
			return true;
	}
	return false;
}

static void take_around(const struct reader *reader, struct strings *options)
{
	for (size_t i = 0; i < reader->depth && i < AROUND_MAX; i++)
		if (reader->around[i])
			take_condition(reader->around[i], options);
}

int guards_find(const char *text, const char *function, struct guards *guards)
{
	struct reader reader = { .depth = 0 };
	const struct name name = name_of(function);
	unsigned number = 1;
	*guards = (struct guards){ .line = 0 };
	for (const char *line = text; name.size && line && *line; number++) {
		if (*line == '#')
			directive(&reader, line + 1);
		else if (is_definition(line, &name)) {
			if (guards->line) {
				strings_free(&guards->options);
				return 0;
			}
			guards->line = number;
			take_around(&reader, &guards->options);
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	return strings_error(&guards->options);
}

void guards_free(struct guards *guards)
{
	strings_free(&guards->options);
}
