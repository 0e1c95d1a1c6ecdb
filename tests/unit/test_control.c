/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: good requests, hostile ones, and too many clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/vmm_control.h"

struct fixture {
	struct guest guest;
	struct device *console;
	struct status status;
	struct control control;
	struct sockaddr_un address;
	socklen_t address_len;
	int signalled;
	bool killed;
	int asked; /* how often the threads were asked for */
	uint64_t limit;
	int pauses; /* what the next pause is answered with */
	bool paused;
};

static int on_signal(void *context, int number)
{
	struct fixture *f = context;

	f->signalled = number;
	return 0;
}

static void on_kill(void *context)
{
	struct fixture *f = context;

	f->killed = true;
}

static int on_pause(void *context, bool on)
{
	struct fixture *f = context;

	f->paused = on;
	return f->pauses;
}

static int on_threads(void *context)
{
	struct fixture *f = context;

	f->asked++;
	return 0;
}

static int on_limit(void *context, uint64_t bytes)
{
	struct fixture *f = context;

	f->limit = bytes;
	return bytes > 1 << 20 ? -ERANGE : 0;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct device_config config = { .type = LV_DEV_CONSOLE, .console = { -1, -1, -1, -1, false, false } };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	guest_init(&f->guest);
	f->console = guest_add_device(&f->guest, &config);
	status_init(&f->status, memfd_create("status", MFD_CLOEXEC));
	f->status.devices = &f->guest.devices;
	f->status.shared = &f->guest.shared;
	f->address.sun_family = AF_UNIX;
	/* an abstract address that the kernel chooses */
	assert_int_equal(bind(listener, (struct sockaddr *)&f->address, sizeof(sa_family_t)), 0);
	f->address_len = sizeof(f->address);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&f->address, &f->address_len), 0);
	assert_int_equal(listen(listener, 16), 0);
	control_init(&f->control, &f->guest.loop, &f->status, &f->guest.devices, listener);
	f->control.signal = on_signal;
	f->control.kill = on_kill;
	f->control.pause = on_pause;
	f->control.threads = on_threads;
	f->control.limit = on_limit;
	f->control.context = f;
	assert_int_equal(control_start(&f->control), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	control_fini(&f->control);
	close(f->status.fd);
	guest_fini(&f->guest);
	free(f);
	return 0;
}

static int dial(struct fixture *f)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&f->address, f->address_len), 0);
	guest_settle(&f->guest);
	return fd;
}

struct reply { /* with what follows it */
	struct lv_control_reply head;
	union {
		struct lv_status status;
		struct lv_crash_report crash;
		char tail[LV_TAIL_MAX];
		uint8_t bytes[4096];
	};
};

/* Sends bytes and descriptors as they are; the length of the answer, 0 if the monitor hung up, or -EAGAIN. */
static ssize_t talk_raw(struct fixture *f, int fd, const void *bytes, size_t len, const int *fds, unsigned count,
			struct reply *reply)
{
	char space[CMSG_SPACE(16 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)bytes, len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (count) {
		struct cmsghdr *c = (struct cmsghdr *)space;

		*c = (struct cmsghdr){ CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(c), fds, count * sizeof(int));
		message.msg_control = space;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), len);
	guest_settle(&f->guest);
	n = recv(fd, reply, sizeof(*reply), 0);
	return n < 0 ? -errno : n;
}

/* An answer of the length that it says it has. */
static void expect_whole(const struct reply *reply, ssize_t n)
{
	assert_true(n >= (ssize_t)sizeof(reply->head));
	assert_int_equal(reply->head.magic, LV_CONTROL_MAGIC);
	assert_int_equal(reply->head.version, LV_CONTROL_VERSION);
	assert_int_equal(n, sizeof(reply->head) + reply->head.size);
}

static int64_t ask(struct fixture *f, int fd, const struct lv_control_request *request, const int *fds, unsigned count, struct reply *reply)
{
	expect_whole(reply, talk_raw(f, fd, request, sizeof(*request), fds, count, reply));
	return reply->head.result;
}

