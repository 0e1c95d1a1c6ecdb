/* SPDX-License-Identifier: Apache-2.0 */
#include "node/agent_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/frame.h"
#include "base/shown.h"
#include "node/agent_line.h"
#include "node/vm_config.h"
#include "node/monitor_control.h"

#define LINE 64 /* bytes of "OK port\n", and more */
#define RENEW_TRIES 10

/* ---- the socket ---- */

static struct sockaddr_un address_of(int vm_dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/vsock", vm_dir);
	return address;
}

int agent_listen(int vm_dir)
{
	struct sockaddr_un address = address_of(vm_dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64)) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* A write waits for as long as there is now: requests are small, and one that an agent does not take ends there. */
static int dial(int vm_dir, uint64_t deadline)
{
	struct sockaddr_un address = address_of(vm_dir);
	int left = deadline_left(deadline);
	struct timeval patience = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 + 1 }; /* 0 would be for ever */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), err = fd < 0 ? -errno : 0;
	if (!err)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* of connect, too */
	if (!err && connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (!err || fd < 0)
		return err ? err : fd;
	close(fd);
	return err;
}

/* "OK hostport": byte by byte, since what follows belongs to the guest. -EAGAIN: the guest does not listen, or not yet. */
static int read_welcome(int fd, uint64_t deadline)
{
	char line[LINE];
	size_t size = 0;
	while (size < sizeof(line)) {
		int err = deadline_readable(fd, deadline);
		if (err)
			return err;
		ssize_t n = recv(fd, line + size, 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 || errno == ECONNRESET ? -EAGAIN : -errno;
		if (line[size++] == '\n')
			return size > 3 && !memcmp(line, "OK ", 3) ? 0 : -EPROTO;
	}
	return -EPROTO;
}

/* One try. -EAGAIN: nobody listens there, or not yet. */
static int connect_once(int vm_dir, uint64_t deadline)
{
	char line[LINE];
	int fd = dial(vm_dir, deadline), n = snprintf(line, sizeof(line), "CONNECT %d\n", LV_AGENT_PORT);
	if (fd < 0)
		return fd;
	int err = send(fd, line, (size_t)n, MSG_NOSIGNAL) == n ? read_welcome(fd, deadline) : -EAGAIN;
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* ---- waiting for a VM that starts ---- */

static bool program_started(const struct vm_info *info)
{
	struct lv_status status;
	return !vm_status(&info->dir, &status) && (status.ledger[LV_STEP_PROGRAM].ns || status.state == LV_STATE_EXITED);
}

/* A descriptor that becomes readable when the record changes, or a negative errno. */
static int watch_record(const struct vm_info *info)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", info->dir.status);
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), err = watch < 0 ? -errno : 0;
	if (!err && inotify_add_watch(watch, path, IN_MODIFY) < 0)
		err = -errno;
	if (err && watch >= 0)
		close(watch);
	return err ? err : watch;
}

/* One more try after the record changed, for as long as that may help; the watch is there before the first one. */
static int connect_after_changes(const struct vm_info *info, int watch, uint64_t end, bool *started)
{
	char events[512];
	int fd, left;
	do {
		/* Looked at before the try: who fails after the start will not succeed later. */
		*started = program_started(info);
		fd = connect_once(info->dir.dir, deadline_in(AGENT_ANSWER_MS));
		left = deadline_left(end);
		if (fd == -EAGAIN && !*started && left > 0) {
			struct pollfd wait = { .fd = watch, .events = POLLIN };
			poll(&wait, 1, left);
			(void)!read(watch, events, sizeof(events));
		}
		/* A guest that has no driver yet does not even refuse: the time for one answer is not that for a start. */
	} while ((fd == -EAGAIN || fd == -ETIMEDOUT) && !*started && left > 0);
	return fd;
}

/*
 * The monitor writes its record when the program starts, and by then the agent listens. Most are asked long after that: only where
 * the first try fails the record is watched, since the end of a watch waits for a grace period of the kernel (13 ms were seen).
 */
static int connect_patiently(const struct vm_info *info)
{
	uint64_t end = deadline_in(AGENT_PATIENCE_MS);
	bool started = program_started(info);
	int fd = connect_once(info->dir.dir, deadline_in(AGENT_ANSWER_MS));
	if ((fd == -EAGAIN || fd == -ETIMEDOUT) && !started && deadline_left(end) > 0) {
		int watch = watch_record(info);
		if (watch < 0)
			return watch;
		fd = connect_after_changes(info, watch, end, &started);
		close(watch);
	}
	return fd == -EAGAIN && !started ? -ETIMEDOUT : fd;
}

