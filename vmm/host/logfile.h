/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console log: a regular file that never grows beyond LOGFILE_LIMIT. When it would, its second half is moved to the
 * front and the file is cut after it, so the newest 8 to 16 MiB are always there. A reader that follows the file sees
 * it become shorter and starts again at the beginning.
 */
#ifndef LV_VMM_HOST_LOGFILE_H
#define LV_VMM_HOST_LOGFILE_H

#include <stddef.h>
#include <stdint.h>

#define LOGFILE_LIMIT (16u << 20)

struct logfile {
	int fd; /* -1: none. Read-write, not O_APPEND. */
	uint64_t end;
};

/* Goes on after what is already in the file. */
void logfile_init(struct logfile *log, int fd);
/* A full disk loses log lines, never the VM: errors are ignored. */
void logfile_write(struct logfile *log, const void *data, size_t len);

#endif
