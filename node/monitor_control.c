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

#include "base/text.h"

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

static int send_request(int fd, const struct lv_control_request *request, const int *fds, int count)
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} room = { 0 };
	struct iovec iov = { (void *)request, sizeof(*request) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (count > 0 && count <= 2) {
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

int control_call(int fd, enum lv_control_op op, int64_t arg, const int *fds, int count, struct lv_control_reply *reply)
{
	struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = op, .arg = arg };
	struct lv_control_reply *answer = reply ? reply : alloc_zero(sizeof(*answer));
	int err = send_request(fd, &request, fds, count);
	if (!err) {
		ssize_t n = recv(fd, answer, sizeof(*answer), 0);
		if (n < 0)
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
		else if (n == 0)
			err = -ECONNRESET;
		else if (n < (ssize_t)sizeof(answer->result))
			err = -EPROTO;
		else
			err = (int)answer->result;
	}
	if (!reply)
		free(answer);
	return err;
}

int control_ask(int vm_dir, enum lv_control_op op, int64_t arg, struct lv_control_reply *reply, uint64_t deadline)
{
	int left = deadline_left(deadline), fd = control_connect(vm_dir, left > 0 ? left : 1);
	if (fd < 0)
		return fd;
	int err = control_call(fd, op, arg, NULL, 0, reply);
	close(fd);
	return err;
}

int control_status(int vm_dir, int patience_ms, struct lv_status *status)
{
	struct lv_control_reply *reply = alloc_zero(sizeof(*reply));
	int fd = control_connect(vm_dir, patience_ms);
	int err = fd < 0 ? fd : control_call(fd, LV_CTL_STATUS, 0, NULL, 0, reply);
	if (!err && reply->status.magic != LV_STATUS_MAGIC)
		err = -EPROTO;
	if (!err) {
		*status = reply->status;
		status->error[sizeof(status->error) - 1] = 0;
	}
	if (fd >= 0)
		close(fd);
	free(reply);
	return err;
}
