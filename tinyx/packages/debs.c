/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/debs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"
#include "base/owned_dir.h"
#include "tinyx/cache.h"
#include "tinyx/file_digest.h"
#include "tinyx/packages/tool.h"

#define SHELL "dash"
#define OUTPUT_MAX (8u << 20)
#define DEBS_MAX 5000
#define KEPT_MAX ((off_t)2 << 30) /* bytes of packages in the cache, beside those of the image that is being made */
#define COMPLAINT_MAX 700 /* bytes of what apt says, in a message */

/* ---- apt, with directories of our own ---- */

struct apt {
	struct cache cache;
	int dir, lock; /* packages/ of the cache, and its lock: apt's files there are used by one process at a time */
	char *path;
	struct strings words; /* apt-get and the options that lead it there */
	const struct debs_watch *watch;
};

static void tell(const struct apt *apt, const char *what)
{
	if (apt->watch)
		apt->watch->report(apt->watch->context, what);
}

static int apt_open(struct apt *apt, const struct debs_watch *watch, struct error *error)
{
	*apt = (struct apt){ .cache = CACHE_NONE, .dir = -1, .lock = -1, .watch = watch };
	int err = cache_open(&apt->cache, true, error);
	if (!err && (apt->dir = owned_dir_openat(apt->cache.dir, apt->cache.path, "packages", true, error)) < 0)
		err = apt->dir;
	if (err)
		return error_prefix(error, "packages are kept in the image cache");
	apt->path = alloc_format("%s/packages", apt->cache.path);
	apt->lock = openat(apt->dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (apt->lock < 0)
		return error_set(error, -errno, "%s/lock: %s", apt->path, strerror(errno));
	if (flock(apt->lock, LOCK_EX | LOCK_NB)) {
		tell(apt, "waiting for another process that fetches packages");
		if (flock(apt->lock, LOCK_EX))
			return error_set(error, -errno, "%s/lock: %s", apt->path, strerror(errno));
	}
	/* What lies there of a process that was killed apt would take for fetched, and not name. */
	tree_remove(apt->dir, "apt/archives");
	static const char *const below[] = { "apt", "apt/lists", "apt/lists/partial", "apt/archives", "apt/archives/partial" };
	for (size_t i = 0; i < sizeof(below) / sizeof(*below); i++)
		if (mkdirat(apt->dir, below[i], 0700) && errno != EEXIST)
			return error_set(error, -errno, "%s/%s: %s", apt->path, below[i], strerror(errno));
	return 0;
}

static void apt_close(struct apt *apt)
{
	if (apt->lock >= 0)
		close(apt->lock);
	if (apt->dir >= 0)
		close(apt->dir);
	cache_close(&apt->cache);
	strings_free(&apt->words);
	free(apt->path);
}

static void option(struct apt *apt, const char *name, const char *value)
{
	strings_add(&apt->words, "-o");
	strings_take(&apt->words, alloc_format("%s=%s", name, value));
}

/* A directory that has package lists, and how new they are; 0: it has none. */
static time_t lists_time(const char *path)
{
	struct stat st;
	bool have = false;
	DIR *dir = opendir(path);
	for (struct dirent *entry; dir && !have && (entry = readdir(dir));)
		have = strstr(entry->d_name, "_Packages") != NULL;
	if (dir)
		closedir(dir);
	return have && !stat(path, &st) ? st.st_mtime : 0;
}

/* Where the host's apt keeps its lists; the caller's. */
static char *host_lists(struct error *error)
{
	struct text out = { 0 }, complaints = { 0 };
	int status;
	char *const argv[] = { "apt-config", "shell", "X", "Dir::State::lists/d", NULL }, *lists = NULL;
	if (!tool_run(argv, OUTPUT_MAX, &out, &complaints, &status, error)) {
		const char *quote = out.data ? strchr(out.data, '\'') : NULL;
		lists = quote ? alloc_format("%.*s", (int)strcspn(quote + 1, "'"), quote + 1) : alloc_copy("/var/lib/apt/lists");
	}
	text_free(&out);
	text_free(&complaints);
	return lists;
}

/* The words of an apt-get that knows of no package but the assumed ones, and writes nothing outside of the cache. */
static void apt_words(struct apt *apt, const char *lists)
{
	static const struct {
		const char *option, *value;
	} fixed[] = { { "Debug::NoLocking", "1" }, { "APT::Install-Recommends", "0" }, { "APT::Install-Suggests", "0" }, { "Acquire::ForceHash", "SHA256" }, { "APT::Sandbox::User", "" },
		{ "APT::Architecture", "amd64" }, { "Dpkg::Use-Pty", "0" }, { "Acquire::Retries", "0" }, { "Acquire::http::Timeout", "20" } };
	static const struct {
		const char *option, *below;
	} own[] = { { "Dir::State::status", "apt/status" }, { "Dir::State::extended_states", "apt/extended_states" }, { "Dir::Cache", "apt" },
		{ "Dir::Cache::archives", "apt/archives" }, { "Dir::Log", "apt" }, { "Dir::Cache::pkgcache", "apt/pkgcache.bin" }, { "Dir::Cache::srcpkgcache", "apt/srcpkgcache.bin" } };
	strings_free(&apt->words);
	strings_add(&apt->words, "apt-get");
	strings_add(&apt->words, "-q");
	strings_add(&apt->words, "-y");
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		option(apt, fixed[i].option, fixed[i].value);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
		char *path = alloc_format("%s/%s", apt->path, own[i].below);
		option(apt, own[i].option, path);
		free(path);
	}
	option(apt, "Dir::State::lists", lists);
}

