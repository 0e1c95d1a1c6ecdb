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

/* The file, made if there is none; NULL: it is somebody else's, or there is no memory. */
static struct inode *text_inode(const struct text_file *file)
{
	struct inode *inode;
	char there[sizeof(file->text)];

	if (!file->n)
		return vfs_make_own(file->path, S_IFREG | 0644, &inode) ? NULL : inode;
	if (vfs_find_own(file->path, &inode))
		return NULL;
	if (S_ISREG(inode->mode) && inode->size == file->n && inode_read(inode, 0, (uaddr_t)there, file->n) == (int64_t)file->n &&
	    memcmp(there, file->text, file->n) == 0)
		return inode;
	inode_put(inode);
	return NULL;
}

static void write_text(struct text_file *file, const char *text, size_t n)
{
	struct inode *inode = text_inode(file);

	if (!inode)
		return;
	if (inode_truncate(inode, 0) == 0 && inode_write(inode, 0, (uaddr_t)text, n) == (int64_t)n) {
		memcpy(file->text, text, n);
		file->n = n;
	}
	inode_put(inode);
}

void text_file_set(struct text_file *file, const char *text, size_t n)
{
	n = MIN(n, sizeof(file->text));
	if (n != file->n || memcmp(text, file->text, n))
		write_text(file, text, n);
}
