/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

#define CHUNK 65536
#define IDLE_MS 1000

/* Where the last lines begin. */
static off_t tail_start(int fd, off_t size, uint64_t lines)
{
	char chunk[CHUNK];
	off_t at = size;
	bool newline_at_end = true; /* the one that ends the last line is not the beginning of another */
	if (!lines)
		return size;
	while (at > 0) {
		size_t want = at < CHUNK ? (size_t)at : CHUNK;
		if (pread(fd, chunk, want, at - (off_t)want) != (ssize_t)want)
			return 0;
		for (size_t i = want; i-- > 0;) {
			at--;
			if (chunk[i] == '\n' && !newline_at_end && --lines == 0)
				return at + 1;
			newline_at_end = false;
		}
	}
	return 0;
}

int vm_log_open(struct vm_log *log, const struct vm_info *info, uint64_t lines, struct error *error)
{
	struct stat st;
	*log = (struct vm_log){ .fd = openat(info->dir.dir, "console.log", O_RDONLY | O_CLOEXEC) };
	if (log->fd < 0)
		return error_set(error, -errno, "VM %s keeps no log: it runs in the foreground with --rm", info->dir.id);
	log->at = !fstat(log->fd, &st) && lines != VM_LOG_ALL ? tail_start(log->fd, st.st_size, lines) : 0;
	return 0;
}

void vm_log_close(struct vm_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

/* Copies what is new. A file that became shorter was cut by the monitor: it starts again. */
static int copy_new(struct vm_log *log, ssize_t (*put)(void *context, char *piece, size_t n), void *context)
{
	char chunk[CHUNK];
	struct stat st;
	if (!fstat(log->fd, &st) && st.st_size < log->at)
		log->at = 0;
	for (;;) {
		ssize_t n = pread(log->fd, chunk, sizeof(chunk), log->at);
		if (n > 0)
			n = put(context, chunk, (size_t)n);
		else if (n < 0)
			n = -errno;
		if (n <= 0)
			return (int)n;
		log->at += n;
	}
}

static int follow_log(struct vm_log *log, const struct vm_info *info, ssize_t (*put)(void *context, char *piece, size_t n), bool (*idle)(void *context),
		      void *context, struct error *error)
{
	char events[4096], *path = alloc_format("/proc/self/fd/%d", log->fd);
	int watch = inotify_init1(IN_CLOEXEC), process = info->status.pid ? (int)syscall(SYS_pidfd_open, (pid_t)info->status.pid, 0) : -1, err = 0;
	if (watch < 0 || !path || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		err = error_set(error, -errno, "cannot follow the log: %s", strerror(errno));
	free(path);
	while (!err && process >= 0 && vm_alive(&info->dir)) {
		struct pollfd fds[] = { { .fd = watch, .events = POLLIN }, { .fd = process, .events = POLLIN } };
		err = copy_new(log, put, context);
		if (err || poll(fds, 2, idle ? IDLE_MS : -1) < 0 || fds[1].revents || (idle && !idle(context)))
			break;
		if (fds[0].revents)
			(void)!read(watch, events, sizeof(events));
	}
	if (watch >= 0)
		close(watch);
	if (process >= 0)
		close(process);
	return err;
}

int vm_log_read(struct vm_log *log, const struct vm_info *info, bool follow, ssize_t (*put)(void *context, char *piece, size_t n), bool (*idle)(void *context),
		void *context, struct error *error)
{
	int err = follow ? follow_log(log, info, put, idle, context, error) : 0;
	return err ? err : copy_new(log, put, context);
}
