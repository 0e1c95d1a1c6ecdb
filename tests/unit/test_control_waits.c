/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: what changes how the VM runs, and what is answered later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/control_world.h"

/* Answered when it is so: at once, or when the owner says so, with what came of it; to all who asked. */
static void test_pause(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_PAUSE, .version = 3 };
	int first = control_dial(f), second = control_dial(f);
	struct control_answer reply;

	f->pauses = 1;
	for (int result = 0; result >= -ETIMEDOUT; result -= ETIMEDOUT) {
		assert_int_equal(send(first, &request, sizeof(request), 0), sizeof(request));
		assert_int_equal(send(second, &request, sizeof(request), 0), sizeof(request));
		guest_settle(&f->guest);
		assert_true(f->paused);
		assert_int_equal(recv(first, &reply, sizeof(reply), MSG_DONTWAIT), -1);
		control_paused(&f->control, result);
		control_expect_whole(&reply, recv(first, &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, result);
		control_expect_whole(&reply, recv(second, &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, result);
	}
	f->pauses = 0;
	assert_int_equal(control_talk(f, first, LV_CTL_RESUME, 2, NULL, 0), -EINVAL);
	assert_true(f->paused);
	assert_int_equal(control_talk(f, first, LV_CTL_RESUME, LV_RESUME_ADVANCE, NULL, 0), 0);
	assert_true(!f->paused && f->advanced);
	assert_int_equal(control_talk(f, first, LV_CTL_RESUME, 0, NULL, 0), 0);
	assert_true(!f->paused && !f->advanced);
	f->control.pause = NULL;
	assert_int_equal(control_talk(f, first, LV_CTL_PAUSE, 0, NULL, 0), -EOPNOTSUPP);
	close(first);
	close(second);
	guest_settle(&f->guest);
}

/* The guest is asked and tells later, to all who asked; one that does not is not waited for. */
static void test_threads(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_THREADS, .version = 4 };
	const struct lv_threads threads = { .count = 2, .total = 3, .thread = { { .tid = 7, .state = 'R', .cpu_ns = 5, .name = "one" }, { .tid = 8 } } };
	int first = control_dial(f), second = control_dial(f);
	struct control_answer reply;
	ssize_t n = -1;

	assert_int_equal(send(first, &request, sizeof(request), 0), sizeof(request));
	assert_int_equal(send(second, &request, sizeof(request), 0), sizeof(request));
	guest_settle(&f->guest);
	assert_int_equal(f->asked, 2);
	control_threads(&f->control, &threads);
	for (int i = 0; i < 2; i++) {
		control_expect_whole(&reply, recv(i ? second : first, &reply, sizeof(reply), MSG_DONTWAIT));
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
	control_expect_whole(&reply, n);
	assert_int_equal(reply.head.result, -ETIMEDOUT);
	f->control.threads = NULL;
	assert_int_equal(control_send(f, first, &request, NULL, 0, &reply), -EOPNOTSUPP);
	close(first);
	close(second);
	guest_settle(&f->guest);
}

static void test_limit(void **state)
{
	struct control_world *f = *state;
	int fd = control_dial(f);

	assert_int_equal(control_talk(f, fd, LV_CTL_LIMIT, 1 << 20, NULL, 0), 0);
	assert_int_equal(f->limit, 1 << 20);
	assert_int_equal(control_talk(f, fd, LV_CTL_LIMIT, 2 << 20, NULL, 0), -ERANGE);
	assert_int_equal(control_talk(f, fd, LV_CTL_LIMIT, 0, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, fd, LV_CTL_LIMIT, INT64_MIN, NULL, 0), -EINVAL);
	f->control.limit = NULL;
	assert_int_equal(control_talk(f, fd, LV_CTL_LIMIT, 1 << 20, NULL, 0), -EOPNOTSUPP);
	close(fd);
	guest_settle(&f->guest);
}

/* Who waits hears of the listener when there is one, at once if there was; not all places go to those who wait. */
static void test_await(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_AWAIT, .version = 3, .arg = LV_STEP_LISTEN };
	int fd[CONTROL_WAITERS], one_more = control_dial(f);
	struct control_answer reply;

	assert_int_equal(control_talk(f, one_more, LV_CTL_AWAIT, LV_STEP_EXIT, NULL, 0), -EINVAL);
	for (unsigned i = 0; i < CONTROL_WAITERS; i++) {
		fd[i] = control_dial(f);
		assert_int_equal(send(fd[i], &request, sizeof(request), 0), sizeof(request));
		guest_settle(&f->guest);
		assert_int_equal(recv(fd[i], &reply, sizeof(reply), MSG_DONTWAIT), -1);
	}
	assert_int_equal(control_send(f, one_more, &request, NULL, 0, &reply), -EBUSY);
	close(fd[0]); /* whose place is free again */
	guest_settle(&f->guest);
	f->guest.shared.ledger[LV_LEDGER_LISTEN].tsc = 1;
	f->status.clock = (struct status_clock){ .base_ns = 7 };
	control_listens(&f->control);
	for (unsigned i = 1; i < CONTROL_WAITERS; i++) {
		control_expect_whole(&reply, recv(fd[i], &reply, sizeof(reply), MSG_DONTWAIT));
		assert_int_equal(reply.head.result, 0);
		assert_int_equal(control_talk(f, fd[i], LV_CTL_STATUS, 0, NULL, 0), 0); /* and is heard again */
		close(fd[i]);
	}
	assert_int_equal(control_send(f, one_more, &request, NULL, 0, &reply), 0);
	f->status.shared = NULL; /* a Linux guest */
	assert_int_equal(control_send(f, one_more, &request, NULL, 0, &reply), -EOPNOTSUPP);
	f->status.shared = &f->guest.shared;
	close(one_more);
	guest_settle(&f->guest);
}

