/* SPDX-License-Identifier: Apache-2.0 */
#include "node/monitor_control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "abi/control_v1.h"
#include "base/text.h"
#include "node/status_file.h"

/* Through the open directory: its path may be longer than a socket address has room for. */
static struct sockaddr_un address_of(int vm_dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control", vm_dir);
	return address;
}

int control_listen(int vm_dir)
{
	struct sockaddr_un address = address_of(vm_dir);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 8)) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int control_connect(int vm_dir, int patience_ms)
{
	struct sockaddr_un address = address_of(vm_dir);
	struct timeval timeout = { .tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

#define FDS_MOST 3 /* that go with a request */
static int send_request(int fd, const struct lv_control_request *request, const int *fds, int count)
{
	union {
		char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
		struct cmsghdr align;
	} room = { 0 };
	struct iovec iov = { (void *)request, sizeof(*request) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (count > 0 && count <= FDS_MOST) {
		message.msg_control = room.bytes;
		message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
		memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* ---- replies ---- */

static int take_v1(const void *bytes, struct control_answer *answer)
{
	const struct lv_control_reply_v1 *reply = bytes;
	if (!answer)
		return (int)reply->result;
	answer->version = 1;
	status_from_v1(&reply->status, &answer->status);
	report_from_v1(&reply->status, &answer->report);
	return (int)reply->result;
}

static void take_status(const uint8_t *payload, size_t size, struct control_answer *answer)
{
	const struct lv_status_v2 *old = (const void *)payload;
	if (size >= offsetof(struct lv_status_v2, device) && size <= sizeof(*old) && old->version == 2) {
		status_from_v2(old, size, &answer->status);
		return;
	}
	memcpy(&answer->status, payload, size < sizeof(answer->status) ? size : sizeof(answer->status));
	status_tidy(&answer->status);
}

static int take_threads(const uint8_t *payload, size_t size, struct lv_threads *threads)
{
	memset(threads, 0, sizeof(*threads));
	memcpy(threads, payload, size < sizeof(*threads) ? size : sizeof(*threads));
	bool whole = threads->count <= LV_THREADS_MAX && size == LV_THREADS_SIZE(threads->count);
	return whole ? 0 : -EPROTO;
}

static int take(const uint8_t *bytes, size_t n, enum lv_control_op op, struct control_answer *answer)
{
	const struct lv_control_reply *head = (const void *)bytes;
	const uint8_t *payload = bytes + sizeof(*head);
	if (n == sizeof(struct lv_control_reply_v1) && ((const struct lv_control_reply_v1 *)(const void *)bytes)->status.magic == LV_STATUS_MAGIC)
		return take_v1(bytes, answer);
	if (n < sizeof(*head) || head->magic != LV_CONTROL_MAGIC || head->size != n - sizeof(*head))
		return -EPROTO;
	if (answer)
		answer->version = head->version;
	if (head->result && answer && head->size < sizeof(answer->why))
		memcpy(answer->why, payload, head->size); /* terminated: the answer was zero */
	if (head->result || !answer)
		return (int)head->result;
	if (op == LV_CTL_STATUS || op == LV_CTL_BALLOON)
		take_status(payload, head->size, answer);
	else if (op == LV_CTL_CRASH && head->size == sizeof(answer->report.what))
		memcpy(&answer->report.what, payload, head->size);
	else if (op == LV_CTL_TAIL && head->size <= sizeof(answer->report.tail))
		memcpy(answer->report.tail, payload, answer->report.tail_size = head->size);
	else if (op == LV_CTL_CALLS && head->size == sizeof(answer->report.calls))
		memcpy(&answer->report.calls, payload, head->size);
	else if (op == LV_CTL_THREADS)
		return take_threads(payload, head->size, &answer->threads);
	else if (op == LV_CTL_CRASH || op == LV_CTL_TAIL || op == LV_CTL_CALLS)
		return -EPROTO;
	return 0;
}

/* What exists since version 1 is asked in it, so that a monitor from before an update answers too. */
static uint16_t version_of(enum lv_control_op op, int64_t arg)
{
	if ((op == LV_CTL_RESUME && arg) || (op == LV_CTL_AWAIT && arg == LV_AWAIT_TEMPLATE))
		return 5;
	return op >= LV_CTL_CALLS ? 6 : op >= LV_CTL_SAVE ? 5 : op >= LV_CTL_THREADS ? 4 : op >= LV_CTL_AWAIT ? 3 : op >= LV_CTL_CRASH ? 2 : 0;
}

static struct lv_control_request request_of(enum lv_control_op op, int64_t arg)
{
	return (struct lv_control_request){ .magic = LV_CONTROL_MAGIC, .op = op, .version = version_of(op, arg), .arg = arg };
}

int control_finish(int fd, enum lv_control_op op, struct control_answer *answer)
{
	union {
		struct lv_control_reply head;
		struct lv_control_reply_v1 v1;
		uint8_t bytes[LV_CONTROL_MOST + 1];
	} reply;
	ssize_t n = recv(fd, &reply, sizeof(reply), 0);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return n ? take(reply.bytes, (size_t)n, op, answer) : -ECONNRESET;
}

int control_send(int fd, enum lv_control_op op, int64_t arg, const int *fds, int count)
{
	struct lv_control_request request = request_of(op, arg);
	return send_request(fd, &request, fds, count);
}

int control_call(int fd, enum lv_control_op op, int64_t arg, const int *fds, int count, struct control_answer *answer)
{
	int err = control_send(fd, op, arg, fds, count);
	return err ? err : control_finish(fd, op, answer);
}

int control_begin(int vm_dir, enum lv_control_op op, int64_t arg)
{
	struct sockaddr_un address = address_of(vm_dir);
	struct lv_control_request request = request_of(op, arg);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int err = connect(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : send_request(fd, &request, NULL, 0);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int control_ask(int vm_dir, enum lv_control_op op, int64_t arg, struct control_answer *answer, uint64_t deadline)
{
	int left = deadline_left(deadline), fd = control_connect(vm_dir, left > 0 ? left : 1);
	if (fd < 0)
		return fd;
	int err = control_call(fd, op, arg, NULL, 0, answer);
	close(fd);
	return err;
}

int control_status(int vm_dir, int patience_ms, struct lv_status *status)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	int err = !answer ? -ENOMEM : control_ask(vm_dir, LV_CTL_STATUS, 0, answer, deadline_in(patience_ms));
	if (!err && answer->status.magic != LV_STATUS_MAGIC)
		err = -EPROTO;
	if (!err)
		*status = answer->status;
	free(answer);
	return err;
}

int control_report(int vm_dir, int patience_ms, struct lv_report *report)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	uint64_t deadline = deadline_in(patience_ms);
	int err = answer ? control_ask(vm_dir, LV_CTL_TAIL, 0, answer, deadline) : -ENOMEM;
	if (!err)
		err = control_ask(vm_dir, LV_CTL_CRASH, 0, answer, deadline);
	else if (err == -EOPNOTSUPP && answer->version == 1)
		err = 0; /* it has told all with its refusal */
	if (!err && answer->version >= 6)
		err = control_ask(vm_dir, LV_CTL_CALLS, 0, answer, deadline);
	if (!err)
		*report = answer->report;
	free(answer);
	return err;
}
