/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm logs, console: what a VM prints, and a way to talk to it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/file.h"
#include "base/shown.h"
#include "cli/all_verbs.h"
#include "node/vm_config.h"
#include "node/monitor_control.h"
#include "node/crash_report.h"
#include "cli/describe.h"
#include "cli/terminal.h"
#include "node/vm_log.h"

#define CHUNK 65536

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
	((struct log_options *)options)->tail = VM_LOG_ALL;
}

/* A terminal gets what does no harm; the start of a character waits for its end. */
static ssize_t print_piece(void *context, char *piece, size_t n)
{
	bool clean = *(const bool *)context;
	size_t rest = 0, size = clean ? text_shown(piece, piece, n, SHOWN_LINES | SHOWN_COLOURS, &rest) : n;
	int err = fd_write(STDOUT_FILENO, piece, size);
	return err ? err : (ssize_t)(n - rest);
}

/* What the VM did not print itself: why it ended. On standard error, since it is no output of the program. */
static void print_end(const struct state *state, const struct vm_info *info)
{
	struct vm_info now;
	struct lv_report said;
	struct text out = { 0 };
	if (!vm_info_open(state, info->dir.id, &now)) {
		if (now.state == VM_CRASHED && !vm_report(&now.dir, &said))
			crash_report(&now.status, &said, config_string(now.config, "image"), &out);
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
	struct vm_log log;
	bool clean = !given->raw && isatty(STDOUT_FILENO);
	int err = vm_log_open(&log, info, given->tail, error);
	if (!err)
		err = vm_log_read(&log, info, given->follow, print_piece, NULL, &clean, error);
	vm_log_close(&log);
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

#define LEAVE_FIRST 020  /* Ctrl-P Ctrl-Q, as whoever comes from containers knows it */
#define LEAVE_SECOND 021

struct attached {
	const struct vm_info *info;
	int in, out;
	int window;  /* SIGWINCH; -1: the VM has no terminal, or we have none */
	bool almost; /* the first of the keys that leave was typed */
};

/* On a terminal, keys are passed on as they are; false: the user leaves, or nobody takes them. */
static bool copy_keys(struct attached *attached)
{
	char chunk[1024], passed[1025];
	size_t size = 0;
	ssize_t n = read(STDIN_FILENO, chunk, sizeof(chunk));
	for (ssize_t i = 0; i < n; i++) {
		if (attached->almost && chunk[i] == LEAVE_SECOND)
			return false;
		if (attached->almost)
			passed[size++] = LEAVE_FIRST;
		attached->almost = chunk[i] == LEAVE_FIRST;
		if (!attached->almost)
			passed[size++] = chunk[i];
	}
	return n > 0 && !fd_write(attached->in, passed, size);
}

static void tell_size(const struct attached *attached)
{
	uint16_t rows, columns;
	struct signalfd_siginfo info;
	if (attached->window < 0 || !terminal_size(&rows, &columns))
		return;
	(void)!read(attached->window, &info, sizeof(info));
	control_ask(attached->info->dir.dir, LV_CTL_RESIZE, (int64_t)rows << 16 | columns, NULL, deadline_in(CONTROL_PATIENCE_MS));
}

/* Until the VM closes its end, or the user leaves. The end of our own input only ends what we send. */
static void talk(struct attached *attached)
{
	struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = attached->out, .events = POLLIN }, { .fd = attached->window, .events = POLLIN } };
	bool raw = attached->window >= 0;
	tell_size(attached);
	while (poll(fds, 3, -1) >= 0) {
		if (fds[1].revents && !copy_chunk(attached->out, STDOUT_FILENO))
			break;
		if (fds[2].revents)
			tell_size(attached);
		if (fds[0].revents && raw && !copy_keys(attached))
			break;
		if (fds[0].revents && !raw && !copy_chunk(STDIN_FILENO, attached->in))
			fds[0].fd = -1;
	}
}

/* A program on a terminal of its own has ours while we are here. */
static int talk_on(struct attached *attached, struct error *error)
{
	struct terminal terminal = { 0 };
	sigset_t set;
	int err = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	attached->window = -1;
	if (json_is_true(json_object_get(attached->info->config, "terminal")) && isatty(STDIN_FILENO)) {
		sigprocmask(SIG_BLOCK, &set, NULL);
		attached->window = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
		err = attached->window < 0 ? -errno : terminal_enter(&terminal);
	}
	if (!err)
		talk(attached);
	terminal_leave(&terminal);
	if (attached->window >= 0)
		close(attached->window);
	return err ? error_set(error, err, "the terminal: %s", strerror(-err)) : 0;
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
		err = talk_on(&(struct attached){ .info = info, .in = in[1], .out = out[0] }, error);
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
	.text = "What is typed goes to the program, what it prints from now on is shown. Ctrl-C leaves; the VM goes on.\n"
		"One that was started with -t has its program on a terminal: all keys are the program's, and Ctrl-P Ctrl-Q leaves.",
	.complete = "vm",
	.min = 1,
	.max = 1,
	.run = console,
};
