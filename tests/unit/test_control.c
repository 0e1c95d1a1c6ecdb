/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: good requests, hostile ones, and too many clients. Those that change how the VM runs, or wait for it: test_control_waits.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/control_world.h"

static void test_status(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	struct control_answer reply;
	int fd = control_dial(f);

	f->guest.shared.memory_used = 4711;
	f->guest.shared.ledger[LV_LEDGER_PROGRAM] = (struct lv_ledger_mark){ 1000 + (1ull << 32), 2 };
	f->status.clock = (struct status_clock){ .tsc_base = 1000, .tsc_mult = 1ull << 31, .base_ns = 50 };
	f->status.record.state = LV_STATE_RUNNING;
	assert_int_equal(control_send(f, fd, &request, NULL, 0, &reply), 0);
	assert_int_equal(reply.head.size, LV_STATUS_SIZE(1)); /* no more than there are devices */
	assert_int_equal(reply.status.size, reply.head.size);
	assert_int_equal(reply.status.version, LV_STATUS_VERSION);
	assert_int_equal(reply.status.state, LV_STATE_RUNNING);
	assert_int_equal(reply.status.pid, getpid());
	assert_int_equal(reply.status.memory_used, 4711);
	assert_int_equal(reply.status.ledger[LV_STEP_PROGRAM].ns, 50 + (1ull << 31));
	assert_int_equal(reply.status.ledger[LV_STEP_PROGRAM].exits, 2);
	assert_int_equal(reply.status.device_count, 1);
	assert_int_equal(reply.status.device[0].type, LV_DEV_CONSOLE);
	close(fd);
}

/* What few want to know is asked for separately; before a crash there is none to be told. */
static void test_report(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request crash = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_CRASH, .version = 2 };
	const struct lv_control_request tail = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_TAIL, .version = 2 };
	const struct lv_control_request calls = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_CALLS, .version = 6 };
	struct control_answer reply;
	int fd = control_dial(f);

	f->guest.shared.missing[0] = (struct lv_missing){ 57, 3 };
	f->guest.shared.crash.signal = 11;
	assert_int_equal(control_send(f, fd, &crash, NULL, 0, &reply), 0);
	assert_int_equal(reply.head.size, sizeof(reply.crash));
	assert_int_equal(reply.crash.missing[0].count, 3);
	assert_int_equal(reply.crash.crash.signal, 0);
	f->status.record.crashed = 1;
	assert_int_equal(control_send(f, fd, &crash, NULL, 0, &reply), 0);
	assert_int_equal(reply.crash.crash.signal, 11);
	assert_int_equal(control_send(f, fd, &tail, NULL, 0, &reply), 0);
	assert_int_equal(reply.head.size, 0);
	f->guest.shared.calls.made = 9;
	f->guest.shared.calls.site[31] = (struct lv_call_site){ .rip = 0x401002, .nr = 39, .count = 7 };
	f->guest.shared.crash.maps = 1;
	memset((void *)f->guest.shared.crash.map[0].path, 'x', sizeof(f->guest.shared.crash.map[0].path));
	assert_int_equal(control_send(f, fd, &calls, NULL, 0, &reply), 0);
	assert_int_equal(reply.head.size, sizeof(reply.calls));
	assert_int_equal(reply.calls.calls.made, 9);
	assert_int_equal(reply.calls.calls.site[31].count, 7);
	assert_int_equal(strlen(reply.calls.map[0].path), sizeof(reply.calls.map[0].path) - 1);
	f->guest.shared.crash.maps = 9; /* a guest that lies */
	assert_int_equal(control_send(f, fd, &calls, NULL, 0, &reply), 0);
	assert_int_equal(reply.calls.maps, 0);
	close(fd);
}

/* Who lists VMs reads the figure in the file, which follows the guest's in steps. */
static void test_memory(void **state)
{
	struct control_world *f = *state;
	const uint64_t used[] = { 1 << 20, (1 << 20) + STATUS_MEMORY_STEP - 1, 2 << 20, 1 << 20 }, want[] = { 1 << 20, 1 << 20, 2 << 20, 1 << 20 };
	struct lv_status record;

	assert_int_equal(status_write(&f->status, LV_STATE_RUNNING), 0);
	for (unsigned i = 0; i < sizeof(used) / sizeof(*used); i++) {
		f->guest.shared.memory_used = used[i];
		status_memory(&f->status);
		assert_true(pread(f->status.fd, &record, sizeof(record), 0) > 0);
		assert_int_equal(record.memory_used, want[i]);
		assert_int_equal(record.state, LV_STATE_RUNNING);
	}
}

/* Who needs a newer monitor is told so, with the version of this one, and nothing is done. */
static void test_newer_request(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request newer = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_KILL, .version = LV_CONTROL_VERSION + 1 };
	struct control_answer reply;
	int fd = control_dial(f);

	assert_int_equal(control_send(f, fd, &newer, NULL, 0, &reply), -EPROTONOSUPPORT);
	assert_false(f->killed);
	assert_int_equal(control_talk(f, fd, LV_CTL_STATUS, 0, NULL, 0), 0); /* and the connection goes on */
	close(fd);
}

/* Without a descriptor for the next client nobody listens, instead of being woken for it all the time; later there may be one. */
static void test_no_descriptors(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), next = dup(fd);
	struct rlimit limit, none;
	struct control_answer reply;

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){ (rlim_t)next, limit.rlim_max };
	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, f->address_len), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	guest_settle(&f->guest);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(f->control.listen.events, 0);
	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	guest_settle(&f->guest);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), -1);
	loop_once(&f->guest.loop, 5000); /* the timer */
	guest_settle(&f->guest);
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	close(fd);
}

