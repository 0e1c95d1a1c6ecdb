/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/maintainer.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/packages/read.h"
#include "tinyx/packages/words.h"

#define COMMANDS_MAX 20000 /* of one script, with what loops repeat */
#define BYTES_MAX (64u << 20) /* that are read of one script, likewise: a loop may have one long line */
#define BELOW_MAX 200	   /* changes of all that is below a directory: each looks at every file of all packages */
#define DEPTH_MAX 4	   /* of loops and functions within another, of modules that need others */
#define ENABLED_MAX 65536 /* bytes of the file of a module */

struct reading {
	struct maintainer *to;
	struct variables variables;
	struct strings functions; /* name, body, name, body ... */
	unsigned commands, below;
	size_t bytes;
};

/* Nobody writes so much into a script that is meant to be run. */
static bool is_enough(const struct reading *reading)
{
	return reading->commands >= COMMANDS_MAX || reading->bytes >= BYTES_MAX;
}

/* ---- what a command may name ---- */

static bool is_path(const char *word)
{
	if (word[0] != '/' || text_starts(word, "/.lightvm") || strstr(word, "/../") || text_ends(word, "/..") || strpbrk(word, "*?["))
		return false;
	for (const char *c = word; *c; c++)
		if (iscntrl((unsigned char)*c) || *c == ':')
			return false;
	return word[1];
}

static const char *path_or_null(const char *word)
{
	return word && is_path(word) ? word : NULL;
}

/* "0750": the bits; -1: something else. */
static int octal(const char *word)
{
	char *end;
	long mode = strtol(word, &end, 8);
	return *word && !*end && mode >= 0 && mode <= 07777 ? (int)mode : -1;
}

/* ---- users and groups ---- */

static void make_group(struct maintainer *to, const char *name)
{
	uint32_t id;
	if (!account_is_name(name) || accounts_group(to->accounts, name, &id))
		return;
	text_format(to->said, "group %s (%u): as %s makes it\n", name, accounts_add_group(to->accounts, name), to->package);
}

static void make_user(struct maintainer *to, const char *name, const char *group, const char *home, const char *shell)
{
	uint32_t id, its_group;
	if (!account_is_name(name) || (group && !account_is_name(group)) || accounts_user(to->accounts, name, &id, &its_group))
		return;
	id = accounts_add_user(to->accounts, name, group, path_or_null(home), path_or_null(shell));
	text_format(to->said, "user %s (%u): as %s makes it\n", name, id, to->package);
}

/* The option at *i if it is one of names, "--home DIR", "--home=DIR": its value. NULL: it is none. */
static const char *option(const struct strings *words, size_t *i, const char *names)
{
	const char *word = words->item[*i];
	size_t len = strcspn(word, "=");
	for (const char *name = names; *name; name += strcspn(name, " "), name += *name == ' ') {
		size_t n = strcspn(name, " ");
		if (n != len || strncmp(name, word, n))
			continue;
		if (word[len] == '=')
			return word + len + 1;
		return *i + 1 < words->count ? words->item[++*i] : "";
	}
	return NULL;
}

static void join_all(struct maintainer *to, const char *user, const char *groups)
{
	for (const char *at = groups; at && *at; at += *at == ',') {
		size_t n = strcspn(at, ",");
		char *group = alloc_format("%.*s", (int)n, at);
		if (account_is_name(group))
			accounts_join(to->accounts, user, group);
		free(group);
		at += n;
	}
}

