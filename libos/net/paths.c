/* SPDX-License-Identifier: Apache-2.0 */
/* What the network keeps in the file tree: Unix sockets bound to paths (the inode points at the socket), small files. */
#include "libos/net/unix.h"
#include "libos/net/text_file.h"
#include "libos/fs/vfs.h"

int unix_path_make(const char *path, struct unix_socket *u, struct inode **inode)
{
	struct walk walk;
	int result = path_walk(path_cwd(), path, strlen(path), WALK_CREATE, &walk);
	if (result < 0)
		return result;
	if (walk.file || walk.dentry->inode)
		result = -EADDRINUSE;
	else
		result = vfs_create(walk.dentry, S_IFSOCK | (0777 & ~path_umask()), 0, inode);
	if (result == 0) {
		inode_get(*inode);
		(*inode)->private = u;
	}
	walk_done(&walk);
	return result;
}

int unix_path_find(const char *path, struct unix_socket **found)
{
	struct walk walk;
	int result = path_walk(path_cwd(), path, strlen(path), WALK_FOLLOW, &walk);
	if (result < 0)
		return result;
	struct inode *inode = walk.dentry ? walk.dentry->inode : NULL;
	if (!inode)
		result = -ENOENT;
	else if (!S_ISSOCK(inode->mode) || !inode->private)
		result = -ECONNREFUSED;
	else
		*found = inode->private;
	walk_done(&walk);
	return result;
}

void unix_path_forget(struct inode *inode)
{
	inode->private = NULL;
	inode_put(inode);
}

int text_file_make(const char *path, const char *text, size_t n)
{
	struct walk walk;
	struct inode *inode;
	int result = path_walk(path_root(), path, strlen(path), WALK_CREATE, &walk);
	if (result < 0)
		return result;
	if (walk.file || walk.dentry->inode)
		result = -EEXIST;
	else
		result = vfs_create(walk.dentry, S_IFREG | 0644, 0, &inode);
	if (result == 0 && inode_write(inode, 0, (uaddr_t)text, n) < 0)
		result = -ENOSPC;
	walk_done(&walk);
	return result;
}
