/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/owned_dir.h"
#include "node/kept.h"
#include "node/save_file.h"
#include "node/save_files.h"
#include "node/save_zstd.h"
#include "tinyx/plan.h"

static char *absolute(const char *path)
{
	char cwd[PATH_MAX];
	return path_clean(getcwd(cwd, sizeof(cwd)) ? cwd : "/", path);
}

/* ---- where ---- */

char *save_place(const char *name, bool create, struct error *error)
{
	char *place, *path = NULL;
	int dir = kept_open(KEPT_SAVED, create, error);
	if (dir < 0 && (create || dir != -ENOENT))
		return NULL;
	if (dir >= 0)
		close(dir);
	place = kept_place(KEPT_SAVED, error);
	path = place ? alloc_format("%s/%s", place, name) : NULL;
	free(place);
	if (!path && error && !error->code)
		error_set(error, -ENOMEM, "out of memory");
	return path;
}

/* That to which the VM was saved when it ended. */
static char *of_vm(const struct state *state, const char *word)
{
	struct vm_dir vm;
	char target[PATH_MAX];
	if (!state || vm_find(state, word, &vm, NULL))
		return NULL;
	ssize_t n = readlinkat(vm.dir, STATE_SAVED, target, sizeof(target) - 1);
	vm_close(&vm);
	target[n > 0 ? n : 0] = 0;
	return target[0] == '/' ? alloc_copy(target) : NULL;
}

static bool is_there(const char *path)
{
	struct stat st;
	return path && !lstat(path, &st);
}

struct id_search {
	const char *id;
	char *path;
};

static int match_id(void *context, const char *name, struct save *save, const struct error *error)
{
	struct id_search *search = context;
	if (!error && !strcmp(save->manifest.id, search->id))
		search->path = alloc_copy(save->path);
	return search->path ? 1 : 0;
}

/* "lightvm ps -a" shows a saved VM under its id, whose directory may be gone. */
static char *of_id(const char *word)
{
	struct id_search search = { .id = word };
	if (strlen(word) == STATE_ID && strspn(word, "0123456789abcdef") == STATE_ID)
		save_each(match_id, &search);
	return search.path;
}

char *save_find(const struct state *state, const char *word, struct error *error)
{
	if (strchr(word, '/'))
		return absolute(word);
	char *path = vm_name_valid(word) ? save_place(word, false, NULL) : NULL;
	if (is_there(path))
		return path;
	free(path);
	path = of_vm(state, word);
	if (!path)
		path = of_id(word);
	if (!path && is_there(word))
		path = absolute(word);
	if (path)
		return path;
	error_set(error, -ENOENT, "there is no saved VM \"%s\"; \"lightvm checkpoint ls\" lists them", word);
	return NULL;
}

/* ---- opening ---- */

