/* SPDX-License-Identifier: Apache-2.0 */
/* The virtio-fs device, between a driver and a server that are both the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"

struct fixture {
	struct guest guest;
	struct device *fs;
	struct driver queue;
	int server;
	gpa_t request, answer;
};

struct message {
	struct fuse_in_header header;
	struct fuse_interrupt_in body;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_FS, .fs = { .tag = "volume0" } };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	f->server = pair[0];
	config.fs.fd = pair[1];
	guest_init(&f->guest);
	f->fs = guest_add_device(&f->guest, &config);
	assert_non_null(f->fs);
	driver_of(&f->queue, &f->guest, f->fs, 1);
	f->request = guest_alloc(&f->guest, 4096, 64);
	f->answer = guest_alloc(&f->guest, 4096, 64);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->guest);
	close(f->server);
	free(f);
	return 0;
}

/* The header in two parts, so that nothing can rely on its being one. */
static void put(struct fixture *f, unsigned slot, uint32_t opcode, uint64_t unique, uint64_t about, bool answered)
{
	const struct message message = { { .len = sizeof(message), .opcode = opcode, .unique = unique, .nodeid = 1 }, { .unique = about } };
	const gpa_t at = f->request + 256 * slot;
	struct part part[] = { { at, 12, false }, { at + 12, sizeof(message) - 12, false }, { f->answer + 256 * slot, 10, true }, { f->answer + 256 * slot + 10, 100, true } };

	memcpy(guest_ptr(&f->guest, at), &message, sizeof(message));
	memset(guest_ptr(&f->guest, f->answer + 256 * slot), 0xee, 110);
	driver_post(&f->queue, part, answered ? 4 : 2);
}

static void post(struct fixture *f, unsigned slot, uint32_t opcode, uint64_t unique, uint64_t about, bool answered)
{
	put(f, slot, opcode, unique, about, answered);
	guest_ring(&f->guest, f->fs);
}

static struct message asked(struct fixture *f)
{
	struct message message;

	assert_int_equal(recv(f->server, &message, sizeof(message), 0), sizeof(message));
	return message;
}

static void say(struct fixture *f, uint64_t unique, int error)
{
	const struct fuse_out_header header = { .len = sizeof(header), .error = error, .unique = unique };

	assert_int_equal(send(f->server, &header, sizeof(header), 0), sizeof(header));
	guest_settle(&f->guest);
}

static const struct fuse_out_header *heard(struct fixture *f, unsigned slot)
{
	return guest_ptr(&f->guest, f->answer + 256 * slot);
}

static bool done(struct fixture *f)
{
	uint32_t head, len;

	return driver_used(&f->queue, &head, &len);
}

/* Each has the number that its asker gave it, whatever order the answers come in. */
static void test_answers(void **state)
{
	struct fixture *f = *state;

	post(f, 0, FUSE_GETATTR, 7, 0, true);
	post(f, 1, FUSE_GETATTR, 7, 0, true); /* a guest may do that, and gets what it deserves: both */
	struct message first = asked(f), second = asked(f);
	assert_true(first.header.unique != second.header.unique);
	say(f, second.header.unique, -ENOENT);
	assert_true(done(f));
	assert_int_equal(heard(f, 1)->error, -ENOENT);
	assert_int_equal(heard(f, 1)->unique, 7);
	say(f, first.header.unique, -EACCES);
	assert_true(done(f));
	assert_int_equal(heard(f, 0)->error, -EACCES);
	assert_int_equal(heard(f, 0)->unique, 7);
	say(f, first.header.unique, 0);
	say(f, 7, 0);
	assert_false(done(f));
}

/* After a reset the driver counts from the start; what the server still says is about nobody. */
static void test_late(void **state)
{
	struct fixture *f = *state;

	post(f, 0, FUSE_SETLKW, 2, 0, true);
	struct message old = asked(f);
	f->fs->ops->reset(f->fs);
	post(f, 1, FUSE_GETATTR, 2, 0, true);
	struct message now = asked(f);
	say(f, old.header.unique, -EINTR);
	assert_false(done(f));
	say(f, now.header.unique, 0);
	assert_true(done(f));
	assert_int_equal(heard(f, 1)->error, 0);
	assert_int_equal(*(uint8_t *)heard(f, 0), 0xee);
}