static int64_t talk(struct fixture *f, int fd, unsigned op, int64_t arg, const int *fds, unsigned count)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = op, .arg = arg };
	struct reply reply;

	return ask(f, fd, &request, fds, count, &reply);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_status(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	struct reply reply;
	int fd = dial(f);

	f->guest.shared.memory_used = 4711;
	f->guest.shared.ledger[LV_LEDGER_PROGRAM] = (struct lv_ledger_mark){ 1000 + (1ull << 32), 2 };
	f->status.clock = (struct status_clock){ .tsc_base = 1000, .tsc_mult = 1ull << 31, .base_ns = 50 };
	f->status.record.state = LV_STATE_RUNNING;
	assert_int_equal(ask(f, fd, &request, NULL, 0, &reply), 0);
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
	struct fixture *f = *state;
	const struct lv_control_request crash = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_CRASH, .version = 2 };
	const struct lv_control_request tail = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_TAIL, .version = 2 };
	struct reply reply;
	int fd = dial(f);

	f->guest.shared.missing[0] = (struct lv_missing){ 57, 3 };
	f->guest.shared.crash.signal = 11;
	assert_int_equal(ask(f, fd, &crash, NULL, 0, &reply), 0);
	assert_int_equal(reply.head.size, sizeof(reply.crash));
	assert_int_equal(reply.crash.missing[0].count, 3);
	assert_int_equal(reply.crash.crash.signal, 0);
	f->status.record.crashed = 1;
	assert_int_equal(ask(f, fd, &crash, NULL, 0, &reply), 0);
	assert_int_equal(reply.crash.crash.signal, 11);
	assert_int_equal(ask(f, fd, &tail, NULL, 0, &reply), 0);
	assert_int_equal(reply.head.size, 0);
	close(fd);
}

/* Who lists VMs reads the figure in the file, which follows the guest's in steps. */
static void test_memory(void **state)
{
	struct fixture *f = *state;
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
	struct fixture *f = *state;
	const struct lv_control_request newer = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_KILL, .version = LV_CONTROL_VERSION + 1 };
	struct reply reply;
	int fd = dial(f);

	assert_int_equal(ask(f, fd, &newer, NULL, 0, &reply), -EPROTONOSUPPORT);
	assert_false(f->killed);
	assert_int_equal(talk(f, fd, LV_CTL_STATUS, 0, NULL, 0), 0); /* and the connection goes on */
	close(fd);
}

/* Without a descriptor for the next client nobody listens, instead of being woken for it all the time; later there may be one. */
static void test_no_descriptors(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), next = dup(fd);
	struct rlimit limit, none;
	struct reply reply;

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
	expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	close(fd);
}

static void test_signal(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	assert_int_equal(talk(f, fd, LV_CTL_SIGNAL, 15, NULL, 0), 0);
	assert_int_equal(f->signalled, 15);
	assert_int_equal(talk(f, fd, LV_CTL_SIGNAL, 0, NULL, 0), -EINVAL);
	assert_int_equal(talk(f, fd, LV_CTL_SIGNAL, 33, NULL, 0), -EINVAL);
	assert_int_equal(talk(f, fd, LV_CTL_SIGNAL, -1, NULL, 0), -EINVAL);
	assert_int_equal(talk(f, fd, LV_CTL_RESIZE, 50 << 16 | 132, NULL, 0), 0);
	assert_int_equal(f->guest.page.device[0].config.console.rows, 50);
	assert_int_equal(f->guest.page.device[0].config.console.columns, 132);
	assert_int_equal(talk(f, fd, LV_CTL_RESIZE, 50 << 16, NULL, 0), -EINVAL);
	assert_int_equal(talk(f, fd, LV_CTL_RESIZE, -1, NULL, 0), -EINVAL);
	assert_int_equal(talk(f, fd, LV_CTL_BALLOON, 4096, NULL, 0), -ENODEV);
	assert_int_equal(f->signalled, 15);
	close(fd);
}

