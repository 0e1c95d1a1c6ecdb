/* SPDX-License-Identifier: Apache-2.0 */
/* Signals when a file becomes ready (O_ASYNC; F_SETOWN, F_SETSIG). */
#ifndef LV_LIBOS_ASYNC_H
#define LV_LIBOS_ASYNC_H

#include "libos/fs/fs.h"

/* F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, F_SETSIG, F_GETSIG: what fcntl(2) answers. */
long async_fcntl(struct file *file, int command, long arg);
/* Can this file send signals? Where it cannot, O_ASYNC is not kept, as on Linux. */
bool async_possible(const struct file *file);
/* O_ASYNC was set or cleared by way of descriptor fd: 0 or -ENOMEM. */
int async_switch(struct file *file, int fd, bool on);
/* Who has a lease of the file by this descriptor: he owns it, unless somebody does. 0 or -ENOMEM. */
int async_own(struct file *file, int fd);
void async_lease_breaks(const struct file *file); /* its owner is told */
void async_forget(struct file *file); /* the file is about to go */

#endif
