/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/packages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tinyx/packages/maintainer.h"
#include "tinyx/packages/read.h"
#include "tinyx/packages/tool.h"

#define UNPACKED_MAX (64ull << 30) /* of all of them */
#define ENTRIES_MAX 2000000
#define CONTROL_MAX (512u << 10) /* bytes of one of its files */
#define TEXT_MAX (1u << 20)    /* of a file of the packages that is read here */

/* ---- unpacking ---- */

/* What one part of a package is used for, entry by entry. */
typedef int entry_use(void *context, struct tar *tar, const struct tar_entry *entry, struct error *error);

/* The part of a .deb that dpkg-deb puts out as a tar archive with this option. */
static int read_part(const struct deb *deb, const char *part, entry_use *use, void *context, struct error *error)
{
	char *const argv[] = { "dpkg-deb", (char *)part, deb->path, NULL };
	struct spawned child = SPAWNED_NONE;
	struct tar_entry entry;
	struct tar *tar = NULL;
	char *shown = alloc_format("%s %s", deb->name, deb->version);
	int fd = tool_start(argv, &child, error), err = fd < 0 ? fd : tar_open(&tar, fd, shown, error);
	while (!err && (err = tar_next(tar, &entry, error)) == 1)
		err = use(context, tar, &entry, error);
	tar_close(tar);
	free(shown);
	if (fd < 0)
		return err;
	char rest[4096]; /* zero bytes behind the archive's end; of one that is wrong nothing more is wanted, and dpkg-deb meets a closed pipe */
	while (!err && read(fd, rest, sizeof(rest)) > 0)
		;
	close(fd);
	int status = spawned_wait(&child);
	if (!err && status)
		err = error_set(error, -EINVAL, "%s: dpkg-deb cannot read it", deb->path);
	return err;
}

struct unpacking {
	struct packages *packages;
	struct package *package;
};

static int put_file(void *context, struct tar *tar, const struct tar_entry *entry, struct error *error)
{
	struct unpacking *unpacking = context;
	struct packages *packages = unpacking->packages;
	if (packages->all.count > ENTRIES_MAX)
		return error_set(error, -E2BIG, "these packages have more than %d files", ENTRIES_MAX);
	if (strstr(entry->path, "/lib") && strstr(entry->path, ".so") && !S_ISDIR(entry->mode))
		unpacking->package->has_library = true;
	if (entry->mtime > unpacking->package->mtime)
		unpacking->package->mtime = entry->mtime;
	return tar_plan(tar, entry, &packages->spool, &packages->all, error);
}

struct control { /* of a package */
	char *control, *preinst, *postinst;
};

static int put_control(void *context, struct tar *tar, const struct tar_entry *entry, struct error *error)
{
	struct control *control = context;
	char **to = !strcmp(entry->path, "/control") ? &control->control : !strcmp(entry->path, "/preinst") ? &control->preinst :
		    !strcmp(entry->path, "/postinst") ? &control->postinst : NULL;
	if (!to || *to || !S_ISREG(entry->mode))
		return 0;
	return tar_read(tar, entry, CONTROL_MAX, to, error);
}

