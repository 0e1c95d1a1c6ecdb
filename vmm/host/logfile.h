/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console log: a regular file that never grows beyond LOGFILE_LIMIT. When it would, its second half is moved to the
 * front and the file is cut after it, so the newest 8 to 16 MiB are always there. A reader that follows the file sees
 * it become shorter and starts again at the beginning.
 */
#ifndef LV_VMM_HOST_LOGFILE_H
#define LV_VMM_HOST_LOGFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define LOGFILE_LIMIT (16u << 20)

struct logfile {
	int fd; /* -1: none. Read-write, not O_APPEND. */
	uint64_t end;
	bool full; /* the host had no room for some of it, so older output was dropped before its time */
};

/* Goes on after what is already in the file. */
void logfile_init(struct logfile *log, int fd);
/*
 * Of one write no more than the last half of the limit is kept. A full disk loses the older half of what is there, not what
 * is new; what does not fit even then is lost, never the VM.
 */
void logfile_write(struct logfile *log, const struct iovec *part, unsigned parts);

#endif
