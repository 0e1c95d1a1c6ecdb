/* SPDX-License-Identifier: Apache-2.0 */
/* A file that becomes a disk: what must be true of it, and the lock that keeps two VMs from writing to one. */
#ifndef LV_BASE_DISK_CLAIM_H
#define LV_BASE_DISK_CLAIM_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Checks kind, size and rights of fd and locks its file (open file description locks, on the whole file: exclusive, or
 * shared if read_only). *lock is a second descriptor, which holds the lock for as long as it is open. The lock is not fd's
 * because an io_uring keeps that open for some time after the process has ended. A file that cannot be opened again, or whose
 * file system has no locks, is an error. name: for messages. 0, or a negative errno with a sentence in message, and *lock -1.
 */
int disk_claim(int fd, const char *name, bool read_only, int *lock, char *message, size_t size);

#endif
