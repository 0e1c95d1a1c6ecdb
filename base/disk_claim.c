/* SPDX-License-Identifier: Apache-2.0 */
#include "base/disk_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

struct complaint { /* where a sentence goes */
	const char *name;
	char *text;
	size_t size;
};

static int check_size(const struct complaint *c, uint64_t bytes)
{
	if (!bytes)
		return snprintf(c->text, c->size, "%s is empty", c->name), -EINVAL;
	if (bytes % SECTOR)
		return snprintf(c->text, c->size,
				"%s is %llu bytes long, which is not a multiple of %d: its last block is not whole (cut short? truncate -s %%%d makes it whole)",
				c->name, (unsigned long long)bytes, SECTOR, SECTOR), -EINVAL;
	return 0;
}

static int check_kind(const struct complaint *c, int fd)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(fd, &st) < 0)
		return snprintf(c->text, c->size, "%s: %s", c->name, strerror(errno)), -errno;
	bytes = st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &bytes) < 0)
		return snprintf(c->text, c->size, "%s: %s", c->name, strerror(errno)), -errno;
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		return snprintf(c->text, c->size, "%s is neither a regular file nor a block device", c->name), -ENOTBLK;
	return check_size(c, bytes);
}

static int lock_file(const struct complaint *c, int fd, bool read_only, int *lock)
{
	struct flock whole = { .l_type = read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	char path[64];
	int err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*lock = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (*lock >= 0 && fcntl(*lock, F_OFD_SETLK, &whole) == 0)
		return 0;
	err = errno;
	/* Without a lock two VMs could write to it, and nobody would know. */
	if (*lock < 0 || (err != EAGAIN && err != EACCES)) {
		snprintf(c->text, c->size, "%s cannot be locked against other users: %s", c->name, strerror(err));
		if (*lock >= 0)
			close(*lock);
		*lock = -1;
		return -err;
	}
	close(*lock);
	*lock = -1;
	snprintf(c->text, c->size,
		 read_only ? "%s is in use by a VM that writes to it"
			   : "%s is in use by another VM; a disk that is written to has one user (readers can share it: ,ro for all)",
		 c->name);
	return -EBUSY;
}

int disk_claim(int fd, const char *name, bool read_only, int *lock, char *message, size_t size)
{
	const struct complaint c = { name, message, size };
	int mode = fcntl(fd, F_GETFL), r = check_kind(&c, fd);

	*lock = -1;
	if (!r && !read_only && (mode & O_ACCMODE) == O_RDONLY) {
		snprintf(message, size, "%s is open for reading only; a disk that cannot be written to wants ,ro", name);
		r = -EACCES;
	}
	return r ? r : lock_file(&c, fd, read_only, lock);
}