static int check_file(int fd, struct stat *st, char *why, size_t room)
{
	if (fstat(fd, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		snprintf(why, room, "not a file");
	else if (st->st_uid != geteuid())
		snprintf(why, room, "it belongs to user %u, not to user %u who runs this", (unsigned)st->st_uid, (unsigned)geteuid());
	else if (st->st_mode & 022)
		snprintf(why, room, "others than its owner may write to it (mode %03o)", (unsigned)st->st_mode & 0777);
	else
		return 0;
	return -EPERM;
}

/* Of a directory that nobody else can write to. size: what it has to be; 0: any. */
static int open_file(const struct save *save, const char *name, uint64_t size, struct error *error)
{
	struct stat st;
	char why[128] = "";
	int fd = openat(save->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err = fd < 0 ? -errno : check_file(fd, &st, why, sizeof(why));
	if (!err && size && (uint64_t)st.st_size != size) {
		snprintf(why, sizeof(why), "%llu bytes where the manifest says %llu; it is not whole", (unsigned long long)st.st_size, (unsigned long long)size);
		err = -EBADMSG;
	}
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_set(error, err, "%s/%s: %s", save->path, name, *why ? why : strerror(-err));
}

static int read_manifest(struct save *save, struct error *error)
{
	char *data;
	size_t size;
	int fd = open_file(save, SAVE_MANIFEST, 0, error);
	if (fd < 0)
		return fd == -ENOENT ? error_set(error, fd, "%s: no saved VM: there is no " SAVE_MANIFEST " in it", save->path) : fd;
	close(fd);
	int err = file_read(save->dir, SAVE_MANIFEST, SAVE_MANIFEST_MAX, &data, &size);
	if (err)
		return error_set(error, err, "%s/" SAVE_MANIFEST ": %s", save->path, strerror(-err));
	err = save_read_manifest(save, data, size, error);
	free(data);
	return err;
}

static int open_pages(struct save *save, struct error *error)
{
	struct error none = { 0 };
	save->pages = open_file(save, SAVE_PAGES, 0, &none);
	if (save->pages >= 0 || save->pages == -ENOENT)
		return 0;
	*error = none;
	return save->pages;
}

static int open_memory(struct save *save, struct error *error)
{
	const struct save_manifest *manifest = &save->manifest;
	bool packed = *manifest->compressed.method;
	int *fd = packed ? &save->packed : &save->memory;
	*fd = open_file(save, packed ? SAVE_PACKED : SAVE_MEMORY, packed ? manifest->compressed.size : manifest->memory_size, error);
	return *fd < 0 ? *fd : 0;
}

static bool is_file(const char *path)
{
	struct stat st;
	return !lstat(path, &st) && S_ISREG(st.st_mode);
}

/* Whose the directory around it is, is nobody's business: it was opened, and is its user's own. */
static int open_one(struct save *save, struct error *error)
{
	struct stat st;
	char why[128] = "", *around = alloc_copy(save->path);
	int fd = open(save->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), err = fd < 0 ? -errno : check_file(fd, &st, why, sizeof(why));
	if (around && !err) {
		strrchr(around, '/')[1] = 0;
		save->dir = open(around, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* or it does without */
	}
	free(around);
	if (!err)
		return save_file_open(save, fd, error);
	if (fd >= 0)
		close(fd);
	return error_set(error, err, "%s: %s", save->path, *why ? why : strerror(-err));
}

int save_open_stream(struct save *save, int from, struct error *error)
{
	*save = SAVE_NONE;
	save->path = alloc_copy("standard input");
	int fd = save->path ? save_file_receive(from, error) : error_set(error, -ENOMEM, "out of memory");
	return fd < 0 ? fd : save_file_open(save, fd, error);
}

int save_open(struct save *save, const char *path, struct error *error)
{
	*save = SAVE_NONE;
	save->path = absolute(path);
	if (!save->path)
		return error_set(error, -ENOMEM, "out of memory");
	if (is_file(save->path))
		return open_one(save, error);
	save->dir = owned_dir_open(save->path, false, error);
	if (save->dir == -ENOENT)
		return error_set(error, -ENOENT, "%s: there is no such directory or file", save->path);
	int err = save->dir < 0 ? save->dir : read_manifest(save, error);
	if (!err)
		err = (save->state = open_file(save, SAVE_STATE, save->manifest.state_size, error)) < 0 ? save->state : 0;
	if (!err)
		err = open_memory(save, error);
	return err ? err : open_pages(save, error);
}

void save_close(struct save *save)
{
	const int fds[] = { save->dir, save->state, save->memory, save->packed, save->pages };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(save->path);
	save_manifest_free(&save->manifest);
	*save = SAVE_NONE;
}

/* ---- its state and memory ---- */

static int again(const struct save *save, int fd, struct error *error)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return own >= 0 ? own : error_set(error, -errno, "%s: %s", save->path, strerror(errno));
}

int save_open_state(const struct save *save, struct error *error)
{
	return save->one ? save_file_open_state(save, error) : again(save, save->state, error);
}

/* Beside the compressed one, from where the host may write it back to the disk when it is short of memory. Another file system than ours may have no such files, or take none. */
static int nameless_file(const struct save *save)
{
	int fd = openat(save->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : memfd_create("memory", MFD_CLOEXEC);
}

/* The manifest is hostile: a few bytes could say that they become what fills the disk. */
static int check_unpacked(const struct save_manifest *manifest, const char *what, struct error *error)
{
	if (manifest->memory_size <= config_memory_file_most(manifest->guest == LV_GUEST_LINUX, manifest->memory_limit))
		return 0;
	return error_set(error, -EFBIG, "%s: memory_size: %llu bytes are more than a VM with a memory_limit of %llu can have", what, (unsigned long long)manifest->memory_size,
			 (unsigned long long)manifest->memory_limit);
}

static int unpack(const struct save *save, struct error *error)
{
	char *what = save->one ? alloc_copy(save->path) : alloc_format("%s/" SAVE_PACKED, save->path);
	int fd = -1, read = -1, err = what ? check_unpacked(&save->manifest, what, error) : error_set(error, -ENOMEM, "out of memory");
	if (!err && (fd = nameless_file(save)) < 0)
		err = error_set(error, -errno, "%s: %s", what, strerror(errno));
	if (!err)
		err = save_zstd_unpack(save->packed, save->packed_at, fd, save->manifest.memory_size, what, error);
	if (!err && (read = save_reopen_for_reading(fd)) < 0)
		err = error_set(error, -errno, "%s: %s", what, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(what);
	return err ? err : read;
}

int save_open_memory(const struct save *save, struct error *error)
{
	return save->packed >= 0 ? unpack(save, error) : again(save, save->memory, error);
}

int save_is_plain(const struct save *save, const char *why, struct error *error)
{
	return save->packed < 0 ? 0 : error_set(error, -EOPNOTSUPP, "%s: its memory is compressed: %s", save->path, why);
}

/* ---- all of them ---- */

static int each_name(int dir, const char *place, int (*each)(void *context, const char *name, struct save *save, const struct error *error), void *context)
{
	int err = 0;
	DIR *names = fdopendir(dir);
	if (!names) {
		close(dir);
		return -ENOMEM;
	}
	for (struct dirent *entry; !err && (entry = readdir(names));) {
		struct error error = { 0 };
		struct save save;
		if (entry->d_name[0] == '.') {
			save_sweep(dirfd(names), entry->d_name);
			continue;
		}
		char *path = alloc_format("%s/%s", place, entry->d_name);
		if (!path)
			break;
		int opened = save_open(&save, path, &error);
		if (opened != -ENOENT || is_there(path))
			err = each(context, entry->d_name, &save, opened ? &error : NULL);
		save_close(&save);
		free(path);
	}
	closedir(names);
	return err;
}

int save_each(int (*each)(void *context, const char *name, struct save *save, const struct error *error), void *context)
{
	struct error error = { 0 };
	int dir = kept_open(KEPT_SAVED, false, &error);
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir;
	char *place = kept_place(KEPT_SAVED, &error);
	if (!place)
		close(dir);
	int err = place ? each_name(dir, place, each, context) : -ENOMEM;
	free(place);
	return err;
}

/* One that is damaged, too. */
static int remove_one(const char *path, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool is = fd >= 0 && save_file_is(fd);
	if (fd >= 0)
		close(fd);
	if (!is)
		return error_set(error, -EINVAL, "%s: no saved VM; nothing was removed", path);
	return unlink(path) ? error_set(error, -errno, "%s: %s", path, strerror(errno)) : 0;
}

int save_remove(const char *path, struct error *error)
{
	if (is_file(path))
		return remove_one(path, error);
	struct save save = { .path = (char *)path, .dir = owned_dir_open(path, false, error) };
	if (save.dir < 0)
		return save.dir == -ENOENT ? error_set(error, -ENOENT, "%s: there is no such directory or file", path) : save.dir;
	int fd = open_file(&save, SAVE_MANIFEST, 0, error), err = fd < 0 ? fd : 0;
	if (err == -ENOENT)
		error_set(error, err, "%s: no saved VM: there is no " SAVE_MANIFEST " in it; nothing was removed", path);
	if (fd >= 0)
		close(fd);
	if (!err && (err = save_files_remove(save.dir)))
		error_set(error, err, "%s: %s", path, strerror(-err));
	close(save.dir);
	if (!err && rmdir(path))
		err = error_set(error, -errno, "%s: what a saved VM has was removed; the directory stays: %s", path, strerror(errno));
	return err;
}
