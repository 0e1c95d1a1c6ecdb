/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker of lightvmd hands up, and it is somebody else's process: one descriptor, of which none stays open beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/passing.h"

#define MOST 8

static void send_many(int socket, unsigned count)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(MOST * sizeof(int))];
	} space = { 0 };
	uint32_t word = 7;
	int fd[MOST];
	struct iovec iov = { &word, sizeof(word) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	for (unsigned i = 0; i < count; i++)
		fd[i] = socket;
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fd, count * sizeof(int));
	assert_int_equal(sendmsg(socket, &message, 0), sizeof(word));
}

/* The lowest number that is free. */
static int lowest(int fd)
{
	int free = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	close(free);
	return free;
}

static void more_than_one(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (unsigned count = 1; count <= MOST; count++) {
		uint32_t word = 0;
		int fd, before = lowest(pair[0]);

		send_many(pair[0], count);
		assert_int_equal(passing_receive(pair[1], &word, &fd), 1);
		assert_int_equal(word, 7);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(lowest(pair[0]), before);
	}
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(more_than_one) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