/* ---- frames ---- */

int agent_error(const void *body, size_t size, struct error *error)
{
	struct lv_agent_error head = { .error = EPROTO };
	char text[512];
	size_t n = 0;
	if (size >= sizeof(head)) {
		memcpy(&head, body, sizeof(head));
		n = size - sizeof(head) < sizeof(text) - 1 ? size - sizeof(head) : sizeof(text) - 1;
		n = text_shown(text, (const char *)body + sizeof(head), n, 0, NULL);
	}
	text[n] = 0;
	return error_set(error, head.error > 0 && head.error < 4096 ? -head.error : -EIO, "%s", n ? text : "the agent gave no reason");
}

int agent_answer(int fd, struct lv_agent_frame *frame, void *body, uint64_t deadline, struct error *error)
{
	int err = frame_receive(fd, frame, body, LV_AGENT_DATA_MAX, deadline);
	if (err == -ETIMEDOUT)
		return error_set(error, err, "the agent did not answer in time");
	if (err)
		return error_set(error, err, "the agent: %s", err == -ECONNRESET ? "the connection ended" : err == -EPROTO ? "it ended in the middle of a frame"
			: err == -EMSGSIZE ? "it sent a frame that is too long" : strerror(-err));
	return frame->type == LV_AGENT_ERROR ? agent_error(body, frame->size, error) : 0;
}

static int greet(int fd, uint64_t deadline, struct error *error)
{
	struct lv_agent_hello hello = { LV_AGENT_MAGIC, LV_AGENT_VERSION };
	struct lv_agent_frame frame;
	void *body = alloc_zero(LV_AGENT_DATA_MAX);
	if (!body)
		return error_set(error, -ENOMEM, "out of memory");
	int err = frame_send(fd, LV_AGENT_HELLO, &hello, sizeof(hello));
	if (err)
		error_set(error, err, "the agent: %s", strerror(-err));
	else
		err = agent_answer(fd, &frame, body, deadline, error);
	if (!err && (frame.type != LV_AGENT_HELLO || frame.size != sizeof(hello) || memcmp(body, &hello.magic, sizeof(hello.magic))))
		err = error_set(error, -EPROTO, "what listens on port %d of the guest is not LightVM's agent", LV_AGENT_PORT);
	free(body);
	return err;
}

static bool is_linux(const struct vm_info *info)
{
	const char *kernel = config_string(info->config, "kernel");
	return kernel && strcmp(kernel, "libos");
}

static int no_agent(const struct vm_info *info, int err, struct error *error)
{
	const char *id = info->dir.id;
	if (err == -ENOENT && is_linux(info))
		return error_set(error, -EOPNOTSUPP, "VM %s has nothing of LightVM's in it, a kernel and disks only: there is no agent; what it offers is its console and its network", id);
	if (err == -ECONNREFUSED || !vm_alive(&info->dir))
		return error_set(error, -ESRCH, "VM %s has ended", id);
	if (err == -EAGAIN)
		return error_set(error, -ENOTCONN, "VM %s has no agent: its kernel has no vsock, its first program is not LightVM's, or too many ask it at once", id);
	if (err == -ETIMEDOUT)
		return error_set(error, err, "the agent of VM %s did not answer within %d s", id, AGENT_PATIENCE_MS / 1000);
	return error_set(error, err, "the agent of VM %s: %s", id, strerror(-err));
}

int agent_connect(const struct vm_info *info, struct error *error)
{
	if (!info->alive)
		return vm_not_alive(info, error);
	if (info->state == VM_PAUSED)
		return error_set(error, -EAGAIN, "VM %s is paused; let it go on with: lightvm resume %s", info->dir.id, info->dir.id);
	int fd = is_linux(info) ? connect_patiently(info) : agent_line_open(info, AGENT_PATIENCE_MS, error), err;
	if (fd < 0)
		return is_linux(info) ? no_agent(info, fd, error) : fd;
	err = greet(fd, deadline_in(AGENT_ANSWER_MS), error);
	if (!err)
		return fd;
	close(fd);
	return err;
}

/* One request with one answer: its frame, and its body in answer (LV_AGENT_DATA_MAX bytes). */
static int ask_for(int vm_dir, enum lv_agent_type type, const void *body, size_t size, struct lv_agent_frame *frame, void *answer, uint64_t deadline)
{
	struct error error = { 0 };
	int fd = connect_once(vm_dir, deadline), err = fd < 0 ? fd : greet(fd, deadline, &error);
	if (!err)
		err = frame_send(fd, type, body, size);
	if (!err)
		err = agent_answer(fd, frame, answer, deadline, &error);
	if (fd >= 0)
		close(fd);
	return err;
}

