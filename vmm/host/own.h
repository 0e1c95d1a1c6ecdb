/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that the loop can wait for without ever sleeping in them. Standard streams are open file descriptions that
 * others share: to switch them to non-blocking would change the shell's terminal, and to trust in poll() would have the loop
 * sleep in read() when somebody else takes the bytes first.
 */
#ifndef LV_VMM_HOST_OWN_H
#define LV_VMM_HOST_OWN_H

#include <sys/stat.h>
#include <sys/uio.h>

/* Switches a descriptor to non-blocking that was given to us for good. 0 or a negative errno. */
int own_take(int fd);

/* fstat by its own system call, which takes no path: in the jail the other one is forbidden. 0 or a negative errno. */
int own_stat(int fd, struct stat *st);

/*
 * readv (writev) that does not sleep, for a description that is not ours: bytes, -EOPNOTSUPP where there is no such thing,
 * or another negative errno.
 */
ssize_t shared_read(int fd, const struct iovec *iov, unsigned parts);
ssize_t shared_write(int fd, const struct iovec *iov, unsigned parts);

#endif