/* Runs apt with more words, and the packages; out gets what it prints. */
static int apt_run(struct apt *apt, const char *const *more, const struct strings *names, struct text *out, struct text *complaints, int *status, struct error *error)
{
	size_t count = apt->words.count, extra = 0;
	while (more[extra])
		extra++;
	char **argv = alloc_zero((count + extra + (names ? names->count : 0) + 1) * sizeof(*argv));
	memcpy(argv, apt->words.item, count * sizeof(*argv));
	for (size_t i = 0; i < extra; i++)
		argv[count++] = (char *)more[i];
	for (size_t i = 0; names && i < names->count; i++)
		argv[count++] = names->item[i];
	int err = tool_run(argv, OUTPUT_MAX, out, complaints, status, error);
	free(argv);
	return err;
}

/* The lines of from that hold mark, without what is in front of it if bare, as one. */
static void collect(const struct text *from, const char *mark, bool bare, struct text *what)
{
	for (const char *line = from->data; line && *line && what->size < COMPLAINT_MAX; line += strcspn(line, "\n"), line += *line == '\n') {
		size_t len = strcspn(line, "\n"), blank = strspn(line, " ");
		const char *at = memmem(line, len, mark, strlen(mark));
		if (at) {
			const char *from_here = bare ? at + strlen(mark) : line + blank;
			text_format(what, "%s%.*s", what->size ? "; " : "", (int)(line + len - from_here), from_here);
		}
	}
}

/* Its errors, then which of the packages do not go together. */
static void complain(const struct text *out, const struct text *complaints, struct text *what)
{
	static const char *const relations[] = { " : Depends:", " : PreDepends:", " : Conflicts:", " : Breaks:" };
	collect(complaints, "E: ", true, what);
	for (size_t i = 0; i < sizeof(relations) / sizeof(*relations); i++)
		collect(out, relations[i], false, what);
	if (!what->size)
		text_put(what, "apt-get failed and does not say why");
}