static int ask(int vm_dir, enum lv_agent_type type, const void *body, size_t size, uint64_t deadline)
{
	struct lv_agent_frame frame;
	char *answer = alloc_zero(LV_AGENT_DATA_MAX);
	int err = answer ? ask_for(vm_dir, type, body, size, &frame, answer, deadline) : -ENOMEM;
	free(answer);
	return err;
}

int agent_resources(int vm_dir, struct lv_agent_resources *resources, uint64_t deadline)
{
	struct lv_agent_frame frame;
	char *answer = alloc_zero(LV_AGENT_DATA_MAX);
	int err = answer ? ask_for(vm_dir, LV_AGENT_RESOURCES, "", 0, &frame, answer, deadline) : -ENOMEM;
	if (!err && (frame.type != LV_AGENT_RESOURCES || frame.size != sizeof(*resources)))
		err = -EPROTO;
	if (!err)
		memcpy(resources, answer, sizeof(*resources));
	free(answer);
	return err;
}

static int take_processes(const struct lv_agent_frame *frame, const struct lv_agent_processes *told, struct lv_agent_process *process, size_t *count,
			  uint32_t *total, struct error *error)
{
	bool sane = frame->type == LV_AGENT_PROCESSES && frame->size >= LV_AGENT_PROCESSES_SIZE(0) && told->count <= LV_AGENT_PROCESSES_MAX &&
		    frame->size == LV_AGENT_PROCESSES_SIZE(told->count);
	if (!sane)
		return error_set(error, -EPROTO, "the agent: its list of processes makes no sense");
	memcpy(process, told->process, told->count * sizeof(*process));
	*count = told->count;
	*total = told->total;
	return 0;
}

int agent_processes(int fd, struct lv_agent_process *process, size_t *count, uint32_t *total, uint64_t deadline, struct error *error)
{
	struct lv_agent_frame frame;
	struct lv_agent_processes *told = alloc_zero(LV_AGENT_DATA_MAX);
	int err = told ? frame_send(fd, LV_AGENT_PROCESSES, "", 0) : -ENOMEM;
	if (err)
		error_set(error, err, "the agent: %s", strerror(-err));
	else
		err = agent_answer(fd, &frame, told, deadline, error);
	if (!err)
		err = take_processes(&frame, told, process, count, total, error);
	free(told);
	close(fd);
	return err;
}

int agent_kill(int vm_dir, int number, uint64_t deadline)
{
	int32_t body = number;
	int err = ask(vm_dir, LV_AGENT_KILL, &body, sizeof(body), deadline);
	/* The signal may have ended the VM, and the agent with it, before the answer. */
	return err == -ECONNRESET || err == -EPROTO ? 0 : err;
}

int agent_resize(int vm_dir, uint16_t rows, uint16_t columns, uint64_t deadline)
{
	struct lv_agent_size size = { rows, columns };
	return ask(vm_dir, LV_AGENT_RESIZE, &size, sizeof(size), deadline);
}

int agent_listens(int vm_dir, uint16_t port, uint64_t deadline)
{
	return ask(vm_dir, LV_AGENT_LISTENS, &port, sizeof(port), deadline);
}

int agent_renew(int vm_dir, bool identity, const char *hostname, uint64_t deadline)
{
	struct lv_agent_renew renew = { .flags = identity ? LV_RENEW_IDENTITY : 0 };
	if (identity && getrandom(renew.seed, sizeof(renew.seed), 0) != sizeof(renew.seed))
		return -errno;
	snprintf(renew.hostname, sizeof(renew.hostname), "%s", hostname ? hostname : "");
	int err, tries = RENEW_TRIES;
	do {
		renew.realtime_ns = clock_wall();
		err = ask(vm_dir, LV_AGENT_RENEW, &renew, sizeof(renew), deadline);
		/* A guest that was restored ends the connections that it had, and with them one that came before it got to that. */
	} while ((err == -ECONNRESET || err == -EAGAIN || err == -EPROTO) && --tries && deadline_left(deadline) > 0);
	return err;
}

int vm_signal(int vm_dir, int number, uint64_t deadline)
{
	if (faccessat(vm_dir, "vsock", F_OK, 0))
		return control_ask(vm_dir, LV_CTL_SIGNAL, number, NULL, deadline);
	return agent_kill(vm_dir, number, deadline);
}
