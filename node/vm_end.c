/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"
#include "node/vm_end.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/agent_client.h"
#include "node/monitor_control.h"

#define KILL_MS 5000   /* for a monitor to end once it was told, or killed */
#define ANSWER_MS 1000 /* for it to take that order, if it had its time to answer before */
#define RETRY_MS 200   /* until a guest that could not be asked is asked again */
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* The monitor's pid; 0: it has ended. A VM that just starts has none yet, but must not be taken for one that has ended. */
static int monitor_pid(const struct vm_info *info, uint32_t *pid)
{
	struct lv_status status = info->status;
	for (uint64_t end = deadline_in(KILL_MS); !status.pid && vm_alive(&info->dir);) {
		int left = deadline_left(end);
		if (left <= 0)
			return -ETIMEDOUT;
		/* It answers once it runs; until its socket is there, and if it ends instead, we look again soon. */
		if (control_status(info->dir.dir, left, &status) && (vm_status(&info->dir, &status) || !status.pid))
			poll(NULL, 0, 5);
	}
	*pid = status.pid;
	return 0;
}

static int open_process(const struct vm_info *info, uint32_t pid)
{
	int fd = pid ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
	if (fd < 0)
		return -ESRCH;
	/* The number may belong to another process by now: only while the lock is held it is the monitor's. */
	if (!vm_alive(&info->dir)) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}

int vm_monitor_open(const struct vm_info *info)
{
	return open_process(info, info->status.pid);
}

/* A descriptor that becomes readable when the monitor ends; -ESRCH: it has ended; -ETIMEDOUT: it does not come to life. */
static int monitor_handle(const struct vm_info *info)
{
	uint32_t pid;
	return monitor_pid(info, &pid) ? -ETIMEDOUT : open_process(info, pid);
}

static bool ended_within(int handle, int milliseconds)
{
	struct pollfd poll_fd = { .fd = handle, .events = POLLIN };
	return poll(&poll_fd, 1, milliseconds) == 1;
}

/* Through the control socket, so that the last record is right; a monitor that does not answer is killed. */
static int end_now(const struct vm_info *info, int handle, int patience_ms, struct error *error)
{
	int err = control_ask(info->dir.dir, LV_CTL_KILL, 0, NULL, deadline_in(patience_ms));
	if (handle < 0 || (!err && ended_within(handle, KILL_MS)))
		return 0;
	if (syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0) && errno != ESRCH)
		return error_set(error, -errno, "VM %s: monitor %u cannot be killed: %s", info->dir.id, info->status.pid, strerror(errno));
	return ended_within(handle, KILL_MS) ? 0 : error_set(error, -ETIMEDOUT, "VM %s: monitor %u does not end", info->dir.id, info->status.pid);
}

/* What asks its program to end: as its image says, or SIGTERM. */
static int stop_signal(const struct vm_info *info)
{
	json_t *config = config_read(info->dir.dir);
	int number;
	if (!config || signal_parse(config_string(config, "stop_signal"), &number))
		number = SIGTERM;
	json_decref(config);
	return number;
}

/*
 * Asks the program to end, and waits for that: true if it has ended before the deadline. A guest that is busy, still boots or has no
 * place for one more session may take the signal later; only the user's time being over is a reason to kill.
 */
static bool end_gently(const struct vm_info *info, int handle, uint64_t deadline)
{
	/* One that stands still could not do anything about it. */
	if (info->state == VM_PAUSED)
		control_ask(info->dir.dir, LV_CTL_RESUME, 0, NULL, deadline);
	int number = stop_signal(info);
	for (bool asked = false; !asked; ) {
		int err = vm_signal(info->dir.dir, number, deadline);
		if (err == -ENOSYS || err == -EOPNOTSUPP || err == -ENOENT)
			return false; /* there is no way to ask this one */
		asked = !err;
		if (!asked && ended_within(handle, MIN(RETRY_MS, deadline_left(deadline))))
			return true;
		if (!asked && !deadline_left(deadline))
			return false;
	}
	return ended_within(handle, deadline_left(deadline));
}

int vm_end(const struct vm_info *info, int wait_ms, struct error *error)
{
	if (info->alive)
		unlinkat(info->dir.dir, STATE_SAVED, 0); /* of a save that was killed before it ended the VM: it has not ended of that */
	int handle = info->alive ? monitor_handle(info) : -ESRCH, err = 0;
	if (handle == -ESRCH)
		return 0;
	if (handle < 0)
		return error_set(error, handle, "VM %s has been starting for longer than %d s; its start has to end first", info->dir.id, KILL_MS / 1000);
	if (wait_ms <= 0 || !end_gently(info, handle, deadline_in(wait_ms)))
		err = end_now(info, handle, wait_ms > 0 ? ANSWER_MS : KILL_MS, error);
	close(handle);
	return err;
}
