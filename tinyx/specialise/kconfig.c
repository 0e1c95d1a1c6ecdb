/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/kconfig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/lines.h"

#define AROUND_MAX 64	    /* menus, choices and ifs in each other */
#define SOURCES_MAX 16	    /* files that source each other */
#define FILES_MAX 20000	    /* that are read in all */
#define ENTRIES_MAX 200000u /* options in all */
#define KEPT_MAX_MIB 64u    /* of all that is kept of them: what stands around options is so with each */

enum block { BLOCK_MENU, BLOCK_IF, BLOCK_CHOICE };

struct around {
	enum block block;
	struct strings depends;
};

struct reader {
	struct kconfig *kconfig;
	const struct kernel_source *source;
	struct error *error;
	struct around around[AROUND_MAX];
	size_t depth, room, kept;
	unsigned files, sourcing;
	struct kconfig_entry *entry; /* what an attribute belongs to; NULL: to none that is kept */
	struct strings *menu;	     /* the menu or choice whose "depends on" it is */
	const char *path;
	struct lines lines;
};

static int wrong(const struct reader *reader, const char *what, const char *line)
{
	return error_set(reader->error, -EINVAL, "%s:%u: %s: \"%.60s\"", reader->path, reader->lines.number, what, line);
}

/* ---- words ---- */

/* If line begins with the word, what follows it without blanks; NULL: it does not. */
static char *after(char *line, const char *word)
{
	size_t len = strlen(word);
	if (strncmp(line, word, len) || (line[len] && !strchr(" \t\"'(!$", line[len])))
		return NULL;
	return line + len + strspn(line + len, " \t");
}

/* A comment begins with # outside of quotes. */
static void cut_comment(char *line)
{
	char quote = 0;
	for (; *line; line++) {
		if (quote)
			quote = *line == quote ? 0 : quote;
		else if (*line == '"' || *line == '\'')
			quote = *line;
		else if (*line == '#')
			break;
	}
	*line = 0;
}

/* "\"text\" if X" or a bare word: the text, the caller's. */
static char *quoted(const char *word)
{
	if (*word != '"' && *word != '\'')
		return alloc_format("%.*s", (int)strcspn(word, " \t"), word);
	const char *end = strchr(word + 1, *word);
	return end ? alloc_format("%.*s", (int)(end - word - 1), word + 1) : NULL;
}

static bool name_is_fit(const char *name)
{
	return *name && !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")];
}

/* ---- entries ---- */

static int account(struct reader *reader, size_t size)
{
	reader->kept += size;
	return reader->kept <= (size_t)KEPT_MAX_MIB << 20 ? 0 :
		error_set(reader->error, -E2BIG, "%s:%u: options and what they depend on take more than %u MiB", reader->path, reader->lines.number, KEPT_MAX_MIB);
}

/* Whether there was memory for it the list remembers. */
static int keep(struct reader *reader, struct strings *list, const char *string)
{
	int err = account(reader, strlen(string) + 1 + sizeof(char *));
	if (!err)
		strings_add(list, string);
	return err;
}

static int keep_all(struct reader *reader, struct strings *list, const struct strings *from)
{
	int err = 0;
	list->failed |= from->failed;
	for (size_t i = 0; i < from->count && !err; i++)
		err = keep(reader, list, from->item[i]);
	return err;
}

/* What an entry, or a menu, was given is whole. */
static int end_entry(struct reader *reader)
{
	const struct kconfig_entry *entry = reader->entry;
	bool failed = (reader->menu && strings_error(reader->menu)) ||
		(entry && (strings_error(&entry->depends) || strings_error(&entry->selects) || strings_error(&entry->implies) || strings_error(&entry->defaults)));
	reader->entry = NULL;
	reader->menu = NULL;
	return failed ? error_set(reader->error, -ENOMEM, "%s: no memory", reader->path) : 0;
}

static int make_room(struct reader *reader)
{
	struct kconfig *kconfig = reader->kconfig;
	if (kconfig->count == ENTRIES_MAX)
		return error_set(reader->error, -E2BIG, "%s:%u: more than %u options", reader->path, reader->lines.number, ENTRIES_MAX);
	if (kconfig->count < reader->room)
		return 0;
	size_t room = reader->room ? 2 * reader->room : 256;
	struct kconfig_entry *grown = alloc_again(kconfig->entry, room * sizeof(*grown));
	if (!grown)
		return error_set(reader->error, -ENOMEM, "%s: no memory", reader->path);
	kconfig->entry = grown;
	reader->room = room;
	return 0;
}

static int begin_entry(struct reader *reader, const char *name)
{
	int err = end_entry(reader);
	if (!err && !name_is_fit(name))
		return wrong(reader, "that is no name of an option", name);
	if (!err)
		err = account(reader, sizeof(struct kconfig_entry) + strlen(name) + strlen(reader->path) + 2);
	if (!err)
		err = make_room(reader);
	if (err)
		return err;
	struct kconfig_entry *entry = &reader->kconfig->entry[reader->kconfig->count];
	*entry = (struct kconfig_entry){ .name = alloc_copy(name), .file = alloc_copy(reader->path), .line = reader->lines.number };
	if (!entry->name || !entry->file) {
		free(entry->name);
		free(entry->file);
		return error_set(reader->error, -ENOMEM, "%s: no memory", reader->path);
	}
	reader->kconfig->count++;
	for (size_t i = 0; i < reader->depth && !err; i++)
		err = keep_all(reader, &entry->depends, &reader->around[i].depends);
	reader->entry = entry;
	return err;
}