static void test_kill(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	assert_int_equal(talk(f, fd, LV_CTL_KILL, 0, NULL, 0), 0);
	assert_true(f->killed);
	close(fd);
}

/* Answered when it is so: at once, or when the owner says so, with what came of it; to all who asked. */
static void test_pause(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_PAUSE, .version = 3 };
	int first = dial(f), second = dial(f);
	struct reply reply;

	f->pauses = 1;
	for (int result = 0; result >= -ETIMEDOUT; result -= ETIMEDOUT) {
		assert_int_equal(send(first, &request, sizeof(request), 0), sizeof(request));
		assert_int_equal(send(second, &request, sizeof(request), 0), sizeof(request));
		guest_settle(&f->guest);
		assert_true(f->paused);
		assert_int_equal(recv(first, &reply, sizeof(reply), MSG_DONTWAIT), -1);
		control_paused(&f->control, result);
		expect_whole(&reply, recv(first, &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, result);
		expect_whole(&reply, recv(second, &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, result);
	}
	f->pauses = 0;
	assert_int_equal(talk(f, first, LV_CTL_RESUME, 0, NULL, 0), 0);
	assert_false(f->paused);
	f->control.pause = NULL;
	assert_int_equal(talk(f, first, LV_CTL_PAUSE, 0, NULL, 0), -EOPNOTSUPP);
	close(first);
	close(second);
	guest_settle(&f->guest);
}

/* The guest is asked and tells later, to all who asked; one that does not is not waited for. */
static void test_threads(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_THREADS, .version = 4 };
	const struct lv_threads threads = { .count = 2, .total = 3, .thread = { { .tid = 7, .state = 'R', .cpu_ns = 5, .name = "one" }, { .tid = 8 } } };
	int first = dial(f), second = dial(f);
	struct reply reply;
	ssize_t n = -1;

	assert_int_equal(send(first, &request, sizeof(request), 0), sizeof(request));
	assert_int_equal(send(second, &request, sizeof(request), 0), sizeof(request));
	guest_settle(&f->guest);
	assert_int_equal(f->asked, 2);
	control_threads(&f->control, &threads);
	for (int i = 0; i < 2; i++) {
		expect_whole(&reply, recv(i ? second : first, &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, 0);
		assert_int_equal(reply.head.size, LV_THREADS_SIZE(2));
		assert_memory_equal(reply.bytes, &threads, LV_THREADS_SIZE(2));
	}
	control_threads(&f->control, &threads); /* which nobody asked for */
	assert_int_equal(recv(first, &reply, sizeof(reply), MSG_DONTWAIT), -1);
	assert_int_equal(send(first, &request, sizeof(request), 0), sizeof(request));
	guest_settle(&f->guest);
	/* The timer, which was set for the first one and moved: its old time may wake the loop, too. */
	for (int i = 0; i < 3 && n < 0; i++) {
		loop_once(&f->guest.loop, 5000);
		guest_settle(&f->guest);
		n = recv(first, &reply, sizeof(reply), MSG_DONTWAIT);
	}
	expect_whole(&reply, n);
	assert_int_equal(reply.head.result, -ETIMEDOUT);
	f->control.threads = NULL;
	assert_int_equal(ask(f, first, &request, NULL, 0, &reply), -EOPNOTSUPP);
	close(first);
	close(second);
	guest_settle(&f->guest);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f);

	assert_int_equal(talk(f, fd, LV_CTL_LIMIT, 1 << 20, NULL, 0), 0);
	assert_int_equal(f->limit, 1 << 20);
	assert_int_equal(talk(f, fd, LV_CTL_LIMIT, 2 << 20, NULL, 0), -ERANGE);
	assert_int_equal(talk(f, fd, LV_CTL_LIMIT, 0, NULL, 0), -EINVAL);
	assert_int_equal(talk(f, fd, LV_CTL_LIMIT, INT64_MIN, NULL, 0), -EINVAL);
	f->control.limit = NULL;
	assert_int_equal(talk(f, fd, LV_CTL_LIMIT, 1 << 20, NULL, 0), -EOPNOTSUPP);
	close(fd);
	guest_settle(&f->guest);
}

