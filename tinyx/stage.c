/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define TRIES 16

static int new_name(char *name, size_t room)
{
	uint64_t random;
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	snprintf(name, room, STAGE_PREFIX "%012llx", (unsigned long long)random & 0xffffffffffffull);
	return 0;
}

/* Another process may sweep between our making the file and our lock: then it is gone, and the next try makes another. */
static int open_named(struct stage *stage)
{
	for (int i = 0; i < TRIES; i++) {
		struct stat st;
		int err = new_name(stage->name, sizeof(stage->name));
		stage->fd = err ? -1 : openat(stage->dir, stage->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (stage->fd < 0 && !err && errno == EEXIST)
			continue;
		if (stage->fd < 0) {
			err = err ? err : -errno;
			stage->name[0] = 0;
			return err;
		}
		if (!flock(stage->fd, LOCK_EX | LOCK_NB) && !fstat(stage->fd, &st) && st.st_nlink)
			return 0;
		close(stage->fd);
	}
	stage->name[0] = 0;
	stage->fd = -1;
	return -EBUSY;
}

int stage_open(struct stage *stage, int dir)
{
	*stage = (struct stage){ .dir = dir, .fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) };
	if (stage->fd >= 0 && !flock(stage->fd, LOCK_EX | LOCK_NB))
		return 0;
	if (stage->fd >= 0)
		close(stage->fd);
	return open_named(stage);
}

static int give_name(struct stage *stage)
{
	char self[32];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", stage->fd);
	int err = new_name(stage->name, sizeof(stage->name));
	if (!err && linkat(AT_FDCWD, self, stage->dir, stage->name, AT_SYMLINK_FOLLOW))
		err = -errno;
	if (err)
		stage->name[0] = 0;
	return err;
}

int stage_publish(struct stage *stage, const char *name, unsigned mode)
{
	int err = fchmod(stage->fd, (mode_t)mode) ? -errno : 0;
	if (!err && !stage->name[0]) /* a link cannot replace what is there, a renaming can */
		err = give_name(stage);
	if (!err && renameat(stage->dir, stage->name, stage->dir, name))
		err = -errno;
	if (!err)
		stage->name[0] = 0;
	return err;
}

void stage_close(struct stage *stage)
{
	if (stage->name[0])
		unlinkat(stage->dir, stage->name, 0);
	if (stage->fd >= 0)
		close(stage->fd);
	*stage = STAGE_NONE;
}

int stage_spool(const char *path)
{
	struct stage stage;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = dir < 0 ? -errno : stage_open(&stage, dir);
	if (!err && stage.name[0])
		unlinkat(dir, stage.name, 0);
	if (dir >= 0)
		close(dir);
	return err ? err : stage.fd;
}

/* ---- what is left over ---- */

static bool is_over(uint64_t deadline)
{
	return deadline && clock_now() >= deadline;
}

static void remove_some(int dir, const char *name, uint64_t deadline);

/* Takes fd. */
static void empty_some(int fd, uint64_t deadline)
{
	DIR *stream = fdopendir(fd);
	if (!stream) {
		close(fd);
		return;
	}
	fchmod(fd, 0700); /* a copied directory may have been read-only */
	/* One at least, however late it is: every call gets on. */
	bool any = false;
	for (struct dirent *entry; !(any && is_over(deadline)) && (entry = readdir(stream));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		remove_some(dirfd(stream), entry->d_name, deadline);
		any = true;
	}
	closedir(stream);
}

static void remove_some(int dir, const char *name, uint64_t deadline)
{
	if (!unlinkat(dir, name, 0) || (errno != EISDIR && errno != EPERM))
		return;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		empty_some(fd, deadline);
	unlinkat(dir, name, AT_REMOVEDIR);
}

static void sweep_one(int dir, const char *name, uint64_t deadline)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
		remove_some(dir, name, deadline);
	if (fd >= 0)
		close(fd);
}

void stage_sweep(int dir, unsigned ms)
{
	uint64_t deadline = ms ? clock_now() + ms * NS_PER_MS : 0;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(stream));) {
		if (!text_starts(entry->d_name, STAGE_PREFIX))
			continue;
		sweep_one(dir, entry->d_name, deadline);
		if (is_over(deadline))
			break;
	}
	closedir(stream);
}