/* What is to be interrupted is called by the server's name, and a VM that stands still does not wait for it. */
static void test_interrupt(void **state)
{
	struct fixture *f = *state;

	post(f, 0, FUSE_SETLKW, 2, 0, true);
	struct message lock = asked(f);
	f->fs->ops->quiesce(f->fs); /* at once: the test has no second */
	post(f, 1, FUSE_INTERRUPT, 3, 2, false);
	assert_true(done(f));
	assert_true(asked(f).body.unique == lock.header.unique);
	post(f, 1, FUSE_INTERRUPT, 4, 99, false);
	assert_true(done(f));
	assert_true(asked(f).body.unique == 0);
	say(f, lock.header.unique, -EINTR);
	assert_true(done(f));
	assert_int_equal(heard(f, 0)->unique, 2);
}

static void test_server_ends(void **state)
{
	struct fixture *f = *state;

	post(f, 0, FUSE_GETATTR, 5, 0, true);
	asked(f);
	assert_int_equal(shutdown(f->server, SHUT_RDWR), 0);
	guest_settle(&f->guest);
	assert_true(done(f));
	assert_int_equal(heard(f, 0)->error, -ENOTCONN);
	assert_int_equal(heard(f, 0)->unique, 5);
	post(f, 1, FUSE_GETATTR, 6, 0, true);
	assert_true(done(f));
	assert_int_equal(heard(f, 1)->error, -ENOTCONN);
}

static void answer_quickly(struct fixture *f)
{
	const struct fuse_out_header header = { .len = sizeof(header), .unique = asked(f).header.unique };

	assert_int_equal(send(f->server, &header, sizeof(header), 0), sizeof(header));
	loop_once(&f->guest.loop, 0);
	assert_true(done(f));
}

/* Two requests, one soon after the other's answer: is the next one looked for? */
static bool is_looked_for(struct fixture *f)
{
	for (unsigned i = 0; i < 2; i++) {
		f->guest.loop.crowded_until = 0;
		put(f, 0, FUSE_GETATTR, 1 + i, 0, true);
		device_kick(f->fs);
		loop_once(&f->guest.loop, 0);
		answer_quickly(f);
	}
	return f->guest.loop.look;
}

/*
 * A guest that asks one after the other need not ring for the next one: it is looked for, with the doorbell off. Others may want our processor, so that it is
 * not soon enough for that: but not each time.
 */
static void test_next(void **state)
{
	struct fixture *f = *state;

	for (unsigned tries = 0; tries < 1000; tries++) {
		if (!is_looked_for(f))
			continue;
		assert_true(f->queue.used->flags & VRING_USED_F_NO_NOTIFY);
		put(f, 0, FUSE_GETATTR, 3, 0, true);
		loop_once(&f->guest.loop, 0);
		answer_quickly(f);
		guest_settle(&f->guest);
		assert_null(f->guest.loop.look);
		assert_false(f->queue.used->flags & VRING_USED_F_NO_NOTIFY); /* nothing came: it has to ring again */
		return;
	}
	fail_msg("in 1000 times the next request was not looked for");
}

/* Who is looked for when the driver goes, or the VM stands still, is not any more. */
static void test_next_ends(void **state)
{
	struct fixture *f = *state;

	for (unsigned way = 0, tries = 0; way < 2; tries++) {
		assert_in_range(tries, 0, 1000);
		if (!is_looked_for(f))
			continue;
		if (way++)
			f->fs->ops->reset(f->fs);
		else
			f->fs->ops->pause(f->fs, true);
		assert_null(f->guest.loop.look);
		if (way == 1) {
			f->fs->ops->pause(f->fs, false);
			assert_false(f->queue.used->flags & VRING_USED_F_NO_NOTIFY); /* nobody looks: it has to ring */
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(test_answers), TEST(test_late), TEST(test_interrupt), TEST(test_server_ends), TEST(test_next), TEST(test_next_ends) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
