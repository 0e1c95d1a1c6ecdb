/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm exec: one more program in a VM that runs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/frame.h"
#include "base/log.h"
#include "base/number.h"
#include "node/agent_client.h"
#include "cli/all_verbs.h"
#include "node/vm_exec.h"
#include "cli/terminal.h"

#define INTERRUPTS_TO_LEAVE 3

struct exec_options {
	bool interactive, tty;
	const char *workdir, *user;
	struct strings env;
};

#define AT(field) offsetof(struct exec_options, field)
static const struct option_spec exec_options[] = {
	{ "interactive", 'i', OPTION_FLAG, AT(interactive), NULL, "pass standard input to the program" },
	{ "tty", 't', OPTION_FLAG, AT(tty), NULL, "give the program a terminal of its own; needs one here" },
	{ "env", 'e', OPTION_LIST, AT(env), "NAME=VALUE", "set a variable; NAME alone takes the value from here; may be repeated" },
	{ "workdir", 'w', OPTION_STRING, AT(workdir), "DIR", "working directory (default: that of the VM's program)" },
	{ "user", 'u', OPTION_STRING, AT(user), "USER[:GROUP]", "user and group, numbers or names of the guest (default: those of the VM's program)" },
	{ 0 },
};

struct session {
	int fd;
	int signals;
	bool input;      /* standard input is read */
	uint32_t credit; /* bytes of it that may be sent */
	int interrupts;
	int status;      /* wait status; -1: not yet */
	size_t have;     /* bytes of the next frame in buffer */
	char buffer[sizeof(struct lv_agent_frame) + LV_AGENT_DATA_MAX];
	char chunk[LV_AGENT_DATA_MAX];
};

/* ---- the request ---- */

static int fill_env(struct strings *env, const struct exec_options *given, struct error *error)
{
	if (given->tty && getenv("TERM"))
		strings_take(env, alloc_format("TERM=%s", getenv("TERM")));
	for (size_t i = 0; i < given->env.count; i++) {
		const char *word = given->env.item[i], *value = strchr(word, '=') ? word : getenv(word);
		if (word[0] == '=' || !*word)
			return error_set(error, -EINVAL, "-e: \"%s\" is not NAME=VALUE", word);
		if (value)
			strings_take(env, value == word ? alloc_copy(word) : alloc_format("%s=%s", word, value));
	}
	return 0;
}

/* ---- the session ---- */

static int take_frame(struct session *session, uint32_t type, const void *body, size_t size, struct error *error)
{
	uint32_t word = 0;
	if (size == sizeof(word))
		memcpy(&word, body, sizeof(word));
	switch (type) {
	case LV_AGENT_STDOUT:
	case LV_AGENT_STDERR:
		/* A reader that has gone ends us, as it would end the program. */
		return fd_write(type == LV_AGENT_STDOUT ? STDOUT_FILENO : STDERR_FILENO, body, size);
	case LV_AGENT_CREDIT:
		if (word > LV_AGENT_WINDOW - session->credit)
			return error_set(error, -EPROTO, "the agent took more input than it was given");
		session->credit += word;
		return 0;
	case LV_AGENT_EXIT:
		if (size != sizeof(word) || word > 0xffff)
			return error_set(error, -EPROTO, "the agent told an exit status that is none");
		session->status = (int)word;
		return 0;
	case LV_AGENT_ERROR:
		return agent_error(body, size, error);
	default:
		return error_set(error, -EPROTO, "the agent sent a frame of an unknown type (%u)", type);
	}
}

/* Takes what has come, without waiting for the rest of a frame: a guest that stops in the middle must not hold us. */
static int take_frames(struct session *session, struct error *error)
{
	ssize_t n = recv(session->fd, session->buffer + session->have, sizeof(session->buffer) - session->have, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return error_set(error, n ? -errno : -ECONNRESET, "the VM ended, or its agent did");
	session->have += (size_t)n;
	for (struct lv_agent_frame frame; session->have >= sizeof(frame);) {
		memcpy(&frame, session->buffer, sizeof(frame));
		if (frame.size > LV_AGENT_DATA_MAX)
			return error_set(error, -EPROTO, "the agent sent a frame of %u bytes", frame.size);
		size_t whole = sizeof(frame) + frame.size;
		if (session->have < whole)
			break;
		int err = take_frame(session, frame.type, session->buffer + sizeof(frame), frame.size, error);
		if (err)
			return err;
		session->have -= whole;
		memmove(session->buffer, session->buffer + whole, session->have);
	}
	return 0;
}

static int send_input(struct session *session)
{
	size_t want = session->credit < sizeof(session->chunk) ? session->credit : sizeof(session->chunk);
	ssize_t n = read(STDIN_FILENO, session->chunk, want);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		session->input = false;
		n = 0;
	}
	session->credit -= (uint32_t)n;
	return frame_send(session->fd, LV_AGENT_STDIN, session->chunk, (size_t)n);
}

