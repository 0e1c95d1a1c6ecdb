/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM has printed: console.log in its directory, which the monitor cuts when it becomes too long. */
#ifndef LV_NODE_VM_LOG_H
#define LV_NODE_VM_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "node/vm_info.h"

#define VM_LOG_ALL UINT64_MAX

struct vm_log {
	int fd; /* -1: none */
	off_t at;
};

/* Begins before the last lines (VM_LOG_ALL: at the beginning). -ENOENT: a VM that keeps none. Close in every case. */
int vm_log_open(struct vm_log *log, const struct vm_info *info, uint64_t lines, struct error *error);
void vm_log_close(struct vm_log *log);
/*
 * Gives what is there to put(context, piece, n), which answers how many bytes of it it has taken (the rest comes again, with more), or a negative errno, which
 * ends it. piece may be changed. follow: goes on until the VM ends. idle: asked as often as anything happens or a second has passed, false ends it; NULL: none.
 */
int vm_log_read(struct vm_log *log, const struct vm_info *info, bool follow, ssize_t (*put)(void *context, char *piece, size_t n), bool (*idle)(void *context),
		void *context, struct error *error);

#endif
