/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/foreground.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/number.h"
#include "node/agent_client.h"
#include "node/monitor_control.h"

#define INTERRUPTS_TO_KILL 3   /* a user who presses Ctrl-C this often ... */
#define INTERRUPTS_MS 2000     /* ... within this time means it; now and then is a habit at prompts */

static void forwarded(sigset_t *set)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	sigemptyset(set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(set, signals[i]);
}

void foreground_hold_signals(void)
{
	sigset_t set;
	forwarded(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

struct interrupts { /* Ctrl-C in a row */
	int count;
	uint64_t until; /* the first one's time is over */
};

static bool means_kill(struct interrupts *interrupts)
{
	if (!deadline_left(interrupts->until) || !interrupts->count)
		*interrupts = (struct interrupts){ .until = deadline_in(INTERRUPTS_MS) };
	return ++interrupts->count >= INTERRUPTS_TO_KILL;
}

/* By the monitor, which writes down how the VM ended; one that does not answer is ended itself. */
static void end_vm(const struct launch *launch, int number)
{
	int err = control_ask(launch->vm->dir, LV_CTL_KILL, number, NULL, deadline_in(AGENT_ANSWER_MS));
	if (err && err != -ECONNREFUSED && err != -ENOENT)
		launch_kill(launch);
}

static void end_by_user(const struct launch *launch, struct terminal *terminal)
{
	end_vm(launch, SIGINT);
	terminal_leave(terminal);
	log_warn("VM %s: killed after %d interrupts", launch->vm->id, INTERRUPTS_TO_KILL);
}

/* Who sends SIGUSR1 wants to tell the program something; who sends one of the others wants it to end, and may have that of a guest that cannot be told. */
static void forward(const struct launch *launch, struct terminal *terminal, int number, struct interrupts *interrupts)
{
	const char *id = launch->vm->id;
	if (number == SIGINT && means_kill(interrupts)) {
		end_by_user(launch, terminal);
		return;
	}
	int err = vm_signal(launch->vm->dir, number, deadline_in(AGENT_ANSWER_MS));
	if (!err || err == -ECONNREFUSED)
		return; /* delivered, or the VM ends already */
	const char *why = err == -EAGAIN ? "nobody in the guest takes it, or not yet" : err == -EOPNOTSUPP ? "no guest of this kind takes it"
		: err == -ETIMEDOUT ? "no answer in time" : strerror(-err);
	if (number == SIGUSR1 || number == SIGUSR2) {
		log_warn("VM %s: %s did not reach the program: %s", id, signal_name(number), why);
	} else {
		log_warn("VM %s: %s did not reach the program, the VM is ended: %s", id, signal_name(number), why);
		end_vm(launch, number);
	}
}

/* The window of a VM's terminal is as large as ours. By the agent where there is one: kernels disagree on the console's message. */
static void resize(const struct launch *launch)
{
	uint16_t rows, columns;
	if (!launch->config->terminal || !terminal_size(&rows, &columns))
		return;
	uint64_t soon = deadline_in(AGENT_ANSWER_MS);
	if (agent_resize(launch->vm->dir, rows, columns, soon))
		control_ask(launch->vm->dir, LV_CTL_RESIZE, (int64_t)rows << 16 | columns, NULL, soon);
}

static void on_signal(const struct launch *launch, struct terminal *terminal, int number, struct interrupts *interrupts)
{
	if (number == SIGWINCH)
		resize(launch);
	else
		forward(launch, terminal, number, interrupts);
}

/* ---- what is typed: it goes through us, since a VM that hangs would not see who wants its end ---- */

#define CTRL_C 3

struct keys {
	char data[1024];
	size_t from, to; /* read, and not yet passed on */
	bool ended;
};

static void pass_keys(struct launch *launch, struct keys *keys)
{
	while (keys->from < keys->to) {
		ssize_t n = write(launch->keys, keys->data + keys->from, keys->to - keys->from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		keys->from = n < 0 ? keys->to : keys->from + (size_t)n;
	}
}

static void on_keys(struct launch *launch, struct terminal *terminal, struct keys *keys, struct interrupts *interrupts)
{
	ssize_t n = read(STDIN_FILENO, keys->data, sizeof(keys->data));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	keys->ended = n <= 0;
	keys->from = 0;
	keys->to = n > 0 ? (size_t)n : 0;
	for (size_t i = 0; i < keys->to; i++) {
		if (keys->data[i] != CTRL_C || !means_kill(interrupts))
			continue;
		end_by_user(launch, terminal);
		keys->ended = true;
		return;
	}
	pass_keys(launch, keys);
}

/* Said once, with passt's own words if it has left any: the program may not need the network any more. */
static void passt_ended(struct launch *launch)
{
	if (!spawned_wait(&launch->net.helper))
		return;
	char *text = launch_messages(launch);
	log_warn("passt ended, the network is gone%s%s", text ? ": " : "", text ? text : "");
	free(text);
}

static int exit_status(int status, struct error *error)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return error_set(error, -EIO, "the monitor was ended by %s", signal_name(WTERMSIG(status)));
}

/* The guest's first packet, or the end of the monitor. A network that cannot start is no reason to end the program. */
static void on_packet(struct launch *launch, short events)
{
	struct error error = { 0 };
	if (link_has_traffic(launch->net.peer)) {
		if (link_wake(&launch->config->net, launch->messages, &launch->net, &error))
			log_warn("the network cannot start: %s", error.text);
	} else if (events & (POLLHUP | POLLERR)) {
		close(launch->net.peer);
		launch->net.peer = -1;
	}
}

int foreground_wait(struct launch *launch, struct terminal *terminal, struct error *error)
{
	struct interrupts interrupts = { 0 };
	struct keys keys = { .ended = launch->keys < 0 };
	struct signalfd_siginfo info;
	sigset_t set;
	forwarded(&set);
	sigaddset(&set, SIGWINCH);
	struct pollfd fds[] = { { .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN }, { .events = POLLIN }, { .events = POLLIN },
				{ .fd = launch->monitor.pidfd, .events = POLLIN }, { .events = 0 }, /* its end only. That the guest runs wakes nobody */
				{ .events = POLLIN }, { .events = POLLOUT } };
	if (launch->keys >= 0)
		fcntl(launch->keys, F_SETFL, O_NONBLOCK);
	if (fds[0].fd < 0)
		return error_set(error, -errno, "signalfd: %s", strerror(errno));
	while (!fds[3].revents) {
		fds[1].fd = launch->net.peer;
		fds[2].fd = launch->net.helper.pidfd;
		fds[4].fd = launch->configured;
		fds[5].fd = keys.ended || keys.from < keys.to ? -1 : STDIN_FILENO;
		fds[6].fd = keys.from < keys.to ? launch->keys : -1;
		if (poll(fds, 7, -1) < 0)
			continue;
		if (fds[4].revents && launch_hear(launch))
			break;
		if (fds[2].revents)
			passt_ended(launch);
		if (fds[1].revents)
			on_packet(launch, fds[1].revents);
		if (fds[0].revents && read(fds[0].fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
			on_signal(launch, terminal, (int)info.ssi_signo, &interrupts);
		if (fds[6].revents)
			pass_keys(launch, &keys);
		if (fds[5].revents)
			on_keys(launch, terminal, &keys, &interrupts);
	}
	close(fds[0].fd);
	return exit_status(launch_reap(launch), error);
}