/* ---- what stands around entries ---- */

static int enter(struct reader *reader, enum block block, const char *expression, const char *line)
{
	if (reader->depth == AROUND_MAX)
		return wrong(reader, "menus, choices and ifs are too deep in each other", line);
	struct around *around = &reader->around[reader->depth++];
	*around = (struct around){ .block = block };
	int err = end_entry(reader);
	if (!err && expression)
		err = keep(reader, &around->depends, expression);
	reader->menu = block == BLOCK_IF ? NULL : &around->depends;
	return err;
}

static int leave(struct reader *reader, enum block block, const char *line)
{
	int err = end_entry(reader);
	if (err)
		return err;
	if (!reader->depth || reader->around[reader->depth - 1].block != block)
		return wrong(reader, "nothing like that is open here", line);
	strings_free(&reader->around[--reader->depth].depends);
	return 0;
}

/* ---- attributes ---- */

/* The column in which a line of len characters has its first that is no blank; 0: at its very beginning; -1: it is empty. */
static int indent_of(const char *line, size_t len)
{
	int column = 0;
	for (size_t i = 0; i < len; i++) {
		if (line[i] == '\t')
			column = (column + 8) & ~7;
		else if (line[i] == ' ')
			column++;
		else if (line[i] != '\r')
			return column;
	}
	return -1;
}

/* The text of the help is indented like its first line, or more: it ends before the first one that is less. */
static void skip_help(struct reader *reader)
{
	struct lines *lines = &reader->lines;
	for (int indent = 0; lines->at && *lines->at;) {
		size_t len = strcspn(lines->at, "\n");
		int column = indent_of(lines->at, len);
		if (!column || (column > 0 && column < indent))
			return;
		if (column > 0 && !indent)
			indent = column;
		lines->at = lines->at[len] ? lines->at + len + 1 : NULL;
		lines->next++;
	}
}

static int take_prompt(struct reader *reader, const char *rest)
{
	if (!*rest || !reader->entry)
		return 0;
	char *prompt = quoted(rest);
	if (!prompt)
		return wrong(reader, "a prompt without an end", rest);
	free(reader->entry->prompt);
	reader->entry->prompt = prompt;
	return account(reader, strlen(prompt) + 1);
}

static int take_default(struct reader *reader, const char *type, const char *rest)
{
	if (reader->entry && type)
		reader->entry->type = type;
	return reader->entry ? keep(reader, &reader->entry->defaults, rest) : 0;
}

static int take_depends(struct reader *reader, char *rest)
{
	char *expression = after(rest, "on");
	if (!expression || !*expression)
		return wrong(reader, "that depends on nothing", rest);
	struct strings *list = reader->entry ? &reader->entry->depends : reader->menu;
	return list ? keep(reader, list, expression) : 0;
}

/* 1: it was none. */
static int type_attribute(struct reader *reader, char *line)
{
	static const char *const types[] = { "bool", "tristate", "string", "int", "hex" };
	char *rest;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if ((rest = after(line, types[i]))) {
			if (reader->entry)
				reader->entry->type = types[i];
			return take_prompt(reader, rest);
		}
	if ((rest = after(line, "def_bool")))
		return take_default(reader, "bool", rest);
	if ((rest = after(line, "def_tristate")))
		return take_default(reader, "tristate", rest);
	return 1;
}

/* 1: it was none. */
static int attribute(struct reader *reader, char *line)
{
	static const char *const unread[] = { "range", "visible", "option", "modules", "optional", "transitional" };
	char *rest;
	int err = type_attribute(reader, line);
	if (err <= 0)
		return err;
	if ((rest = after(line, "prompt")))
		return take_prompt(reader, rest);
	if ((rest = after(line, "default")))
		return take_default(reader, NULL, rest);
	if ((rest = after(line, "depends")))
		return take_depends(reader, rest);
	bool selects = (rest = after(line, "select"));
	if (rest || (rest = after(line, "imply")))
		return reader->entry ? keep(reader, selects ? &reader->entry->selects : &reader->entry->implies, rest) : 0;
	if (after(line, "help") || !strcmp(line, "---help---")) {
		skip_help(reader);
		return 0;
	}
	for (size_t i = 0; i < sizeof(unread) / sizeof(*unread); i++)
		if (after(line, unread[i]))
			return 0;
	return 1;
}

/* ---- files ---- */

static int read_file(struct reader *reader, const char *path);

/* The one variable that names of files have in them is the architecture. */
static char *file_name(const char *word)
{
	static const char variable[] = "$(SRCARCH)";
	const char *found = strstr(word, variable);
	return found ? alloc_format("%.*sx86%s", (int)(found - word), word, found + strlen(variable)) : alloc_copy(word);
}

