/* SPDX-License-Identifier: Apache-2.0 */
/* For whoever trims images: which files of the image are used, and what is looked for and not there (abi/used_files.h). */
#include "abi/used_files.h"
#include "libos/fs/vfs.h"
#include "libos/mm/mm.h"

static void mark(const struct inode *inode, uint64_t how)
{
	if (!(device_page->record & LV_RECORD_USED))
		return;
	shared_page->arg[1] = how;
	hypercall(LV_HC_USED, inode->ino);
}

/* listed: with a slash behind it. */
static void lacks(const struct dentry *dentry, bool listed)
{
	char *buffer = device_page->record & LV_RECORD_LACKS ? kmalloc(PATH_MAX + 1) : NULL;
	char *path = buffer ? dentry_path(dentry, NULL, buffer, PATH_MAX) : NULL;
	if (path) {
		buffer[PATH_MAX - 1] = '/';
		shared_page->arg[1] = (uint64_t)(buffer + PATH_MAX - 1 + listed - path);
		hypercall(LV_HC_LACKS, (uint64_t)path);
	}
	kfree(buffer);
}

void used_found(const struct dentry *dentry)
{
	if (!dentry->inode)
		lacks(dentry, false);
	else if (dentry->inode->lower)
		mark(dentry->inode, LV_USED_FOUND);
}

void used_opened(const struct inode *inode)
{
	mark(inode, LV_USED_OPENED);
}

void used_listed(const struct dentry *dir)
{
	lacks(dir, true);
}