/* The value of a control field, without the lines that go on with it; the caller's, NULL: none. */
static char *field(const char *control, const char *name)
{
	size_t n = strlen(name);
	for (const char *line = control; line && *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (!strncmp(line, name, n) && line[n] == ':') {
			const char *value = line + n + 1 + strspn(line + n + 1, " \t");
			return alloc_format("%.*s", (int)strcspn(value, "\n"), value);
		}
	return NULL;
}

static void take_control(struct package *package, const struct deb *deb, const struct control *control)
{
	char *essential = field(control->control, "Essential"), *source = field(control->control, "Source");
	package->section = field(control->control, "Section");
	package->priority = field(control->control, "Priority");
	package->depends = field(control->control, "Depends");
	package->essential = essential && !strcmp(essential, "yes");
	package->source = source ? alloc_format("%.*s", (int)strcspn(source, " "), source) : alloc_copy(deb->name);
	free(essential);
	free(source);
}

/* The scripts say what to make when the files are there. */
static void read_scripts(struct packages *packages, size_t index, const struct control *control)
{
	struct maintainer maintainer = { .all = &packages->all, .origin = (uint32_t)index + 1, .mtime = packages->item[index].mtime, .accounts = &packages->accounts, .said = &packages->said,
		.package = packages->debs.item[index].name };
	if (control->preinst)
		maintainer_read(&maintainer, control->preinst);
	if (control->postinst)
		maintainer_read(&maintainer, control->postinst);
}

static void read_sysusers(struct packages *packages)
{
	for (size_t i = 0; i < packages->all.count; i++) {
		const struct plan_entry *entry = &packages->all.entry[i];
		if (!text_starts(entry->guest, "/usr/lib/sysusers.d/") || !text_ends(entry->guest, ".conf") || !entry->origin)
			continue;
		struct maintainer maintainer = { .all = &packages->all, .accounts = &packages->accounts, .said = &packages->said,
			.package = packages->debs.item[entry->origin - 1].name };
		char *text = planned_read(&packages->all, entry->guest, TEXT_MAX);
		if (text)
			maintainer_sysusers(&maintainer, text);
		free(text);
	}
}

/* As the postinst of ca-certificates does it: all of them in one file. */
static void add_bundle(struct packages *packages)
{
	struct text bundle = { 0 };
	uint32_t origin = 0;
	for (size_t i = 0; i < packages->all.count; i++) {
		const struct plan_entry *entry = &packages->all.entry[i];
		if (!text_starts(entry->guest, "/usr/share/ca-certificates/") || !text_ends(entry->guest, ".crt"))
			continue;
		char *text = planned_read(&packages->all, entry->guest, TEXT_MAX);
		if (text)
			text_put(&bundle, text);
		free(text);
		origin = entry->origin;
	}
	if (origin)
		plan_put(&packages->all, (struct plan_entry){ .guest = alloc_copy("/etc/ssl/certs/ca-certificates.crt"), .kind = PLAN_DATA, .mode = 0644, .source = bundle.data,
			.size = bundle.size, .mtime = packages->item[origin - 1].mtime, .origin = origin });
}

static const char *const merged[] = { "bin", "sbin", "lib", "lib32", "lib64", "libx32" };

static int unpack_all(struct packages *packages, const struct debs_watch *watch, struct error *error)
{
	struct control *control = alloc_zero((packages->debs.count + 1) * sizeof(*control));
	int err = 0;
	if (watch)
		watch->report(watch->context, "unpacking");
	for (size_t i = 0; i < sizeof(merged) / sizeof(*merged); i++) {
		char *link = alloc_format("/%s", merged[i]);
		plan_link(&packages->all, link, link + 1);
		struct plan_entry *entry = &packages->all.entry[packages->all.count - 1];
		free(entry->source);
		entry->source = alloc_format("usr/%s", merged[i]);
		free(link);
	}
	for (size_t i = 0; i < packages->debs.count && !err; i++) {
		struct unpacking unpacking = { packages, &packages->item[i] };
		packages->spool.origin = (uint32_t)i + 1;
		err = read_part(&packages->debs.item[i], "--ctrl-tarfile", put_control, &control[i], error);
		if (!err)
			err = read_part(&packages->debs.item[i], "--fsys-tarfile", put_file, &unpacking, error);
		if (!err)
			take_control(&packages->item[i], &packages->debs.item[i], &control[i]);
	}
	if (!err) {
		read_sysusers(packages);
		for (size_t i = 0; i < packages->debs.count; i++)
			read_scripts(packages, i, &control[i]);
		add_bundle(packages);
	}
	for (size_t i = 0; i < packages->debs.count; i++) {
		free(control[i].control);
		free(control[i].preinst);
		free(control[i].postinst);
	}
	free(control);
	return err;
}

static int open_spool(struct packages *packages, struct error *error)
{
	char *dir = packages->debs.count ? alloc_format("%.*s", (int)(strrchr(packages->debs.item[0].path, '/') - packages->debs.item[0].path), packages->debs.item[0].path) : alloc_copy("/");
	packages->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = packages->dir < 0 ? -errno : stage_open(&packages->stage, packages->dir);
	if (!err)
		spool_init(&packages->spool, packages->stage.fd, UNPACKED_MAX);
	else
		error_set(error, err, "%s: %s", dir, strerror(-err));
	free(dir);
	return err;
}

static int find_and_fetch(struct packages *packages, const struct strings *names, bool scripts, const struct debs_watch *watch, struct error *error)
{
	static const struct strings none;
	debs_free(&packages->debs);
	int err = debs_find(&packages->debs, names, scripts ? &packages->rules.scripts : &none, &packages->rules.assumed, watch, error);
	return err ? err : debs_fetch(&packages->debs, watch, error);
}

int packages_open(struct packages *packages, const struct strings *names, const char *rules, bool scripts, const struct debs_watch *watch, struct error *error)
{
	*packages = PACKAGES_CLOSED;
	int err = rules_load(&packages->rules, rules, default_rules, error);
	if (!err)
		err = find_and_fetch(packages, names, scripts, watch, error);
	if (err == -ESTALE && !(err = debs_update(watch, error))) /* distributions keep a package until the next version of it */
		err = find_and_fetch(packages, names, scripts, watch, error);
	packages->item = alloc_zero((packages->debs.count + 1) * sizeof(*packages->item));
	if (!err)
		err = open_spool(packages, error);
	if (!err)
		err = unpack_all(packages, watch, error);
	return err;
}

void packages_close(struct packages *packages)
{
	for (size_t i = 0; packages->item && i < packages->debs.count; i++) {
		free(packages->item[i].section);
		free(packages->item[i].priority);
		free(packages->item[i].source);
		free(packages->item[i].depends);
	}
	free(packages->item);
	stage_close(&packages->stage);
	if (packages->dir >= 0)
		close(packages->dir);
	plan_free(&packages->all);
	accounts_free(&packages->accounts);
	rules_free(&packages->rules);
	text_free(&packages->said);
	debs_free(&packages->debs);
	*packages = PACKAGES_CLOSED;
}

/* ---- what of them goes in ---- */

/* What a usual system has anyway, or what is there for others' programs: only what is needed of it comes along. */
static bool is_background(const struct packages *packages, size_t i)
{
	const struct package *package = &packages->item[i];
	const char *section = package->section ? package->section : "", *name = packages->debs.item[i].name;
	if (strings_have(&packages->rules.whole, name))
		return false;
	return strings_have(&packages->rules.used, name) || package->essential ||
	       (package->priority && strcmp(package->priority, "optional") && strcmp(package->priority, "extra")) ||
	       (package->has_library && (text_ends(section, "libs") || text_starts(name, "lib")));
}

/* Whether a dependency field names the package. */
static bool depends_on(const char *depends, const char *name)
{
	size_t len = strlen(name);
	for (const char *at = depends; at && (at = strstr(at, name)); at += len)
		if ((at == depends || strchr(" ,|", at[-1])) && (!at[len] || strchr(" ,|:(", at[len])))
			return true;
	return false;
}

/* An interpreter comes with its library of scripts: packages of the same source that it depends on. */
static void mark_whole(struct packages *packages, size_t index)
{
	if (packages->item[index].whole)
		return;
	packages->item[index].whole = true;
	for (size_t i = 0; i < packages->debs.count; i++)
		if (!strcmp(packages->item[i].source, packages->item[index].source) && depends_on(packages->item[index].depends, packages->debs.item[i].name) &&
		    !strings_have(&packages->rules.used, packages->debs.item[i].name))
			mark_whole(packages, i);
}

static void add_of(struct packages *packages, struct plan *plan, const bool *which, const char *why)
{
	struct error ignored;
	for (size_t i = 0; i < packages->all.count; i++) {
		const struct plan_entry *entry = &packages->all.entry[i];
		if (!entry->origin || !which[entry->origin - 1])
			continue;
		const struct rule_path *rule = rules_for(&packages->rules, entry->guest);
		/* A directory that holds nothing but what is left out would be left over: those come with what is in them. */
		char *inside = entry->kind == PLAN_DIR && (!rule || rule->keep) ? alloc_format("%s/x", entry->guest) : NULL;
		if (inside)
			rule = rules_for(&packages->rules, inside);
		free(inside);
		plan_why(plan, "%s", packages->debs.item[entry->origin - 1].asked ? "the package was asked for" : why);
		if (!rule || rule->keep)
			plan_add(plan, entry->guest, false, &ignored);
	}
}

void packages_add(struct packages *packages, struct plan *plan, const char *program)
{
	const struct plan_entry *entry = plan_follow(&packages->all, program);
	bool *which = alloc_zero(packages->debs.count + 1);
	for (size_t i = 0; i < packages->debs.count; i++)
		if (packages->debs.item[i].asked || !is_background(packages, i))
			mark_whole(packages, i);
	if (entry && entry->origin)
		mark_whole(packages, entry->origin - 1);
	for (size_t i = 0; i < packages->debs.count; i++)
		which[i] = packages->item[i].whole;
	add_of(packages, plan, which, "a package that is depended on and no library, or of an interpreter's source, comes whole");
	free(which);
}

void packages_add_data(struct packages *packages, struct plan *plan)
{
	bool *which = alloc_zero(packages->debs.count + 1);
	for (size_t i = 0; i < plan->count; i++)
		if (plan->entry[i].origin && plan->entry[i].kind == PLAN_FILE && strstr(plan->entry[i].guest, ".so"))
			which[plan->entry[i].origin - 1] = true;
	for (size_t i = 0; i < packages->debs.count; i++)
		which[i] = which[i] && !packages->item[i].whole && !packages->item[i].essential && !strings_have(&packages->rules.used, packages->debs.item[i].name);
	add_of(packages, plan, which, "data and plugins of a library that is needed");
	free(which);
}

/* The base system's links to what is packed: programs and scripts say /bin/sh, whatever its package calls it. */
static void add_merged(const struct packages *packages, struct plan *plan)
{
	struct error ignored;
	for (size_t i = 0; i < sizeof(merged) / sizeof(*merged); i++) {
		char *link = alloc_format("/%s", merged[i]), *below = alloc_format("/usr/%s/", merged[i]);
		bool used = false;
		for (size_t n = 0; n < plan->count && !used; n++)
			used = text_starts(plan->entry[n].guest, below);
		plan_why(plan, "the base system's link");
		if (used && !plan_find(plan, link) && plan_find(&packages->all, link))
			plan_add(plan, link, false, &ignored);
		free(link);
		free(below);
	}
}

void packages_finish(struct packages *packages, struct plan *plan)
{
	struct text passwd = { 0 }, group = { 0 }, list = { 0 };
	bool *there = alloc_zero(packages->debs.count + 1);
	add_merged(packages, plan);
	accounts_print(&packages->accounts, &passwd, &group);
	plan_why(plan, "made of what the packages say");
	plan_data(plan, "/etc/passwd", 0644, passwd.data, passwd.size);
	plan_data(plan, "/etc/group", 0644, group.data, group.size);
	for (size_t i = 0; i < plan->count; i++)
		if (plan->entry[i].origin && plan->entry[i].kind != PLAN_DIR)
			there[plan->entry[i].origin - 1] = true;
	for (size_t i = 0; i < packages->debs.count; i++)
		if (there[i])
			text_format(&list, "%s %s %s\n", packages->debs.item[i].name, packages->debs.item[i].version, packages->debs.item[i].sha256);
	plan_data(plan, PACKAGES_LIST, 0644, list.data ? list.data : "", list.size);
	free(there);
	text_free(&passwd);
	text_free(&group);
	text_free(&list);
}
