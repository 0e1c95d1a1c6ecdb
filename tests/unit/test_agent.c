/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of the agent of a Linux guest, each tried as an ordinary process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/file.h"
#include "base/frame.h"
#include "base/text.h"
#include "base/tree.h"
#include "guest/guest_agent.h"
#include "tests/unit/guest_records.h"
#include "tests/unit/scratch.h"

struct peer {
	int fd;
	pid_t pid;
	struct lv_agent_frame frame;
	char body[LV_AGENT_DATA_MAX + 1];
};

static char *base_env[] = { "FROM=vm", "PATH=/usr/bin:/bin", NULL };

static void serve_in(struct peer *peer, struct agent_world world)
{
	int pair[2];
	static struct guest_config config;
	config = (struct guest_config){ .env = base_env, .envc = 2 };
	world.config = &config;
	sockets(pair);
	peer->fd = pair[1];
	peer->pid = fork();
	if (!peer->pid) {
		close(pair[1]);
		agent_serve(pair[0], &world);
		_exit(0);
	}
	close(pair[0]);
}

static void serve(struct peer *peer, pid_t program)
{
	serve_in(peer, (struct agent_world){ .program = program });
}

static void hello(struct peer *peer)
{
	struct lv_agent_hello greeting = { LV_AGENT_MAGIC, LV_AGENT_VERSION };
	assert_int_equal(frame_send(peer->fd, LV_AGENT_HELLO, &greeting, sizeof(greeting)), 0);
}

static uint32_t next(struct peer *peer)
{
	assert_int_equal(frame_receive(peer->fd, &peer->frame, peer->body, LV_AGENT_DATA_MAX, DEADLINE_NEVER), 0);
	peer->body[peer->frame.size] = 0;
	return peer->frame.type;
}

static void over(struct peer *peer)
{
	close(peer->fd);
	assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
}

static void ask(struct peer *peer, const char *script, uint32_t flags)
{
	struct text request = { 0 };
	struct lv_guest_streams streams = { .flags = flags, .rows = 12, .columns = 34 };
	char *user = alloc_format("%u:%u", getuid(), getgid());
	begin(&request);
	string(&request, LV_GUEST_PROGRAM, "sh");
	string(&request, LV_GUEST_ARG, "sh");
	string(&request, LV_GUEST_ARG, "-c");
	string(&request, LV_GUEST_ARG, script);
	string(&request, LV_GUEST_ENV, "MINE=1");
	string(&request, LV_GUEST_USER, user);
	record(&request, LV_GUEST_STREAMS, &streams, sizeof(streams));
	hello(peer);
	assert_int_equal(frame_send(peer->fd, LV_AGENT_EXEC, request.data, request.size), 0);
	assert_int_equal(next(peer), LV_AGENT_HELLO);
	text_free(&request);
	free(user);
}

/* Everything up to EXIT: output by stream, the wait status. */
static int collect(struct peer *peer, struct text *out, struct text *err)
{
	int status = -1;
	for (;;) {
		uint32_t type = next(peer);
		if (type == LV_AGENT_STDOUT)
			text_add(out, peer->body, peer->frame.size);
		else if (type == LV_AGENT_STDERR)
			text_add(err, peer->body, peer->frame.size);
		else if (type == LV_AGENT_EXIT) {
			memcpy(&status, peer->body, sizeof(status));
			return status;
		} else {
			assert_int_equal(type, LV_AGENT_CREDIT);
		}
	}
}

static void exec_output_and_status(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	serve(&peer, 0);
	ask(&peer, "echo $FROM $MINE; echo wrong >&2; cat; exit 7", LV_GUEST_NO_STDIN);
	assert_int_equal(collect(&peer, &out, &err), 7 << 8);
	assert_string_equal(out.data, "vm 1\n");
	assert_string_equal(err.data, "wrong\n");
	text_free(&out);
	text_free(&err);
	over(&peer);
}

static void exec_input(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	serve(&peer, 0);
	ask(&peer, "cat", 0);
	frame_send(peer.fd, LV_AGENT_STDIN, "one\n", 4);
	frame_send(peer.fd, LV_AGENT_STDIN, "two\n", 4);
	frame_send(peer.fd, LV_AGENT_STDIN, "", 0);
	assert_int_equal(collect(&peer, &out, &err), 0);
	assert_string_equal(out.data, "one\ntwo\n");
	text_free(&out);
	over(&peer);
}

static void exec_signal(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	int32_t number = SIGTERM;
	serve(&peer, 0);
	ask(&peer, "echo ready; sleep 100", 0);
	assert_int_equal(next(&peer), LV_AGENT_STDOUT);
	frame_send(peer.fd, LV_AGENT_SIGNAL, &number, sizeof(number));
	assert_int_equal(collect(&peer, &out, &err), SIGTERM);
	over(&peer);
}

