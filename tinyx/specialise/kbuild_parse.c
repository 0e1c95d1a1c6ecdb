/* SPDX-License-Identifier: Apache-2.0 */
/* One Makefile: its lists of objects. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/specialise/kbuild.h"
#include "tinyx/specialise/lines.h"

#define NAME_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define AROUND_MAX 32	   /* ifs in each other */
#define RULES_MAX 100000u  /* of one Makefile */
#define KEPT_MAX_MIB 64u	   /* of all that is kept of one: the names of list and options are so with each object */
#define CONFIG "$(CONFIG_"

struct reader {
	struct kbuild_file *file;
	struct error *error;
	struct lines lines;
	struct strings around[AROUND_MAX]; /* the options that each if asks for; none: something else */
	size_t depth, room, kept;
	bool define; /* between define and endef */
};

static int wrong(const struct reader *reader, const char *what, const char *line)
{
	return error_set(reader->error, -EINVAL, "%s:%u: %s: \"%.60s\"", reader->file->path, reader->lines.number, what, line);
}

/* "$(CONFIG_X)" at text: X, the caller's; NULL: it is not there. */
static char *option_at(const char *text)
{
	if (!text_starts(text, CONFIG))
		return NULL;
	const char *name = text + strlen(CONFIG);
	size_t len = strspn(name, NAME_LETTERS);
	return len && name[len] == ')' ? alloc_format("%.*s", (int)len, name) : NULL;
}

/* ---- ifs ---- */

static bool begins_with_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	return !strncmp(line, word, len) && (!line[len] || strchr(" \t(", line[len]));
}

/*
 * "ifdef CONFIG_X", "ifeq ($(CONFIG_X),y)", "ifneq ($(CONFIG_X),)" ask for X, "ifeq ($(CONFIG_X)$(CONFIG_Y),yy)" for both. Of anything else nothing is known, and
 * nothing is said: a part of a condition is another condition.
 */
static void asked_for(const char *line, struct strings *options)
{
	const char *rest = line + strcspn(line, " \t(");
	rest += strspn(rest, " \t(");
	if (begins_with_word(line, "ifdef")) {
		int len = text_starts(rest, "CONFIG_") ? (int)strspn(rest + 7, NAME_LETTERS) : 0;
		if (len) /* "ifdef CONFIG_" alone asks for nothing */
			strings_take(options, alloc_format("%.*s", len, rest + 7));
		return;
	}
	for (char *option; (option = option_at(rest)); strings_take(options, option))
		rest += strlen(CONFIG) + strlen(option) + 1;
	rest += strspn(rest, " \t");
	const char *value = *rest == ',' ? rest + 1 + strspn(rest + 1, " \t") : "";
	size_t yes = strspn(value, "y");
	bool positive = begins_with_word(line, "ifeq") ? yes == options->count && value[yes] == ')' : begins_with_word(line, "ifneq") && options->count == 1 && *value == ')';
	if (!positive)
		strings_free(options);
}

static int enter(struct reader *reader, const char *line)
{
	if (reader->depth == AROUND_MAX)
		return wrong(reader, "ifs are too deep in each other", line);
	asked_for(line, &reader->around[reader->depth++]);
	return 0;
}

static void leave(struct reader *reader)
{
	strings_free(&reader->around[--reader->depth]);
}

/* What stands in an else is not asked for by what stands in front of it; "else ifeq ..." asks anew. */
static int turn(struct reader *reader, const char *line)
{
	if (!reader->depth)
		return wrong(reader, "no if is open here", line);
	leave(reader);
	const char *rest = line + strlen("else");
	return enter(reader, rest + strspn(rest, " \t"));
}