/* Another step, which may be left again; who waits for the one does not hear of the other. */
static void test_await_template(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_AWAIT, .version = 5, .arg = LV_AWAIT_TEMPLATE };
	int fd = control_dial(f);
	struct control_answer reply;

	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	guest_settle(&f->guest);
	control_listens(&f->control);
	assert_int_equal(recv(fd, &reply, sizeof(reply), MSG_DONTWAIT), -1);
	f->status.record.template_ready = 1;
	control_template(&f->control);
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), MSG_DONTWAIT));
	assert_int_equal(reply.head.result, 0);
	assert_int_equal(control_send(f, fd, &request, NULL, 0, &reply), 0); /* it still is */
	f->status.record.template_ready = 0;
	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	guest_settle(&f->guest);
	assert_int_equal(recv(fd, &reply, sizeof(reply), MSG_DONTWAIT), -1);
	close(fd);
	guest_settle(&f->guest);
}

static void send_request(int fd, uint32_t op, int64_t arg)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = op, .arg = arg };

	assert_int_equal(send(fd, &request, sizeof(request), MSG_NOSIGNAL), sizeof(request));
}

/* A balloon of which the guest has given a buffer for statistics. */
static struct device *add_balloon(struct control_world *f, struct driver *stats)
{
	const struct device_config config = { .type = LV_DEV_BALLOON };
	struct device *balloon = guest_negotiate_device(&f->guest, &config, 1 << VIRTIO_BALLOON_F_STATS_VQ);

	assert_non_null(balloon);
	driver_init(stats, &f->guest, &f->guest.ring[2]);
	return balloon;
}

static void give_stats(struct control_world *f, struct device *balloon, struct driver *stats)
{
	struct part part = { guest_alloc(&f->guest, 64, 64), 10, false };

	driver_post(stats, &part, 1);
	guest_ring(&f->guest, balloon);
}

/* Asks for a save, which is not answered yet. */
static void begin_save(struct control_world *f, int fd)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_SAVE, .version = 5 };
	const int files[] = { STDIN_FILENO, STDIN_FILENO };
	struct control_answer reply;

	assert_int_equal(control_talk_raw(f, fd, &request, sizeof(request), files, 2, &reply), -EAGAIN);
}

