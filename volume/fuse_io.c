/* SPDX-License-Identifier: Apache-2.0 */
/* Open files and directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/fuse_more.h"
#include "volume/operations.h"

#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC)

static struct handle *handle_of(const struct request *request, uint64_t fh, bool directory)
{
	return handle_find(request->volume, fh, request->header->nodeid, directory);
}

static int put_open(struct request *request, int fd, bool directory, bool writable)
{
	struct fuse_open_out *out = request->out;
	memset(out, 0, sizeof(*out));
	int err = fd < 0 ? -errno : handle_add(request->volume, fd, request->node->id, directory, writable, &out->fh);
	return err ? err : (int)sizeof(*out);
}

/* A guest that opens a file to read it saves the second message. Who cannot read it learns why when he does. */
static int put_first_bytes(struct request *request, int fd)
{
	ssize_t n = pread(fd, (char *)request->out + sizeof(struct fuse_open_out), LV_FUSE_OPEN_BYTES, 0);
	return n < 0 ? 0 : (int)n;
}

int op_open(struct request *request)
{
	const struct fuse_open_in *in = request->in;
	bool writes = (in->flags & O_ACCMODE) != O_RDONLY;
	char name[PROC_NAME];
	if (request->node->type != S_IFREG)
		return request->node->type == S_IFDIR ? -EISDIR : -ENXIO;
	if (request->volume->read_only && (writes || in->flags & O_TRUNC))
		return -EROFS;
	int flags = (int)(in->flags & OPEN_FLAGS) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(request->volume->proc, proc_name(request->node->fd, name), flags);
	int err = fd >= 0 && flags & O_TRUNC ? drop_rights(request->volume, fd) : 0;
	if (err)
		return close(fd), err;
	int n = put_open(request, fd, false, writes);
	return n < 0 || !(in->open_flags & LV_FUSE_OPEN_READ) ? n : n + put_first_bytes(request, fd);
}

static int drop_rights_of(const struct request *request, const struct handle *handle)
{
	return handle->writable ? drop_rights(request->volume, handle->fd) : 0;
}

/* Who closes a file that he never knew does no harm. */
static int release(struct request *request, bool directory)
{
	const struct fuse_release_in *in = request->in;
	struct handle *handle = handle_of(request, in->fh, directory);
	if (!handle)
		return -EBADF;
	handle_close(request->volume, handle);
	if (request->node && in->release_flags & FUSE_RELEASE_FLUSH)
		lock_drop(request->volume, request->node, in->lock_owner);
	return 0;
}

int op_release(struct request *request)
{
	return release(request, false);
}

int op_read(struct request *request)
{
	const struct fuse_read_in *in = request->in;
	struct handle *handle = handle_of(request, in->fh, false);
	if (!handle)
		return -EBADF;
	if (in->size > VOLUME_DATA_MAX || in->offset > INT64_MAX)
		return -EINVAL;
	ssize_t n = pread(handle->fd, request->out, in->size, (off_t)in->offset);
	return n < 0 ? -errno : (int)n;
}

int op_write(struct request *request)
{
	const struct fuse_write_in *in = request->in;
	struct fuse_write_out *out = request->out;
	struct handle *handle = handle_of(request, in->fh, false);
	if (!handle)
		return -EBADF;
	if (in->size != request->rest_size || in->size > VOLUME_DATA_MAX || in->offset > INT64_MAX)
		return -EINVAL;
	int err = drop_rights_of(request, handle);
	if (err)
		return err;
	ssize_t n = pwrite(handle->fd, request->rest, in->size, (off_t)in->offset);
	if (n < 0)
		return -errno;
	*out = (struct fuse_write_out){ .size = (uint32_t)n };
	return sizeof(*out);
}

/* close(2) of the guest: what a file system says only then (NFS, quotas). */
int op_flush(struct request *request)
{
	const struct fuse_flush_in *in = request->in;
	struct handle *handle = handle_of(request, in->fh, false);
	if (!handle)
		return -EBADF;
	lock_drop(request->volume, request->node, in->lock_owner);
	int fd = handle->writable ? dup(handle->fd) : -1;
	return fd >= 0 && close(fd) ? -errno : 0;
}

static int sync_to_disk(struct request *request, bool directory)
{
	const struct fuse_fsync_in *in = request->in;
	struct handle *handle = handle_of(request, in->fh, directory);
	if (!handle)
		return -EBADF;
	return (in->fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(handle->fd) : fsync(handle->fd)) ? -errno : 0;
}

int op_fsync(struct request *request)
{
	return sync_to_disk(request, false);
}

int op_fsyncdir(struct request *request)
{
	return sync_to_disk(request, true);
}

