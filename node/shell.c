/* SPDX-License-Identifier: Apache-2.0 */
#include "node/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/control.h"
#include "abi/layout.h"
#include "node/node_paths.h"
#include "node/vm_jail.h"

/* What the monitor is told before its configuration, by arguments; each value in a field of its own. */
struct arguments {
	const char *argv[28];
	int keep[6];
	size_t argc, keeps;
	char socket[16], libos[16], cpuid[16], image[16], state[16], saved[16], memory[24], room[24], ram[24], user[16], pid[SPAWN_PID_WORD];
};

static void add(struct arguments *a, const char *option, const char *value)
{
	a->argv[a->argc++] = option;
	a->argv[a->argc++] = value;
}

static void add_fd(struct arguments *a, const char *option, char *room, size_t size, int fd)
{
	if (fd < 0)
		return;
	snprintf(room, size, "fd:%d", fd);
	add(a, option, room);
	a->keep[a->keeps++] = fd;
}

static void add_size(struct arguments *a, const char *option, char *room, size_t size, uint64_t bytes)
{
	snprintf(room, size, "%llu", (unsigned long long)bytes);
	add(a, option, room);
}

static void arguments(const struct shell_order *order, int socket, struct arguments *a)
{
	*a = (struct arguments){ .argv = { "lightvm-vmm" }, .argc = 1 };
	add(a, "--name", order->name);
	add_fd(a, "--control", a->socket, sizeof(a->socket), socket);
	if (!order->is_linux) {
		add_fd(a, "--libos", a->libos, sizeof(a->libos), order->libos);
		add_fd(a, "--cpuid-cache", a->cpuid, sizeof(a->cpuid), order->cpuid);
		add_size(a, "--mem", a->memory, sizeof(a->memory), order->memory);
		add_size(a, "--image-room", a->room, sizeof(a->room), order->room);
		if (order->ram > LV_RAM_SMALL)
			add_size(a, "--first-ram", a->ram, sizeof(a->ram), order->ram);
	}
	if (order->ahead) {
		add_fd(a, "--ahead-image", a->image, sizeof(a->image), order->ahead->image);
		add_fd(a, "--ahead-state", a->state, sizeof(a->state), order->ahead->state);
		add_fd(a, "--ahead-memory", a->saved, sizeof(a->saved), order->ahead->memory);
	}
	add_size(a, "--jail-uid", a->user, sizeof(a->user), order->user);
	add(a, "--outer-pid", a->pid);
}

static int spawn_monitor(const struct shell_order *order, struct shell *shell, int socket, struct error *error)
{
	struct arguments a;
	char *monitor = paths_monitor(error);
	if (!monitor)
		return -ENOENT;
	arguments(order, socket, &a);
	struct spawn spawn = { SPAWN_INIT, .argv = (char *const *)a.argv, .keep = a.keep, .keep_count = a.keeps, .session = !order->foreground,
		.die_with_us = order->foreground, .ignore_keys = order->foreground, .pid_word = a.pid };
	spawn.out = spawn.err = order->messages;
	int err = vm_jail_spawn(&spawn, monitor, &shell->monitor, error);
	if (err) {
		a.argv[a.argc - 2] = NULL;
		spawn.pid_word = NULL;
		spawn.namespaces = 0;
		err = spawn_start(&spawn, monitor, &shell->monitor, error);
	}
	free(monitor);
	return err;
}

int shell_start(const struct shell_order *order, struct shell *shell, int *theirs, struct error *error)
{
	int pair[2];
	*shell = SHELL_NONE;
	shell->user = order->user;
	shell->held = order->held;
	*theirs = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return error_set(error, -errno, "socketpair: %s", strerror(errno));
	shell->socket = pair[0];
	*theirs = pair[1];
	return spawn_monitor(order, shell, pair[1], error);
}

int shell_libos(struct error *error)
{
	char *path = paths_libos(error);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -ENOENT;
	if (path && fd < 0)
		fd = error_set(error, -errno, "%s: %s", path, strerror(errno));
	free(path);
	return fd;
}

/* ---- when it is ready ---- */

int shell_ask(const struct shell *shell)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	return send(shell->socket, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int shell_answer(const struct shell *shell)
{
	struct {
		struct lv_control_reply head;
		struct lv_status status;
	} reply;
	ssize_t n = recv(shell->socket, &reply, sizeof(reply), MSG_DONTWAIT);
	if (n <= 0)
		return n ? -errno : -ECONNRESET;
	bool whole = n >= (ssize_t)(sizeof(reply.head) + offsetof(struct lv_status, own_error)) && reply.head.magic == LV_CONTROL_MAGIC;
	return whole && !reply.head.result && reply.status.state == LV_STATE_CREATED ? 0 : -EPROTO;
}

int shell_wait(const struct shell *shell, int milliseconds, struct error *error)
{
	struct pollfd poll_fd = { .fd = shell->socket, .events = POLLIN };
	int n, err = shell_ask(shell);
	while (!err && (n = poll(&poll_fd, 1, milliseconds)) <= 0)
		if (n == 0 || errno != EINTR)
			err = n ? -errno : -ETIMEDOUT;
	if (!err)
		err = shell_answer(shell);
	return err ? error_set(error, err, "a monitor that was started ahead: %s", strerror(-err)) : 0;
}

void shell_let_go(struct shell *shell)
{
	if (shell->held >= 0)
		close(shell->held);
	shell->held = -1;
}

void shell_end(struct shell *shell)
{
	shell_let_go(shell);
	if (shell->socket >= 0)
		close(shell->socket);
	if (shell->monitor.pid) {
		kill(shell->monitor.pid, SIGKILL);
		spawned_wait(&shell->monitor);
	}
	*shell = SHELL_NONE;
}

/* ---- what it is made of ---- */

static int stamp(char *path, uint64_t out[4], struct error *error)
{
	struct stat st;
	int err = path ? 0 : -ENOENT;
	if (!err && stat(path, &st))
		err = error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!err) {
		const uint64_t words[] = { st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_ctim.tv_sec * 1000000000ull + (uint64_t)st.st_ctim.tv_nsec };
		memcpy(out, words, sizeof(words));
	}
	free(path);
	return err;
}

int shell_build(struct shell_build *build, struct error *error)
{
	struct jail_users users;
	*build = (struct shell_build){ 0 };
	int err = jail_users_read(&users, error);
	if (!err)
		err = stamp(paths_libos(error), build->libos, error);
	if (!err)
		err = stamp(paths_monitor(error), build->monitor, error);
	build->first_user = err ? 0 : users.first;
	build->users = err ? 0 : users.count;
	return err;
}