static void exec_terminal(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 };
	struct lv_agent_size size = { 50, 100 };
	serve(&peer, 0);
	ask(&peer, "trap 'exit 9' INT; tty >/dev/null && stty size; read x; stty size; while :; do read x; done", LV_GUEST_TERMINAL);
	assert_int_equal(next(&peer), LV_AGENT_STDOUT);
	assert_string_equal(peer.body, "12 34\r\n");
	frame_send(peer.fd, LV_AGENT_RESIZE, &size, sizeof(size));
	frame_send(peer.fd, LV_AGENT_STDIN, "\n", 1);
	while (!out.size || !strstr(out.data, "50 100"))
		if (next(&peer) == LV_AGENT_STDOUT)
			text_add(&out, peer.body, peer.frame.size);
	frame_send(peer.fd, LV_AGENT_STDIN, "\003", 1); /* Ctrl-C */
	assert_int_equal(collect(&peer, &out, &err), 9 << 8);
	text_free(&out);
	over(&peer);
}

static void exec_not_found(void **state)
{
	struct peer peer;
	struct text out = { 0 }, err = { 0 }, request = { 0 };
	char *user = alloc_format("%u:%u", getuid(), getgid());
	serve(&peer, 0);
	begin(&request);
	string(&request, LV_GUEST_PROGRAM, "no-such-program");
	string(&request, LV_GUEST_ARG, "x");
	string(&request, LV_GUEST_USER, user);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_EXEC, request.data, request.size);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(collect(&peer, &out, &err), 127 << 8);
	assert_non_null(strstr(err.data, "no-such-program: No such file or directory"));
	text_free(&err);
	text_free(&request);
	free(user);
	over(&peer);
}

/* More input than the window allows breaks the rules; the session ends and takes the program along. */
static void exec_too_much_input(void **state)
{
	struct peer peer;
	char bytes[LV_AGENT_DATA_MAX] = { 0 };
	serve(&peer, 0);
	ask(&peer, "echo $$; exec sleep 100", 0);
	assert_int_equal(next(&peer), LV_AGENT_STDOUT);
	pid_t pid = atoi(peer.body);
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(process >= 0);
	for (int i = 0; i < 8; i++)
		frame_send(peer.fd, LV_AGENT_STDIN, bytes, sizeof(bytes));
	uint32_t type;
	while ((type = next(&peer)) == LV_AGENT_CREDIT)
		;
	assert_int_equal(type, LV_AGENT_ERROR);
	over(&peer);
	struct pollfd ended = { .fd = process, .events = POLLIN };
	assert_int_equal(poll(&ended, 1, PATIENCE_S * 1000), 1);
	close(process);
}

static void bad_requests(void **state)
{
	struct peer peer;
	struct lv_agent_hello old = { LV_AGENT_MAGIC, 99 };
	struct lv_agent_frame huge = { LV_AGENT_EXEC, 0xffffffff };
	serve(&peer, 0);
	frame_send(peer.fd, LV_AGENT_EXEC, "GET / HTTP/1.0\r\n", 16);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	frame_send(peer.fd, LV_AGENT_HELLO, &old, sizeof(old));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	assert_non_null(strstr(peer.body + 4, "version 1, not 99"));
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	fd_write(peer.fd, &huge, sizeof(huge));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_EXEC, "garbage", 7);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PULL, "relative", 8);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, 200, "", 0);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
}

static void kill_and_resources(void **state)
{
	struct peer peer;
	struct lv_agent_resources resources;
	int32_t number = SIGKILL;
	int status;
	pid_t victim = fork();
	if (!victim) {
		pause();
		_exit(1);
	}
	serve(&peer, victim);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_KILL, &number, sizeof(number));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	over(&peer);
	assert_int_equal(waitpid(victim, &status, 0), victim);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_RESOURCES, "", 0);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_RESOURCES);
	assert_int_equal(peer.frame.size, sizeof(resources));
	memcpy(&resources, peer.body, sizeof(resources));
	assert_true(resources.memory_total > resources.memory_free && resources.processors > 0);
	over(&peer);
}

static void lists_processes(void **state)
{
	struct peer peer;
	struct lv_agent_processes told;
	bool found = false;
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PROCESSES, "", 0);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_PROCESSES);
	assert_in_range(peer.frame.size, LV_AGENT_PROCESSES_SIZE(1), sizeof(told));
	memcpy(&told, peer.body, peer.frame.size);
	assert_int_equal(peer.frame.size, LV_AGENT_PROCESSES_SIZE(told.count));
	assert_true(told.total >= told.count);
	for (uint32_t i = 0; i < told.count; i++)
		if (told.process[i].pid == getpid()) {
			found = true;
			assert_int_equal(told.process[i].parent, getppid());
			assert_non_null(strstr(told.process[i].name, "test_agent"));
			assert_true(told.process[i].memory > 0 && told.process[i].threads == 1);
		}
	assert_true(found || told.total > LV_AGENT_PROCESSES_MAX);
	over(&peer);
}