static int apt_update(struct apt *apt, char **lists, struct error *error)
{
	static const char *const words[] = { "update", NULL };
	struct text out = { 0 }, complaints = { 0 }, what = { 0 };
	int status;
	free(*lists);
	*lists = alloc_format("%s/apt/lists", apt->path);
	apt_words(apt, *lists);
	tell(apt, "fetching the package lists");
	int err = apt_run(apt, words, NULL, &out, &complaints, &status, error);
	if (!err && (status || !lists_time(*lists))) {
		complain(&out, &complaints, &what);
		err = error_set(error, -EHOSTUNREACH, "the package lists cannot be fetched: %s", what.data);
	}
	text_free(&out);
	text_free(&complaints);
	text_free(&what);
	return err;
}

/* The newer ones of the host's and ours; fetched if there are none. */
static int choose_lists(struct apt *apt, char **lists, struct error *error)
{
	char *own = alloc_format("%s/apt/lists", apt->path);
	*lists = host_lists(error);
	if (!*lists) {
		free(own);
		return error->code;
	}
	time_t theirs = lists_time(*lists), ours = lists_time(own);
	if (ours > theirs) {
		free(*lists);
		*lists = own;
	} else {
		free(own);
	}
	apt_words(apt, *lists);
	return ours || theirs ? 0 : apt_update(apt, lists, error);
}

/* ---- which packages ---- */

static bool is_asked(const struct strings *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strlen(name) == strcspn(names->item[i], "=") && text_starts(names->item[i], name))
			return true;
	return false;
}

static int write_status(const struct apt *apt, const struct strings *names, const struct strings *assumed, struct error *error)
{
	struct text status = { 0 };
	for (size_t i = 0; i < assumed->count; i++)
		if (!is_asked(names, assumed->item[i]))
			text_format(&status, "Package: %s\nStatus: install ok installed\nVersion: 9999:0\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: nobody\nDescription: assumed\n\n",
				    assumed->item[i]);
	/* A file that is as it was keeps apt's caches good, which take it seconds to make. */
	char *old = NULL;
	size_t size = 0;
	bool same = !file_read(apt->dir, "apt/status", OUTPUT_MAX, &old, &size) && size == status.size && !memcmp(old, status.data ? status.data : "", size);
	int err = same ? 0 : file_write(apt->dir, "apt/status", status.data ? status.data : "", status.size, 0600);
	free(old);
	text_free(&status);
	return err ? error_set(error, err, "%s/apt/status: %s", apt->path, strerror(-err)) : 0;
}

/* "%3a" is ":". */
static char *decode(const char *word, size_t len)
{
	char *out = alloc_zero(len + 1), *to = out;
	for (size_t i = 0; i < len; i++) {
		char hex[3] = { 0 };
		if (word[i] == '%' && i + 2 < len && isxdigit((unsigned char)word[i + 1]) && isxdigit((unsigned char)word[i + 2])) {
			memcpy(hex, word + i + 1, 2);
			*to++ = (char)strtol(hex, NULL, 16);
			i += 2;
		} else {
			*to++ = word[i];
		}
	}
	return out;
}

/* 'URI' NAME_VERSION_ARCH.deb SIZE SHA256:DIGEST; false: it is something else. */
static bool parse_line(const char *line, size_t len, struct deb *deb)
{
	char *copy = alloc_format("%.*s", (int)len, line), *save = NULL;
	char *uri = strtok_r(copy, " ", &save), *file = strtok_r(NULL, " ", &save), *size = strtok_r(NULL, " ", &save), *sum = strtok_r(NULL, " ", &save);
	bool good = sum && uri[0] == '\'' && strlen(uri) > 2 && !strchr(file, '/') && file[0] != '.' && text_starts(sum, "SHA256:") &&
		    strlen(sum) == 7 + DEB_HEX && strspn(sum + 7, "0123456789abcdef") == DEB_HEX && !number_parse(size, &deb->size);
	const char *first = good ? strchr(file, '_') : NULL, *second = first ? strchr(first + 1, '_') : NULL;
	if (second) {
		deb->name = alloc_format("%.*s", (int)(first - file), file);
		deb->version = decode(first + 1, (size_t)(second - first - 1));
		deb->file = alloc_copy(file);
		deb->uri = alloc_format("%.*s", (int)strlen(uri) - 2, uri + 1);
		memcpy(deb->sha256, sum + 7, DEB_HEX + 1);
	}
	free(copy);
	return second;
}

