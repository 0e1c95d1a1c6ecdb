/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/vms/{id}/logs, wait, console: what a VM says and when it ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "daemon/api_vm.h"
#include "daemon/later.h"
#include "daemon/routes.h"
#include "node/monitor_control.h"
#include "node/vm_log.h"
#include "node/vm_view.h"
#include "node/vm_wait.h"

#define WAIT_SECONDS_MAX 86400

/* ---- logs ---- */

static ssize_t put_piece(void *context, char *piece, size_t n)
{
	int err = fd_write(*(int *)context, piece, n);
	return err ? err : (ssize_t)n;
}

/* Nobody reads any more: the loop has closed its end. */
static bool is_read(void *context)
{
	struct pollfd out = { .fd = *(int *)context };
	return poll(&out, 1, 0) == 0;
}

static const char *const log_query[] = { "follow", "tail", NULL };
static int logs(struct api_request *request, int out, struct error *error)
{
	struct api_vm vm;
	struct vm_log log = { .fd = -1 };
	bool follow = false;
	uint64_t tail = VM_LOG_ALL;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = api_query_bool(request, "follow", &follow, error);
	if (!err)
		err = api_query_number(request, "tail", 0, UINT32_MAX, VM_LOG_ALL, &tail, error);
	if (!err && (err = vm_log_open(&log, &vm.info, tail, error)) == -ENOENT)
		err = error->code = -ENODATA; /* the VM is there */
	if (!err)
		err = api_begin(request, out, "text/plain; charset=utf-8");
	if (!err)
		err = vm_log_read(&log, &vm.info, follow, put_piece, is_read, &out, error);
	vm_log_close(&log);
	api_vm_close(&vm);
	return err;
}

/* ---- waiting for the end: in the loop, one descriptor each ---- */

struct waiting {
	struct daemon *daemon;
	struct later *later;
	struct loop_watch process;
	struct loop_timer limit;
	char id[STATE_ID + 1];
	uint64_t seconds;
};

static void forget(struct waiting *waiting)
{
	loop_timer_set(&waiting->daemon->loop, &waiting->limit, 0);
	loop_update(&waiting->daemon->loop, &waiting->process, 0);
	close(waiting->process.fd);
	free(waiting);
}

static void cancelled(void *context)
{
	forget(context);
}

static void has_ended(void *context, uint32_t events)
{
	struct waiting *waiting = context;
	struct api_reply reply = { 0 };
	struct error error = { 0 };
	struct state state;
	struct vm_info info = { .dir = VM_DIR_NONE };
	int err = state_open(&state, false, &error);
	if (!err)
		err = vm_info_open(&state, waiting->id, &info);
	if (err)
		error_set(&error, err, "VM %s was removed when it ended", waiting->id);
	else
		err = api_say_json(&reply, vm_view_row(&info), &error);
	vm_info_close(&info);
	state_close(&state);
	later_reply(waiting->later, err, &reply, &error);
	forget(waiting);
}

static void too_late(void *context)
{
	struct waiting *waiting = context;
	struct api_reply reply = { 0 };
	struct error error;
	error_set(&error, -ETIMEDOUT, "VM %s has not ended after %llu s; it runs on", waiting->id, (unsigned long long)waiting->seconds);
	later_reply(waiting->later, -ETIMEDOUT, &reply, &error);
	forget(waiting);
}

/* Of the monitor; -ESRCH: it has ended. */
static int process_of(const struct vm_info *info)
{
	int fd = info->alive && info->status.pid ? (int)syscall(SYS_pidfd_open, (pid_t)info->status.pid, 0) : -1;
	/* The number is the monitor's only while the lock is held. */
	if (fd >= 0 && vm_alive(&info->dir))
		return fd;
	if (fd >= 0)
		close(fd);
	return info->alive && !info->status.pid ? -EAGAIN : -ESRCH;
}

static int start_waiting(struct api_request *request, struct later *later, int process, const char *id, uint64_t seconds)
{
	struct waiting *waiting = alloc_zero(sizeof(*waiting));
	if (!waiting)
		return -ENOMEM;
	*waiting = (struct waiting){ .daemon = request->daemon, .later = later, .seconds = seconds,
		.process = { .fd = process, .ready = has_ended, .context = waiting }, .limit = { .fire = too_late, .context = waiting } };
	memcpy(waiting->id, id, sizeof(waiting->id));
	int err = loop_update(&request->daemon->loop, &waiting->process, EPOLLIN);
	if (err) {
		free(waiting);
		return err;
	}
	if (seconds)
		loop_timer_set(&request->daemon->loop, &waiting->limit, clock_now() + seconds * NS_PER_S);
	later->cancel = cancelled;
	later->context = waiting;
	return 0;
}

