/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"

static int fd_read_all(int fd, size_t limit, char **data, size_t *size)
{
	struct text text = { 0 };
	char chunk[16384];
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || text.size + (size_t)n > limit) {
			int err = n < 0 ? -errno : -EFBIG;
			text_free(&text);
			return err;
		}
		if (n == 0)
			break;
		text_add(&text, chunk, (size_t)n);
	}
	text_add(&text, "", 0);
	if (text_error(&text)) {
		text_free(&text);
		return -ENOMEM;
	}
	*data = text.data;
	*size = text.size;
	return 0;
}

static int is_regular(const struct stat *st)
{
	return S_ISREG(st->st_mode) ? 0 : S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL;
}

int file_open_regular(const char *path)
{
	struct stat st;
	int err = stat(path, &st) ? -errno : is_regular(&st);
	int fd = err ? err : open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (err || fd < 0)
		return err ? err : -errno;
	err = fstat(fd, &st) ? -errno : is_regular(&st); /* what it is by now */
	if (!err)
		return fd;
	close(fd);
	return err;
}

int file_read(int dir, const char *path, size_t limit, char **data, size_t *size)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = fd_read_all(fd, limit, data, size);
	close(fd);
	return err;
}

int fd_write(int fd, const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int fd_write_at(int fd, const void *data, size_t size, uint64_t offset)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = pwrite(fd, (const char *)data + at, size - at, (off_t)(offset + at));
		if (n <= 0 && errno != EINTR)
			return n ? -errno : -EIO;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

bool fd_copy_piece(int from, int to)
{
	char piece[32768];
	ssize_t n;
	while ((n = read(from, piece, sizeof(piece))) < 0 && errno == EINTR)
		;
	return n > 0 && !fd_write(to, piece, (size_t)n);
}

/* What is there of that name was left by one who was killed, or put there by somebody else: it goes, and is not followed. */
static int make_new(int dir, const char *path, mode_t mode)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, path, flags, mode);
	if (fd < 0 && errno == EEXIST && !unlinkat(dir, path, 0))
		fd = openat(dir, path, flags, mode);
	return fd < 0 ? -errno : fd;
}

int file_write(int dir, const char *path, const void *data, size_t size, mode_t mode)
{
	char fresh[PATH_MAX];
	if (snprintf(fresh, sizeof(fresh), "%s.%d", path, (int)getpid()) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	int fd = make_new(dir, fresh, mode);
	if (fd < 0)
		return fd;
	int err = fd_write(fd, data, size);
	close(fd);
	if (!err && renameat(dir, fresh, dir, path))
		err = -errno;
	if (err)
		unlinkat(dir, fresh, 0);
	return err;
}

int dir_make(const char *path, mode_t mode)
{
	if (!mkdir(path, mode) || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	char *copy = alloc_copy(path), *slash = copy ? strrchr(copy, '/') : NULL;
	if (!copy)
		return -ENOMEM;
	int err = -ENOENT;
	if (slash && slash != copy) {
		*slash = 0;
		err = dir_make(copy, 0755);
	}
	free(copy);
	if (err)
		return err;
	return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

/* ---- removing a tree, of which a guest may have made what it liked ---- */

#define REMOVE_DEEP 64 /* directories that are open at once */

struct removal {
	int top;	/* the uppermost directory of the tree; -1: there is none yet */
	unsigned moved; /* directories that lay too deep, and lie in the uppermost one now */
};

static int remove_below(struct removal *removal, int dir, const char *name, int depth);

static int dir_empty(struct removal *removal, int fd, int depth)
{
	DIR *stream = fdopendir(fd);
	unsigned moved;
	if (!stream) {
		close(fd);
		return -ENOMEM;
	}
	int err = 0;
	do {
		moved = removal->moved;
		rewinddir(stream);
		for (struct dirent *entry; !err && (entry = readdir(stream));)
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
				err = remove_below(removal, fd, entry->d_name, depth + 1);
	} while (!err && fd == removal->top && moved != removal->moved);
	closedir(stream);
	return err;
}

/* A directory that its owner may not look into is made one into which he may. */
static int open_to_empty(int dir, const char *name)
{
	const int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	char path[32];
	int fd = openat(dir, name, O_RDONLY | flags), closed = fd < 0 && errno == EACCES ? openat(dir, name, O_PATH | flags) : -1;
	if (fd >= 0) {
		fchmod(fd, 0700); /* a copied directory may have been read-only */
		return fd;
	}
	if (closed < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", closed);
	int err = chmod(path, 0700) || (fd = openat(dir, name, O_RDONLY | flags)) < 0 ? -errno : 0;
	close(closed);
	return err ? err : fd;
}

/* What it may meet there goes as well: an empty directory is replaced, another name is found where that cannot be. */
static int move_up(struct removal *removal, int dir, const char *name)
{
	char up[32];
	int err;
	do {
		snprintf(up, sizeof(up), ".removed-%u", removal->moved++);
		err = renameat(dir, name, removal->top, up) ? -errno : 0;
	} while (err == -EEXIST || err == -ENOTEMPTY || err == -ENOTDIR);
	return err == -ENOENT ? 0 : err;
}

static int remove_below(struct removal *removal, int dir, const char *name, int depth)
{
	if (!unlinkat(dir, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	int fd = open_to_empty(dir, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (depth == REMOVE_DEEP) {
		close(fd);
		return move_up(removal, dir, name);
	}
	removal->top = depth ? removal->top : fd;
	int err = dir_empty(removal, fd, depth);
	if (!err && unlinkat(dir, name, AT_REMOVEDIR) && errno != ENOENT)
		err = -errno;
	return err;
}

int tree_remove(int dir, const char *path)
{
	struct removal removal = { .top = -1 };
	return path ? remove_below(&removal, dir, path, 0) : 0;
}

void hex_print(const void *data, size_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *byte = data;
	for (size_t i = 0; i < size; i++) {
		*out++ = digits[byte[i] >> 4];
		*out++ = digits[byte[i] & 15];
	}
	*out = 0;
}
