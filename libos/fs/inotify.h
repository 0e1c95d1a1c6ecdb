/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to files, for those who watch them by inotify(7): where it happens calls these, each of which is one comparison while nobody watches. */
#ifndef LV_LIBOS_INOTIFY_H
#define LV_LIBOS_INOTIFY_H

#include "libos/fs/vfs.h"

#include <linux/inotify.h>

#define INOTIFY_WATCHES 65536 /* of all instances: /proc/sys/fs/inotify/max_user_watches */
#define INOTIFY_INSTANCES 128
#define INOTIFY_EVENTS 16384 /* that wait in one */

extern int inotify_watches; /* how many there are */

void inotify_tell(struct inode *inode, const struct dentry *dentry, uint32_t event);
void inotify_tell_name(struct inode *dir, const char *name, size_t len, uint32_t event, uint32_t cookie);
uint32_t inotify_cookie(void); /* makes the two halves of a rename belong together */

/* An event (IN_...) of a file, and of the directory where its name is; dentry NULL: it has none. */
static inline void fs_event(struct inode *inode, const struct dentry *dentry, uint32_t event)
{
	if (inotify_watches)
		inotify_tell(inode, dentry, event);
}

static inline void fs_event_file(const struct file *file, uint32_t event)
{
	if (inotify_watches && file->inode && file->dentry)
		inotify_tell(file->inode, file->dentry, event);
}

/* A name in a directory came or went (IN_CREATE, IN_DELETE). */
static inline void fs_event_name(struct inode *dir, const char *name, size_t len, uint32_t event)
{
	if (inotify_watches)
		inotify_tell_name(dir, name, len, event, 0);
}

#endif