/* adduser [--system] [--group | --ingroup G] ... NAME [GROUP]; useradd -r -g G -d DIR ... NAME */
static void do_adduser(struct reading *reading, const struct strings *words)
{
	const char *home = NULL, *shell = NULL, *group = NULL, *groups = NULL, *names[2] = { NULL, NULL }, *value;
	bool is_group = false, is_system = false;
	size_t count = 0;
	for (size_t i = 1; i < words->count; i++) {
		if ((value = option(words, &i, "--home -d --home-dir -h")))
			home = value;
		else if ((value = option(words, &i, "--shell -s")))
			shell = value;
		else if ((value = option(words, &i, "--ingroup --gid -g")))
			group = value;
		else if ((value = option(words, &i, "--groups -G")))
			groups = value;
		else if (option(words, &i, "--gecos --comment -c --uid -u --firstuid --lastuid --conf -K --key -b --base-dir -k --skel"))
			;
		else if (words->item[i][0] == '-')
			is_group = is_group || !strcmp(words->item[i], "--group"), is_system = is_system || !strcmp(words->item[i], "--system");
		else if (count < 2)
			names[count++] = words->item[i];
	}
	if (count == 2 && account_is_name(names[0]) && account_is_name(names[1]))
		accounts_join(reading->to->accounts, names[0], names[1]);
	else if (count == 1)
		/* A system user without --group or --ingroup is in nogroup. */
		make_user(reading->to, names[0], group && account_is_name(group) ? group : is_system && !is_group ? "nogroup" : NULL, home, shell);
	if (count && account_is_name(names[0]))
		join_all(reading->to, names[0], groups);
}

static void do_addgroup(struct reading *reading, const struct strings *words)
{
	for (size_t i = 1; i < words->count; i++)
		if (!option(words, &i, "--gid -g -K --key --conf") && words->item[i][0] != '-')
			make_group(reading->to, words->item[i]);
}

static void do_usermod(struct reading *reading, const struct strings *words)
{
	const char *groups = NULL, *value;
	for (size_t i = 1; i + 1 < words->count; i++)
		if ((value = option(words, &i, "-G --groups -aG")))
			groups = value;
	if (words->count > 1 && account_is_name(words->item[words->count - 1]))
		join_all(reading->to, words->item[words->count - 1], groups);
}

/* ---- owners and modes ---- */

static void own(struct maintainer *to, const char *path, const char *owner, int mode, bool below)
{
	char *user = owner ? alloc_format("%.*s", (int)strcspn(owner, ":."), owner) : alloc_copy("");
	const char *group = owner ? owner + strlen(user) : "";
	uint32_t uid, gid;
	struct plan_owner change = { .mode = mode };
	if (*user && accounts_user(to->accounts, user, &uid, &gid))
		change.uid = &uid;
	if (group[0] && group[1] && accounts_group(to->accounts, group + 1, &gid))
		change.gid = &gid;
	plan_own(to->all, path, &change, below);
	free(user);
}

/* chown [-R] USER[:GROUP] PATH...; chmod [-R] 0750 PATH... */
static void change(struct reading *reading, const struct strings *words, bool is_owner)
{
	const char *what = NULL;
	bool below = false;
	for (size_t i = 1; i < words->count; i++) {
		const char *word = words->item[i];
		if (!strcmp(word, "-R") || !strcmp(word, "--recursive"))
			below = true;
		else if (!what && word[0] != '-')
			what = word;
		else if (what && is_path(word) && (is_owner || octal(what) >= 0) && (!below || reading->below++ < BELOW_MAX))
			own(reading->to, word, is_owner ? what : NULL, is_owner ? -1 : octal(what), below);
	}
}

static void do_chown(struct reading *reading, const struct strings *words)
{
	change(reading, words, true);
}

static void do_chmod(struct reading *reading, const struct strings *words)
{
	change(reading, words, false);
}

/* dpkg-statoverride --update --add USER GROUP MODE PATH */
static void do_statoverride(struct reading *reading, const struct strings *words)
{
	size_t n = words->count;
	if (n < 6 || !strings_have(words, "--add") || !is_path(words->item[n - 1]) || octal(words->item[n - 2]) < 0)
		return;
	char *owner = alloc_format("%s:%s", words->item[n - 4], words->item[n - 3]);
	own(reading->to, words->item[n - 1], owner, octal(words->item[n - 2]), false);
	free(owner);
}

/* ---- directories and links ---- */

static void make_dir(struct maintainer *to, const char *path)
{
	if (!plan_follow(to->all, path))
		plan_put(to->all, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_DIR, .mode = 0755, .mtime = to->mtime, .origin = to->origin });
}

