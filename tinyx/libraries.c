/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/libraries.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "parse/elf.h"
#include "tinyx/commands.h"

#define CONF_MAX (64 * 1024)
#define CONF_DEPTH 8
#define SCAN_MAX (256u << 20) /* of a file in which text is looked for */
#define LIBRARY_NAME_MAX 64

struct mapped { /* data NULL: not mapped */
	void *data;
	size_t size;
};

static int map_file(const struct plan *plan, const char *path, struct mapped *map)
{
	uint64_t at;
	size_t size;
	*map = (struct mapped){ 0 };
	int fd = plan_open(plan, path, &at, &size), err = 0;
	if (fd < 0)
		return fd;
	if (size) {
		map->data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, (off_t)at);
		map->size = size;
		if (map->data == MAP_FAILED) {
			map->data = NULL;
			err = -errno;
		}
	}
	close(fd);
	return err;
}

static void unmap_file(struct mapped *map)
{
	if (map->data)
		munmap(map->data, map->size);
}

int program_check(const struct plan *plan, const char *host, struct program_facts *facts, struct error *error)
{
	struct mapped map;
	struct elf elf;
	const char *why = "not an ELF file";
	*facts = (struct program_facts){ 0 };
	int err = map_file(plan, host, &map);
	if (err)
		return error_set(error, err, "cannot read %s: %s", host, strerror(-err));
	err = map.data ? elf_parse(&elf, map.data, map.size, &why) : -ENOEXEC;
	if (err) {
		error_set(error, err, "%s: %s", host, map.data ? why : "an empty file, not an ELF file");
	} else {
		facts->dynamic = elf.interp;
		for (int i = 0; i < elf.loads; i++)
			if (elf.load[i].flags & PF_W)
				facts->need += elf.load[i].memsz;
	}
	unmap_file(&map);
	return err;
}

/* ---- where libraries are ---- */

static void conf_read(const char *path, struct strings *dirs, int depth);

static void conf_include(const char *pattern, struct strings *dirs, int depth)
{
	glob_t found;
	if (depth >= CONF_DEPTH || glob(pattern, 0, NULL, &found))
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		conf_read(found.gl_pathv[i], dirs, depth + 1);
	globfree(&found);
}

/* ld.so.conf: a directory a line, "include PATTERN", comments. */
static void conf_read(const char *path, struct strings *dirs, int depth)
{
	char *data, *save = NULL;
	size_t size;
	if (file_read(AT_FDCWD, path, CONF_MAX, &data, &size))
		return;
	for (char *line = strtok_r(data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, "#")] = 0;
		char *word_save = NULL, *word = strtok_r(line, " \t", &word_save);
		if (!word)
			continue;
		if (word[0] == '/') {
			strings_add(dirs, word);
		} else if (!strcmp(word, "include") && (word = strtok_r(NULL, " \t", &word_save))) {
			char *pattern = word[0] == '/' ? alloc_copy(word) : alloc_format("/etc/%s", word);
			conf_include(pattern, dirs, depth);
			free(pattern);
		}
	}
	free(data);
}

/* Where the dynamic linker looks without being told to; then where musl's does. */
static const char *const built_in[] = { "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib" };
static const char *const musl_dirs[] = { "/usr/local/lib", "/usr/lib/x86_64-linux-musl" };
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void add_dirs(struct strings *dirs, const char *const *dir, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strings_have(dirs, dir[i]))
			strings_add(dirs, dir[i]);
}

static void system_dirs(const struct plan *plan, struct strings *dirs)
{
	if (!plan->from)
		conf_read("/etc/ld.so.conf", dirs, 0);
	add_dirs(dirs, built_in, COUNT(built_in));
	add_dirs(dirs, musl_dirs, COUNT(musl_dirs));
}

/* A shared object for this machine: linker scripts and other architectures lie in the same directories. */
static bool usable(const struct plan *plan, const char *path)
{
	unsigned char head[20];
	uint64_t at;
	size_t size;
	int fd = plan_open(plan, path, &at, &size);
	if (fd < 0)
		return fd == -EACCES; /* found, and reported as unreadable when it is added */
	ssize_t n = size < sizeof(head) ? 0 : pread(fd, head, sizeof(head), (off_t)at);
	close(fd);
	return n == (ssize_t)sizeof(head) && !memcmp(head, ELFMAG, SELFMAG) && head[EI_CLASS] == ELFCLASS64 && head[18] == EM_X86_64;
}