static const char *const wait_query[] = { "seconds", NULL };
static int wait_vm(struct api_request *request, struct later *later, struct error *error)
{
	struct api_vm vm;
	uint64_t seconds;
	int err = api_query_number(request, "seconds", 1, WAIT_SECONDS_MAX, 0, &seconds, error);
	if (err)
		return err;
	err = api_vm_open(request, &vm, error);
	int process = err ? err : process_of(&vm.info);
	if (!err && process == -ESRCH) {
		struct api_reply reply = { .json = vm_view_row(&vm.info) };
		later_reply(later, reply.json ? 0 : -ENOMEM, &reply, error);
	} else if (!err && process < 0) {
		err = error_set(error, process, "VM %s has not started yet", vm.info.dir.id);
	} else if (!err && (err = start_waiting(request, later, process, vm.info.dir.id, seconds))) {
		error_set(error, err, "waiting: %s", strerror(-err));
		close(process);
	}
	api_vm_close(&vm);
	return err;
}

/* ---- waiting for its first port: the monitor tells one who stays connected ---- */

static int listens(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	uint64_t seconds;
	int err = api_query_number(request, "seconds", 1, 300, 60, &seconds, error);
	if (err)
		return err;
	err = api_vm_open(request, &vm, error);
	if (!err)
		err = vm_await_listen(&vm.info.dir, (int)seconds * 1000, error);
	if (!err)
		err = api_say_json(reply, vm_view_row(&vm.info), error);
	api_vm_close(&vm);
	return err;
}

/* ---- console ---- */

static int lives(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	int err = api_vm_open(request, &vm, error);
	if (!err && !vm.info.alive)
		err = error_set(error, -ESRCH, "VM %s has ended", vm.info.dir.id);
	api_vm_close(&vm);
	return err;
}

/* Until the VM closes its end, or the client both of his. */
static void talk(int connection, int in, int out)
{
	struct pollfd fds[] = { { .fd = connection, .events = POLLIN }, { .fd = out, .events = POLLIN } };
	while (poll(fds, 2, -1) >= 0) {
		if (fds[1].revents && !fd_copy_piece(out, connection))
			break;
		if (fds[0].revents & (POLLERR | POLLHUP) && !(fds[0].revents & POLLIN))
			break;
		if (fds[0].revents && !fd_copy_piece(connection, in)) {
			close(in);
			fds[0].events = 0;
			in = -1;
		}
	}
}

static void console(struct api_request *request, int connection)
{
	struct api_vm vm;
	struct error error = { 0 };
	int in[2], out[2];
	int err = api_vm_open(request, &vm, &error);
	if (!err && (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)))
		err = error_set(&error, -errno, "pipe: %s", strerror(errno));
	int control = err ? -1 : control_connect(vm.info.dir.dir, CONTROL_PATIENCE_MS);
	if (!err && (err = control < 0 ? control : control_call(control, LV_CTL_ATTACH, 0, (const int[]){ in[0], out[1] }, 2, NULL)))
		error_set(&error, err, "VM %s: %s", vm.info.dir.id, err == -ENOSPC ? "too many consoles are attached" : strerror(-err));
	if (err) {
		dprintf(connection, "%s\n", error.text);
		return;
	}
	close(in[0]);
	close(out[1]);
	fd_write(in[1], request->early.data, request->early.size);
	talk(connection, in[1], out[0]);
}

const struct route routes_logs[] = {
	{ .method = "GET", .path = "/v1/vms/{id}/logs", .operation = "getVmLogs", .query = log_query, .stream = logs },
	{ .method = "GET", .path = "/v1/vms/{id}/wait", .operation = "waitVm", .query = wait_query, .later = wait_vm },
	{ .method = "GET", .path = "/v1/vms/{id}/listens", .operation = "waitVmListens", .query = wait_query, .task = listens, .lasting = true },
	{ .method = "GET", .path = "/v1/vms/{id}/console", .operation = "attachVm", .session = console, .check = lives },
	{ 0 },
};