static int parse_uris(struct debs *debs, const struct strings *names, const char *text, struct error *error)
{
	while (text && *text) {
		size_t len = strcspn(text, "\n");
		struct deb deb = { 0 };
		if (*text == '\'' && !parse_line(text, len, &deb))
			return error_set(error, -EINVAL, "apt-get says of a package \"%.*s\", which has no SHA-256 that it could be compared with", (int)len, text);
		if (*text == '\'' && debs->count == DEBS_MAX)
			return error_set(error, -E2BIG, "these packages depend on more than %d others", DEBS_MAX);
		if (*text == '\'') {
			deb.asked = is_asked(names, deb.name);
			debs->item = alloc_again(debs->item, (debs->count + 1) * sizeof(*debs->item));
			debs->item[debs->count++] = deb;
		}
		text += len + (text[len] == '\n');
	}
	return 0;
}

static int check_asked(const struct debs *debs, const struct strings *names, struct error *error)
{
	for (size_t i = 0; i < names->count; i++) {
		size_t len = strcspn(names->item[i], "=");
		bool found = false;
		for (size_t d = 0; d < debs->count && !found; d++)
			found = strlen(debs->item[d].name) == len && !strncmp(debs->item[d].name, names->item[i], len);
		if (!found)
			return error_set(error, -ENOENT, "--package: there is no package \"%s\" in the package lists of %s", names->item[i], debs->lists);
	}
	return 0;
}

/* names: what was asked for; fetched: the same, or more. */
static int resolve(struct apt *apt, struct debs *debs, const struct strings *names, const struct strings *fetched, struct error *error)
{
	static const char *const words[] = { "--print-uris", "install", "--", NULL };
	struct text out = { 0 }, complaints = { 0 }, what = { 0 };
	int status, err = apt_run(apt, words, fetched, &out, &complaints, &status, error);
	if (!err && status) {
		complain(&out, &complaints, &what);
		bool unknown = strstr(what.data, "Unable to locate") || strstr(what.data, "has no installation candidate") || strstr(what.data, "was not found");
		err = error_set(error, unknown ? -ENOENT : -EINVAL, "--package: %s (package lists: %s)", what.data, debs->lists);
	}
	if (!err)
		err = parse_uris(debs, names, out.data, error);
	text_free(&out);
	text_free(&complaints);
	text_free(&what);
	return err ? err : check_asked(debs, names, error);
}

/* beside: all of them or none, as the sources have them. */
static int resolve_all(struct apt *apt, struct debs *debs, const struct strings *names, const struct strings *beside, struct error *error)
{
	struct strings fetched = { 0 };
	for (size_t i = 0; i < names->count; i++)
		strings_add(&fetched, names->item[i]);
	for (size_t i = 0; i < beside->count; i++)
		if (!is_asked(names, beside->item[i]))
			strings_add(&fetched, beside->item[i]);
	int err = resolve(apt, debs, names, &fetched, error);
	strings_free(&fetched);
	return err;
}

/* No package depends on /bin/sh, by which popen() and scripts start programs: it is there if it is needed, and the sources have it. */
static int resolve_with(struct apt *apt, struct debs *debs, const struct strings *names, const struct strings *beside, struct error *error)
{
	const struct strings none = { 0 };
	struct strings all = { 0 };
	strings_add(&all, SHELL);
	int err = -ENOENT;
	for (size_t i = 0; i < beside->count; i++)
		strings_add(&all, beside->item[i]);
	if (beside->count)
		err = resolve_all(apt, debs, names, &all, error);
	all.count = 1;
	if (err == -ENOENT)
		err = resolve_all(apt, debs, names, &all, error);
	if (err == -ENOENT)
		err = resolve_all(apt, debs, names, &none, error);
	all.count += beside->count;
	strings_free(&all);
	return err;
}