/* 1: it was none. */
static int conditional(struct reader *reader, const char *line)
{
	static const char *const begins[] = { "ifdef", "ifndef", "ifeq", "ifneq" };
	for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
		if (begins_with_word(line, begins[i]))
			return enter(reader, line);
	if (begins_with_word(line, "else"))
		return turn(reader, line);
	if (!begins_with_word(line, "endif"))
		return 1;
	if (!reader->depth)
		return wrong(reader, "no if is open here", line);
	leave(reader);
	return 0;
}

/* ---- lists ---- */

/* Variables that the names of files have in them, as a kernel for x86-64 has them. */
static char *expand(const char *word, size_t len)
{
	static const char *const known[][2] = { { "$(SRCARCH)", "x86" }, { "$(BITS)", "64" } };
	struct text out = { 0 };
	for (size_t i = 0, n; i < len; i += n) {
		n = 1;
		const char *with = NULL;
		for (size_t k = 0; k < sizeof(known) / sizeof(*known) && !with; k++)
			if (len - i >= strlen(known[k][0]) && text_starts(word + i, known[k][0])) {
				with = known[k][1];
				n = strlen(known[k][0]);
			}
		text_add(&out, with ? with : word + i, with ? strlen(with) : 1);
	}
	return out.failed ? text_free(&out), NULL : out.data;
}

/* "$(a-y)" and "$(a-objs)" are the list a. */
static char *list_named(const char *word)
{
	size_t len = strlen(word);
	bool yes = len > 5 && text_ends(word, "-y)"), objs = len > 8 && text_ends(word, "-objs)");
	if (!text_starts(word, "$(") || !(yes || objs) || strchr(word + 2, '$'))
		return NULL;
	return alloc_format("$%.*s", (int)(len - 2 - strlen(yes ? "-y)" : "-objs)")), word + 2);
}

static size_t size_of_rule(const struct reader *reader, const char *list, const char *option, const char *word)
{
	size_t size = sizeof(struct kbuild_rule) + strlen(list) + 1 + (option ? strlen(option) + 1 : 0) + (word ? strlen(word) + 1 : 0);
	for (size_t i = 0; i < reader->depth; i++)
		for (size_t j = 0; j < reader->around[i].count; j++)
			size += sizeof(char *) + strlen(reader->around[i].item[j]) + 1;
	return size;
}

/* Takes word. */
static int add_rule(struct reader *reader, const char *list, const char *option, char *word)
{
	struct kbuild_file *file = reader->file;
	reader->kept += size_of_rule(reader, list, option, word);
	if (reader->kept > (size_t)KEPT_MAX_MIB << 20) {
		free(word);
		return error_set(reader->error, -E2BIG, "%s:%u: objects and what they need take more than %u MiB", file->path, reader->lines.number, KEPT_MAX_MIB);
	}
	if (file->count == RULES_MAX) {
		free(word);
		return error_set(reader->error, -E2BIG, "%s:%u: more than %u objects", file->path, reader->lines.number, RULES_MAX);
	}
	if (file->count == reader->room) {
		size_t room = reader->room ? 2 * reader->room : 32;
		struct kbuild_rule *grown = alloc_again(file->rule, room * sizeof(*grown));
		if (!grown) {
			free(word);
			return error_set(reader->error, -ENOMEM, "%s: no memory", file->path);
		}
		file->rule = grown;
		reader->room = room;
	}
	struct kbuild_rule *rule = &file->rule[file->count++];
	*rule = (struct kbuild_rule){ .list = alloc_copy(list), .word = word, .option = option ? alloc_copy(option) : NULL, .line = reader->lines.number };
	for (size_t i = 0; i < reader->depth; i++) {
		rule->around.failed |= reader->around[i].failed;
		for (size_t j = 0; j < reader->around[i].count; j++)
			strings_add(&rule->around, reader->around[i].item[j]);
	}
	return rule->list && rule->word && !strings_error(&rule->around) ? 0 : error_set(reader->error, -ENOMEM, "%s: no memory", file->path);
}