static char *find_in(const struct plan *plan, const char *dir, size_t len, const char *name)
{
	char *path = alloc_format("%.*s/%s", (int)len, dir, name);
	if (usable(plan, path))
		return path;
	free(path);
	return NULL;
}

/* One element of a run path; $ORIGIN is the directory of the object that has it. */
static char *find_in_element(const struct plan *plan, const char *element, size_t len, const char *object, const char *name)
{
	static const char *const word[] = { "$ORIGIN", "${ORIGIN}" };
	for (int i = 0; i < 2; i++) {
		size_t n = strlen(word[i]);
		if (len < n || strncmp(element, word[i], n))
			continue;
		char *real = plan_real(plan, object);
		if (!real)
			return NULL;
		*strrchr(real, '/') = 0;
		char *dir = alloc_format("%s%.*s", real, (int)(len - n), element + n), *path = find_in(plan, dir, strlen(dir), name);
		free(dir);
		free(real);
		return path;
	}
	return find_in(plan, element, len, name);
}

/* *configured: found in a directory that only the host's configuration of the dynamic linker names. */
static char *find_library(const struct plan *plan, const struct strings *dirs, const char *runpath, const char *object, const char *name, bool *configured)
{
	*configured = false;
	char *path = NULL;
	if (strchr(name, '/'))
		return find_in_element(plan, name, (size_t)(strrchr(name, '/') - name), object, strrchr(name, '/') + 1);
	while (runpath && *runpath && !path) {
		size_t n = strcspn(runpath, ":");
		path = n ? find_in_element(plan, runpath, n, object, name) : NULL;
		runpath += n + (runpath[n] == ':');
	}
	for (size_t i = 0; i < dirs->count && !path; i++) {
		path = find_in(plan, dirs->item[i], strlen(dirs->item[i]), name);
		*configured = path;
		for (size_t j = 0; j < COUNT(built_in) && *configured; j++)
			*configured = strcmp(dirs->item[i], built_in[j]) != 0;
	}
	return path;
}

/* ---- the walk ---- */

struct walk {
	struct plan *plan;
	struct library_wants *wants;
	struct strings dirs;
	struct strings known; /* names found already, by any object */
	struct strings needed; /* files of the libraries that the program needs or opens, and theirs: they may be planned already, as a package's */
	const struct elf *elf;
	const char *object;
	bool strict, musl;
	struct error *error;
};

static int add_needed(void *context, const char *name)
{
	struct walk *walk = context;
	/* The musl loader is its own C library. */
	if (strings_have(&walk->known, name) || (walk->musl && !strcmp(name, "libc.so")))
		return 0;
	bool configured;
	char *path = find_library(walk->plan, &walk->dirs, elf_runpath(walk->elf), walk->object, name, &configured);
	if (!path && !walk->strict) {
		log_info("missing library %s, needed by %s: the program may do without", name, walk->object);
		return 0;
	}
	if (!path)
		return error_set(walk->error, -ENOENT, "missing library %s, needed by %s", name, walk->object);
	plan_why(walk->plan, "library %s, needed by %s", name, walk->object);
	int err = plan_add(walk->plan, path, false, walk->error);
	if (!err && configured) {
		/* The image has no ld.so.conf: a link leads there from where the dynamic linker looks. */
		char *link = alloc_format("%s/%s", built_in[0], name);
		plan_link(walk->plan, link, path);
		free(link);
	}
	strings_add(&walk->known, name);
	if (walk->strict)
		strings_take(&walk->needed, path);
	else
		free(path);
	return err;
}

static int add_interpreter(struct walk *walk)
{
	const char *interp = walk->elf->interp;
	if (!interp || plan_find(walk->plan, interp))
		return 0;
	walk->musl = strstr(interp, "ld-musl") != NULL;
	if (!plan_has(walk->plan, interp) && !walk->strict)
		return 0;
	plan_why(walk->plan, "the dynamic linker that %s names", walk->object);
	int err = plan_add(walk->plan, interp, false, walk->error);
	return err ? error_prefix(walk->error, "%s needs the interpreter %s", walk->object, interp) : 0;
}