int debs_find(struct debs *debs, const struct strings *names, const struct strings *beside, const struct strings *assumed, const struct debs_watch *watch, struct error *error)
{
	struct apt apt;
	int err = 0;
	for (size_t i = 0; i < names->count && !err; i++)
		err = debs_check_name(names->item[i], error);
	if (err)
		return err;
	err = apt_open(&apt, watch, error);
	if (!err)
		err = write_status(&apt, names, assumed, error);
	if (!err)
		err = choose_lists(&apt, &debs->lists, error);
	if (!err) {
		tell(&apt, "asking apt which packages are needed");
		err = resolve_with(&apt, debs, names, beside, error);
	}
	apt_close(&apt);
	return err;
}

/* ---- fetching ---- */

/* Compares the file with what the lists say. -ENOENT: not there. */
static int check_deb(const struct deb *deb, const char *path, const char *shown, struct error *error)
{
	char hex[FILE_DIGEST_HEX + 1];
	struct stat st;
	if (lstat(path, &st))
		return -ENOENT;
	int err = file_digest(path, hex, error);
	if (!err && ((uint64_t)st.st_size != deb->size || strcmp(hex, deb->sha256)))
		err = error_set(error, -EBADMSG, "%s is not what the package lists say: SHA-256 %.12s..., which should be %.12s...", shown, hex, deb->sha256);
	return err;
}

static char *cached_path(const struct apt *apt, const struct deb *deb)
{
	return alloc_format("%s/%s.deb", apt->path, deb->sha256);
}

/* apt reads what a "file:" source has in its place, and copies nothing. */
static int copy_local(const struct deb *deb, const char *to, struct error *error)
{
	char block[65536], *from = decode(deb->uri + 5, strlen(deb->uri) - 5);
	ssize_t n = -1;
	int in = file_open_regular(from), out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), err = in < 0 ? in : out < 0 ? -errno : 0;
	while (!err && (n = read(in, block, sizeof(block))) > 0)
		err = fd_write(out, block, (size_t)n);
	err = err ? err : n < 0 ? -errno : 0;
	if (err)
		error_set(error, err, "%s: %s", from, strerror(-err));
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	free(from);
	return err;
}

/* From where apt put it into the cache, if it is what it should be. */
static int take_deb(const struct apt *apt, struct deb *deb, struct error *error)
{
	char *fetched = alloc_format("%s/apt/archives/%s", apt->path, deb->file), *to = cached_path(apt, deb);
	int err = text_starts(deb->uri, "file:") ? copy_local(deb, fetched, error) : 0;
	if (!err && (err = check_deb(deb, fetched, deb->uri, error)) == -ENOENT)
		error_set(error, err, "%s was not fetched", deb->uri);
	if (!err && rename(fetched, to))
		err = error_set(error, -errno, "%s: %s", to, strerror(errno));
	if (err)
		unlink(fetched);
	else
		deb->path = alloc_copy(to);
	free(fetched);
	free(to);
	return err;
}

static int download(struct apt *apt, const struct strings *wanted, uint64_t size, struct error *error)
{
	static const char *const words[] = { "--download-only", "--no-install-recommends", "install", "--", NULL };
	struct text out = { 0 }, complaints = { 0 }, what = { 0 };
	char shown[24], *step = alloc_format("fetching %zu packages, %s", wanted->count, size_print(size, shown, sizeof(shown)));
	int status;
	tell(apt, step);
	free(step);
	int err = apt_run(apt, words, wanted, &out, &complaints, &status, error);
	if (!err && status) {
		complain(&out, &complaints, &what);
		err = error_set(error, strstr(what.data, " 404 ") ? -ESTALE : -EHOSTUNREACH, "packages cannot be fetched: %s", what.data);
	}
	text_free(&out);
	text_free(&complaints);
	text_free(&what);
	return err;
}

