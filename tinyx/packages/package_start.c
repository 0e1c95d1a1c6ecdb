/* SPDX-License-Identifier: Apache-2.0 */
/* What an image of packages starts: packages_start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "tinyx/commands.h"
#include "tinyx/packages/packages.h"
#include "tinyx/packages/read.h"
#include "tinyx/packages/unit_file.h"
#include "tinyx/packages/words.h"

#define TEXT_MAX (1u << 20)
#define UNITS "/usr/lib/systemd/system/"

static bool is_program(const struct packages *packages, const char *path)
{
	const struct plan_entry *entry = plan_follow(&packages->all, path);
	return entry && entry->kind == PLAN_FILE && entry->mode & 0111;
}

/* The path of a program of this name, or of one that is a path; the caller's. NULL: none. */
static char *find_program(const struct packages *packages, const char *word)
{
	static const char *const dirs[] = { "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/games" };
	if (strchr(word, '/'))
		return word[0] == '/' && is_program(packages, word) ? path_clean("/", word) : NULL;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		char *path = alloc_format("%s/%s", dirs[i], word);
		if (is_program(packages, path))
			return path;
		free(path);
	}
	return NULL;
}

static void say(struct packages *packages, const struct package_start *start, const char *why)
{
	text_put(&packages->said, "starts");
	for (size_t i = 0; i < start->args.count; i++)
		text_format(&packages->said, strpbrk(start->args.item[i], " \t;\"'") ? " '%s'" : " %s", i ? start->args.item[i] : start->program);
	text_format(&packages->said, ": %s\n", why);
}

/* ---- by a rule ---- */

static bool start_by_rule(struct packages *packages, const struct deb *deb, struct package_start *start)
{
	const char *command = rules_start(&packages->rules, deb->name);
	bool unclear;
	if (!command)
		return false;
	words_split(command, NULL, &start->args, &unclear);
	start->program = start->args.count && !unclear ? find_program(packages, start->args.item[0]) : NULL;
	if (!start->program) {
		strings_free(&start->args);
		return false;
	}
	char *why = alloc_format("a rule for %s", deb->name);
	say(packages, start, why);
	free(why);
	return true;
}

/* ---- by a unit file ---- */

static char *env_file(void *context, const char *path)
{
	const struct packages *packages = context;
	return planned_read(&packages->all, path, TEXT_MAX);
}

static void own_dir(struct packages *packages, const char *path, const struct package_start *start, uint32_t origin)
{
	const struct plan_owner owner = { .uid = &start->uid, .gid = &start->gid, .mode = -1 };
	if (!plan_follow(&packages->all, path))
		plan_put(&packages->all, (struct plan_entry){ .guest = alloc_copy(path), .kind = PLAN_DIR, .mode = 0755, .mtime = packages->item[origin - 1].mtime, .origin = origin });
	plan_own(&packages->all, path, &owner, false);
}

static void take_user(struct packages *packages, const struct unit *unit, const struct deb *deb, struct package_start *start)
{
	if (unit->user && account_is_name(unit->user)) {
		if (!accounts_user(&packages->accounts, unit->user, &start->uid, &start->gid)) {
			accounts_add_user(&packages->accounts, unit->user, NULL, NULL, NULL);
			accounts_user(&packages->accounts, unit->user, &start->uid, &start->gid);
			text_format(&packages->said, "user %s (%u): the unit of %s names it\n", unit->user, start->uid, deb->name);
		}
	}
	if (unit->group && account_is_name(unit->group))
		start->gid = accounts_add_group(&packages->accounts, unit->group);
}

/* path: of the unit in the packages. */
static bool start_by_unit(struct packages *packages, const struct deb *deb, const char *path, uint32_t origin, struct package_start *start)
{
	char *text = planned_read(&packages->all, path, TEXT_MAX);
	struct unit unit = { 0 };
	const char *file = strrchr(path, '/') + 1;
	char *name = alloc_format("%.*s", (int)(strlen(file) - strlen(".service")), file);
	if (text)
		unit_parse(&unit, name, text, env_file, packages);
	start->program = unit.command.count ? find_program(packages, unit.command.item[0]) : NULL;
	if (start->program) {
		take_user(packages, &unit, deb, start);
		for (size_t i = 0; i < unit.dirs.count; i++)
			own_dir(packages, unit.dirs.item[i], start, origin);
		start->args = unit.command;
		start->env = unit.env;
		start->cwd = unit.cwd;
		unit.command = unit.env = (struct strings){ 0 };
		unit.cwd = NULL;
		char *why = alloc_format("%s%s", file, unit.forks ? "; it goes into the background, which ends the VM: if so, name program and arguments" : "");
		say(packages, start, why);
		free(why);
	}
	unit_free(&unit);
	free(name);
	free(text);
	return start->program;
}

