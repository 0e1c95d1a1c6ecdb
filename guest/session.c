/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One EXEC: a program beside the VM's own, its streams over the connection. This is a process of its own: writing to a client
 * that does not read may block it, and with it the program, which is what a pipe would do.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/frame.h"
#include "guest/guest_agent.h"
#include "guest/program.h"

#define DRAIN_READS 64 /* after the program's end: more than any pipe holds; who still writes would keep us for ever */
#define END_OF_INPUT "\004" /* what a terminal takes for the end of file */

struct session {
	int fd;         /* connection */
	int in, out, err; /* our ends; -1: none, or ended. With a terminal in and out are it */
	bool terminal;
	pid_t pid;
	int process;    /* readable once it has ended */
	bool input_ended;
	size_t input;   /* bytes in buffer that the program has not taken */
	char buffer[LV_AGENT_WINDOW];
	char frame[LV_AGENT_DATA_MAX];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- starting ---- */

/* The environment of the VM's program, with what the request adds or replaces. Ended by NULL; the strings are not copied. */
static char **merge_env(const struct guest_config *base, const struct guest_config *asked)
{
	size_t room = (base ? base->envc : 0) + asked->envc + 1, count = 0;
	char **env = calloc(room, sizeof(char *));
	for (size_t i = 0; env && base && i < base->envc; i++) {
		size_t len = strcspn(base->env[i], "=");
		bool replaced = false;
		for (size_t k = 0; k < asked->envc && !replaced; k++)
			replaced = !strncmp(asked->env[k], base->env[i], len + 1);
		if (!replaced)
			env[count++] = base->env[i];
	}
	for (size_t k = 0; env && k < asked->envc; k++)
		env[count++] = asked->env[k];
	return env;
}

static int open_terminal(struct session *session, struct program *program, const struct lv_guest_streams *streams)
{
	int unlock = 0, fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	session->out = fd;
	session->in = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (session->in < 0 || ioctl(fd, TIOCSPTLCK, &unlock))
		return -errno;
	program->in = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (program->in < 0)
		return -errno;
	terminal_resize(program->in, streams->rows, streams->columns);
	program->terminal = true;
	return 0;
}

static int open_pipe(int *ours, int *theirs, bool input)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	*ours = pair[input];
	*theirs = pair[!input];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) ? -errno : 0;
}

static int open_pipes(struct session *session, struct program *program, uint32_t flags)
{
	int err = 0;
	if (flags & LV_GUEST_NO_STDIN)
		err = (program->in = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0 ? -errno : 0;
	else
		err = open_pipe(&session->in, &program->in, true);
	if (!err)
		err = open_pipe(&session->out, &program->out, false);
	if (!err && flags & LV_GUEST_STDERR_SAME)
		err = (program->err = fcntl(program->out, F_DUPFD_CLOEXEC, 3)) < 0 ? -errno : 0;
	else if (!err)
		err = open_pipe(&session->err, &program->err, false);
	return err;
}

static int start(struct session *session, const struct agent_world *world, const struct guest_config *asked)
{
	struct guest_config config = *asked;
	struct program program = { .config = &config, .in = -1, .out = -1, .err = -1 };
	const struct guest_config *base = world->config;
	if (!config.user && base)
		config.user = base->user;
	if (!config.cwd && base)
		config.cwd = base->cwd;
	program.env = merge_env(base, asked);
	session->terminal = asked->streams.flags & LV_GUEST_TERMINAL;
	int err = !program.env ? -ENOMEM
		: session->terminal ? open_terminal(session, &program, &asked->streams) : open_pipes(session, &program, asked->streams.flags);
	if (!err) {
		session->pid = program_start(&program);
		err = session->pid < 0 ? session->pid : 0;
	}
	if (!err)
		err = (session->process = (int)syscall(SYS_pidfd_open, session->pid, 0)) < 0 ? -errno : 0;
	close_fd(&program.in);
	close_fd(&program.out);
	close_fd(&program.err);
	free(program.env);
	return err;
}

/* ---- running ---- */

/* False: that stream has ended. -1 in *err: the client has gone. */
static bool pass_output(struct session *session, int from, enum lv_agent_type type, int *err)
{
	ssize_t n = read(from, session->frame, sizeof(session->frame));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n > 0)
		*err = frame_send(session->fd, type, session->frame, (size_t)n);
	return n > 0;
}

/* True when something was taken. */
static bool feed(struct session *session, int *err)
{
	ssize_t n = session->in < 0 ? (ssize_t)session->input : write(session->in, session->buffer, session->input);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) { /* the program reads no more: what comes is thrown away */
		close_fd(&session->in);
		n = (ssize_t)session->input;
	}
	memmove(session->buffer, session->buffer + n, session->input - (size_t)n);
	session->input -= (size_t)n;
	uint32_t credit = (uint32_t)n;
	if (n)
		*err = frame_send(session->fd, LV_AGENT_CREDIT, &credit, sizeof(credit));
	return n > 0;
}

static void end_input(struct session *session)
{
	if (session->terminal && session->in >= 0)
		(void)!write(session->in, END_OF_INPUT, 1);
	close_fd(&session->in);
}