static bool has_text(const struct mapped *map, const char *text)
{
	return map->size <= SCAN_MAX && memmem(map->data, map->size, text, strlen(text));
}

/*
 * Who sets a zone and reads it, or names the directory, reads zones. The C library does so itself: where it is linked in, its name of the
 * directory has no slash at the end, as others' have.
 */
static bool reads_zones(const struct elf *elf, const struct mapped *map)
{
	if (!elf->dynamic_size || (!elf->interp && !elf_mentions(elf, "libc.so.6")))
		return has_text(map, "/usr/share/zoneinfo/");
	return (elf_mentions(elf, "tzset") && (elf_mentions(elf, "setenv") || elf_mentions(elf, "putenv"))) || has_text(map, "/usr/share/zoneinfo");
}

static bool is_c_library(const char *host)
{
	const char *base = strrchr(host, '/') + 1;
	return !strcmp(base, "libc.so.6") || text_starts(base, "ld-linux") || text_starts(base, "ld-musl");
}

/* By execvp and the like, which look for it in PATH; a program of Go has no such names, but keeps those of all its functions, also when it is stripped. */
static bool starts_by_name(const struct elf *elf, const struct mapped *map)
{
	static const char *const calls[] = { "execvp", "execvpe", "execlp", "posix_spawnp" };
	for (size_t i = 0; i < COUNT(calls); i++)
		if (elf_mentions(elf, calls[i]))
			return true;
	return has_text(map, "os/exec.(*Cmd).Start");
}

/* Only the program and its own libraries are asked: a package has files for everything, of which one is used now and then. */
static void note_wants(struct walk *walk, const char *host, const struct elf *elf, const struct mapped *map, bool is_program)
{
	if (!walk->wants->libc && text_ends(host, "/libc.so.6"))
		walk->wants->libc = plan_real(walk->plan, host);
	if (!walk->strict || is_c_library(host))
		return;
	walk->wants->converters = walk->wants->converters || elf_mentions(elf, "iconv_open");
	walk->wants->shell = walk->wants->shell || elf_mentions(elf, "system") || elf_mentions(elf, "popen");
	walk->wants->commands = walk->wants->commands || (is_program && starts_by_name(elf, map));
	walk->wants->zones = walk->wants->zones || reads_zones(elf, map);
	walk->wants->terminals = walk->wants->terminals || has_text(map, "/terminfo");
}

/* Adds a library that may be opened, if the host has it. */
static void add_possible(struct walk *walk, const char *name)
{
	bool configured;
	struct error ignored;
	char *path = strings_have(&walk->known, name) ? NULL : find_library(walk->plan, &walk->dirs, NULL, "", name, &configured);
	plan_why(walk->plan, "library %s, which may be opened at run time%s%s", name, walk->elf ? ": by " : " by the C library, or for older programs", walk->elf ? walk->object : "");
	if (path && !plan_add(walk->plan, path, false, &ignored)) {
		strings_add(&walk->known, name);
		if (walk->strict)
			strings_add(&walk->needed, path);
	}
	free(path);
}