/* mkdir [-p] [-m MODE] PATH...; install -d [-o USER] [-g GROUP] [-m MODE] PATH... */
static void do_mkdir(struct reading *reading, const struct strings *words)
{
	const char *user = "", *group = "", *value;
	int mode = -1;
	if (!strcmp(words->item[0], "install") && !strings_have(words, "-d") && !strings_have(words, "--directory"))
		return;
	for (size_t i = 1; i < words->count; i++) {
		if ((value = option(words, &i, "-m --mode")))
			mode = octal(value);
		else if ((value = option(words, &i, "-o --owner")))
			user = value;
		else if ((value = option(words, &i, "-g --group")))
			group = value;
		else if (is_path(words->item[i])) {
			char *owner = alloc_format("%s:%s", user, group);
			make_dir(reading->to, words->item[i]);
			own(reading->to, words->item[i], owner, mode, false);
			free(owner);
		}
	}
}

static void make_link(struct maintainer *to, const char *path, const char *target)
{
	if (!plan_find(to->all, path))
		plan_put(to->all, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_LINK, .mode = 0777, .source = alloc_copy(target), .mtime = to->mtime, .origin = to->origin });
}

/* ln -s TARGET PATH */
static void do_ln(struct reading *reading, const struct strings *words)
{
	size_t n = words->count;
	if (n < 4 || words->item[1][0] != '-' || !strchr(words->item[1], 's') || !is_path(words->item[n - 1]) || words->item[n - 2][0] == '-' || !words->item[n - 2][0])
		return;
	const struct plan_entry *there = plan_follow(reading->to->all, words->item[n - 1]);
	const char *slash = strrchr(words->item[n - 2], '/');
	char *inside = there && there->kind == PLAN_DIR ? alloc_format("%s/%s", words->item[n - 1], slash ? slash + 1 : words->item[n - 2]) : NULL;
	make_link(reading->to, inside ? inside : words->item[n - 1], words->item[n - 2]);
	free(inside);
}

/* cp FILE PATH: of a file that is there; links are not followed at its end. */
static void do_cp(struct reading *reading, const struct strings *words)
{
	size_t n = words->count;
	const struct plan_entry *from = n >= 3 && is_path(words->item[n - 2]) && is_path(words->item[n - 1]) ? plan_follow(reading->to->all, words->item[n - 2]) : NULL;
	if (!from || from->kind != PLAN_FILE || plan_follow(reading->to->all, words->item[n - 1]))
		return;
	struct plan_entry copy = { .guest = alloc_copy(words->item[n - 1]), .kind = PLAN_FILE, .mode = from->mode, .uid = from->uid, .gid = from->gid, .source = alloc_copy(from->source),
		.offset = from->offset, .size = from->size, .mtime = from->mtime, .origin = reading->to->origin };
	plan_put(reading->to->all, copy);
}

/* update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]... */
static void do_alternatives(struct reading *reading, const struct strings *words)
{
	for (size_t i = 1; i + 3 < words->count; i++)
		if ((!strcmp(words->item[i], "--install") || !strcmp(words->item[i], "--slave")) && is_path(words->item[i + 1]) && is_path(words->item[i + 3]) &&
		    plan_follow(reading->to->all, words->item[i + 3]))
			make_link(reading->to, words->item[i + 1], words->item[i + 3]);
}

static void enable(struct maintainer *to, const char *kind, const char *name, int depth);

/* "# Depends: NAME...", in a module's file. */
static void enable_needed(struct maintainer *to, const char *kind, const char *file, int depth)
{
	static const char head[] = "# Depends:";
	char *text = planned_read(to->all, file, ENABLED_MAX), *line = text ? strstr(text, head) : NULL, *save;
	if (line) {
		line += sizeof(head) - 1;
		line[strcspn(line, "\n")] = 0;
	}
	for (char *word = line ? strtok_r(line, " \t", &save) : NULL; word; word = strtok_r(NULL, " \t", &save))
		enable(to, kind, word, depth);
	free(text);
}

