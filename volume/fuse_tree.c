/* SPDX-License-Identifier: Apache-2.0 */
/* Names: looked up, made, moved and taken away; each is one name in one directory. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "volume/operations.h"

#define LIVES_S 1 /* seconds for which a guest may believe that a name leads where it did */
#define RENAME_KNOWN 3u /* RENAME_NOREPLACE, RENAME_EXCHANGE */

/* Never further than to the name itself. */
static int open_name(const struct node *dir, const char *name, uint64_t flags, uint64_t mode)
{
	struct open_how how = { .flags = flags | O_NOFOLLOW | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY), .mode = mode, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS };
	if (dir->type != S_IFDIR)
		return -ENOTDIR;
	int fd = (int)syscall(SYS_openat2, dir->fd, name, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* What the guest knows need not be opened for that: one system call in place of three. NULL: it does not. */
static struct node *known_by_name(struct volume *volume, const struct node *dir, const char *name, struct stat *st)
{
	if (dir->type != S_IFDIR || fstatat(dir->fd, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT))
		return NULL;
	return node_again(volume, st->st_dev, st->st_ino);
}

static int open_node(struct volume *volume, const struct node *dir, const char *name, struct stat *st, struct node **node)
{
	int fd = open_name(dir, name, O_PATH, 0);
	return fd < 0 ? fd : node_add(volume, fd, node, st);
}

static void fill_entry(const struct volume *volume, const struct node *node, const struct stat *st, struct fuse_entry_out *entry)
{
	*entry = (struct fuse_entry_out){ .nodeid = node->id, .generation = 0, .entry_valid = LIVES_S, .attr_valid = LIVES_S };
	attr_fill(volume, st, &entry->attr);
}

int tell_entry(struct volume *volume, const struct node *dir, const char *name, struct fuse_entry_out *entry, struct node **found)
{
	struct stat st;
	struct node *node = known_by_name(volume, dir, name, &st);
	int err = node ? 0 : open_node(volume, dir, name, &st, &node);
	if (err)
		return err;
	fill_entry(volume, node, &st, entry);
	if (found)
		*found = node;
	return 0;
}

static int put_entry(struct request *request)
{
	int err = tell_entry(request->volume, request->node, request->name, request->out, NULL);
	return err ? err : (int)sizeof(struct fuse_entry_out);
}

int op_lookup(struct request *request)
{
	return put_entry(request);
}

int op_readlink(struct request *request)
{
	ssize_t n = request->node->type == S_IFLNK ? readlinkat(request->node->fd, "", request->out, 4096) : -1;
	return request->node->type != S_IFLNK ? -EINVAL : n < 0 ? -errno : (int)n;
}

/* ---- making ---- */

static mode_t mode_of(const struct node *node)
{
	struct stat st;
	return fstat(node->fd, &st) ? 0 : st.st_mode;
}

/* Who made it owns it, as far as the server may say so. */
static int put_new(struct request *request)
{
	struct node *node;
	int err = tell_entry(request->volume, request->node, request->name, request->out, &node);
	struct stat st;
	if (err)
		return err;
	give_owner(request, node->fd, mode_of(request->node));
	if (!fstat(node->fd, &st))
		attr_fill(request->volume, &st, &((struct fuse_entry_out *)request->out)->attr);
	return sizeof(struct fuse_entry_out);
}

/* request->name is the new one, name2 what it leads to. */
int op_symlink(struct request *request)
{
	return symlinkat(request->name2, request->node->fd, request->name) ? -errno : put_new(request);
}

int op_mknod(struct request *request)
{
	const struct fuse_mknod_in *in = request->in;
	mode_t type = in->mode & S_IFMT;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type)
		return -EPERM; /* devices are the host's */
	return mknodat(request->node->fd, request->name, type | (in->mode & 01777 & ~in->umask), 0) ? -errno : put_new(request);
}

int op_mkdir(struct request *request)
{
	const struct fuse_mkdir_in *in = request->in;
	return mkdirat(request->node->fd, request->name, in->mode & 01777 & ~in->umask) ? -errno : put_new(request);
}

int op_link(struct request *request)
{
	const struct fuse_link_in *in = request->in;
	struct node *old = node_find(request->volume, in->oldnodeid);
	char name[PROC_NAME];
	if (!old)
		return -ESTALE;
	if (old->type == S_IFDIR)
		return -EPERM;
	if (linkat(request->volume->proc, proc_name(old->fd, name), request->node->fd, request->name, AT_SYMLINK_FOLLOW))
		return -errno;
	return put_entry(request);
}

