/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes, owners, extended attributes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "volume/operations.h"

#define VALUE_MOST 65536u /* bytes of an attribute, as Linux has it */
#define LIVES_S 1 /* seconds for which a guest may believe what it was told of a file */

const char *proc_name(int fd, char name[PROC_NAME])
{
	snprintf(name, PROC_NAME, "%d", fd);
	return name;
}

/* ---- owners ---- */

static uint32_t uid_shown(const struct volume *volume, uint32_t uid)
{
	return !volume->any_owner && uid == volume->own_uid ? volume->guest_uid : uid;
}

static uint32_t gid_shown(const struct volume *volume, uint32_t gid)
{
	return !volume->any_owner && gid == volume->own_gid ? volume->guest_gid : gid;
}

static uint32_t uid_meant(const struct volume *volume, uint32_t uid)
{
	return !volume->any_owner && uid == volume->guest_uid ? volume->own_uid : uid;
}

static uint32_t gid_meant(const struct volume *volume, uint32_t gid)
{
	return !volume->any_owner && gid == volume->guest_gid ? volume->own_gid : gid;
}

void give_owner(const struct request *request, int fd, mode_t dir_mode)
{
	const struct volume *volume = request->volume;
	if (volume->any_owner && fchownat(fd, "", request->header->uid, dir_mode & S_ISGID ? (gid_t)-1 : request->header->gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return; /* it stays root's */
}

int drop_rights(const struct volume *volume, int fd)
{
	char name[PROC_NAME];
	struct stat st;
	if (!volume->any_owner)
		return 0;
	if (fstat(fd, &st))
		return -errno;
	if (!(st.st_mode & (S_ISUID | S_ISGID)))
		return 0;
	return fchmodat(volume->proc, proc_name(fd, name), st.st_mode & 01777, 0) ? -errno : 0;
}

/* ---- attributes ---- */

void attr_fill(const struct volume *volume, const struct stat *st, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){ .ino = st->st_ino, .size = (uint64_t)st->st_size, .blocks = (uint64_t)st->st_blocks,
		.atime = (uint64_t)st->st_atim.tv_sec, .mtime = (uint64_t)st->st_mtim.tv_sec, .ctime = (uint64_t)st->st_ctim.tv_sec,
		.atimensec = (uint32_t)st->st_atim.tv_nsec, .mtimensec = (uint32_t)st->st_mtim.tv_nsec, .ctimensec = (uint32_t)st->st_ctim.tv_nsec,
		.mode = st->st_mode, .nlink = (uint32_t)st->st_nlink, .uid = uid_shown(volume, st->st_uid), .gid = gid_shown(volume, st->st_gid),
		.rdev = (uint32_t)(major(st->st_rdev) << 8 | (minor(st->st_rdev) & 0xff) | (minor(st->st_rdev) & 0xfff00) << 12), .blksize = 4096 };
}

static int put_attr(const struct request *request)
{
	struct fuse_attr_out *out = request->out;
	struct stat st;
	if (fstat(request->node->fd, &st))
		return -errno;
	*out = (struct fuse_attr_out){ .attr_valid = LIVES_S };
	attr_fill(request->volume, &st, &out->attr);
	return sizeof(*out);
}

int op_getattr(struct request *request)
{
	return put_attr(request);
}

/* A descriptor for writing, of a regular file: the guest's own, or one for this moment (*ours). */
static int fd_to_write(const struct request *request, const struct fuse_setattr_in *in, bool *ours)
{
	char name[PROC_NAME];
	const struct handle *handle = in->valid & FATTR_FH ? handle_find(request->volume, in->fh, request->header->nodeid, false) : NULL;
	*ours = !(handle && handle->writable);
	if (!*ours)
		return handle->fd;
	if (request->node->type != S_IFREG)
		return -EINVAL;
	int fd = openat(request->volume->proc, proc_name(request->node->fd, name), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int set_size(const struct request *request, const struct fuse_setattr_in *in)
{
	bool ours;
	int fd = fd_to_write(request, in, &ours), err = fd < 0 ? fd : drop_rights(request->volume, fd);
	if (!err && (in->size > INT64_MAX || ftruncate(fd, (off_t)in->size)))
		err = in->size > INT64_MAX ? -EFBIG : -errno;
	if (fd >= 0 && ours)
		close(fd);
	return err;
}

/* S_ISGID of a file that its group may not execute is a mark of old for locks, which stays when the file gets another owner: it gives no rights, and none can be made of it. */
static mode_t rights_of(mode_t mode)
{
	return mode & (S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
}

/* Programs that run with the rights of their owner are not made in a directory of the host by a guest. */
static int set_mode(const struct request *request, const struct fuse_setattr_in *in)
{
	char name[PROC_NAME];
	if (request->node->type == S_IFLNK)
		return -EOPNOTSUPP;
	if (request->node->type != S_IFDIR && in->mode & (S_ISUID | S_ISGID)) {
		struct stat st;
		if (fstat(request->node->fd, &st) || in->mode & (S_ISUID | S_ISGID) & ~rights_of(st.st_mode))
			return -EPERM;
	}
	return fchmodat(request->volume->proc, proc_name(request->node->fd, name), in->mode & 07777, 0) ? -errno : 0;
}

static int set_owner(const struct request *request, const struct fuse_setattr_in *in)
{
	const struct volume *volume = request->volume;
	uid_t uid = in->valid & FATTR_UID ? uid_meant(volume, in->uid) : (uid_t)-1;
	gid_t gid = in->valid & FATTR_GID ? gid_meant(volume, in->gid) : (gid_t)-1;
	if (fchownat(request->node->fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return errno == EINVAL ? -EPERM : -errno; /* a user that our namespace does not have */
	return 0;
}

static int set_times(const struct request *request, const struct fuse_setattr_in *in)
{
	char name[PROC_NAME];
	struct timespec times[2] = { { .tv_sec = (time_t)in->atime, .tv_nsec = in->atimensec }, { .tv_sec = (time_t)in->mtime, .tv_nsec = in->mtimensec } };
	if (in->atimensec >= 1000000000 || in->mtimensec >= 1000000000)
		return -EINVAL;
	if (in->valid & FATTR_ATIME_NOW || !(in->valid & FATTR_ATIME))
		times[0].tv_nsec = in->valid & FATTR_ATIME ? UTIME_NOW : UTIME_OMIT;
	if (in->valid & FATTR_MTIME_NOW || !(in->valid & FATTR_MTIME))
		times[1].tv_nsec = in->valid & FATTR_MTIME ? UTIME_NOW : UTIME_OMIT;
	if (request->node->type == S_IFLNK)
		return utimensat(request->node->fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) ? -errno : 0;
	return utimensat(request->volume->proc, proc_name(request->node->fd, name), times, 0) ? -errno : 0;
}

int op_setattr(struct request *request)
{
	const struct fuse_setattr_in *in = request->in;
	int err = 0;
	if (in->valid & FATTR_SIZE)
		err = set_size(request, in);
	if (!err && in->valid & (FATTR_UID | FATTR_GID))
		err = set_owner(request, in);
	if (!err && in->valid & FATTR_MODE) /* after the owner, whose change takes bits away */
		err = set_mode(request, in);
	if (!err && in->valid & (FATTR_ATIME | FATTR_MTIME))
		err = set_times(request, in);
	return err ? err : put_attr(request);
}

int op_statfs(struct request *request)
{
	struct fuse_statfs_out *out = request->out;
	struct statfs st;
	if (fstatfs(request->node->fd, &st))
		return -errno;
	*out = (struct fuse_statfs_out){ .st = { .blocks = st.f_blocks, .bfree = st.f_bfree, .bavail = st.f_bavail, .files = st.f_files, .ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize, .namelen = (uint32_t)st.f_namelen, .frsize = (uint32_t)st.f_frsize } };
	return sizeof(*out);
}

/* ---- extended attributes: those of users; others are the host's own matter, rights among them ---- */

static int check_attribute(const char *name)
{
	return strlen(name) > 255 ? -ERANGE : strncmp(name, "user.", 5) ? -EOPNOTSUPP : 0;
}

/* By names in volume->proc, which is the working directory. */
int op_getxattr(struct request *request)
{
	const struct fuse_getxattr_in *in = request->in;
	struct fuse_getxattr_out *out = request->out;
	char name[PROC_NAME];
	int err = check_attribute(request->name);
	if (err)
		return err == -EOPNOTSUPP ? -ENODATA : err;
	if (in->size > VALUE_MOST)
		return -E2BIG;
	ssize_t n = getxattr(proc_name(request->node->fd, name), request->name, in->size ? request->out : NULL, in->size);
	if (n < 0)
		return -errno;
	if (in->size)
		return (int)n;
	*out = (struct fuse_getxattr_out){ .size = (uint32_t)n };
	return sizeof(*out);
}

int op_setxattr(struct request *request)
{
	const struct fuse_setxattr_in *in = request->in;
	char name[PROC_NAME], attribute[256];
	const char *end = memchr(request->rest, 0, request->rest_size);
	size_t len = end ? (size_t)(end - request->rest) : sizeof(attribute);
	if (len >= sizeof(attribute))
		return end ? -ERANGE : -EINVAL;
	memcpy(attribute, request->rest, len + 1);
	int err = check_attribute(attribute);
	if (err)
		return err;
	if (in->size != request->rest_size - len - 1 || in->size > VALUE_MOST)
		return in->size > VALUE_MOST ? -E2BIG : -EINVAL;
	return setxattr(proc_name(request->node->fd, name), attribute, end + 1, in->size, (int)in->flags & (XATTR_CREATE | XATTR_REPLACE)) ? -errno : 0;
}

/* Leaves the names that a guest may read. */
static size_t only_users(char *list, size_t size)
{
	size_t kept = 0;
	for (size_t at = 0, n; at < size; at += n) {
		n = strnlen(list + at, size - at) + 1;
		if (n > size - at)
			break;
		if (check_attribute(list + at) == 0) {
			memmove(list + kept, list + at, n);
			kept += n;
		}
	}
	return kept;
}

int op_listxattr(struct request *request)
{
	const struct fuse_getxattr_in *in = request->in;
	char name[PROC_NAME];
	ssize_t n = listxattr(proc_name(request->node->fd, name), request->out, VOLUME_DATA_MAX);
	if (n < 0)
		return -errno;
	size_t kept = only_users(request->out, (size_t)n);
	if (in->size)
		return kept > in->size ? -ERANGE : (int)kept;
	*(struct fuse_getxattr_out *)request->out = (struct fuse_getxattr_out){ .size = (uint32_t)kept };
	return sizeof(struct fuse_getxattr_out);
}

int op_removexattr(struct request *request)
{
	char name[PROC_NAME];
	int err = check_attribute(request->name);
	return err ? err : removexattr(proc_name(request->node->fd, name), request->name) ? -errno : 0;
}