static void enable(struct maintainer *to, const char *kind, const char *name, int depth)
{
	static const char *const endings[] = { "load", "conf" };
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings) && account_is_name(name) && depth < DEPTH_MAX; i++) {
		char *target = alloc_format("../%s-available/%s.%s", kind, name, endings[i]), *from = path_clean("/etc/apache2/enabled", target);
		char *path = alloc_format("/etc/apache2/%s-enabled/%s.%s", kind, name, endings[i]);
		if (plan_follow(to->all, from) && !plan_find(to->all, path)) {
			make_link(to, path, target);
			enable_needed(to, kind, from, depth + 1);
		}
		free(from);
		free(path);
		free(target);
	}
}

/* a2enmod [-m] [-q] NAME...; a2enconf, a2ensite: apache's parts that are there become parts that are used. */
static void enable_all(struct reading *reading, const struct strings *words, const char *kind)
{
	for (size_t i = 1; i < words->count; i++)
		enable(reading->to, kind, words->item[i], 0);
}

static void do_a2enmod(struct reading *reading, const struct strings *words)
{
	enable_all(reading, words, "mods");
}

static void do_a2enconf(struct reading *reading, const struct strings *words)
{
	enable_all(reading, words, "conf");
}

static void do_a2ensite(struct reading *reading, const struct strings *words)
{
	enable_all(reading, words, "sites");
}

/* ---- the script ---- */

static const struct rule {
	const char *command;
	void (*apply)(struct reading *reading, const struct strings *words);
} rules[] = { { "adduser", do_adduser }, { "useradd", do_adduser }, { "addgroup", do_addgroup }, { "groupadd", do_addgroup }, { "usermod", do_usermod },
	{ "chown", do_chown }, { "chmod", do_chmod }, { "dpkg-statoverride", do_statoverride }, { "mkdir", do_mkdir }, { "install", do_mkdir },
	{ "ln", do_ln }, { "cp", do_cp }, { "update-alternatives", do_alternatives },
	{ "a2enmod", do_a2enmod }, { "a2enconf", do_a2enconf }, { "a2ensite", do_a2ensite } };

/* Words that stand before a command without being one. */
static void drop_keywords(struct strings *words)
{
	static const char *const keywords[] = { "if", "then", "else", "elif", "do", "!", "{", "exec", "command", "while", "until", "local", "export", "readonly" };
	bool dropped = true;
	while (words->count && dropped) {
		dropped = false;
		for (size_t i = 0; i < sizeof(keywords) / sizeof(*keywords); i++)
			dropped = dropped || !strcmp(words->item[0], keywords[i]);
		if (dropped) {
			free(words->item[0]);
			memmove(words->item, words->item + 1, --words->count * sizeof(*words->item));
		}
	}
}

/* NAME=VALUE, as the first words: the variable is set. */
static bool is_assignment(struct reading *reading, const char *word)
{
	size_t n = strcspn(word, "=");
	if (!word[n] || !n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)word[i]) && word[i] != '_')
			return false;
	char *name = alloc_format("%.*s", (int)n, word);
	variables_set(&reading->variables, name, word + n + 1);
	free(name);
	return true;
}

static const char *read_commands(struct reading *reading, const char *at, int depth);

/* A function is read where it is called, with its arguments. */
static bool call(struct reading *reading, const struct strings *words, int depth)
{
	const char *body = NULL;
	for (size_t i = 0; i + 1 < reading->functions.count; i += 2)
		body = strcmp(reading->functions.item[i], words->item[0]) ? body : reading->functions.item[i + 1];
	if (!body || depth >= DEPTH_MAX)
		return body;
	struct text all = { 0 };
	for (size_t i = 1; i < words->count && i <= 9; i++) {
		variables_set(&reading->variables, (const char[]){ (char)('0' + i), 0 }, words->item[i]);
		text_format(&all, i > 1 ? " %s" : "%s", words->item[i]);
	}
	variables_set(&reading->variables, "@", all.data ? all.data : "");
	text_free(&all);
	read_commands(reading, body, depth + 1);
	return true;
}

