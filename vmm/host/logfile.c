/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/logfile.h"

#include <unistd.h>

void logfile_init(struct logfile *log, int fd)
{
	off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

	*log = (struct logfile){ .fd = end < 0 ? -1 : fd, .end = end < 0 ? 0 : end };
}

/* Keeps the last bytes: they move to the front, into blocks that the file has, so that it goes in a full file system too. */
static void cut(struct logfile *log, uint64_t keep)
{
	char buffer[16384];
	uint64_t from = log->end - keep, to = 0;

	while (from < log->end) {
		size_t want = sizeof(buffer) < log->end - from ? sizeof(buffer) : log->end - from;
		ssize_t n = pread(log->fd, buffer, want, from);

		if (n <= 0 || pwrite(log->fd, buffer, n, to) != n)
			return; /* what is at its end stays there */
		from += n;
		to += n;
	}
	if (ftruncate(log->fd, to) == 0)
		log->end = to;
}

static size_t append(struct logfile *log, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pwrite(log->fd, data + done, len - done, log->end);

		if (n <= 0)
			break;
		log->end += n;
		done += n;
	}
	return done;
}

static void write_part(struct logfile *log, const char *data, size_t len)
{
	size_t done = append(log, data, len);

	if (done == len)
		return;
	/* No room on the host: the newest is what anybody will look for, so the older half makes room. */
	log->full = true;
	cut(log, log->end / 2);
	append(log, data + done, len - done);
}

void logfile_write(struct logfile *log, const struct iovec *part, unsigned parts)
{
	uint64_t total = 0, skip;

	if (log->fd < 0)
		return;
	for (unsigned i = 0; i < parts; i++)
		total += part[i].iov_len;
	skip = total > LOGFILE_LIMIT / 2 ? total - LOGFILE_LIMIT / 2 : 0;
	if (log->end + total - skip > LOGFILE_LIMIT)
		cut(log, LOGFILE_LIMIT / 2);
	for (unsigned i = 0; i < parts; i++) {
		uint64_t over = skip < part[i].iov_len ? skip : part[i].iov_len;

		skip -= over;
		write_part(log, (const char *)part[i].iov_base + over, part[i].iov_len - over);
	}
}
