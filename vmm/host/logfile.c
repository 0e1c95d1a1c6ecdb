/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/logfile.h"

#include <unistd.h>

void logfile_init(struct logfile *log, int fd)
{
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	log->fd = end < 0 ? -1 : fd;
	log->end = end < 0 ? 0 : end;
}

static void cut(struct logfile *log)
{
	char buffer[16384];
	uint64_t from = log->end - LOGFILE_LIMIT / 2, to = 0;

	while (from < log->end) {
		ssize_t n = pread(log->fd, buffer, sizeof(buffer), from);

		if (n <= 0 || pwrite(log->fd, buffer, n, to) != n)
			break;
		from += n;
		to += n;
	}
	if (ftruncate(log->fd, to) == 0)
		log->end = to;
}

void logfile_write(struct logfile *log, const void *data, size_t len)
{
	ssize_t n;

	if (log->fd < 0)
		return;
	if (log->end + len > LOGFILE_LIMIT && log->end >= LOGFILE_LIMIT / 2)
		cut(log);
	n = pwrite(log->fd, data, len, log->end);
	if (n > 0)
		log->end += n;
}