static int pass_signal(struct session *session, struct error *error)
{
	struct signalfd_siginfo info;
	struct lv_agent_size size = { 0 };
	if (read(session->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	int32_t number = (int32_t)info.ssi_signo;
	if (number == SIGWINCH)
		return terminal_size(&size.rows, &size.columns) ? frame_send(session->fd, LV_AGENT_RESIZE, &size, sizeof(size)) : 0;
	/* With a terminal, Ctrl-C is the program's: whoever sends us signals instead, more than once, wants us to end. */
	if (number != SIGUSR1 && number != SIGUSR2 && ++session->interrupts >= INTERRUPTS_TO_LEAVE)
		return error_set(error, -EINTR, "interrupted %d times; what was started may go on in the VM", INTERRUPTS_TO_LEAVE);
	return frame_send(session->fd, LV_AGENT_SIGNAL, &number, sizeof(number));
}

static int talk(struct session *session, struct error *error)
{
	int err = 0;
	while (!err && session->status < 0) {
		struct pollfd fds[] = { { .fd = session->fd, .events = POLLIN }, { .fd = session->signals, .events = POLLIN },
			{ .fd = session->input && session->credit ? STDIN_FILENO : -1, .events = POLLIN } };
		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[0].revents)
			err = take_frames(session, error);
		if (!err && session->status < 0 && fds[1].revents)
			err = pass_signal(session, error);
		if (!err && session->status < 0 && fds[2].revents)
			err = send_input(session);
	}
	return err;
}

static int hold_signals(bool tty)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i]);
	if (tty)
		sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int run_session(int fd, const struct exec_options *given, struct error *error)
{
	struct session *session = alloc_zero(sizeof(*session));
	struct terminal terminal = { 0 };
	session->fd = fd;
	session->status = -1;
	session->input = given->interactive;
	session->credit = LV_AGENT_WINDOW;
	session->signals = hold_signals(given->tty);
	int err = session->signals < 0 ? error_set(error, -errno, "signalfd: %s", strerror(errno)) : 0;
	if (!err && given->tty && (err = terminal_enter(&terminal)))
		error_set(error, err, "the terminal: %s", strerror(-err));
	if (!err)
		err = talk(session, error);
	terminal_leave(&terminal);
	int status = session->status;
	if (session->signals >= 0)
		close(session->signals);
	free(session);
	if (err)
		return err;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int exec_in(struct vm_info *info, const struct exec_options *given, struct operands operands, struct error *error)
{
	struct vm_exec exec = { .argv = operands.argv + 1, .argc = (size_t)operands.argc - 1, .cwd = given->workdir, .user = given->user, .terminal = given->tty,
		.input = given->interactive };
	if (given->tty)
		terminal_size(&exec.rows, &exec.columns);
	int err = fill_env(&exec.env, given, error), fd = err ? err : vm_exec_start(info, &exec, error);
	strings_free(&exec.env);
	if (fd < 0)
		return fd;
	int status = run_session(fd, given, error);
	close(fd);
	return status;
}

static int exec_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct exec_options *given = options;
	struct state state;
	struct vm_info info;
	if (given->tty && !isatty(STDIN_FILENO))
		return error_set(error, -ENOTTY, "-t: standard input is not a terminal; leave -t out");
	int err = state_open(&state, false, error);
	if (err == -ENOENT)
		error_set(error, err, "there is no VM \"%s\"; \"lightvm ps -a\" lists them", operands.argv[0]);
	if (err) {
		state_close(&state);
		return err;
	}
	int status = vm_info_find(&state, operands.argv[0], &info, error);
	if (!status) {
		status = exec_in(&info, given, operands, error);
		vm_info_close(&info);
	}
	state_close(&state);
	return status;
}

const struct verb verb_exec = {
	.name = "exec",
	.operands = "VM PROGRAM [ARG...]",
	.summary = "Run one more program in a virtual machine",
	.text = "The program runs beside the VM's own, with the same files, network, environment, user and working directory, unless\n"
		"options say otherwise. A name without a slash is looked for in PATH. Output, signals and the exit status are passed\n"
		"through; standard input with -i only. With -t the program has a terminal of its own, with job control and resizing.\n\n"
		"The exit status is the program's, 128+N if it died of signal N, 127 if it is not there, 126 if it cannot be executed, and\n"
		"125 if lightvm itself failed. What the program is has to be in the VM's files (\"lightvm cp\" brings more).",
	.examples = "lightvm exec web nginx -s reload\n"
		    "lightvm exec -it web sh\n"
		    "lightvm exec -i db psql -U postgres <dump.sql",
	.options = exec_options,
	.options_size = sizeof(struct exec_options),
	.complete = "vm",
	.min = 2,
	.max = -1,
	.first_ends = true,
	.run = exec_run,
};