/* The whole set is named with its versions, so that apt comes to the same; what the cache has lies ready for it under the name that it looks for. */
static int fetch_missing(struct apt *apt, struct debs *debs, struct error *error)
{
	struct strings all = { 0 };
	uint64_t size = 0;
	bool remote = false;
	for (size_t i = 0; i < debs->count; i++) {
		struct deb *deb = &debs->item[i];
		char *ready = alloc_format("%s/apt/archives/%s", apt->path, deb->file);
		strings_take(&all, alloc_format("%s=%s", deb->name, deb->version));
		size += deb->path ? 0 : deb->size;
		remote = remote || (!deb->path && !text_starts(deb->uri, "file:"));
		unlink(ready);
		if (deb->path && link(deb->path, ready))
			(void)!symlink(deb->path, ready);
		free(ready);
	}
	int err = remote ? download(apt, &all, size, error) : 0;
	for (size_t i = 0; i < debs->count && !err; i++)
		if (!debs->item[i].path)
			err = take_deb(apt, &debs->item[i], error);
	strings_free(&all);
	return err;
}

/* ---- the cache's size ---- */

struct kept {
	char name[DEB_HEX + sizeof(".deb")];
	time_t used;
	off_t size;
};

static int by_use(const void *a, const void *b)
{
	const struct kept *one = a, *two = b;
	return one->used < two->used ? 1 : one->used > two->used ? -1 : strcmp(one->name, two->name);
}

static bool is_wanted(const struct debs *debs, const char *name)
{
	for (size_t i = 0; i < debs->count; i++)
		if (text_starts(name, debs->item[i].sha256))
			return true;
	return false;
}

/* Removes the packages whose last use is longest ago until those left, but for those that are wanted now, take at most KEPT_MAX bytes. */
static void trim(const struct apt *apt, const struct debs *debs)
{
	struct kept *kept = NULL;
	struct stat st;
	size_t count = 0;
	off_t bytes = 0;
	DIR *dir = opendir(apt->path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		if (!text_ends(entry->d_name, ".deb") || strlen(entry->d_name) != DEB_HEX + 4 || is_wanted(debs, entry->d_name) || fstatat(apt->dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		kept = alloc_again(kept, (count + 1) * sizeof(*kept));
		strcpy(kept[count].name, entry->d_name);
		kept[count].used = st.st_mtime;
		kept[count++].size = st.st_size;
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(kept, count, sizeof(*kept), by_use);
	for (size_t i = 0; i < count; i++)
		if ((bytes += kept[i].size) > KEPT_MAX)
			unlinkat(apt->dir, kept[i].name, 0);
	free(kept);
}

int debs_fetch(struct debs *debs, const struct debs_watch *watch, struct error *error)
{
	struct apt apt;
	struct error ignored;
	bool missing = false;
	int err = apt_open(&apt, watch, error);
	for (size_t i = 0; i < debs->count && !err; i++) {
		char *path = cached_path(&apt, &debs->item[i]);
		if (check_deb(&debs->item[i], path, path, &ignored)) {
			unlink(path);
			free(path);
			missing = true;
		} else {
			debs->item[i].path = path;
			utimensat(AT_FDCWD, path, NULL, 0);
		}
	}
	if (!err && missing) {
		apt_words(&apt, debs->lists);
		err = fetch_missing(&apt, debs, error);
		tree_remove(apt.dir, "apt/archives");
		trim(&apt, debs);
	}
	apt_close(&apt);
	return err;
}

int debs_update(const struct debs_watch *watch, struct error *error)
{
	struct apt apt;
	char *lists = NULL;
	int err = apt_open(&apt, watch, error);
	if (!err)
		err = apt_update(&apt, &lists, error);
	free(lists);
	apt_close(&apt);
	return err;
}

void debs_free(struct debs *debs)
{
	for (size_t i = 0; i < debs->count; i++) {
		free(debs->item[i].name);
		free(debs->item[i].version);
		free(debs->item[i].file);
		free(debs->item[i].uri);
		free(debs->item[i].path);
	}
	free(debs->item);
	free(debs->lists);
	*debs = (struct debs){ 0 };
}
