/* SPDX-License-Identifier: Apache-2.0 */
/* Locks on files, for those who open and close them. */
#ifndef LV_LIBOS_LOCK_H
#define LV_LIBOS_LOCK_H

#include "libos/fs/vfs.h"

/* F_SETLK, F_SETLKW, F_GETLK and the same with OFD_; user: struct flock in the program's memory. What fcntl(2) answers. */
long lock_fcntl(int fd, struct file *file, int command, void *user);
/* A descriptor of file was closed: the process loses its record locks on what it refers to. */
void locks_descriptor_closed(const struct file *file, const struct fd_table *table);
/* The last reference to file goes: what it holds itself is given back. */
void locks_file_closed(const struct file *file);

/* ---- lease.c ---- */
long lease_fcntl(struct file *file, int fd, int command, long arg); /* F_SETLEASE, F_GETLEASE */
/* The inode is about to be opened with these flags: 0, -EAGAIN with O_NONBLOCK if a lease is in the way, -ERESTARTSYS. May wait. */
int lease_break(const struct inode *inode, uint32_t flags);
void lease_file_closed(const struct file *file);

#endif
