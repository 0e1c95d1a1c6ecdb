/* SPDX-License-Identifier: Apache-2.0 */
/* What the network keeps in the file tree: Unix sockets bound to paths (the inode points at the socket), small files. */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/net/text_file.h"
#include "libos/net/unix.h"

int unix_path_make(const char *path, struct unix_socket *u, struct inode **inode)
{
	int err = vfs_make(path_cwd(), path, S_IFSOCK | (0777 & ~path_umask()), inode);

	if (err)
		return err == -EEXIST ? -EADDRINUSE : err;
	(*inode)->private = u;
	return 0;
}

int unix_path_find(const char *path, struct unix_socket **found)
{
	struct inode *inode;
	int err = vfs_find(path_cwd(), path, &inode);

	if (err)
		return err;
	err = inode_permission(inode, LINUX_W_OK);
	if (!err && (!S_ISSOCK(inode->mode) || !inode->private))
		err = -ECONNREFUSED;
	if (!err)
		*found = inode->private;
	inode_put(inode);
	return err;
}

void unix_path_forget(struct inode *inode)
{
	inode->private = NULL;
	inode_put(inode);
}

int text_file_make(const char *path, const char *text, size_t n)
{
	struct inode *inode;
	int err = vfs_make(path_root(), path, S_IFREG | 0644, &inode);

	if (err)
		return err;
	if (inode_write(inode, 0, (uaddr_t)text, n) < 0)
		err = -ENOSPC;
	inode_put(inode);
	return err;
}