int op_syncfs(struct request *request)
{
	int fd = openat(request->volume->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = fd < 0 || syncfs(fd) ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

int op_fallocate(struct request *request)
{
	const struct fuse_fallocate_in *in = request->in;
	struct handle *handle = handle_of(request, in->fh, false);
	if (!handle)
		return -EBADF;
	if (in->offset > INT64_MAX || in->length > INT64_MAX || in->mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	int err = drop_rights_of(request, handle);
	return err ? err : fallocate(handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) ? -errno : 0;
}

int op_lseek(struct request *request)
{
	const struct fuse_lseek_in *in = request->in;
	struct fuse_lseek_out *out = request->out;
	struct handle *handle = handle_of(request, in->fh, false);
	if (!handle)
		return -EBADF;
	if (in->offset > INT64_MAX || (in->whence != SEEK_DATA && in->whence != SEEK_HOLE))
		return -EINVAL;
	off_t at = lseek(handle->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	*out = (struct fuse_lseek_out){ .offset = (uint64_t)at };
	return sizeof(*out);
}

#define COPY_MOST (8u << 20) /* at once: others wait meanwhile */

int op_copy(struct request *request)
{
	const struct fuse_copy_file_range_in *in = request->in;
	struct fuse_write_out *out = request->out;
	struct handle *from = handle_of(request, in->fh_in, false), *to = handle_find(request->volume, in->fh_out, in->nodeid_out, false);
	off_t at = (off_t)in->off_in, to_at = (off_t)in->off_out;
	if (!from || !to)
		return -EBADF;
	if (in->flags || at < 0 || to_at < 0)
		return -EINVAL;
	int err = drop_rights_of(request, to);
	if (err)
		return err;
	ssize_t n = copy_file_range(from->fd, &at, to->fd, &to_at, in->len < COPY_MOST ? in->len : COPY_MOST, 0);
	if (n < 0)
		return -errno;
	*out = (struct fuse_write_out){ .size = (uint32_t)n };
	return sizeof(*out);
}

/* ---- directories ---- */

static int open_directory(const struct request *request)
{
	return openat(request->node->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int op_opendir(struct request *request)
{
	if (request->node->type != S_IFDIR)
		return -ENOTDIR;
	return put_open(request, open_directory(request), true, false);
}

int op_releasedir(struct request *request)
{
	return release(request, true);
}

struct record { /* of getdents64 */
	uint64_t ino;
	int64_t next;
	uint16_t size;
	uint8_t type;
	char name[];
};

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static size_t entry_size(const struct record *record, bool plus)
{
	size_t name = (plus ? sizeof(struct fuse_entry_out) : 0) + FUSE_NAME_OFFSET + strlen(record->name);
	return FUSE_DIRENT_ALIGN(name);
}

static void put_record(struct request *request, const struct record *record, bool plus, char *out, size_t size)
{
	struct fuse_dirent *entry = (struct fuse_dirent *)(plus ? out + sizeof(struct fuse_entry_out) : out);
	memset(out, 0, size);
	/* A name that is gone meanwhile, or of which the guest is not to know, is listed without its attributes. */
	if (plus && !is_dots(record->name) && tell_entry(request->volume, request->node, record->name, (struct fuse_entry_out *)out, NULL))
		memset(out, 0, sizeof(struct fuse_entry_out));
	entry->ino = record->ino;
	entry->off = (uint64_t)record->next;
	entry->namelen = (uint32_t)strlen(record->name);
	entry->type = record->type;
	memcpy(entry->name, record->name, entry->namelen);
}

/* As much as there is room for: who gets less than that has seen the end. */
static int list_from(struct request *request, int fd, bool plus)
{
	const struct fuse_read_in *in = request->in;
	char records[8192] __attribute__((aligned(8)));
	size_t done = 0, most = in->size < VOLUME_DATA_MAX ? in->size : VOLUME_DATA_MAX;
	if (lseek(fd, (off_t)in->offset, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long n = syscall(SYS_getdents64, fd, records, sizeof(records));
		if (n <= 0)
			return n < 0 ? -errno : (int)done;
		for (long at = 0; at < n;) {
			const struct record *record = (const struct record *)(records + at);
			size_t size = entry_size(record, plus);
			if (done + size > most)
				return done ? (int)done : -EINVAL;
			put_record(request, record, plus, (char *)request->out + done, size);
			done += size;
			at += record->size;
		}
	}
}

/* Without a handle (0, which no handle is) the directory is open for this answer only: one message in place of three. */
static int list(struct request *request, bool plus)
{
	const struct fuse_read_in *in = request->in;
	const struct handle *handle = in->fh ? handle_of(request, in->fh, true) : NULL;
	if (in->fh && !handle)
		return -EBADF;
	if (handle)
		return list_from(request, handle->fd, plus);
	if (request->node->type != S_IFDIR)
		return -ENOTDIR;
	int fd = open_directory(request), n = fd < 0 ? -errno : list_from(request, fd, plus);
	if (fd >= 0)
		close(fd);
	return n;
}

int op_readdir(struct request *request)
{
	return list(request, false);
}

int op_readdirplus(struct request *request)
{
	return list(request, true);
}
