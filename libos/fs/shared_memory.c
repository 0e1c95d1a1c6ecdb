/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous memory that processes share: a file in RAM that no descriptor leads to. */
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"

struct file *shared_memory_new(uint64_t size)
{
	struct inode *inode = inode_new(&memory_fs, S_IFREG | 0777);
	struct file *file;

	if (!inode)
		return NULL;
	inode->nlink = 0;
	inode->size = size;
	inode->seals = F_SEAL_SEAL;
	int err = vfs_open_inode(inode, NULL, O_RDWR, &file);
	inode_put(inode);
	return err ? NULL : file;
}

bool shared_memory_take(struct file *file, uint64_t offset, void *page)
{
	void **slot = store_slot(&file->inode->pages, offset / LV_PAGE, true);

	if (!slot)
		return false;
	*slot = page;
	file->inode->pages.count++;
	return true;
}
