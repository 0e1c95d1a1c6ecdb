/* SPDX-License-Identifier: Apache-2.0 */
#include "node/daemon_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/node_paths.h"

#define SOCKET "lightvm.sock"

static int connect_to(bool system, int milliseconds)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000 };
	char *directory = paths_run(system);
	int n = directory ? snprintf(address.sun_path, sizeof(address.sun_path), "%s/" SOCKET, directory) : -1;
	free(directory);
	if (n < 0 || n >= (int)sizeof(address.sun_path))
		return n < 0 ? -ENOMEM : -ENOENT;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	int err = -errno;
	close(fd);
	return err;
}

int daemon_open_within(int milliseconds)
{
	bool root = !geteuid();
	int fd = connect_to(root, milliseconds);
	return fd < 0 && !root ? connect_to(true, milliseconds) : fd;
}

int daemon_open(void)
{
	return daemon_open_within(DAEMON_PATIENCE_MS);
}

union space {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(LV_DAEMON_FDS * sizeof(int))];
};

static int put(int fd, struct lv_daemon_request *head, const void *body, const int *send, unsigned sends)
{
	union space space = { 0 };
	struct iovec iov[] = { { head, sizeof(*head) }, { (void *)body, head->size } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	if (sends) {
		message.msg_control = &space;
		message.msg_controllen = CMSG_SPACE(sends * sizeof(int));
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sends * sizeof(int));
		memcpy(CMSG_DATA(header), send, sends * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Those that nobody expects are closed. */
static void take_fds(struct msghdr *message, int *fds, unsigned room, unsigned *count)
{
	int came[LV_DAEMON_FDS];
	*count = 0;
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		unsigned n = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(came, CMSG_DATA(header), n * sizeof(int));
		for (unsigned i = 0; i < n; i++)
			if (*count < room)
				fds[(*count)++] = came[i];
			else
				close(came[i]);
	}
}

static ssize_t get(int fd, void *data, size_t room, int *fds, unsigned *fd_count)
{
	union space space;
	struct iovec iov = { data, room };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	unsigned count = 0;
	ssize_t n;
	while ((n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	take_fds(&message, fds, fds && fd_count ? *fd_count : 0, &count);
	if (fd_count)
		*fd_count = count;
	return n;
}

int daemon_send(int fd, enum lv_daemon_op op, const void *body, size_t size, const int *send, unsigned sends, struct error *error)
{
	struct lv_daemon_request request = { .magic = LV_DAEMON_MAGIC, .op = (uint16_t)op, .version = LV_DAEMON_VERSION, .size = (uint32_t)size };
	if (size > LV_DAEMON_MOST - sizeof(request) || sends > LV_DAEMON_FDS)
		return error_set(error, -E2BIG, "lightvmd: a request of %zu bytes and %u descriptors is too long", size, sends);
	int err = put(fd, &request, body, send, sends);
	return err ? error_set(error, err, "lightvmd: %s", strerror(-err)) : 0;
}

int daemon_receive(int fd, struct text *said, int *fds, unsigned *fd_count, struct error *error)
{
	struct lv_daemon_reply head;
	char *reply = malloc(LV_DAEMON_MOST); /* not touched: most of it stays what the kernel has not given us yet, 130 us of page faults */
	if (!reply)
		return error_set(error, -ENOMEM, "out of memory");
	ssize_t n = get(fd, reply, LV_DAEMON_MOST, fds, fd_count);
	int err = n < 0 ? error_set(error, (int)n, "lightvmd: %s", strerror((int)-n)) : 0;
	if (!err) {
		memcpy(&head, reply, sizeof(head));
		if ((size_t)n < sizeof(head) || head.magic != LV_DAEMON_MAGIC || head.size != (size_t)n - sizeof(head) || head.result > 0)
			err = error_set(error, -EPROTO, "what answers at lightvmd's socket is no lightvmd");
		else if (head.result)
			err = error_set(error, head.result, "lightvmd: %.*s", (int)head.size, reply + sizeof(head));
		else
			text_add(said, reply + sizeof(head), head.size);
	}
	free(reply);
	return err ? err : text_error(said);
}

int daemon_call(int fd, enum lv_daemon_op op, const void *body, size_t size, const int *send, unsigned sends, struct text *said, int *fds, unsigned *fd_count,
		struct error *error)
{
	int err = daemon_send(fd, op, body, size, send, sends, error);
	return err ? err : daemon_receive(fd, said, fds, fd_count, error);
}