/* The port, and another one, on which nothing does; and what is no port. */
static void tells_listeners(void **state)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	for (int family = AF_INET; family; family = family == AF_INET ? AF_INET6 : 0) {
		struct peer peer;
		socklen_t size = family == AF_INET ? sizeof(*v4) : sizeof(address);
		address = (struct sockaddr_in6){ .sin6_family = (sa_family_t)family };
		int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&address, size)) { /* a machine without IPv6 */
			close(fd);
			continue;
		}
		assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
		uint16_t port = ntohs(v4->sin_port); /* at the same place in both */
		for (int listens = 0; listens < 2; listens++) {
			serve(&peer, 0);
			hello(&peer);
			frame_send(peer.fd, LV_AGENT_LISTENS, &port, sizeof(port));
			assert_int_equal(next(&peer), LV_AGENT_HELLO);
			assert_int_equal(next(&peer), listens ? LV_AGENT_OK : LV_AGENT_ERROR);
			over(&peer);
			assert_int_equal(listen(fd, 1), 0);
		}
		close(fd);
	}
	struct peer peer;
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_LISTENS, "abc", 3);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	over(&peer);
}

/* Refused before anything is set: this test may run as root, on a machine whose clock is right. */
static void renew_that_makes_no_sense(void **state)
{
	struct peer peer;
	struct lv_agent_renew renew = { .realtime_ns = UINT64_MAX };
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_RENEW, &renew, sizeof(renew) - 1);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	assert_non_null(strstr(peer.body + sizeof(struct lv_agent_error), "a RENEW request of 111 bytes"));
	over(&peer);
}

/* With all places taken: what is over at once is served, the rest is told why not. */
static void crowded(void **state)
{
	struct peer peer;
	struct lv_agent_error head;
	int32_t number = 0;
	const struct agent_world world = { .program = getpid(), .crowded = true };
	serve_in(&peer, world);
	ask(&peer, "exit 0", 0);
	assert_int_equal(next(&peer), LV_AGENT_ERROR);
	memcpy(&head, peer.body, sizeof(head));
	assert_int_equal(head.error, EAGAIN);
	assert_non_null(strstr(peer.body + sizeof(head), "has 64 sessions already"));
	over(&peer);
	serve_in(&peer, world);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_KILL, &number, sizeof(number));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	over(&peer);
}

/* A signal for a program that has not started yet is for PID 1, the parent of every session. */
static void kill_before_the_start(void **state)
{
	struct peer peer;
	sigset_t set, old;
	int32_t number = SIGUSR1;
	const struct timespec patience = { .tv_sec = 10 };
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &old);
	serve_in(&peer, (struct agent_world){ .starting = true });
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_KILL, &number, sizeof(number));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	assert_int_equal(sigtimedwait(&set, NULL, &patience), SIGUSR1);
	over(&peer);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void push_and_pull(void **state)
{
	char *path = scratch(), *target = alloc_format("%s/there", path);
	struct tree_report report = { 0 };
	struct text request = { 0 };
	struct lv_agent_push head = { .name_size = 1 };
	struct peer peer;
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	put_file(dir, "a", "content", 0644);
	mkdirat(dir, "there", 0755);
	text_add(&request, &head, sizeof(head));
	text_put(&request, target);
	text_put(&request, "a");
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PUSH, request.data, request.size);
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	assert_int_equal(tree_send(peer.fd, dir, "a", &report), 0);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	over(&peer);
	expect_file(dir, "there/a", "content");
	serve(&peer, 0);
	hello(&peer);
	frame_send(peer.fd, LV_AGENT_PULL, target, strlen(target));
	assert_int_equal(next(&peer), LV_AGENT_HELLO);
	assert_int_equal(next(&peer), LV_AGENT_OK);
	assert_int_equal(tree_receive(peer.fd, dir, "back", 0777, &report), 0);
	over(&peer);
	expect_file(dir, "back/a", "content");
	tree_remove(AT_FDCWD, path);
	close(dir);
	text_free(&request);
	free(target);
	free(path);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exec_output_and_status), cmocka_unit_test(exec_input), cmocka_unit_test(exec_signal), cmocka_unit_test(exec_terminal),
		cmocka_unit_test(exec_not_found), cmocka_unit_test(exec_too_much_input), cmocka_unit_test(bad_requests), cmocka_unit_test(kill_and_resources),
		cmocka_unit_test(lists_processes), cmocka_unit_test(tells_listeners), cmocka_unit_test(crowded), cmocka_unit_test(renew_that_makes_no_sense),
		cmocka_unit_test(kill_before_the_start), cmocka_unit_test(push_and_pull),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