/* Who waits hears of the listener when there is one, at once if there was; not all places go to those who wait. */
static void test_await(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_AWAIT, .version = 3, .arg = LV_STEP_LISTEN };
	int fd[CONTROL_WAITERS], one_more = dial(f);
	struct reply reply;

	assert_int_equal(talk(f, one_more, LV_CTL_AWAIT, LV_STEP_EXIT, NULL, 0), -EINVAL);
	for (unsigned i = 0; i < CONTROL_WAITERS; i++) {
		fd[i] = dial(f);
		assert_int_equal(send(fd[i], &request, sizeof(request), 0), sizeof(request));
		guest_settle(&f->guest);
		assert_int_equal(recv(fd[i], &reply, sizeof(reply), MSG_DONTWAIT), -1);
	}
	assert_int_equal(ask(f, one_more, &request, NULL, 0, &reply), -EBUSY);
	close(fd[0]); /* whose place is free again */
	guest_settle(&f->guest);
	f->guest.shared.ledger[LV_LEDGER_LISTEN].tsc = 1;
	f->status.clock = (struct status_clock){ .base_ns = 7 };
	control_listens(&f->control);
	for (unsigned i = 1; i < CONTROL_WAITERS; i++) {
		expect_whole(&reply, recv(fd[i], &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, 0);
		assert_int_equal(talk(f, fd[i], LV_CTL_STATUS, 0, NULL, 0), 0); /* and is heard again */
		close(fd[i]);
	}
	assert_int_equal(ask(f, one_more, &request, NULL, 0, &reply), 0);
	f->status.shared = NULL; /* a Linux guest */
	assert_int_equal(ask(f, one_more, &request, NULL, 0, &reply), -EOPNOTSUPP);
	f->status.shared = &f->guest.shared;
	close(one_more);
	guest_settle(&f->guest);
}

static void test_attach(void **state)
{
	struct fixture *f = *state;
	int fd = dial(f), in[2], out[2];

	assert_int_equal(talk(f, fd, LV_CTL_ATTACH, 0, NULL, 0), -EBADF);
	assert_int_equal(pipe(in) | pipe(out), 0);
	assert_int_equal(talk(f, fd, LV_CTL_ATTACH, 0, (int[]){ in[0], out[1] }, 2), 0);
	close(in[0]);
	close(out[1]);
	close(in[1]);
	close(out[0]);
	close(fd);
}

/* None of these is answered, each ends its connection, and none leaves a descriptor behind. */
static void test_hostile(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request bad_magic = { .magic = 1, .op = LV_CTL_KILL };
	static uint8_t long_one[4096];
	static const struct {
		size_t len;
		unsigned fds;
	} bad[] = { { 1, 0 }, { 15, 2 }, { 17, 0 }, { 4096, 0 }, { 16, 10 } };
	struct reply reply;
	int before = open_descriptors(), fd = dial(f);

	assert_int_equal(talk_raw(f, fd, &bad_magic, sizeof(bad_magic), NULL, 0, &reply), 0);
	close(fd);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fds[10] = { 0 };

		*(struct lv_control_request *)long_one = (struct lv_control_request){ .magic = LV_CONTROL_MAGIC, .op = LV_CTL_KILL };
		fd = dial(f);
		assert_int_equal(talk_raw(f, fd, long_one, bad[i].len, fds, bad[i].fds, &reply), 0);
		close(fd);
	}
	guest_settle(&f->guest);
	assert_false(f->killed);
	assert_int_equal(open_descriptors(), before);
}

static void test_unknown_request(void **state)
{
	struct fixture *f = *state;
	int before = open_descriptors(), fd = dial(f), fds[2] = { 0, 0 };

	assert_int_equal(talk(f, fd, 99, 0, fds, 2), -EOPNOTSUPP);
	close(fd);
	guest_settle(&f->guest);
	assert_int_equal(open_descriptors(), before);
}

