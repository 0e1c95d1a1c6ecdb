/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_wait.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include "node/monitor_control.h"
#include "node/vm_info.h"

struct awaited { /* what a program does, in the words of what is said when it does not */
	int64_t what;
	const char *before, *not_yet, *of_linux, *of_old;
};

/* Its last record is written before its sockets end. */
static int ended(const struct vm_dir *vm, const struct awaited *awaited, struct error *error)
{
	struct vm_info info = { .dir = *vm, .exit_code = -1 };
	if (vm_status(vm, &info.status) || info.status.state != LV_STATE_EXITED)
		return error_set(error, -ESRCH, "VM %s ended before its program %s", vm->id, awaited->before);
	info.state = info.status.crashed ? VM_CRASHED : VM_EXITED;
	info.exit_code = vm_exit_code(info.status.wait_status);
	char *how = vm_state_text(&info);
	error_set(error, -ESRCH, "VM %s ended before its program %s: %s", vm->id, awaited->before, how ? how : "");
	free(how);
	return -ESRCH;
}

static int await(const struct vm_dir *vm, const struct awaited *awaited, int wait_ms, struct error *error)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	int err = answer ? control_ask(vm->dir, LV_CTL_AWAIT, awaited->what, answer, deadline_in(wait_ms)) : -ENOMEM;
	if (err == -EOPNOTSUPP && answer->version == 1) /* which says this of each request that it does not know */
		err = -EPROTONOSUPPORT;
	free(answer);
	switch (err) {
	case 0:
		return 0;
	case -ECONNRESET: case -ECONNREFUSED: case -EPIPE: case -ENOENT:
		return ended(vm, awaited, error);
	case -ETIMEDOUT: case -EAGAIN:
		return error_set(error, -ETIMEDOUT, "the program of VM %s %s after %d s; it runs on", vm->id, awaited->not_yet, wait_ms / 1000);
	case -EOPNOTSUPP:
		return error_set(error, err, "VM %s runs Linux, which does not tell when a program %s", vm->id, awaited->of_linux);
	case -EPROTONOSUPPORT:
		return error_set(error, err, "the monitor of VM %s is older than this lightvm and cannot tell when its program %s", vm->id, awaited->of_old);
	case -EBUSY:
		return error_set(error, err, "enough others wait for VM %s already", vm->id);
	}
	return error_set(error, err, "VM %s: %s", vm->id, strerror(-err));
}

int vm_await_listen(const struct vm_dir *vm, int wait_ms, struct error *error)
{
	static const struct awaited listen = { LV_STEP_LISTEN, "listened", "does not listen", "listens; ask its port, or use \"lightvm exec\"", "listens" };
	return await(vm, &listen, wait_ms, error);
}

int vm_await_template(const struct vm_dir *vm, int wait_ms, struct error *error)
{
	static const struct awaited copy = { LV_AWAIT_TEMPLATE, "read /dev/template", "has not read /dev/template", "is to be copied", "is to be copied" };
	return await(vm, &copy, wait_ms, error);
}

/* Without a limit the lock itself is waited for: it tells of any end, also of a monitor whose record names no process. */
static int await_lock(const struct vm_dir *vm, struct error *error)
{
	while (flock(vm->status, LOCK_SH))
		if (errno != EINTR)
			return error_set(error, -errno, "VM %s: status: %s", vm->id, strerror(errno));
	flock(vm->status, LOCK_UN);
	return 0;
}

int vm_await_end(const struct vm_dir *vm, int wait_ms, struct error *error)
{
	struct lv_status status;
	if (wait_ms < 0)
		return await_lock(vm, error);
	if (!vm_alive(vm))
		return 0;
	int fd = !vm_status(vm, &status) && status.pid ? (int)syscall(SYS_pidfd_open, (pid_t)status.pid, 0) : -1;
	/* The number is the monitor's only while the lock is held. */
	if (!vm_alive(vm) || fd < 0) {
		if (fd >= 0)
			close(fd);
		return vm_alive(vm) ? error_set(error, -EAGAIN, "VM %s has not started yet", vm->id) : 0;
	}
	struct pollfd process = { .fd = fd, .events = POLLIN };
	int n;
	while ((n = poll(&process, 1, wait_ms)) < 0 && errno == EINTR)
		;
	close(fd);
	return n ? 0 : error_set(error, -ETIMEDOUT, "VM %s has not ended after %d s; it runs on", vm->id, wait_ms / 1000);
}
