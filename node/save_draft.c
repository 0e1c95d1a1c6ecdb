/* SPDX-License-Identifier: Apache-2.0 */
/* A saved VM in the making. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "node/save_dir.h"
#include "node/save_file.h"
#include "node/save_files.h"
#include "node/save_zstd.h"
#include "tinyx/plan.h"

#define HIDDEN ".saving"
#define TRIES 16 /* to have a directory locked before another command takes it for a leftover */

static const char *const files[] = { SAVE_MANIFEST, SAVE_STATE, SAVE_MEMORY, SAVE_PACKED, SAVE_ONE, SAVE_PAGES, SAVE_PAGES_NEW };

int save_files_remove(int dir)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (unlinkat(dir, files[i], 0) && errno != ENOENT)
			return -errno;
	return 0;
}

/* The entries of a directory, from its first one on, with a descriptor of its own. NULL: errno says why. */
static DIR *open_entries(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
	if (!entries && fd >= 0)
		close(fd);
	return entries;
}

static bool is_file_of_save(const char *name)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		if (!strcmp(name, files[i]))
			return true;
	return false;
}

/* Nothing is in it but, perhaps, files of a save. */
static bool has_nothing_else(int dir)
{
	DIR *entries = open_entries(dir);
	bool nothing = entries != NULL;
	for (struct dirent *entry; nothing && (entry = readdir(entries));)
		nothing = is_file_of_save(entry->d_name) || !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
	if (entries)
		closedir(entries);
	return nothing;
}