/* Who does not read answers loses the connection; nobody else notices. */
static void test_deaf_client(void **state)
{
	struct fixture *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	int deaf = dial(f), other = dial(f), sent = 0;

	while (sent < 10000 && send(deaf, &request, sizeof(request), MSG_NOSIGNAL) > 0) {
		guest_settle(&f->guest);
		sent++;
	}
	assert_true(sent < 10000);
	assert_int_equal(talk(f, other, LV_CTL_STATUS, 0, NULL, 0), 0);
	close(deaf);
	close(other);
}

static void send_request(int fd, uint32_t op, int64_t arg)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = op, .arg = arg };

	assert_int_equal(send(fd, &request, sizeof(request), MSG_NOSIGNAL), sizeof(request));
}

/* A balloon of which the guest has given a buffer for statistics. */
static struct device *add_balloon(struct fixture *f, struct driver *stats)
{
	const struct device_config config = { .type = LV_DEV_BALLOON };
	struct device *balloon = guest_negotiate_device(&f->guest, &config, 1 << VIRTIO_BALLOON_F_STATS_VQ);

	assert_non_null(balloon);
	driver_init(stats, &f->guest, &f->guest.ring[2]);
	return balloon;
}

static void give_stats(struct fixture *f, struct device *balloon, struct driver *stats)
{
	struct part part = { guest_alloc(&f->guest, 64, 64), 10, false };

	driver_post(stats, &part, 1);
	guest_ring(&f->guest, balloon);
}

/* Whoever waits for the guest's word and asks something else meanwhile gets two answers, in the order of his questions. */
static void test_asking(void **state)
{
	struct fixture *f = *state;
	struct driver stats;
	struct device *balloon = add_balloon(f, &stats);
	struct reply reply;
	int fd = dial(f), gone = dial(f), before = open_descriptors();

	give_stats(f, balloon, &stats);
	send_request(fd, LV_CTL_BALLOON, -1);
	send_request(gone, LV_CTL_BALLOON, -1);
	send_request(fd, 99, 0);
	guest_settle(&f->guest);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), -1);
	close(gone); /* who has gone does not wait any more */
	guest_settle(&f->guest);
	assert_int_equal(open_descriptors(), before - 2);
	give_stats(f, balloon, &stats);
	expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, 0);
	assert_int_equal(reply.status.magic, LV_STATUS_MAGIC);
	expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, -EOPNOTSUPP);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), -1);
	close(fd);
}

static void test_many_clients(void **state)
{
	struct fixture *f = *state;
	int fd[CONTROL_CLIENTS + 2];
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS };
	struct reply reply;

	for (unsigned i = 0; i < CONTROL_CLIENTS + 2; i++)
		fd[i] = dial(f);
	for (unsigned i = 0; i < CONTROL_CLIENTS; i++)
		assert_int_equal(talk(f, fd[i], LV_CTL_STATUS, 0, NULL, 0), 0);
	assert_int_equal(talk_raw(f, fd[CONTROL_CLIENTS], &request, sizeof(request), NULL, 0, &reply), -EAGAIN);
	close(fd[0]); /* the next one gets its place, and its answer */
	guest_settle(&f->guest);
	expect_whole(&reply, recv(fd[CONTROL_CLIENTS], &reply, sizeof(reply), 0));
	for (unsigned i = 1; i < CONTROL_CLIENTS + 2; i++)
		close(fd[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_status), TEST(test_memory), TEST(test_report), TEST(test_newer_request), TEST(test_no_descriptors), TEST(test_signal), TEST(test_kill), TEST(test_await), TEST(test_pause), TEST(test_threads), TEST(test_limit), TEST(test_attach), TEST(test_hostile),
		TEST(test_unknown_request), TEST(test_deaf_client), TEST(test_asking), TEST(test_many_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