static void test_signal(void **state)
{
	struct control_world *f = *state;
	int fd = control_dial(f);

	assert_int_equal(control_talk(f, fd, LV_CTL_SIGNAL, 15, NULL, 0), 0);
	assert_int_equal(f->signalled, 15);
	assert_int_equal(control_talk(f, fd, LV_CTL_SIGNAL, 0, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, fd, LV_CTL_SIGNAL, 33, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, fd, LV_CTL_SIGNAL, -1, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, fd, LV_CTL_RESIZE, 50 << 16 | 132, NULL, 0), 0);
	assert_int_equal(f->guest.page.device[0].config.console.rows, 50);
	assert_int_equal(f->guest.page.device[0].config.console.columns, 132);
	assert_int_equal(control_talk(f, fd, LV_CTL_RESIZE, 50 << 16, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, fd, LV_CTL_RESIZE, -1, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, fd, LV_CTL_BALLOON, 4096, NULL, 0), -ENODEV);
	assert_int_equal(f->signalled, 15);
	close(fd);
}

static void test_kill(void **state)
{
	struct control_world *f = *state;
	int fd = control_dial(f);

	assert_int_equal(control_talk(f, fd, LV_CTL_KILL, 0, NULL, 0), 0);
	assert_true(f->killed);
	close(fd);
}

static void test_attach(void **state)
{
	struct control_world *f = *state;
	int fd = control_dial(f), in[2], out[2];

	assert_int_equal(control_talk(f, fd, LV_CTL_ATTACH, 0, NULL, 0), -EBADF);
	assert_int_equal(pipe(in) | pipe(out), 0);
	assert_int_equal(control_talk(f, fd, LV_CTL_ATTACH, 0, (int[]){ in[0], out[1] }, 2), 0);
	close(in[0]);
	close(out[1]);
	close(in[1]);
	close(out[0]);
	close(fd);
}

/* None of these is answered, each ends its connection, and none leaves a descriptor behind. */
static void test_hostile(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request bad_magic = { .magic = 1, .op = LV_CTL_KILL };
	static uint8_t long_one[4096];
	static const struct {
		size_t len;
		unsigned fds;
	} bad[] = { { 1, 0 }, { 15, 2 }, { 17, 0 }, { 4096, 0 }, { 16, 4 }, { 16, 10 } };
	struct control_answer reply;
	int before = open_descriptors(), fd = control_dial(f);

	assert_int_equal(control_talk_raw(f, fd, &bad_magic, sizeof(bad_magic), NULL, 0, &reply), 0);
	close(fd);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fds[10] = { 0 };

		*(struct lv_control_request *)long_one = (struct lv_control_request){ .magic = LV_CONTROL_MAGIC, .op = LV_CTL_KILL };
		fd = control_dial(f);
		assert_int_equal(control_talk_raw(f, fd, long_one, bad[i].len, fds, bad[i].fds, &reply), 0);
		close(fd);
	}
	guest_settle(&f->guest);
	assert_false(f->killed);
	assert_int_equal(open_descriptors(), before);
}

static void test_unknown_request(void **state)
{
	struct control_world *f = *state;
	int before = open_descriptors(), fd = control_dial(f), fds[2] = { 0, 0 };

	assert_int_equal(control_talk(f, fd, 99, 0, fds, 2), -EOPNOTSUPP);
	close(fd);
	guest_settle(&f->guest);
	assert_int_equal(open_descriptors(), before);
}

/* Who does not read answers loses the connection; nobody else notices. */
static void test_deaf_client(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	int deaf = control_dial(f), other = control_dial(f), sent = 0;

	while (sent < 10000 && send(deaf, &request, sizeof(request), MSG_NOSIGNAL) > 0) {
		guest_settle(&f->guest);
		sent++;
	}
	assert_true(sent < 10000);
	assert_int_equal(control_talk(f, other, LV_CTL_STATUS, 0, NULL, 0), 0);
	close(deaf);
	close(other);
}

static void test_many_clients(void **state)
{
	struct control_world *f = *state;
	int fd[CONTROL_CLIENTS + 2];
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	struct control_answer reply;

	for (unsigned i = 0; i < CONTROL_CLIENTS + 2; i++)
		fd[i] = control_dial(f);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		assert_int_equal(control_talk(f, fd[i], LV_CTL_STATUS, 0, NULL, 0), 0);
	assert_int_equal(control_talk_raw(f, fd[CONTROL_CLIENTS], &request, sizeof(request), NULL, 0, &reply), -EAGAIN);
	close(fd[0]); /* the next one gets its place, and its answer */
	guest_settle(&f->guest);
	control_expect_whole(&reply, recv(fd[CONTROL_CLIENTS], &reply, sizeof(reply), 0));
	for (unsigned i = 1; i < CONTROL_CLIENTS + 2; i++)
		close(fd[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(test_status), CONTROL_TEST(test_memory), CONTROL_TEST(test_report), CONTROL_TEST(test_newer_request),
		CONTROL_TEST(test_no_descriptors), CONTROL_TEST(test_signal), CONTROL_TEST(test_kill), CONTROL_TEST(test_attach),
		CONTROL_TEST(test_hostile), CONTROL_TEST(test_unknown_request), CONTROL_TEST(test_deaf_client), CONTROL_TEST(test_many_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
