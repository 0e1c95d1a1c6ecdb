/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/companions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define DPKG "/var/lib/dpkg"
#define FILE_MAX_BYTES (256u << 20)
#define PACKAGES_MAX 64 /* of one source; the largest of the distribution has some dozens */

/* ---- the package database: text files, read as they are ---- */

/* Whether one of the lines of list is path. */
static bool list_has(const char *list, const char *path)
{
	size_t len = strlen(path);
	for (const char *at = list; (at = strstr(at, path)); at += len)
		if ((at == list || at[-1] == '\n') && at[len] == '\n')
			return true;
	return false;
}

static char *read_list(int dir, const char *name)
{
	char *data = NULL;
	size_t size;
	return file_read(dir, name, FILE_MAX_BYTES, &data, &size) ? NULL : data;
}

/* "python3.11-minimal" of "libc6:amd64.list"; the caller's. */
static char *package_of_file(const char *name)
{
	const char *colon = strchr(name, ':');
	return alloc_format("%.*s", (int)(colon ? colon - name : (long)strlen(name) - 5), name);
}

/* The name of the package that owns path, under the name that the package knows: with or without the merged /usr. */
static char *find_owner(int info, const char *path)
{
	int copy = openat(info, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	char *owner = NULL;
	const char *bare = text_starts(path, "/usr/") ? path + 4 : path;
	if (!dir)
		return NULL;
	for (struct dirent *entry; !owner && (entry = readdir(dir));) {
		char *list = text_ends(entry->d_name, ".list") ? read_list(info, entry->d_name) : NULL;
		if (list && (list_has(list, path) || list_has(list, bare)))
			owner = package_of_file(entry->d_name);
		free(list);
	}
	closedir(dir);
	return owner;
}

/* The installed stanza of a package in the status file, not terminated; its end in *end. */
static const char *find_stanza(const char *status, const char *package, const char **end)
{
	char *head = alloc_format("Package: %s\n", package);
	const char *at = status;
	while ((at = strstr(at, head)) && at != status && at[-1] != '\n')
		at++;
	free(head);
	if (!at)
		return NULL;
	const char *stop = strstr(at, "\n\n");
	*end = stop ? stop : at + strlen(at);
	return at;
}

/* The value of a field, from behind its name to the end of its line; NULL: none. */
static const char *field(const char *stanza, const char *end, const char *name, size_t *len)
{
	size_t n = strlen(name);
	for (const char *line = stanza; line && line < end; line = memchr(line, '\n', (size_t)(end - line))) {
		line += *line == '\n';
		if ((size_t)(end - line) > n + 2 && !strncmp(line, name, n) && line[n] == ':') {
			const char *value = line + n + 2, *stop = memchr(value, '\n', (size_t)(end - value));
			*len = (size_t)((stop ? stop : end) - value);
			return value;
		}
	}
	return NULL;
}

static char *source_of(const char *status, const char *package)
{
	const char *end, *stanza = find_stanza(status, package, &end);
	size_t len = 0;
	const char *source = stanza ? field(stanza, end, "Source", &len) : NULL;
	if (!stanza)
		return NULL;
	return source ? alloc_format("%.*s", (int)strcspn(source, " \n"), source) : alloc_copy(package);
}

/* Nothing but the dependency leads to it: data of that kind, and of a script modules of a language. */
static bool is_known_by_name(const char *package)
{
	return !strcmp(package, "media-types") || !strcmp(package, "mime-support");
}

static bool is_module(const char *status, const char *package)
{
	static const char *const sections[] = { "python", "perl", "ruby", "php", "javascript", "lua", "gnu-r" };
	const char *end, *stanza = find_stanza(status, package, &end);
	size_t len = 0;
	const char *section = stanza ? field(stanza, end, "Section", &len) : NULL;
	for (size_t i = 0; section && i < sizeof(sections) / sizeof(*sections); i++)
		if (strlen(sections[i]) == len && !strncmp(section, sections[i], len))
			return true;
	return false;
}

/* Adds those packages of a dependency field that are installed and built from source, or that nothing else leads to. */
static void add_related(const char *status, const char *value, size_t len, const char *source, bool modules, struct strings *packages)
{
	for (size_t at = 0; at < len && packages->count < PACKAGES_MAX;) {
		size_t n = strspn(value + at, ", |");
		at += n;
		n = 0;
		while (at + n < len && !strchr(" ,|:(", value[at + n]))
			n++;
		char *name = alloc_format("%.*s", (int)n, value + at), *its_source = n && !strings_have(packages, name) ? source_of(status, name) : NULL;
		if (its_source && (!strcmp(its_source, source) || is_known_by_name(name) || (modules && is_module(status, name))))
			strings_add(packages, name);
		free(name);
		free(its_source);
		while (at < len && value[at] != ',' && value[at] != '|')
			at++;
	}
}

/* The owner, and what it depends on or recommends (a usual installation has it) of the same source; of a script the modules that it depends on. */
static void find_packages(const char *owner, bool script, struct strings *packages, char **source)
{
	static const char *const fields[] = { "Recommends", "Depends", "Pre-Depends" };
	char *status = read_list(AT_FDCWD, DPKG "/status");
	strings_add(packages, owner);
	*source = status ? source_of(status, owner) : NULL;
	for (size_t i = 0; *source && i < packages->count; i++) {
		const char *end, *stanza = find_stanza(status, packages->item[i], &end);
		for (size_t f = 0; stanza && f < sizeof(fields) / sizeof(*fields); f++) {
			size_t len;
			const char *value = field(stanza, end, fields[f], &len);
			if (value)
				add_related(status, value, len, *source, script && f, packages);
		}
	}
	free(status);
}

/* ---- what of them goes in ---- */

/* Other programs, which only a script starts. */
static bool is_command(const char *path)
{
	static const char *const dirs[] = { "/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/games/" };
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		if (text_starts(path, dirs[i]))
			return true;
	return false;
}

/* For people and for other programs. */
static bool left_out(const char *path)
{
	static const char *const prefixes[] = { "/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/locale/", "/usr/share/lintian",
		"/usr/share/bash-completion", "/usr/share/applications", "/usr/share/icons", "/usr/share/pixmaps", "/usr/share/menu",
		"/usr/share/bug", "/usr/share/gdb", "/usr/share/apport", "/usr/include", "/usr/src", "/lib/systemd", "/usr/lib/systemd",
		"/usr/lib/tmpfiles.d", "/usr/lib/sysusers.d", "/usr/lib/pkgconfig", "/usr/lib/x86_64-linux-gnu/pkgconfig", "/etc/init.d",
		"/etc/logrotate.d", "/etc/default", "/etc/cron", "/etc/ufw", "/etc/systemd", "/etc/apparmor", "/boot", "/usr/lib/debug" };
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (text_starts(path, prefixes[i]))
			return true;
	return text_ends(path, ".a");
}

static bool left_out_or_command(const char *path) { return left_out(path) || is_command(path); }

static void add_quietly(struct plan *plan, const char *path, bool whole)
{
	struct error ignored;
	plan_add(plan, path, whole, &ignored);
}

static void add_pycache(struct plan *plan, const char *path)
{
	if (!text_ends(path, ".py"))
		return;
	char *cache = alloc_format("%.*s/__pycache__", (int)(strrchr(path, '/') - path), path);
	if (!plan_find(plan, cache) && !access(cache, X_OK))
		add_quietly(plan, cache, true);
	free(cache);
}

/* What is left out of a package that is packed for its own sake. */
static bool for_people(const char *path) { return text_starts(path, "/usr/share/doc") || text_starts(path, "/usr/share/man"); }

static void add_list(struct plan *plan, const char *list, bool (*leaves)(const char *path))
{
	for (const char *line = list; *line;) {
		size_t n = strcspn(line, "\n");
		char *path = alloc_format("%.*s", (int)n, line);
		if (n > 1 && !leaves(path)) {
			add_quietly(plan, path, false);
			add_pycache(plan, path);
		}
		free(path);
		line += n + (line[n] == '\n');
	}
}

static void add_package(struct plan *plan, int info, const char *package, bool (*leaves)(const char *path))
{
	char *plain = alloc_format("%s.list", package), *arch = alloc_format("%s:amd64.list", package), *list = read_list(info, plain);
	if (!list)
		list = read_list(info, arch);
	if (list)
		add_list(plan, list, leaves);
	if (list && !strings_have(&plan->owners, package))
		strings_add(&plan->owners, package);
	free(list);
	free(plain);
	free(arch);
}

/* Links of the whole directory that lead out of it: what they name is needed too. */
static void add_link_targets(struct plan *plan, const char *dir)
{
	size_t len = strlen(dir), count = plan->count;
	for (size_t i = 0; i < count; i++) {
		if (plan->entry[i].kind != PLAN_LINK || strncmp(plan->entry[i].guest, dir, len) || plan->entry[i].guest[len] != '/')
			continue;
		char *path = alloc_copy(plan->entry[i].guest);
		add_quietly(plan, path, false);
		free(path);
	}
}

/*
 * Directories that bear the name of the program or its source: what an administrator, a maintainer script or an add-on
 * package put there is in no list. Of /var only the directory itself: its contents are data of the host.
 */
static void add_named(struct plan *plan, const char *name)
{
	static const char *const whole[] = { "/etc", "/usr/lib", "/usr/share", "/usr/lib/x86_64-linux-gnu" };
	static const char *const bare[] = { "/var/lib", "/var/log", "/var/cache", "/var/spool" };
	struct stat st;
	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++) {
		char *path = alloc_format("%s/%s", whole[i], name);
		if (!lstat(path, &st) && S_ISDIR(st.st_mode)) {
			add_quietly(plan, path, true);
			add_link_targets(plan, path);
		}
		free(path);
	}
	for (size_t i = 0; i < sizeof(bare) / sizeof(*bare); i++) {
		char *path = alloc_format("%s/%s", bare[i], name);
		if (!lstat(path, &st) && S_ISDIR(st.st_mode))
			add_quietly(plan, path, false);
		free(path);
	}
}

int companions_add(struct plan *plan, const char *host, bool script, struct error *error)
{
	char *real = realpath(host, NULL);
	int info = open(DPKG "/info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *owner = real && info >= 0 ? find_owner(info, real) : NULL, *source = NULL;
	struct strings packages = { 0 };
	if (owner) {
		plan->lenient = true;
		find_packages(owner, script, &packages, &source);
		for (size_t i = 0; i < packages.count; i++)
			add_package(plan, info, packages.item[i], script ? left_out : left_out_or_command);
		add_named(plan, strrchr(real, '/') + 1);
		if (source && strcmp(source, strrchr(real, '/') + 1))
			add_named(plan, source);
		plan->lenient = false;
	}
	strings_free(&packages);
	free(source);
	free(owner);
	free(real);
	if (info >= 0)
		close(info);
	return 0;
}

void companions_add_package(struct plan *plan, const char *package)
{
	int info = open(DPKG "/info", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (info < 0)
		return;
	plan->lenient = true;
	add_package(plan, info, package, for_people);
	plan->lenient = false;
	close(info);
}