/* The unit of the package's name, else its first one that is no template. */
static bool find_unit(struct packages *packages, const struct deb *deb, uint32_t origin, struct package_start *start)
{
	char *same = alloc_format(UNITS "%s.service", deb->name), *first = NULL;
	for (size_t i = 0; i < packages->all.count; i++) {
		const struct plan_entry *entry = &packages->all.entry[i];
		if (entry->origin != origin || entry->kind != PLAN_FILE || !text_starts(entry->guest, UNITS) || !text_ends(entry->guest, ".service") ||
		    strchr(entry->guest, '@') || strchr(entry->guest + strlen(UNITS), '/'))
			continue;
		if (!strcmp(entry->guest, same) || !first) {
			free(first);
			first = alloc_copy(entry->guest);
		}
		if (!strcmp(first, same))
			break;
	}
	bool found = first && start_by_unit(packages, deb, first, origin, start);
	free(first);
	free(same);
	return found;
}

/* ---- by a name ---- */

/* The only program of the package. */
static char *only_program(const struct packages *packages, uint32_t origin)
{
	const char *only = NULL;
	for (size_t i = 0; i < packages->all.count; i++) {
		const struct plan_entry *entry = &packages->all.entry[i];
		if (entry->origin != origin || entry->kind != PLAN_FILE || !(entry->mode & 0111) ||
		    !(text_starts(entry->guest, "/usr/bin/") || text_starts(entry->guest, "/usr/sbin/") || text_starts(entry->guest, "/usr/games/")))
			continue;
		if (only)
			return NULL;
		only = entry->guest;
	}
	return only ? alloc_copy(only) : NULL;
}

static bool start_by_name(struct packages *packages, const struct deb *deb, uint32_t origin, struct package_start *start)
{
	start->program = find_program(packages, deb->name);
	if (!start->program)
		start->program = only_program(packages, origin);
	if (!start->program)
		return false;
	strings_add(&start->args, strrchr(start->program, '/') + 1);
	say(packages, start, "the program of the package");
	return true;
}

int packages_start(struct packages *packages, const char *program, struct package_start *start, struct error *error)
{
	*start = (struct package_start){ 0 };
	if (program) {
		start->program = find_program(packages, program);
		if (!start->program)
			return error_set(error, -ENOENT, "there is no program \"%s\" in the packages", program);
		strings_add(&start->args, program);
		return 0;
	}
	bool (*const ways[])(struct packages *packages, const struct deb *deb, uint32_t origin, struct package_start *start) = { find_unit, start_by_name };
	for (size_t i = 0; i < packages->debs.count; i++)
		if (packages->debs.item[i].asked && start_by_rule(packages, &packages->debs.item[i], start))
			return 0;
	for (size_t way = 0; way < sizeof(ways) / sizeof(*ways); way++)
		for (size_t i = 0; i < packages->debs.count; i++)
			if (packages->debs.item[i].asked && ways[way](packages, &packages->debs.item[i], (uint32_t)i + 1, start))
				return 0;
	return error_set(error, -ENOENT, "these packages do not say which program to start, by a unit file or a program of their name; name one behind the options");
}

bool packages_start_shell(const struct packages *packages, const struct package_start *start)
{
	char *text = planned_read(&packages->all, start->program, TEXT_MAX);
	bool shell = commands_start_shell(start->program, text ? text : "");
	free(text);
	return shell;
}

void package_start_free(struct package_start *start)
{
	free(start->program);
	free(start->cwd);
	strings_free(&start->args);
	strings_free(&start->env);
	*start = (struct package_start){ 0 };
}