static int take_source(struct reader *reader, const char *rest)
{
	char *word = quoted(rest), *path = word ? file_name(word) : NULL;
	int err = end_entry(reader);
	if (!err && (!path || !*path || strstr(path, "$(")))
		err = wrong(reader, "which file is that", rest);
	else if (!err && (reader->sourcing == SOURCES_MAX || reader->files == FILES_MAX))
		err = wrong(reader, "too many files that source others", rest);
	else if (!err)
		err = read_file(reader, path);
	free(path);
	free(word);
	return err;
}

/* "NAME = value", "NAME := value", "NAME += value": what macros are called; $(macro): a line of its own. */
static bool is_macro(const char *line)
{
	if (text_starts(line, "$("))
		return true;
	size_t len = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	const char *rest = line + len + strspn(line + len, " \t");
	return len && (*rest == '=' || text_starts(rest, ":=") || text_starts(rest, "+="));
}

static int statement(struct reader *reader, char *line)
{
	char *rest;
	if ((rest = after(line, "config")) || (rest = after(line, "menuconfig")))
		return begin_entry(reader, rest);
	if (after(line, "menu"))
		return enter(reader, BLOCK_MENU, NULL, line);
	if (after(line, "choice"))
		return enter(reader, BLOCK_CHOICE, NULL, line);
	if ((rest = after(line, "if")))
		return enter(reader, BLOCK_IF, rest, line);
	if (after(line, "endmenu"))
		return leave(reader, BLOCK_MENU, line);
	if (after(line, "endchoice"))
		return leave(reader, BLOCK_CHOICE, line);
	if (after(line, "endif"))
		return leave(reader, BLOCK_IF, line);
	if ((rest = after(line, "source")))
		return take_source(reader, rest);
	if (after(line, "comment") || after(line, "mainmenu"))
		return end_entry(reader);
	int err = attribute(reader, line);
	return err <= 0 ? err : wrong(reader, "that is not understood", line);
}

static int read_lines(struct reader *reader)
{
	int err = 0;
	for (char *line; !err && (line = lines_next(&reader->lines));) {
		cut_comment(line);
		line = line_trim(line);
		if (*line && !is_macro(line))
			err = statement(reader, line);
	}
	return err;
}

static int read_text(struct reader *reader, const char *path, char *text, size_t size)
{
	size_t depth = reader->depth;
	reader->path = path;
	reader->lines = (struct lines){ .at = text };
	if (strlen(text) != size)
		return error_set(reader->error, -EINVAL, "%s: it has zero bytes in it", path);
	int err = read_lines(reader);
	if (!err && reader->depth != depth)
		err = error_set(reader->error, -EINVAL, "%s: a menu, choice or if has no end", path);
	return err;
}

static int read_file(struct reader *reader, const char *path)
{
	struct lines lines = reader->lines;
	const char *from = reader->path;
	char *text = NULL;
	size_t size;
	int err = reader->source->read(reader->source->context, path, &text, &size);
	if (err)
		return error_set(reader->error, err, "%s: %s", path, strerror(-err));
	reader->files++;
	reader->sourcing++;
	err = read_text(reader, path, text, size);
	int ended = end_entry(reader);
	err = err ? err : ended;
	reader->sourcing--;
	reader->lines = lines;
	reader->path = from;
	free(text);
	return err;
}

/* ---- all of it ---- */

static int by_name(const void *a, const void *b)
{
	const struct kconfig_entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	order = order ? order : strcmp(x->file, y->file);
	return order ? order : (x->line > y->line) - (x->line < y->line);
}

int kconfig_read(struct kconfig *kconfig, const struct kernel_source *source, const char *path, struct error *error)
{
	struct reader reader = { .kconfig = kconfig, .source = source, .error = error };
	*kconfig = (struct kconfig){ 0 };
	int err = read_file(&reader, path);
	while (reader.depth)
		strings_free(&reader.around[--reader.depth].depends);
	if (kconfig->count)
		qsort(kconfig->entry, kconfig->count, sizeof(*kconfig->entry), by_name);
	return err;
}

void kconfig_free(struct kconfig *kconfig)
{
	for (size_t i = 0; i < kconfig->count; i++) {
		struct kconfig_entry *entry = &kconfig->entry[i];
		free(entry->name);
		free(entry->file);
		free(entry->prompt);
		strings_free(&entry->depends);
		strings_free(&entry->selects);
		strings_free(&entry->implies);
		strings_free(&entry->defaults);
	}
	free(kconfig->entry);
	*kconfig = (struct kconfig){ 0 };
}

const struct kconfig_entry *kconfig_find(const struct kconfig *kconfig, const char *name, size_t *count)
{
	size_t low = 0, high = kconfig->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(kconfig->entry[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (*count = 0; low + *count < kconfig->count && !strcmp(kconfig->entry[low + *count].name, name);)
		++*count;
	return *count ? &kconfig->entry[low] : NULL;
}
