/* SPDX-License-Identifier: Apache-2.0 */
#include "base/owned_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define DIR_MODE 0700

/* What is opened is what is looked at: the checks go by the descriptor, so that nothing can be put in its place between them. */
static int check(int fd, const char *path, struct error *error)
{
	struct stat st;
	if (fstat(fd, &st))
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return error_set(error, -EPERM, "%s belongs to user %u, not to user %u who runs this", path, (unsigned)st.st_uid,
				 (unsigned)geteuid());
	if (st.st_mode & 022)
		return error_set(error, -EPERM, "others than its owner may write to %s (mode %03o); run: chmod go-w %s", path,
				 (unsigned)st.st_mode & 0777, path);
	return 0;
}

static int open_at(int dir, const char *name, const char *path, struct error *error)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0) {
		int err = -errno;
		struct stat st;
		/* O_DIRECTORY wins over O_NOFOLLOW: a link is told as ENOTDIR. */
		if (!fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
			return error_set(error, -ELOOP, "%s is a symbolic link; name what it leads to", path);
		return error_set(error, err, "%s: %s", path, strerror(-err));
	}
	int err = check(fd, path, error);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int owned_dir_open(const char *path, bool create, struct error *error)
{
	int fd = open_at(AT_FDCWD, path, path, error);
	if (fd != -ENOENT || !create)
		return fd;
	int err = dir_make(path, DIR_MODE);
	if (err)
		return error_set(error, err, "%s: %s", path, strerror(-err));
	fd = open_at(AT_FDCWD, path, path, error);
	return fd == -ENOENT ? error_set(error, fd, "%s: %s", path, strerror(ENOENT)) : fd;
}

int owned_dir_openat(int dir, const char *shown, const char *name, bool create, struct error *error)
{
	char *path = alloc_format("%s/%s", shown, name);
	if (!path)
		return error_set(error, -ENOMEM, "out of memory");
	int fd = open_at(dir, name, path, error);
	if (fd == -ENOENT && create) {
		int err = mkdirat(dir, name, DIR_MODE) && errno != EEXIST ? -errno : 0;
		fd = err ? err : open_at(dir, name, path, error);
		if (err || fd == -ENOENT)
			error_set(error, fd, "%s: %s", path, strerror(-fd));
	}
	free(path);
	return fd;
}
