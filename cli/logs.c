/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm logs, console: what a VM prints, and a way to talk to it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/shown.h"
#include "cli/all_verbs.h"
#include "node/vm_config.h"
#include "node/monitor_control.h"
#include "node/crash_report.h"
#include "cli/describe.h"

#define CHUNK 65536
#define ALL UINT64_MAX

/* ---- logs ---- */

struct log_options {
	bool follow, raw;
	uint64_t tail;
};

#define AT(field) offsetof(struct log_options, field)
static const struct option_spec log_options[] = {
	{ "follow", 'f', OPTION_FLAG, AT(follow), NULL, "go on printing until the VM ends" },
	{ "raw", 0, OPTION_FLAG, AT(raw), NULL, "to a terminal, too, every byte as it is: a guest can then do with the terminal what it likes" },
	{ "tail", 'n', OPTION_NUMBER, AT(tail), "LINES", "begin with the last lines" },
	{ 0 },
};

static void log_defaults(void *options)
{
	((struct log_options *)options)->tail = ALL;
}

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

struct log_reader {
	int fd;
	off_t at;
	bool clean; /* for a terminal */
};

/* Prints a piece; returns how many bytes of it were taken, or a negative errno. The start of a character waits for its end. */
static ssize_t print_piece(const struct log_reader *log, char *piece, size_t n)
{
	size_t rest = 0, size = log->clean ? text_shown(piece, piece, n, SHOWN_LINES | SHOWN_COLOURS, &rest) : n;
	int err = fd_write(STDOUT_FILENO, piece, size);
	return err ? err : (ssize_t)(n - rest);
}

/* Copies what is new. A file that became shorter was cut by the monitor: it starts again. */
static int copy_new(struct log_reader *log)
{
	char chunk[CHUNK];
	struct stat st;
	if (!fstat(log->fd, &st) && st.st_size < log->at)
		log->at = 0;
	for (;;) {
		ssize_t n = pread(log->fd, chunk, sizeof(chunk), log->at);
		if (n > 0)
			n = print_piece(log, chunk, (size_t)n);
		else if (n < 0)
			n = -errno;
		if (n <= 0)
			return (int)n;
		log->at += n;
	}
}

static int follow(const struct vm_info *info, struct log_reader *log, struct error *error)
{
	char events[4096], *path = alloc_format("/proc/self/fd/%d", log->fd);
	int watch = inotify_init1(IN_CLOEXEC), process = info->status.pid ? (int)syscall(SYS_pidfd_open, (pid_t)info->status.pid, 0) : -1, err = 0;
	if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
		err = error_set(error, -errno, "cannot follow the log: %s", strerror(errno));
	free(path);
	while (!err && process >= 0 && vm_alive(&info->dir)) {
		struct pollfd fds[] = { { .fd = watch, .events = POLLIN }, { .fd = process, .events = POLLIN } };
		err = copy_new(log);
		if (err || poll(fds, 2, -1) < 0 || fds[1].revents)
			break;
		(void)!read(watch, events, sizeof(events));
	}
	if (watch >= 0)
		close(watch);
	if (process >= 0)
		close(process);
	return err ? err : copy_new(log);
}

/* What the VM did not print itself: why it ended. On standard error, since it is no output of the program. */
static void print_end(const struct state *state, const struct vm_info *info)
{
	struct vm_info now;
	struct lv_report said;
	struct text out = { 0 };
	if (!vm_info_open(state, info->dir.id, &now)) {
		if (now.state == VM_CRASHED && !vm_report(&now.dir, &said))
			crash_report(&said, config_string(now.config, "image"), &out);
		else if (now.state == VM_DEAD)
			text_format(&out, "lightvm: VM %s is dead: %s\n", now.dir.id, now.status.error[0] ? now.status.error : "its monitor was killed");
	}
	if (out.size)
		fd_write(STDERR_FILENO, out.data, out.size);
	text_free(&out);
	vm_info_close(&now);
}

static int log_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct log_options *given = context;
	struct stat st;
	int fd = openat(info->dir.dir, "console.log", O_RDONLY | O_CLOEXEC), err = 0;
	if (fd < 0)
		return error_set(error, -errno, "VM %s keeps no log: it runs in the foreground with --rm", info->dir.id);
	struct log_reader log = { .fd = fd, .clean = !given->raw && isatty(STDOUT_FILENO) };
	log.at = !fstat(fd, &st) && given->tail != ALL ? tail_start(fd, st.st_size, given->tail) : 0;
	if (given->follow)
		err = follow(info, &log, error);
	else
		err = copy_new(&log);
	close(fd);
	if (!err)
		print_end(state, info);
	return err == -EPIPE ? 0 : err;
}

static int logs(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each(operands, log_one, options);
}

const struct verb verb_logs = {
	.name = "logs",
	.operands = "VM",
	.summary = "Print what a virtual machine has printed",
	.text = "Standard output and standard error of the program, in the order in which they were written. The newest 8 to\n"
		"16 MiB are kept. If the VM crashed, the report follows on standard error. A terminal gets colours, but nothing else on which\n"
		"it would act (--raw).",
	.options = log_options,
	.options_size = sizeof(struct log_options),
	.defaults = log_defaults,
	.complete = "vm",
	.min = 1,
	.max = 1,
	.run = logs,
};

/* ---- console ---- */

/* Copies one chunk; false when the source has ended or the target is gone. */
static bool copy_chunk(int from, int to)
{
	char chunk[CHUNK];
	ssize_t n = read(from, chunk, sizeof(chunk));
	return n > 0 && !fd_write(to, chunk, (size_t)n);
}

/* Until the VM closes its end. The end of our own input only ends what we send. */
static void talk(int in, int out)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = out, .events = POLLIN } };
	while (poll(fds, 2, -1) >= 0) {
		if (fds[1].revents && !copy_chunk(out, STDOUT_FILENO))
			break;
		if (fds[0].revents && !copy_chunk(STDIN_FILENO, in))
			fds[0].fd = -1;
	}
}

static int console_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	int in[2], out[2];
	if (!info->alive)
		return error_set(error, -ESRCH, "VM %s has ended; \"lightvm logs %s\" prints what it said", info->dir.id, info->dir.id);
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		return error_set(error, -errno, "pipe: %s", strerror(errno));
	int control = control_connect(info->dir.dir, CONTROL_PATIENCE_MS), given[] = { in[0], out[1] };
	int err = control < 0 ? control : control_call(control, LV_CTL_ATTACH, 0, given, 2, NULL);
	close(in[0]);
	close(out[1]);
	if (err)
		error_set(error, err, "VM %s: %s", info->dir.id, err == -ENOSPC ? "too many consoles are attached" : strerror(-err));
	else
		talk(in[1], out[0]);
	close(in[1]);
	close(out[0]);
	if (control >= 0)
		close(control);
	return err;
}

static int console(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each(operands, console_one, NULL);
}

const struct verb verb_console = {
	.name = "console",
	.operands = "VM",
	.summary = "Attach to a virtual machine's standard input and output",
	.text = "What is typed goes to the program, what it prints from now on is shown. Ctrl-C leaves; the VM goes on.",
	.complete = "vm",
	.min = 1,
	.max = 1,
	.run = console,
};