static int take_signal(struct session *session, const struct lv_agent_frame *frame)
{
	int32_t number;
	if (frame->size != sizeof(number))
		return -EPROTO;
	memcpy(&number, session->frame, sizeof(number));
	/* A session of its own, so the group is only what it started. */
	if (number > 0 && number < NSIG)
		kill(-session->pid, number);
	return 0;
}

static int take_size(struct session *session, const struct lv_agent_frame *frame)
{
	struct lv_agent_size size;
	if (frame->size != sizeof(size))
		return -EPROTO;
	memcpy(&size, session->frame, sizeof(size));
	if (session->terminal && session->out >= 0)
		terminal_resize(session->out, size.rows, size.columns);
	return 0;
}

static int take_input(struct session *session, const struct lv_agent_frame *frame)
{
	if (session->input_ended || frame->size > sizeof(session->buffer) - session->input)
		return -EPROTO;
	memcpy(session->buffer + session->input, session->frame, frame->size);
	session->input += frame->size;
	session->input_ended = !frame->size;
	return 0;
}

static int take_frame(struct session *session)
{
	struct lv_agent_frame frame;
	int err = frame_receive(session->fd, &frame, session->frame, sizeof(session->frame), DEADLINE_NEVER);
	if (err)
		return err;
	if (frame.type == LV_AGENT_STDIN)
		err = take_input(session, &frame);
	else if (frame.type == LV_AGENT_SIGNAL)
		err = take_signal(session, &frame);
	else if (frame.type == LV_AGENT_RESIZE)
		err = take_size(session, &frame);
	else
		err = -EPROTO;
	if (err)
		frame_send_error(session->fd, -err, "frame of type %u and size %u does not fit here", frame.type, frame.size);
	return err;
}

/* One round. 0: go on; 1: the program has ended; negative: the client has gone. */
static int round_of(struct session *session)
{
	struct pollfd fds[] = { { .fd = session->fd, .events = POLLIN }, { .fd = session->process, .events = POLLIN },
		{ .fd = session->out, .events = POLLIN }, { .fd = session->err, .events = POLLIN },
		{ .fd = session->input ? session->in : -1, .events = POLLOUT } };
	int err = 0;
	if (poll(fds, 5, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (fds[2].revents && !pass_output(session, session->out, LV_AGENT_STDOUT, &err))
		close_fd(&session->out);
	if (!err && fds[3].revents && !pass_output(session, session->err, LV_AGENT_STDERR, &err))
		close_fd(&session->err);
	if (!err && fds[0].revents)
		err = take_frame(session);
	if (!err && session->input)
		feed(session, &err);
	if (!err && session->input_ended && !session->input)
		end_input(session);
	return err ? err : fds[1].revents ? 1 : 0;
}

/* What the program left in its pipes. What others that it started hold open is not waited for. */
static void drain(struct session *session)
{
	int err = 0;
	struct { int *fd; enum lv_agent_type type; } stream[] = { { &session->out, LV_AGENT_STDOUT }, { &session->err, LV_AGENT_STDERR } };
	for (int i = 0; i < 2; i++)
		for (int n = 0; n < DRAIN_READS && *stream[i].fd >= 0 && !err; n++) {
			errno = 0;
			if (!pass_output(session, *stream[i].fd, stream[i].type, &err) || errno == EAGAIN)
				close_fd(stream[i].fd);
		}
}

static void finish(struct session *session, int result)
{
	int32_t status = 0;
	int wait_status;
	if (result < 0) {
		/* Nobody is there any more who could see the output or end it. */
		kill(-session->pid, SIGHUP);
		kill(-session->pid, SIGCONT);
		return;
	}
	drain(session);
	if (waitpid(session->pid, &wait_status, 0) == session->pid)
		status = wait_status;
	frame_send(session->fd, LV_AGENT_EXIT, &status, sizeof(status));
}

void session_run(int fd, const struct agent_world *world, const void *bytes, size_t size)
{
	struct guest_config asked;
	struct session *session = calloc(1, sizeof(*session));
	const char *why = "";
	unsigned record = 0;
	int result = 0;
	signal(SIGPIPE, SIG_IGN);
	if (!session || config_parse(&asked, bytes, size, &why, &record)) {
		frame_send_error(fd, EPROTO, "what to run: %s (record %u)", session ? why : "memory is short", record);
		free(session);
		return;
	}
	session->fd = fd;
	session->in = session->out = session->err = session->process = -1;
	int err = start(session, world, &asked);
	if (err) {
		frame_send_error(fd, -err, "%s cannot be started: %s%s", asked.program, strerror(-err),
				 session->terminal && err == -ENOENT ? " (this kernel has no pseudo terminals)" : "");
	} else {
		while (!(result = round_of(session)))
			;
		finish(session, result);
	}
	config_free(&asked);
	int *fds[] = { &session->in, &session->out, &session->err, &session->process };
	for (int i = 0; i < 4; i++)
		close_fd(fds[i]);
	free(session);
}
