/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/passing.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union space {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int passing_send(int socket, uint32_t word, int fd)
{
	union space space = { 0 };
	struct iovec iov = { &word, sizeof(word) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
	return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int passing_receive(int socket, uint32_t *word, int *fd)
{
	union space space;
	struct iovec iov = { word, sizeof(*word) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space,
		.msg_controllen = CMSG_LEN(sizeof(int)) }; /* without its padding, in which one more descriptor would have room, and stay open */
	*fd = -1;
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n <= 0)
		return n ? -errno : 0;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(header), sizeof(int));
	return n == sizeof(*word) ? 1 : -EBADMSG;
}