/* at: behind the "(" of "NAME () {": its body is kept, up to a line that begins with "}". Behind that. */
static const char *define(struct reading *reading, const char *name, const char *at)
{
	const char *body = strchr(at, '{'), *end = body ? strstr(body, "\n}") : NULL;
	if (!end)
		return at;
	strings_add(&reading->functions, name);
	strings_take(&reading->functions, alloc_format("%.*s\n", (int)(end - body - 1), body + 1));
	return end + 2;
}

static bool defines(const struct strings *words, const char *at, const char *script)
{
	return words->count == 1 && at > script && at[-1] == '(' && at[strspn(at, " \t")] == ')';
}

static void apply(struct reading *reading, const struct strings *words)
{
	const char *base = strrchr(words->item[0], '/');
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (!strcmp(rules[i].command, base ? base + 1 : words->item[0]))
			rules[i].apply(reading, words);
}

/* for NAME in WORD...: what is up to its "done" is read with each of the words. */
static const char *read_loop(struct reading *reading, const struct strings *words, const char *at, int depth)
{
	const char *end = NULL;
	for (size_t i = 3; i < words->count && !is_enough(reading); i++) {
		variables_set(&reading->variables, words->item[1], words->item[i]);
		end = read_commands(reading, at, depth + 1);
	}
	return end ? end : read_commands(reading, at, depth + 1);
}

/* Reads one command; behind it and what it is the head of. *done: it ends a loop. */
static const char *read_command(struct reading *reading, const char *at, int depth, bool *done)
{
	struct strings words = { 0 };
	const char *begin = at;
	bool unclear;
	at = words_split(at, &reading->variables, &words, &unclear);
	reading->bytes += (size_t)(at - begin);
	bool loop = words.count && (!strcmp(words.item[0], "while") || !strcmp(words.item[0], "until"));
	drop_keywords(&words);
	*done = depth && words.count && !strcmp(words.item[0], "done");
	if (defines(&words, at, begin))
		at = define(reading, words.item[0], at);
	else if (words.count > 1 && !strcmp(words.item[0], "for") && depth < DEPTH_MAX)
		at = read_loop(reading, &words, at, depth);
	else if (loop && depth < DEPTH_MAX)
		at = read_commands(reading, at, depth + 1);
	else if (words.count && !unclear && !is_assignment(reading, words.item[0]) && !call(reading, &words, depth))
		apply(reading, &words);
	strings_free(&words);
	return at;
}

/* Up to the "done" of this loop, or the end. */
static const char *read_commands(struct reading *reading, const char *at, int depth)
{
	for (bool done = false; *at && !done && !is_enough(reading); reading->commands++)
		at = read_command(reading, at, depth, &done);
	return at;
}

void maintainer_read(struct maintainer *maintainer, const char *script)
{
	struct reading reading = { .to = maintainer };
	variables_set(&reading.variables, "1", "configure");
	variables_set(&reading.variables, "2", "");
	variables_set(&reading.variables, "@", "configure");
	read_commands(&reading, script, 0);
	variables_free(&reading.variables);
	strings_free(&reading.functions);
}

void maintainer_sysusers(struct maintainer *maintainer, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");
		char *line = alloc_format("%.*s", (int)n, text);
		struct strings words = { 0 };
		bool unclear;
		words_split_unit(line, NULL, &words, &unclear);
		if (words.count >= 2 && !unclear && words.item[0][0] == 'u')
			make_user(maintainer, words.item[1], NULL, words.count > 4 ? words.item[4] : NULL, words.count > 5 ? words.item[5] : NULL);
		else if (words.count >= 2 && !unclear && words.item[0][0] == 'g')
			make_group(maintainer, words.item[1]);
		else if (words.count >= 3 && !unclear && words.item[0][0] == 'm' && account_is_name(words.item[1]) && account_is_name(words.item[2]))
			accounts_join(maintainer->accounts, words.item[1], words.item[2]);
		strings_free(&words);
		free(line);
		text += n + (text[n] == '\n');
	}
}
