/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/own_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define MODULES "/node_modules/"
#define SETTINGS_MAX (64u << 10)

static bool has(const char *dir, const char *name)
{
	char *path = alloc_format("%s/%s", dir, name);
	bool there = !access(path, R_OK);
	free(path);
	return there;
}

/* Everything in it is as much the program's as the program: tests, too, as a package's own modules may have that name. */
static void add_whole(struct plan *plan, const char *dir)
{
	struct error ignored;
	plan->lenient = plan->whole = true;
	plan_add(plan, dir, true, &ignored);
	plan->lenient = plan->whole = false;
}

static void add_below(struct plan *plan, const char *dir, const char *name)
{
	char *path = alloc_format("%s/%s", dir, name);
	if (!access(path, R_OK))
		add_whole(plan, path);
	free(path);
}

/* DIR of DIR/bin/NAME; the caller's. NULL: it lies elsewhere, or where the distribution puts what packages own. */
static char *prefix_of(const char *file)
{
	static const char *const systems[] = { "", "/usr" };
	char *dir = alloc_copy(file), *slash = strrchr(dir, '/');
	*slash = 0;
	bool in_bin = text_ends(dir, "/bin");
	if (in_bin)
		*strrchr(dir, '/') = 0;
	for (size_t i = 0; i < sizeof(systems) / sizeof(*systems); i++)
		in_bin = in_bin && strcmp(dir, systems[i]) != 0;
	if (in_bin)
		return dir;
	free(dir);
	return NULL;
}

static void add_environment(struct plan *plan, const char *prefix)
{
	if (has(prefix, "pyvenv.cfg"))
		add_whole(plan, prefix);
}

/* PREFIX/lib/python3.12 with os.py in it, as pyenv, uv and python.org's sources install it. */
static void add_python(struct plan *plan, const char *prefix)
{
	char *lib = alloc_format("%s/lib", prefix);
	DIR *dir = opendir(lib);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char *mark = alloc_format("%s/os.py", entry->d_name);
		if (text_starts(entry->d_name, "python") && has(lib, mark))
			add_below(plan, lib, entry->d_name);
		free(mark);
	}
	if (dir)
		closedir(dir);
	free(lib);
}

static void add_java(struct plan *plan, const char *prefix)
{
	if (has(prefix, "release") && (has(prefix, "lib/modules") || has(prefix, "lib/rt.jar") || has(prefix, "jre/lib/rt.jar")))
		add_whole(plan, prefix);
}

/* Go finds its library and its compilers from where it lies. */
static void add_go(struct plan *plan, const char *prefix)
{
	if (has(prefix, "VERSION") && has(prefix, "pkg/tool") && has(prefix, "src/runtime"))
		add_whole(plan, prefix);
}

/* The value of a line NAME = "VALUE"; the caller's. NULL: none. */
static char *quoted_value(const char *text, const char *name)
{
	const char *line = strstr(text, name), *open = line ? strchr(line, '"') : NULL;
	return open ? alloc_format("%.*s", (int)strcspn(open + 1, "\"\n"), open + 1) : NULL;
}

/*
 * A program of rustup's is a link to it, which starts the one of that name in the toolchain that its settings name. Of that come the programs and libraries;
 * documentation is the larger part of it.
 */
static void add_toolchain(struct plan *plan, const char *rustup_home)
{
	char *settings = alloc_format("%s/settings.toml", rustup_home), *data = NULL, *name = NULL;
	size_t size;
	if (!file_read(AT_FDCWD, settings, SETTINGS_MAX, &data, &size))
		name = quoted_value(data, "default_toolchain");
	if (name) {
		char *home = alloc_format("%s/toolchains/%s", rustup_home, name);
		add_whole(plan, settings);
		add_below(plan, home, "bin");
		add_below(plan, home, "lib");
		add_below(plan, home, "libexec");
		free(home);
	}
	free(name);
	free(data);
	free(settings);
}

static void add_rustup(struct plan *plan, const char *file, const char *prefix)
{
	const char *given = getenv("RUSTUP_HOME"), *home = getenv("HOME");
	char *rustup = alloc_format("%s/bin/rustup", prefix);
	char *rustup_home = given ? alloc_copy(given) : home ? alloc_format("%s/.rustup", home) : NULL;
	struct stat its, st;
	if (rustup_home && !stat(rustup, &its) && !stat(file, &st) && its.st_dev == st.st_dev && its.st_ino == st.st_ino)
		add_toolchain(plan, rustup_home);
	free(rustup_home);
	free(rustup);
}

/*
 * The node_modules that the script lies in, as what it requires lies beside its package. Those that npm installs for all users (below "lib") hold packages
 * that have nothing to do with each other: of them the script's own.
 */
static void add_modules(struct plan *plan, const char *file)
{
	const char *modules = strstr(file, MODULES);
	if (!modules)
		return;
	size_t len = (size_t)(modules - file) + strlen(MODULES) - 1;
	if (modules - file >= 4 && !strncmp(modules - 4, "/lib", 4)) {
		len++;
		len += strcspn(file + len, "/");
		const char *package = modules + strlen(MODULES);
		if (*package == '@' && file[len] == '/') /* @scope/name */
			len += 1 + strcspn(file + len + 1, "/");
	}
	char *dir = alloc_format("%.*s", (int)len, file);
	add_whole(plan, dir);
	free(dir);
}

static void add_by_marks(struct plan *plan, const char *file)
{
	char *prefix = prefix_of(file);
	if (prefix) {
		add_environment(plan, prefix);
		add_python(plan, prefix);
		add_java(plan, prefix);
		add_go(plan, prefix);
		add_rustup(plan, file, prefix);
	}
	free(prefix);
	add_modules(plan, file);
}

void own_tree_add(struct plan *plan, const char *file)
{
	char *real = realpath(file, NULL);
	add_by_marks(plan, file);
	if (real && strcmp(real, file))
		add_by_marks(plan, real);
	free(real);
}
