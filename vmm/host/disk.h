/* SPDX-License-Identifier: Apache-2.0 */
/* A file that becomes a disk: what must be true of it, and the lock that keeps two VMs from writing to one. */
#ifndef LV_VMM_HOST_DISK_H
#define LV_VMM_HOST_DISK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Checks kind, size and rights of fd and locks it (open file description locks, on the whole file: exclusive, or shared if
 * read_only; they end with the last copy of the descriptor). name: for messages. 0, or a negative errno with a sentence in
 * message. File systems that have no locks are taken without.
 */
int disk_claim(int fd, const char *name, bool read_only, char *message, size_t size);

#endif