/* Objects, directories and other lists of a line; flags and what functions make are none. */
static int add_words(struct reader *reader, const char *list, const char *option, const char *words)
{
	int err = 0;
	for (size_t len; !err && *(words += strspn(words, " \t\r")); words += len) {
		len = strcspn(words, " \t\r");
		char *word = expand(words, len), *other = word ? list_named(word) : NULL;
		bool itself = other && !strcmp(other + 1, list); /* "a-y := b.o $(a-y)": what it had before */
		if ((other && !itself) || (word && !strchr(word, '$') && (text_ends(word, ".o") || text_ends(word, "/"))))
			err = add_rule(reader, list, option, other ? alloc_copy(other) : alloc_copy(word));
		free(other);
		free(word);
	}
	return err;
}

/* "a-$(CONFIG_X)", "a-$(subst m,y,$(CONFIG_X))", "a-y", "a-m", "a-objs": a's length, and its option. 0: no list. */
static size_t list_of(const char *name, size_t len, char **option)
{
	static const char *const always[] = { "-y", "-m", "-objs" };
	*option = NULL;
	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++) {
		size_t tail = strlen(always[i]);
		if (len > tail && !memcmp(name + len - tail, always[i], tail) && !memchr(name, '$', len))
			return len - tail;
	}
	const char *config = strstr(name, CONFIG), *dash = memchr(name, '$', len);
	if (!config || config >= name + len || dash <= name + 1 || dash[-1] != '-')
		return 0;
	*option = option_at(config);
	return *option ? (size_t)(dash - 1 - name) : 0;
}

static int assignment(struct reader *reader, const char *line)
{
	static const char *const operators[] = { ":=", "+=", "?=", "=" };
	size_t name = 0;
	for (unsigned open = 0; line[name] && (open || !strchr(" \t:+?=", line[name])); name++) {
		open += line[name] == '(';
		open -= open && line[name] == ')';
	}
	const char *rest = line + name + strspn(line + name, " \t");
	for (size_t i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
		char *option;
		size_t len;
		if (!text_starts(rest, operators[i]))
			continue;
		if (!(len = list_of(line, name, &option)))
			return 0;
		char *list = expand(line, len);
		int err = list ? add_words(reader, list, option, rest + strlen(operators[i])) : -ENOMEM;
		free(list);
		free(option);
		return err;
	}
	return 0; /* a rule or something else that is no list */
}

/* ---- lines ---- */

static int take_line(struct reader *reader, char *line)
{
	bool recipe = *line == '\t';
	line[strcspn(line, "#")] = 0;
	line = line_trim(line);
	if (begins_with_word(line, "define") || begins_with_word(line, "endef")) {
		reader->define = *line == 'd';
		return 0;
	}
	if (!*line || reader->define)
		return 0;
	int err = conditional(reader, line);
	if (err <= 0)
		return err;
	/* Some Makefiles indent their lists by tabs, as recipes are. */
	return recipe && !strchr(line, '=') ? 0 : assignment(reader, line);
}

int kbuild_parse(struct kbuild_file *file, const char *path, char *text, size_t size, struct error *error)
{
	struct reader reader = { .file = file, .error = error, .lines = { .at = text } };
	*file = (struct kbuild_file){ .path = alloc_copy(path) };
	int err = !file->path ? -ENOMEM : strlen(text) == size ? 0 : error_set(error, -EINVAL, "%s: it has zero bytes in it", path);
	for (char *line; !err && (line = lines_next(&reader.lines));)
		err = take_line(&reader, line);
	if (!err && reader.depth)
		err = error_set(error, -EINVAL, "%s: an if has no end", path);
	while (reader.depth)
		leave(&reader);
	return err;
}

void kbuild_free(struct kbuild_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		free(file->rule[i].list);
		free(file->rule[i].word);
		free(file->rule[i].option);
		strings_free(&file->rule[i].around);
	}
	free(file->rule);
	free(file->path);
	free(file->directory);
	*file = (struct kbuild_file){ 0 };
}
