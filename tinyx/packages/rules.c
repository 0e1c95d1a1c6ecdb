/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define RULES_MAX (1u << 20) /* bytes */

static int add_path(struct rules *rules, bool keep, const char *glob, const char *place, struct error *error)
{
	if (glob[0] != '/' && glob[0] != '*')
		return error_set(error, -EINVAL, "%s: \"%s\" is no absolute path, nor a pattern that begins with \"*\"", place, glob);
	rules->path = alloc_again(rules->path, (rules->paths + 1) * sizeof(*rules->path));
	rules->path[rules->paths++] = (struct rule_path){ .glob = alloc_copy(glob), .place = alloc_copy(place), .keep = keep };
	return 0;
}

/* rest: behind the rule's first word. */
static int add_start(struct rules *rules, const char *rest, const char *place, struct error *error)
{
	size_t n = strcspn(rest, " \t");
	const char *command = rest + n + strspn(rest + n, " \t");
	if (!n || !*command)
		return error_set(error, -EINVAL, "%s: start needs a package and a command", place);
	strings_take(&rules->start, alloc_format("%.*s", (int)n, rest));
	strings_add(&rules->start, command);
	return 0;
}

static int add_words(struct rules *rules, const char *kind, char *rest, const char *place, struct error *error)
{
	static const char *const kinds[] = { "used", "whole", "assume", "scripts" };
	struct strings *const lists[] = { &rules->used, &rules->whole, &rules->assumed, &rules->scripts };
	bool paths = !strcmp(kind, "leave") || !strcmp(kind, "keep");
	struct strings *list = NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		list = strcmp(kinds[i], kind) ? list : lists[i];
	if (!list && !paths)
		return error_set(error, -EINVAL, "%s: \"%s\" is no rule: leave, keep, used, whole, assume, scripts or start", place, kind);
	char *save = NULL, *word = strtok_r(rest, " \t", &save);
	if (!word)
		return error_set(error, -EINVAL, "%s: %s says of nothing", place, kind);
	for (int err; word; word = strtok_r(NULL, " \t", &save)) {
		if (list)
			strings_add(list, word);
		else if ((err = add_path(rules, kind[0] == 'k', word, place, error)))
			return err;
	}
	return 0;
}

int rules_parse(struct rules *rules, const char *text, const char *name, struct error *error)
{
	int err = 0;
	for (unsigned number = 1; *text && !err; number++) {
		size_t len = strcspn(text, "\n"), n;
		char *line = alloc_format("%.*s", (int)len, text), *place = alloc_format("%s:%u", name, number);
		char *kind = line + strspn(line, " \t\r");
		for (char *end = line + strlen(line); end > line && strchr(" \t\r", end[-1]);)
			*--end = 0;
		n = strcspn(kind, " \t");
		char *rest = kind + n + strspn(kind + n, " \t");
		kind[n] = 0;
		if (*kind && *kind != '#')
			err = strcmp(kind, "start") ? add_words(rules, kind, rest, place, error) : add_start(rules, rest, place, error);
		free(line);
		free(place);
		text += len + (text[len] == '\n');
	}
	return err;
}

int rules_load(struct rules *rules, const char *file, const char *otherwise, struct error *error)
{
	char *text;
	size_t size;
	if (!file)
		return rules_parse(rules, otherwise, otherwise == default_rules ? "default rules" : "trim rules", error);
	int err = file_read(AT_FDCWD, file, RULES_MAX, &text, &size);
	if (err)
		return error_set(error, err, "--rules %s: %s", file, strerror(-err));
	err = strlen(text) == size ? rules_parse(rules, text, file, error) : error_set(error, -EINVAL, "--rules %s: it has zero bytes, and is no text", file);
	free(text);
	return err;
}

const struct rule_path *rules_for(const struct rules *rules, const char *path)
{
	for (size_t i = rules->paths; i > 0; i--)
		if (!fnmatch(rules->path[i - 1].glob, path, FNM_NOESCAPE))
			return &rules->path[i - 1];
	return NULL;
}

const char *rules_start(const struct rules *rules, const char *package)
{
	for (size_t i = rules->start.count; i > 1; i -= 2)
		if (!strcmp(rules->start.item[i - 2], package))
			return rules->start.item[i - 1];
	return NULL;
}

void rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->paths; i++) {
		free(rules->path[i].glob);
		free(rules->path[i].place);
	}
	free(rules->path);
	strings_free(&rules->used);
	strings_free(&rules->whole);
	strings_free(&rules->assumed);
	strings_free(&rules->scripts);
	strings_free(&rules->start);
	*rules = (struct rules){ 0 };
}
