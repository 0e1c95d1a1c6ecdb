/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/runtime.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define ZONES "/usr/share/zoneinfo"

static void add_quietly(struct plan *plan, const char *path)
{
	struct error ignored;
	plan_add(plan, path, true, &ignored);
}

/*
 * All of the zones but the two other copies of them, with and without leap seconds, that no program asks for. Links within are kept, and
 * what they lead to comes along.
 */
static bool add_zones(struct plan *plan)
{
	DIR *dir = opendir(ZONES);
	if (!dir)
		return false;
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "posix") || !strcmp(entry->d_name, "right"))
			continue;
		char *path = alloc_format(ZONES "/%s", entry->d_name);
		add_quietly(plan, path);
		free(path);
	}
	closedir(dir);
	plan_depend(plan, ZONES);
	return true;
}

static bool zone_exists(const char *zone)
{
	char *path = alloc_format(ZONES "/%s", zone);
	bool exists = !strstr(zone, "..") && !access(path, R_OK);
	free(path);
	return exists;
}

/* Without the directory that the link leads into, the file itself: half a directory would be taken for a whole one. */
static void add_local_time(struct plan *plan)
{
	struct error ignored;
	if (!access("/etc/localtime", R_OK) && !plan_add_as(plan, "/etc/localtime", "/etc/localtime", &ignored))
		plan_depend(plan, "/etc/localtime");
}

static bool has_terminal_library(const struct plan *plan)
{
	static const char *const names[] = { "/libtinfo.so", "/libtinfow.so", "/libncurses.so", "/libncursesw.so", "/libslang.so" };
	for (size_t i = 0; i < plan->count; i++)
		for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++)
			if (strstr(plan->entry[i].guest, names[n]))
				return true;
	return false;
}

void runtime_add(struct plan *plan, const struct library_wants *wants, const char *zone)
{
	static const char *const terminals[] = { "/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo" };
	bool zones = (wants->zones || (zone && zone_exists(zone))) && add_zones(plan);
	if (zones)
		add_quietly(plan, "/etc/localtime");
	else
		add_local_time(plan);
	if (wants->libc)
		add_quietly(plan, "/usr/lib/locale/C.utf8");
	if (wants->libc && wants->converters) {
		char *path = alloc_format("%.*s/gconv", (int)(strrchr(wants->libc, '/') - wants->libc), wants->libc);
		add_quietly(plan, path);
		free(path);
	}
	for (size_t i = 0; has_terminal_library(plan) && i < sizeof(terminals) / sizeof(*terminals); i++)
		add_quietly(plan, terminals[i]);
}