static void end_client(struct control_world *f, int fd)
{
	close(fd);
	guest_settle(&f->guest);
}

/* Refused: with its reason, and no descriptor is left over. */
static void test_save_refused(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_SAVE, .version = 5, .arg = 7 };
	const int files[] = { STDIN_FILENO, STDIN_FILENO, STDIN_FILENO };
	int fd = control_dial(f), before = open_descriptors();
	struct control_answer reply;

	f->saves = -EBUSY;
	assert_int_equal(control_send(f, fd, &request, files, 1, &reply), -EBADF);
	for (unsigned count = 2; count <= 3; count++) {
		assert_int_equal(control_send(f, fd, &request, files, count, &reply), -EBUSY);
		assert_int_equal(reply.head.size, strlen("no save 7"));
		assert_memory_equal(reply.bytes, "no save 7", reply.head.size);
	}
	assert_int_equal(open_descriptors(), before);
	end_client(f, fd);
	assert_int_equal(f->ended, 0);
}

/* Its client holds the VM from the request on: until it goes, before the answer or after it, or says what comes next; not after a failure. */
static void test_save(void **state)
{
	struct control_world *f = *state;
	int fd = control_dial(f);
	struct control_answer reply;

	f->saves = 1;
	begin_save(f, fd);
	end_client(f, fd);
	assert_true(f->ended == 1 && !f->stays);
	begin_save(f, fd = control_dial(f));
	control_saved(&f->control, 0, "");
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, 0);
	assert_int_equal(f->ended, 1);
	end_client(f, fd);
	assert_true(f->ended == 2 && !f->stays);
	begin_save(f, fd = control_dial(f));
	control_saved(&f->control, 0, "");
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(control_talk(f, fd, LV_CTL_RESUME, 0, NULL, 0), 0);
	assert_true(f->ended == 3 && f->stays);
	begin_save(f, fd);
	control_saved(&f->control, -ENOSPC, "full");
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_true(reply.head.result == -ENOSPC && reply.head.size == 4 && !memcmp(reply.bytes, "full", 4));
	end_client(f, fd);
	assert_int_equal(f->ended, 3);
}

/* Whoever waits for the guest's word and asks something else meanwhile gets two answers, in the order of his questions. */
static void test_asking(void **state)
{
	struct control_world *f = *state;
	struct driver stats;
	struct device *balloon = add_balloon(f, &stats);
	struct control_answer reply;
	int fd = control_dial(f), gone = control_dial(f), before = open_descriptors();

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
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, 0);
	assert_int_equal(reply.status.magic, LV_STATUS_MAGIC);
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, -EOPNOTSUPP);
	assert_int_equal(recv(fd, &reply, sizeof(reply), 0), -1);
	close(fd);
}

/* Who holds a VM that was saved for him, and asks once more, holds it still: it goes on when he goes. */
static void test_save_again(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_SAVE, .version = 5 };
	const int before = open_descriptors(), fd = control_dial(f), fds[2] = { 0, 0 };
	struct control_answer reply;

	f->saves = 1;
	begin_save(f, fd);
	control_saved(&f->control, 0, "");
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, 0);
	f->saves = -EBUSY;
	assert_int_equal(control_send(f, fd, &request, fds, 2, &reply), -EBUSY);
	assert_int_equal(f->ended, 0);
	close(fd);
	guest_settle(&f->guest);
	assert_int_equal(f->ended, 1);
	assert_false(f->stays);
	assert_int_equal(open_descriptors(), before);
}

static void look(struct control_world *f, int fd, bool again, int result)
{
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_LOOK, .version = 5, .arg = LV_LOOK_LAST };
	const int files[] = { STDIN_FILENO, STDIN_FILENO };
	struct control_answer reply;

	f->again = !again;
	assert_int_equal(control_talk_raw(f, fd, &request, sizeof(request), files, 2, &reply), -EAGAIN);
	assert_int_equal(f->again, again);
	control_saved(&f->control, result, result ? "not now" : "");
	control_expect_whole(&reply, recv(fd, &reply, sizeof(reply), 0));
	assert_int_equal(reply.head.result, result);
}

