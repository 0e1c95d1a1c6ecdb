/* SPDX-License-Identifier: Apache-2.0 */
/* What comes of asking lightvmd for a shell (node/claim.c). */
#include "node/claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/daemon.h"
#include "node/shell.h"

/* Of asking, which nobody does here. */
int shell_build(struct shell_build *build, struct error *error)
{
	return -1;
}

/* As the daemon answers: with so many descriptors of the two. */
static void answer(int to, uint32_t claim, unsigned fds)
{
	struct { struct lv_daemon_reply head; struct lv_daemon_claimed claimed; } reply = {
		{ .magic = LV_DAEMON_MAGIC, .version = LV_DAEMON_VERSION, .size = sizeof(struct lv_daemon_claimed) }, { .claim = claim, .pid = 4711 } };
	const int given[2] = { STDERR_FILENO, STDERR_FILENO };
	union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(given))]; } control = { .header = { CMSG_LEN(fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec all = { &reply, sizeof(reply) };
	struct msghdr message = { .msg_iov = &all, .msg_iovlen = 1, .msg_control = fds ? &control : NULL, .msg_controllen = fds ? CMSG_SPACE(fds * sizeof(int)) : 0 };
	memcpy(CMSG_DATA(&control.header), given, fds * sizeof(int));
	assert_int_equal(sendmsg(to, &message, 0), sizeof(reply));
}

/* A hit has a socket and a process, and nothing else that its end would close: descriptor 0 is the caller's. */
static void test_hit(void **state)
{
	struct shell shell = SHELL_NONE;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	answer(pair[1], LV_CLAIM_HIT, 2);
	assert_int_equal(claim_take(pair[0], &shell), LV_CLAIM_HIT);
	assert_int_equal(shell.monitor.pid, 4711);
	assert_true(shell.socket > STDERR_FILENO && shell.monitor.pidfd > STDERR_FILENO);
	assert_int_equal(shell.held, -1);
	close(shell.socket);
	close(shell.monitor.pidfd);
	close(pair[0]);
	close(pair[1]);
}

static void test_no_hit(void **state)
{
	struct shell shell = SHELL_NONE;
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	answer(pair[1], LV_CLAIM_HIT, 0); /* without what it is of */
	assert_int_equal(claim_take(pair[0], &shell), LV_CLAIM_NONE);
	answer(pair[1], LV_CLAIMS, 0);
	assert_int_equal(claim_take(pair[0], &shell), LV_CLAIM_NONE);
	close(pair[1]);
	assert_int_equal(claim_take(pair[0], &shell), LV_CLAIM_NONE);
	assert_int_equal(shell.socket, -1);
	assert_int_equal(shell.held, -1);
	close(pair[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hit), cmocka_unit_test(test_no_hit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