/* "libNAME.so.N" between two zero bytes, around the ".so" at at. */
static char *library_name(const struct mapped *map, const char *at)
{
	const char *data = map->data, *end = data + map->size, *start = at;
	while (start > data && start[-1] && at - start < LIBRARY_NAME_MAX)
		start--;
	size_t len = strnlen(start, (size_t)(end - start));
	if (start == data || start[-1] || len >= LIBRARY_NAME_MAX || start + len == end || !text_starts(start, "lib") ||
	    strspn(start, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.") != len)
		return NULL;
	return alloc_copy(start);
}

/* The names that a program has for dlopen(). */
static void add_opened(struct walk *walk, const struct elf *elf, const struct mapped *map)
{
	const char *data = map->data, *end = data + map->size;
	if (map->size > SCAN_MAX || !elf_mentions(elf, "dlopen"))
		return;
	for (const char *at = data; (at = memmem(at, (size_t)(end - at), ".so", 3)); at += 3) {
		char *name = library_name(map, at);
		if (name)
			add_possible(walk, name);
		free(name);
	}
}

/* What others open is mostly not used; without this one Java and others draw no text. */
static void add_font_library(struct walk *walk, const struct elf *elf, const struct mapped *map)
{
	static const char name[] = "libfontconfig.so.1";
	if (elf_mentions(elf, "dlopen") && has_text(map, name))
		add_possible(walk, name);
}

static int add_for(struct walk *walk, const char *host, bool is_program)
{
	struct mapped map;
	struct elf elf;
	const char *why;
	if (map_file(walk->plan, host, &map) || !map.data)
		return 0; /* unreadable files were refused when they were planned */
	int err = 0;
	if (!elf_parse(&elf, map.data, map.size, &why)) {
		walk->elf = &elf;
		walk->object = host;
		note_wants(walk, host, &elf, &map, is_program);
		if (is_program)
			add_opened(walk, &elf, &map);
		else
			add_font_library(walk, &elf, &map);
		err = add_interpreter(walk);
		if (!err)
			err = elf_needed(&elf, add_needed, walk);
		if (err == -ENOEXEC && walk->strict)
			error_set(walk->error, err, "%s: damaged ELF file: its dynamic section is wrong", host);
		else if (err == -ENOEXEC)
			err = 0;
	}
	walk->elf = NULL;
	unmap_file(&map);
	return err;
}

/* Under which plan_open finds it. */
static const char *path_of(const struct plan *plan, const struct plan_entry *entry)
{
	return plan->from ? entry->guest : entry->source;
}

/* Neither mode nor name tell: what npm installs is called *.node and cannot be executed. */
static bool is_elf(const struct plan *plan, const struct plan_entry *entry)
{
	return entry->kind == PLAN_FILE && entry->size > 64 && usable(plan, path_of(plan, entry));
}

/* programs: the number of entries at the beginning of the plan that are to run. */
static int add_range(struct walk *walk, size_t from, size_t to, size_t programs)
{
	int err = 0;
	for (size_t i = from; i < to && !err; i++) {
		if (!is_elf(walk->plan, &walk->plan->entry[i]))
			continue;
		/* The plan grows meanwhile, and its table moves. */
		char *host = alloc_copy(path_of(walk->plan, &walk->plan->entry[i]));
		err = add_for(walk, host, i < programs);
		free(host);
	}
	return err;
}

/* What was one with the C library in other versions of it, and what it opens: no file names them, or only one that comes at run time. */
static void add_companions(struct walk *walk)
{
	static const char *const names[] = { "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libanl.so.1",
		"libresolv.so.2", "libnss_files.so.2", "libnss_dns.so.2" };
	for (size_t i = 0; i < COUNT(names); i++)
		add_possible(walk, names[i]);
}

void library_wants_free(struct library_wants *wants)
{
	free(wants->libc);
	*wants = (struct library_wants){ 0 };
}

int libraries_add(struct plan *plan, size_t strict, struct library_wants *wants, struct error *error)
{
	struct walk walk = { .plan = plan, .wants = wants, .strict = true, .error = error };
	system_dirs(plan, &walk.dirs);
	/* What was found for a strict file is as necessary as itself; only then come the others and what they need. */
	size_t given = plan->count;
	int err = add_range(&walk, 0, strict, strict);
	for (size_t i = 0; !err && i < walk.needed.count; i++)
		err = add_for(&walk, walk.needed.item[i], false);
	walk.strict = false;
	size_t done = plan->count;
	if (!err && (wants->shell || wants->commands))
		commands_add_shell(plan);
	if (!err && wants->commands)
		commands_add_usual(plan);
	if (!err)
		err = add_range(&walk, strict, given, 0);
	for (size_t end; !err && done < (end = plan->count); done = end)
		err = add_range(&walk, done, end, 0);
	if (wants->libc)
		add_companions(&walk);
	strings_free(&walk.dirs);
	strings_free(&walk.known);
	strings_free(&walk.needed);
	return err;
}