/* One after the other on one connection, which its end ends; one that fails is no look that there was. */
static void test_looks(void **state)
{
	struct control_world *f = *state;
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_LOOK, .version = 5 };
	const int before = open_descriptors(), fd = control_dial(f), fds[3] = { 0, 0, 0 };
	struct control_answer reply;

	f->saves = 1;
	assert_int_equal(control_send(f, fd, &request, fds, 1, &reply), -EBADF);
	assert_int_equal(control_send(f, fd, &request, fds, 3, &reply), -EBADF);
	look(f, fd, false, 0);
	look(f, fd, true, 0);
	look(f, fd, true, -ENOSPC);
	look(f, fd, false, 0);
	f->saves = -EINVAL;
	assert_int_equal(control_send(f, fd, &request, fds, 2, &reply), -EINVAL);
	assert_true(f->again && reply.head.size && f->ended == 0);
	end_client(f, fd);
	assert_true(f->ended == 1 && !f->stays);
	f->control.look = NULL;
	const int other = control_dial(f);
	assert_int_equal(control_send(f, other, &request, fds, 2, &reply), -EOPNOTSUPP);
	end_client(f, other);
	assert_int_equal(open_descriptors(), before);
}

/* Disks are lent by who holds the VM, and by nobody else; anybody may ask for them back. */
static void test_lend(void **state)
{
	struct control_world *f = *state;
	const int before = open_descriptors(), holder = control_dial(f), other = control_dial(f);
	const struct lv_control_request request = { .magic = LV_CONTROL_MAGIC, .op = LV_CTL_LEND, .version = 5 };
	struct control_answer reply;

	f->saves = 1;
	assert_int_equal(control_talk(f, holder, LV_CTL_LEND, 0, NULL, 0), -EPERM);
	begin_save(f, holder);
	control_saved(&f->control, 0, "");
	control_expect_whole(&reply, recv(holder, &reply, sizeof(reply), 0));
	assert_int_equal(control_talk(f, other, LV_CTL_LEND, 0, NULL, 0), -EPERM);
	assert_int_equal(control_talk(f, holder, LV_CTL_LEND, 2, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, holder, LV_CTL_LEND, -1, NULL, 0), -EINVAL);
	assert_int_equal(control_talk(f, holder, LV_CTL_LEND, 0, NULL, 0), 0);
	f->lends = -EIO;
	assert_int_equal(control_send(f, holder, &request, NULL, 0, &reply), -EIO);
	assert_true(reply.head.size == strlen("no disks") && !memcmp(reply.bytes, "no disks", reply.head.size));
	f->takes_back = -EBUSY;
	assert_int_equal(control_talk(f, other, LV_CTL_LEND, LV_LEND_BACK, NULL, 0), -EBUSY);
	f->takes_back = 0;
	assert_int_equal(control_talk(f, other, LV_CTL_LEND, LV_LEND_BACK, NULL, 0), 0);
	assert_int_equal(f->ended, 0);
	f->control.lend = NULL;
	f->control.take_back = NULL;
	assert_int_equal(control_talk(f, holder, LV_CTL_LEND, 0, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(control_talk(f, other, LV_CTL_LEND, LV_LEND_BACK, NULL, 0), -EOPNOTSUPP);
	end_client(f, holder);
	end_client(f, other);
	assert_int_equal(open_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CONTROL_TEST(test_pause), CONTROL_TEST(test_threads), CONTROL_TEST(test_limit), CONTROL_TEST(test_await),
		CONTROL_TEST(test_await_template), CONTROL_TEST(test_asking), CONTROL_TEST(test_save_refused), CONTROL_TEST(test_save), CONTROL_TEST(test_save_again), CONTROL_TEST(test_looks), CONTROL_TEST(test_lend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
