/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/unit_file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/packages/words.h"

struct reading {
	struct unit *unit;
	const char *name;
	struct variables variables;
	char *exec; /* the first ExecStart, as it stands there */
	char *(*files)(void *context, const char *path);
	void *context;
};

/* %n, %N, %p: the unit's name; %t, %S, %C, %L, %E: its directories; others stand for nothing here. */
static char *specifiers(const struct reading *reading, const char *value)
{
	struct text out = { 0 };
	text_put(&out, "");
	for (const char *c = value; *c; c++) {
		if (*c != '%' || !c[1]) {
			text_add(&out, c, 1);
			continue;
		}
		c++;
		if (*c == 'n')
			text_format(&out, "%s.service", reading->name);
		else
			text_put(&out, strchr("Np", *c) ? reading->name : *c == 't' ? "/run" : *c == 'S' ? "/var/lib" : *c == 'C' ? "/var/cache" : *c == 'L' ? "/var/log" :
				 *c == 'E' ? "/etc" : *c == '%' ? "%" : "");
	}
	return out.data;
}

static void set_env(struct reading *reading, const char *word)
{
	size_t n = strcspn(word, "=");
	if (!n || !word[n] || !(isalpha((unsigned char)word[0]) || word[0] == '_'))
		return;
	char *name = alloc_format("%.*s", (int)n, word);
	variables_set(&reading->variables, name, word + n + 1);
	free(name);
}

/* Words of one line, each an assignment. */
static void take_env(struct reading *reading, const char *line)
{
	struct strings words = { 0 };
	bool unclear;
	words_split_unit(line, NULL, &words, &unclear);
	for (size_t i = 0; i < words.count && !unclear; i++)
		set_env(reading, words.item[i]);
	strings_free(&words);
}

/* One assignment, whose value is all of the line. */
static void take_env_line(struct reading *reading, const char *line)
{
	struct strings words = { 0 };
	struct text whole = { 0 };
	bool unclear;
	words_split_unit(line, NULL, &words, &unclear);
	for (size_t i = 0; i < words.count; i++)
		text_format(&whole, "%s%s", i ? " " : "", words.item[i]);
	if (whole.size && !unclear)
		set_env(reading, whole.data);
	text_free(&whole);
	strings_free(&words);
}

static void take_env_file(struct reading *reading, const char *path)
{
	char *text = reading->files ? reading->files(reading->context, path + (path[0] == '-')) : NULL;
	for (const char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char *one = alloc_format("%.*s", (int)strcspn(line, "\n"), line);
		if (one[0] != '#' && one[0] != ';')
			take_env_line(reading, one);
		free(one);
	}
	free(text);
}

static void take_dirs(struct reading *reading, const char *base, const char *value)
{
	struct strings words = { 0 };
	bool unclear;
	words_split_unit(value, NULL, &words, &unclear);
	for (size_t i = 0; i < words.count && !unclear; i++)
		if (!strstr(words.item[i], "..") && words.item[i][0] != '/')
			strings_take(&reading->unit->dirs, alloc_format("%s/%.*s", base, (int)strcspn(words.item[i], ":"), words.item[i]));
	strings_free(&words);
}

static void set(char **field, const char *value)
{
	free(*field);
	*field = *value ? alloc_copy(value) : NULL;
}

static void take_field(struct reading *reading, const char *key, const char *raw)
{
	static const struct {
		const char *key, *base;
	} dirs[] = { { "RuntimeDirectory", "/run" }, { "StateDirectory", "/var/lib" }, { "CacheDirectory", "/var/cache" }, { "LogsDirectory", "/var/log" },
		{ "ConfigurationDirectory", "/etc" } };
	char *value = specifiers(reading, raw);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		if (!strcmp(key, dirs[i].key))
			take_dirs(reading, dirs[i].base, value);
	if (!strcmp(key, "ExecStart") && (!reading->exec || !*value))
		set(&reading->exec, value); /* an empty one takes back those before */
	else if (!strcmp(key, "User"))
		set(&reading->unit->user, value);
	else if (!strcmp(key, "Group"))
		set(&reading->unit->group, value);
	else if (!strcmp(key, "WorkingDirectory") && (value[0] == '/' || !strncmp(value, "-/", 2)))
		set(&reading->unit->cwd, value + (value[0] == '-'));
	else if (!strcmp(key, "Type"))
		reading->unit->forks = !strcmp(value, "forking");
	else if (!strcmp(key, "Environment"))
		take_env(reading, value);
	else if (!strcmp(key, "EnvironmentFile"))
		take_env_file(reading, value);
	free(value);
}

/* One logical line, behind which "\\" no longer stands. */
static char *next_line(const char **at)
{
	struct text line = { 0 };
	text_put(&line, "");
	for (bool more = true; more && **at;) {
		size_t n = strcspn(*at, "\n");
		more = n && (*at)[n - 1] == '\\';
		text_add(&line, *at, n - more);
		if (more)
			text_put(&line, " ");
		*at += n + ((*at)[n] == '\n');
	}
	return line.data;
}

/* Prefixes of systemd's, as in "-/usr/bin/x". */
static void take_command(struct reading *reading)
{
	struct strings *command = &reading->unit->command;
	bool unclear;
	if (!reading->exec)
		return;
	words_split_unit(reading->exec + strspn(reading->exec, "-@+!:"), &reading->variables, command, &unclear);
	if (unclear || !command->count || command->item[0][0] != '/')
		strings_free(command);
}

void unit_parse(struct unit *unit, const char *name, const char *text, char *(*files)(void *context, const char *path), void *context)
{
	struct reading reading = { .unit = unit, .name = name, .files = files, .context = context };
	bool service = false;
	while (*text) {
		char *line = next_line(&text), *start = line + strspn(line, " \t"), *equals = strchr(start, '=');
		for (char *end = line + strlen(line); end > start && strchr(" \t\r", end[-1]);)
			*--end = 0;
		if (*start == '[')
			service = !strcmp(start, "[Service]");
		else if (service && equals && *start != '#' && *start != ';') {
			char *key = alloc_format("%.*s", (int)(equals - start), start);
			for (char *end = key + strlen(key); end > key && strchr(" \t", end[-1]);)
				*--end = 0;
			take_field(&reading, key, equals + 1 + strspn(equals + 1, " \t"));
			free(key);
		}
		free(line);
	}
	take_command(&reading);
	for (size_t i = 0; i + 1 < reading.variables.list.count; i += 2)
		strings_take(&unit->env, alloc_format("%s=%s", reading.variables.list.item[i], reading.variables.list.item[i + 1]));
	variables_free(&reading.variables);
	free(reading.exec);
}

void unit_free(struct unit *unit)
{
	strings_free(&unit->command);
	strings_free(&unit->env);
	strings_free(&unit->dirs);
	free(unit->user);
	free(unit->group);
	free(unit->cwd);
	*unit = (struct unit){ 0 };
}