/* Only what looks like ours: the files of a save and nothing else, in a directory of ours that nobody has locked. */
bool save_sweep(int around, const char *name)
{
	struct stat st;
	if (name[0] != '.' || !text_ends(name, HIDDEN))
		return false;
	int dir = openat(around, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT;
	bool ours = !fstat(dir, &st) && st.st_uid == geteuid() && !flock(dir, LOCK_EX | LOCK_NB) && has_nothing_else(dir) && !save_files_remove(dir);
	if (ours)
		ours = !unlinkat(around, name, AT_REMOVEDIR);
	close(dir);
	return ours;
}

/* ---- beginning ---- */

/* "/a/b": the directory /a, open, and "b". */
static int open_around(struct save_draft *draft, struct error *error)
{
	char *slash = strrchr(draft->path, '/'), *around = alloc_copy(draft->path);
	if (!around)
		return error_set(error, -ENOMEM, "out of memory");
	draft->name = alloc_copy(slash + 1);
	draft->hidden = alloc_format(".%s" HIDDEN, slash + 1);
	if (slash == draft->path)
		strcpy(around, "/");
	else
		around[slash - draft->path] = 0;
	draft->around = open(around, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = draft->around < 0 ? error_set(error, -errno, "%s: %s", around, strerror(errno)) : 0;
	if (!err && (!*draft->name || !draft->hidden))
		err = error_set(error, *draft->name ? -ENOMEM : -EINVAL, "%s: it takes a directory of its own", draft->path);
	free(around);
	return err;
}

static bool is_empty(int dir)
{
	int n = 0;
	DIR *entries = open_entries(dir);
	while (entries && readdir(entries))
		n++;
	if (entries)
		closedir(entries);
	return n == 2; /* "." and ".." */
}

/* Only a saved VM of ours, or an empty directory, is replaced. */
static int check_target(const struct save_draft *draft, struct error *error)
{
	struct stat st;
	int dir = openat(draft->around, draft->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir < 0)
		return error_set(error, -EEXIST, "%s is there, and no directory; name another one", draft->path);
	if (fstat(dir, &st) || st.st_uid != geteuid())
		err = error_set(error, -EPERM, "%s is there, and belongs to another user; name another one", draft->path);
	else if (faccessat(dir, SAVE_MANIFEST, F_OK, AT_SYMLINK_NOFOLLOW) && !is_empty(dir))
		err = error_set(error, -EEXIST, "%s is there, and no saved VM; name another directory", draft->path);
	close(dir);
	return err;
}

static int check_target_file(const struct save_draft *draft, struct error *error)
{
	struct stat st;
	int fd = openat(draft->around, draft->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), err = 0;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || !save_file_is(fd))
		err = error_set(error, -EEXIST, "%s is there, and no file with a saved VM; name another one", draft->path);
	else if (st.st_uid != geteuid())
		err = error_set(error, -EPERM, "%s is there, and belongs to another user; name another one", draft->path);
	if (fd >= 0)
		close(fd);
	return err;
}

static int make_file(int dir, const char *name, int *fd)
{
	*fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return *fd < 0 ? -errno : 0;
}

/* What killed commands have left in that place, under whatever name: nobody may ever save to that name again. Only names are read, which of a thousand saves takes 0.4 ms. */
static void sweep_around(int around)
{
	DIR *entries = open_entries(around);
	for (struct dirent *entry; entries && (entry = readdir(entries));)
		save_sweep(around, entry->d_name);
	if (entries)
		closedir(entries);
}

/* The hidden directory, locked. -EAGAIN: another command swept it in the moment before it was locked. */
static int make_hidden(struct save_draft *draft)
{
	struct stat own, there;
	int err = mkdirat(draft->around, draft->hidden, 0700) ? -errno : 0;
	if (err)
		return err == -EEXIST ? -EBUSY : err; /* it was not swept: somebody works in it */
	draft->dir = openat(draft->around, draft->hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (draft->dir < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	if (!flock(draft->dir, LOCK_EX) && !fstat(draft->dir, &own) && !fstatat(draft->around, draft->hidden, &there, AT_SYMLINK_NOFOLLOW) && own.st_ino == there.st_ino)
		return 0;
	close(draft->dir);
	draft->dir = -1;
	return -EAGAIN;
}

static int make(struct save_draft *draft)
{
	int err = -EAGAIN;
	sweep_around(draft->around);
	for (int tries = 0; err == -EAGAIN && tries < TRIES; tries++)
		err = make_hidden(draft);
	if (!err)
		err = make_file(draft->dir, SAVE_STATE, &draft->state);
	return err ? err : make_file(draft->dir, SAVE_MEMORY, &draft->memory);
}

static int begin(struct save_draft *draft, const char *path, int (*check)(const struct save_draft *draft, struct error *error), struct error *error)
{
	*draft = SAVE_DRAFT_NONE;
	draft->path = alloc_copy(path);
	int err = draft->path ? open_around(draft, error) : error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = check(draft, error);
	if (err || !(err = make(draft)))
		return err;
	if (err == -EBUSY)
		return error_set(error, err, "%s: another command saves to it", path);
	return error_set(error, err, "%s: %s", path, strerror(-err));
}

int save_begin(struct save_draft *draft, const char *path, struct error *error)
{
	return begin(draft, path, check_target, error);
}

int save_begin_file(struct save_draft *draft, const char *path, struct error *error)
{
	return begin(draft, path, check_target_file, error);
}

/* ---- compressing ---- */

int save_compress(struct save_draft *draft, struct save_manifest *manifest, struct error *error)
{
	struct stat st;
	int packed = -1, err = make_file(draft->dir, SAVE_PACKED, &packed);
	err = err ? error_set(error, err, "%s: %s", draft->path, strerror(-err)) : save_zstd_pack(draft->memory, packed, draft->path, error);
	if (!err && (fstat(packed, &st) || unlinkat(draft->dir, SAVE_MEMORY, 0)))
		err = error_set(error, -errno, "%s: %s", draft->path, strerror(errno));
	if (err) {
		if (packed >= 0)
			close(packed);
		return err;
	}
	close(draft->memory);
	draft->memory = packed;
	strcpy(manifest->compressed.method, SAVE_ZSTD);
	manifest->compressed.size = (uint64_t)st.st_size;
	manifest->memory_taken = (uint64_t)st.st_blocks * 512;
	return 0;
}

/* ---- ending ---- */

static int write_manifest(int dir, const struct save_manifest *manifest)
{
	json_t *json = save_manifest_to_json(manifest);
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	int fd = -1, err = text ? make_file(dir, SAVE_MANIFEST, &fd) : -ENOMEM;
	if (!err)
		err = fd_write(fd, text, strlen(text));
	if (!err && fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	free(text);
	json_decref(json);
	return err;
}

int save_finish(struct save_draft *draft, const struct save_manifest *manifest, struct error *error)
{
	int err = write_manifest(draft->dir, manifest);
	if (!err && (fsync(draft->memory) || fsync(draft->state) || fsync(draft->dir)))
		err = -errno;
	return err ? error_set(error, err, "%s: %s", draft->path, strerror(-err)) : 0;
}

static int swap(const struct save_draft *draft, unsigned flags)
{
	return syscall(SYS_renameat2, draft->around, draft->hidden, draft->around, draft->name, flags) ? -errno : 0;
}

/* Of the two, one is always there whole under its name: where the file system can exchange them. Elsewhere the old one goes first. */
int save_publish(struct save_draft *draft, struct error *error)
{
	int err = swap(draft, RENAME_NOREPLACE);
	if (err == -EEXIST)
		err = swap(draft, RENAME_EXCHANGE);
	if (err == -EINVAL || err == -ENOSYS) {
		int old = openat(draft->around, draft->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (old >= 0)
			save_files_remove(old);
		if (old >= 0)
			close(old);
		err = renameat(draft->around, draft->hidden, draft->around, draft->name) ? -errno : 0;
	}
	if (!err && fsync(draft->around))
		err = -errno;
	if (err)
		return error_set(error, err, "%s: %s", draft->path, strerror(-err));
	close(draft->dir);
	draft->dir = -1;
	return 0;
}

void save_free(struct save_draft *draft)
{
	const int fds[] = { draft->state, draft->memory, draft->dir };
	if (draft->dir >= 0) /* not published */
		save_files_remove(draft->dir);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	/* Or what was there before. */
	if (draft->around >= 0 && draft->hidden)
		save_sweep(draft->around, draft->hidden);
	if (draft->around >= 0)
		close(draft->around);
	free(draft->path);
	free(draft->name);
	free(draft->hidden);
	*draft = SAVE_DRAFT_NONE;
}