/* Opens what is there by that name, if it is a file. */
static int open_existing(struct request *request, const struct node *node, uint32_t flags)
{
	char name[PROC_NAME];
	if (node->type != S_IFREG)
		return node->type == S_IFDIR ? -EISDIR : -ENXIO;
	int fd = openat(request->volume->proc, proc_name(node->fd, name), (int)flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = flags & O_TRUNC ? drop_rights(request->volume, fd) : 0;
	if (err)
		close(fd);
	return err ? err : fd;
}

/* A new file, or one that is there: only the first is opened by its name, so that no device or FIFO ever is. */
int op_create(struct request *request)
{
	const struct fuse_create_in *in = request->in;
	struct { struct fuse_entry_out entry; struct fuse_open_out open; } *out = request->out;
	uint32_t flags = in->flags & (O_ACCMODE | O_APPEND | O_TRUNC | O_SYNC | O_DSYNC);
	struct node *node;
	int fd = open_name(request->node, request->name, (flags & ~(uint32_t)O_TRUNC) | O_CREAT | O_EXCL, in->mode & 01777 & ~in->umask);
	if (fd < 0 && (fd != -EEXIST || in->flags & O_EXCL))
		return fd;
	bool made = fd >= 0;
	if (made)
		give_owner(request, fd, mode_of(request->node));
	memset(out, 0, sizeof(*out));
	int err = tell_entry(request->volume, request->node, request->name, &out->entry, &node);
	if (!err && !made)
		err = (fd = open_existing(request, node, flags)) < 0 ? fd : 0;
	if (!err) {
		err = handle_add(request->volume, fd, node->id, false, (flags & O_ACCMODE) != O_RDONLY, &out->open.fh);
		fd = -1;
	}
	if (fd >= 0)
		close(fd);
	if (err && out->entry.nodeid)
		node_forget(request->volume, out->entry.nodeid, 1);
	return err ? err : (int)sizeof(*out);
}

/* A file without a name, which op_link gives it one unless it was made with O_EXCL. What the message calls it means nothing. */
static int open_unnamed(struct request *request)
{
	const struct fuse_create_in *in = request->in;
	uint64_t flags = in->flags & (O_ACCMODE | O_APPEND | O_EXCL | O_SYNC | O_DSYNC);
	int fd = open_name(request->node, ".", flags | O_TMPFILE, in->mode & 01777 & ~in->umask);
	if (fd >= 0)
		give_owner(request, fd, mode_of(request->node));
	return fd;
}

int op_tmpfile(struct request *request)
{
	const struct fuse_create_in *in = request->in;
	struct { struct fuse_entry_out entry; struct fuse_open_out open; } *out = request->out;
	struct node *node;
	struct stat st;
	char name[PROC_NAME];
	int fd = open_unnamed(request), path = fd < 0 ? fd : openat(request->volume->proc, proc_name(fd, name), O_PATH | O_CLOEXEC);
	int err = fd < 0 ? fd : path < 0 ? -errno : node_add(request->volume, path, &node, &st);
	if (fd >= 0 && err)
		close(fd);
	if (err)
		return err;
	memset(out, 0, sizeof(*out));
	fill_entry(request->volume, node, &st, &out->entry);
	err = handle_add(request->volume, fd, node->id, false, (in->flags & O_ACCMODE) != O_RDONLY, &out->open.fh);
	if (err)
		node_forget(request->volume, node->id, 1);
	return err ? err : (int)sizeof(*out);
}

/* ---- taking away and moving ---- */

int op_unlink(struct request *request)
{
	return unlinkat(request->node->fd, request->name, 0) ? -errno : 0;
}

int op_rmdir(struct request *request)
{
	return unlinkat(request->node->fd, request->name, AT_REMOVEDIR) ? -errno : 0;
}

static int move(struct request *request, uint64_t to, uint32_t flags)
{
	const struct node *dir = node_find(request->volume, to);
	if (!dir)
		return -ESTALE;
	if (flags & ~RENAME_KNOWN)
		return -EINVAL;
	return syscall(SYS_renameat2, request->node->fd, request->name, dir->fd, request->name2, flags) ? -errno : 0; /* musl has no function for it */
}

int op_rename(struct request *request)
{
	const struct fuse_rename_in *in = request->in;
	return move(request, in->newdir, 0);
}

int op_rename2(struct request *request)
{
	const struct fuse_rename2_in *in = request->in;
	return move(request, in->newdir, in->flags);
}
