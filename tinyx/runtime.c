/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/runtime.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define ZONES "/usr/share/zoneinfo"
#define FONTS "/usr/share/fonts"
#define FONTS_MAX (32ull << 20) /* bytes of them that every program with fontconfig takes along */

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
	if (plan->from) {
		add_quietly(plan, ZONES);
		return plan_find(plan, ZONES);
	}
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

static bool zone_exists(const struct plan *plan, const char *zone)
{
	char *path = alloc_format(ZONES "/%s", zone);
	bool exists = !strstr(zone, "..") && plan_has(plan, path);
	free(path);
	return exists;
}

/* Without the directory that the link leads into, the file itself: half a directory would be taken for a whole one. */
static void add_local_time(struct plan *plan)
{
	struct error ignored;
	if (!plan->from && !access("/etc/localtime", R_OK) && !plan_add_as(plan, "/etc/localtime", "/etc/localtime", &ignored))
		plan_depend(plan, "/etc/localtime");
}

static bool has_library(const struct plan *plan, const char *const *names, size_t count)
{
	for (size_t i = 0; i < plan->count; i++)
		for (size_t n = 0; n < count; n++)
			if (strstr(plan->entry[i].guest, names[n]))
				return true;
	return false;
}

/* For a library that reads them, and for who does so itself: programs that have such a library linked in, or are of another language. */
static void add_terminals(struct plan *plan, bool named)
{
	static const char *const libraries[] = { "/libtinfo.so", "/libtinfow.so", "/libncurses.so", "/libncursesw.so", "/libslang.so" };
	static const char *const terminals[] = { "/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo" };
	if (!named && !has_library(plan, libraries, sizeof(libraries) / sizeof(*libraries)))
		return;
	for (size_t i = 0; i < sizeof(terminals) / sizeof(*terminals); i++)
		add_quietly(plan, terminals[i]);
}

/* ---- fonts ---- */

static uint64_t tree_size(int dir, const char *name, uint64_t most)
{
	uint64_t size = 0;
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (!entries && fd >= 0)
		close(fd);
	for (struct dirent *entry; entries && size <= most && (entry = readdir(entries));) {
		if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		size += S_ISDIR(st.st_mode) ? tree_size(fd, entry->d_name, most) : S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	}
	if (entries)
		closedir(entries);
	return size;
}

/* fontconfig's configuration, and all fonts; of a great many only those that Debian's configuration prefers. */
static void add_fonts(struct plan *plan)
{
	static const char *const library = "/libfontconfig.so";
	if (!has_library(plan, &library, 1))
		return;
	add_quietly(plan, "/etc/fonts");
	add_quietly(plan, "/usr/share/fontconfig");
	bool all = plan->from || tree_size(AT_FDCWD, FONTS, FONTS_MAX) <= FONTS_MAX;
	if (!all)
		log_info("%s: more than %llu MiB; only DejaVu is packed, all of them with -v %s:%s", FONTS, FONTS_MAX >> 20, FONTS, FONTS);
	add_quietly(plan, all ? FONTS : FONTS "/truetype/dejavu");
}

/* ---- locales ---- */

bool runtime_has_locale(const char *locale)
{
	return !*locale || !strcmp(locale, "C") || !strcmp(locale, "POSIX") || !strcasecmp(locale, "C.UTF-8") || !strcasecmp(locale, "C.utf8");
}

static bool is_utf8(const char *locale)
{
	const char *set = strchr(locale, '.');
	return set && (!strncasecmp(set, ".utf-8", 6) || !strncasecmp(set, ".utf8", 5));
}

static void add_converters(struct plan *plan, const char *libc)
{
	char *path = alloc_format("%.*s/gconv", (int)(strrchr(libc, '/') - libc), libc);
	add_quietly(plan, path);
	free(path);
}

/* All of them: which one a name stands for is a matter of aliases, and what is missing in one is looked for in others. */
static void add_locales(struct plan *plan, const char *locale)
{
	add_quietly(plan, "/usr/lib/locale/C.utf8");
	if (!locale || runtime_has_locale(locale))
		return;
	add_quietly(plan, "/usr/lib/locale");
	add_quietly(plan, "/usr/share/locale/locale.alias");
}

void runtime_add(struct plan *plan, const struct library_wants *wants, const char *zone, const char *locale)
{
	plan_why(plan, "opened at run time: locales, time zones, character sets, terminals or fonts of what is packed");
	bool zones = (wants->zones || (zone && zone_exists(plan, zone))) && add_zones(plan);
	if (zones)
		add_quietly(plan, "/etc/localtime");
	else
		add_local_time(plan);
	if (wants->libc) {
		add_locales(plan, locale);
		if (wants->converters || (locale && !runtime_has_locale(locale) && !is_utf8(locale)))
			add_converters(plan, wants->libc);
	}
	add_terminals(plan, wants->terminals);
	add_fonts(plan);
}

void certificates_add(struct plan *plan)
{
	plan_why(plan, "whom to trust, for a library of TLS");
	for (size_t i = 0; i < plan->count; i++)
		if (strstr(plan->entry[i].guest, "/libssl.so") || strstr(plan->entry[i].guest, "/libgnutls.so")) {
			plan_add(plan, "/etc/ssl/certs/ca-certificates.crt", false, NULL);
			plan_add(plan, "/etc/ssl/openssl.cnf", false, NULL);
			return;
		}
}
