/* SPDX-License-Identifier: Apache-2.0 */
/* The console device on pipes, files and closed descriptors, with the test as its guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/console.h"

struct fixture {
	struct guest guest;
	struct device *console;
	struct driver queue[3];
	int in[2], out[2], err[2]; /* pipes */
	gpa_t buffer;              /* 1 MiB */
};

static void start(struct fixture *f, struct device_config config)
{
	guest_init(&f->guest);
	config.type = LV_DEV_CONSOLE;
	f->console = guest_add_device(&f->guest, &config);
	assert_non_null(f->console);
	for (unsigned i = 0; i < 3; i++)
		driver_of(&f->queue[i], &f->guest, f->console, i);
	f->buffer = guest_alloc(&f->guest, 1 << 20, 4096);
}

static int setup_pipes(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(f->in) | pipe(f->out) | pipe(f->err), 0);
	start(f, (struct device_config){ .console = { f->in[0], f->out[1], f->err[1], -1, false, false, 0 } });
	*state = f;
	return 0;
}

static void close_pipe(int fd[2])
{
	for (int i = 0; i < 2; i++)
		if (fd[i] > 0)
			close(fd[i]);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->guest);
	close_pipe(f->in);
	close_pipe(f->out);
	close_pipe(f->err);
	free(f);
	return 0;
}

static void guest_write(struct fixture *f, unsigned queue, gpa_t at, const void *text, uint32_t len)
{
	struct part part = { at, len, false };

	memcpy(guest_ptr(&f->guest, at), text, len);
	driver_post(&f->queue[queue], &part, 1);
}

static void guest_wants_input(struct fixture *f, uint32_t len)
{
	struct part part = { f->buffer, len, true };

	driver_post(&f->queue[LV_CONSOLE_STDIN], &part, 1);
	guest_ring(&f->guest, f->console);
}

static void expect_read(int fd, const char *text)
{
	char got[256] = "";
	ssize_t n = read(fd, got, sizeof(got) - 1);

	assert_int_equal(n, strlen(text));
	assert_string_equal(got, text);
}

/* The guest gets one used element of this length on its stdin. */
static void expect_input(struct fixture *f, uint32_t want)
{
	uint32_t head, len;

	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDIN], &head, &len), 1);
	assert_int_equal(len, want);
}

static void test_output(void **state)
{
	struct fixture *f = *state;
	char tail[64] = "";
	uint32_t head, len;

	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "hello\n", 6);
	guest_write(f, LV_CONSOLE_STDERR, f->buffer + 100, "oops\n", 5);
	guest_ring(&f->guest, f->console);
	expect_read(f->out[0], "hello\n");
	expect_read(f->err[0], "oops\n");
	assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
	assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDERR], &head, &len), 1);
	assert_int_equal(console_tail(f->console, tail, sizeof(tail)), 11);
	assert_string_equal(tail, "hello\noops\n");
	assert_int_equal(f->console->stats.bytes[LV_CONSOLE_STDOUT], 6);
}

static void test_wake_only_when_needed(void **state)
{
	struct fixture *f = *state;

	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "a", 1);
	guest_ring(&f->guest, f->console);
	assert_int_equal(f->guest.wakes, 0);
	f->guest.shared.need_wake = 1;
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "b", 1);
	guest_ring(&f->guest, f->console);
	assert_int_equal(f->guest.wakes, 1);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	const struct lv_console_config *config = &f->guest.page.device[0].config.console;

	assert_int_equal(f->guest.page.device[0].type, LV_DEV_CONSOLE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(config->stream[i], 0);
}

/* More than a pipe holds: the guest's chain waits, and not a byte is lost or out of order. */
static void test_backpressure(void **state)
{
	struct fixture *f = *state;
	const uint32_t total = 600000;
	uint8_t *sent = malloc(total), *got = malloc(total + 1);
	uint32_t have = 0, head, len;

	for (uint32_t i = 0; i < total; i++)
		sent[i] = i * 7 + (i >> 8);
	for (uint32_t i = 0; i < 6; i++)
		guest_write(f, LV_CONSOLE_STDOUT, f->buffer + i * 100000, sent + i * 100000, 100000);
	guest_ring(&f->guest, f->console);
	assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len), 0); /* 64 KiB are in the pipe */
	while (have < total) {
		ssize_t n = read(f->out[0], got + have, total + 1 - have);

		assert_true(n > 0);
		have += n;
		guest_settle(&f->guest);
	}
	assert_memory_equal(sent, got, total);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
	free(sent);
	free(got);
}

static void test_broken_pipe(void **state)
{
	struct fixture *f = *state;
	uint32_t head, len;

	close(f->out[0]);
	f->out[0] = -1;
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "x", 1);
	guest_ring(&f->guest, f->console);
	assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
	assert_int_equal(f->guest.page.device[0].config.console.stream[1], LV_STREAM_BROKEN);
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "y", 1); /* vanishes, but does not block */
	guest_ring(&f->guest, f->console);
	assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
}

static void test_input(void **state)
{
	struct fixture *f = *state;
	uint32_t head, len;

	assert_int_equal(write(f->in[1], "abcdef", 6), 6);
	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->queue[0], &head, &len), 0);
	guest_wants_input(f, 4);
	expect_input(f, 4);
	assert_memory_equal(guest_ptr(&f->guest, f->buffer), "abcd", 4);
	guest_wants_input(f, 100);
	expect_input(f, 2);
	assert_memory_equal(guest_ptr(&f->guest, f->buffer), "ef", 2);
	/* asked for before it is there */
	guest_wants_input(f, 100);
	assert_int_equal(driver_used(&f->queue[0], &head, &len), 0);
	assert_int_equal(write(f->in[1], "z", 1), 1);
	expect_input(f, 1);
}

static void test_end_of_file(void **state)
{
	struct fixture *f = *state;

	guest_wants_input(f, 100);
	close(f->in[1]);
	f->in[1] = -1;
	expect_input(f, 0);
	guest_wants_input(f, 100);
	expect_input(f, 0);
}

/* Loops until done() is true, as loop_finish does when there is no thread. */
static void test_drain(void **state)
{
	struct fixture *f = *state;
	char line[8];

	for (unsigned i = 0; i < 30; i++) {
		snprintf(line, sizeof(line), "%02u\n", i);
		guest_write(f, LV_CONSOLE_STDOUT, f->buffer + 16 * i, line, 3);
	}
	devices_finish(&f->guest.devices); /* no doorbell was rung */
	for (unsigned i = 0; i < 30; i++) {
		char got[4] = "";

		snprintf(line, sizeof(line), "%02u\n", i);
		assert_int_equal(read(f->out[0], got, 3), 3);
		assert_string_equal(got, line);
	}
}

/* Nobody reads, and somebody kills the VM: its end does not wait. */
static void test_abandon(void **state)
{
	struct fixture *f = *state;
	static char much[200000];

	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, much, sizeof(much));
	guest_ring(&f->guest, f->console);
	devices_abandon(&f->guest.devices);
	devices_finish(&f->guest.devices);
}

static void *read_slowly(void *context)
{
	struct fixture *f = context;
	static char got[100000];
	size_t have = 0;

	while (have < 500000) {
		ssize_t n = read(f->out[0], got, sizeof(got));

		assert_true(n > 0);
		have += n;
	}
	return NULL;
}

/* As in the monitor: the loop has a thread of its own, which is busy when the VM ends. */
static void test_drain_takes_over(void **state)
{
	struct fixture *f = *state;
	static char much[100000];
	pthread_t reader;
	uint32_t head, len;

	for (unsigned i = 0; i < 5; i++)
		guest_write(f, LV_CONSOLE_STDOUT, f->buffer + i * sizeof(much), much, sizeof(much));
	assert_int_equal(loop_start(&f->guest.loop), 0);
	assert_int_equal(write(f->console->bell.fd, &(uint64_t){ 1 }, 8), 8);
	assert_int_equal(pthread_create(&reader, NULL, read_slowly, f), 0);
	devices_finish(&f->guest.devices);
	pthread_join(reader, NULL);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
}

static void test_violation(void **state)
{
	struct fixture *f = *state;
	struct lv_device_stats stats[LV_MAX_DEVICES];

	f->queue[LV_CONSOLE_STDOUT].avail->idx = 1000;
	guest_ring(&f->guest, f->console);
	assert_int_equal(devices_stats(&f->guest.devices, stats), 1);
	assert_int_equal(stats[0].needs_reset, 1);
	assert_string_equal(stats[0].error, "the available index is ahead by more than the queue's size");
	guest_ring(&f->guest, f->console); /* the bell has no effect any more */
	devices_finish(&f->guest.devices);
}

static void test_attach(void **state)
{
	struct fixture *f = *state;
	int in[2], out[2];

	assert_int_equal(pipe(in) | pipe(out), 0);
	assert_int_equal(console_attach(f->console, in[0], out[1]), 0);
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "both", 4);
	guest_ring(&f->guest, f->console);
	expect_read(f->out[0], "both");
	expect_read(out[0], "both");
	guest_wants_input(f, 100);
	assert_int_equal(write(in[1], "typed", 5), 5);
	expect_input(f, 5);
	/* its stdin ends: the monitor's own is read again */
	close(in[1]);
	guest_wants_input(f, 100);
	assert_int_equal(write(f->in[1], "own", 3), 3);
	expect_input(f, 3);
	/* it goes: output flows on */
	close(out[0]);
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "alone", 5);
	guest_ring(&f->guest, f->console);
	expect_read(f->out[0], "alone");
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "again", 5);
	guest_ring(&f->guest, f->console);
	expect_read(f->out[0], "again");
}

static void test_attach_many(void **state)
{
	struct fixture *f = *state;
	int null;

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(console_attach(f->console, -1, open("/dev/null", O_WRONLY | O_CLOEXEC)), 0);
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(console_attach(f->console, -1, null), -ENOSPC);
	close(null);
	assert_int_equal(console_attach(f->console, -1, null), -ENOSPC);
}

/* ---- other descriptors ---- */

static int setup_none(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->in[0] = f->out[0] = f->err[0] = -1;
	start(f, (struct device_config){ .console = { -1, -1, -1, -1, false, false, 0 } });
	*state = f;
	return 0;
}

static void test_none(void **state)
{
	struct fixture *f = *state;
	uint32_t head, len;

	assert_int_equal(f->guest.page.device[0].config.console.stream[0], LV_STREAM_CLOSED);
	assert_int_equal(f->guest.page.device[0].config.console.stream[1], LV_STREAM_CLOSED);
	guest_wants_input(f, 16);
	expect_input(f, 0);
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "x", 1);
	guest_ring(&f->guest, f->console);
	assert_int_equal(driver_used(&f->queue[1], &head, &len), 1);
}

static int temp_file(void)
{
	char name[] = "/tmp/lv-console-XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	return fd;
}

/* Regular files, which epoll refuses: input from one, both outputs into one, and the log. */
static int setup_files(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->in[0] = temp_file();
	f->out[0] = temp_file();
	f->err[0] = dup(f->out[0]);
	assert_int_equal(pwrite(f->in[0], "from a file", 11, 0), 11);
	start(f, (struct device_config){ .console = { f->in[0], f->out[0], f->err[0], temp_file(), false, false, 0 } });
	*state = f;
	return 0;
}

static void test_files(void **state)
{
	struct fixture *f = *state;
	char got[64] = "";

	assert_int_equal(f->guest.page.device[0].config.console.stream[2], LV_STREAM_SAME);
	guest_wants_input(f, 100);
	expect_input(f, 11);
	guest_wants_input(f, 100);
	expect_input(f, 0);
	guest_write(f, LV_CONSOLE_STDOUT, f->buffer, "one ", 4);
	guest_ring(&f->guest, f->console);
	guest_write(f, LV_CONSOLE_STDERR, f->buffer, "two", 3);
	guest_ring(&f->guest, f->console);
	assert_int_equal(pread(f->out[0], got, sizeof(got), 0), 7);
	assert_string_equal(got, "one two");
}

/* ---- the tail ---- */

static void test_tail_wraps(void **state)
{
	struct fixture *f = *state;
	static char text[5000];
	char tail[2048];

	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = 'a' + i % 23;
	for (unsigned i = 0; i < sizeof(text); i += 100) {
		guest_write(f, LV_CONSOLE_STDERR, f->buffer, text + i, 100);
		guest_ring(&f->guest, f->console);
	}
	assert_int_equal(console_tail(f->console, tail, sizeof(tail)), 2048);
	assert_memory_equal(tail, text + sizeof(text) - 2048, 2048);
}

#define PIPES(name) cmocka_unit_test_setup_teardown(name, setup_pipes, teardown)
/* A guest that prints without end, as much in a chain as it can, holds up nobody for longer than some chains take. */
static void test_turn_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->buffer, 1 << 20, false };
	const unsigned posted = 24; /* MiB */
	unsigned turns = 0, most = 0, done = 0;
	uint32_t head, len;
	uint64_t one = 1;

	for (unsigned i = 0; i < posted; i++)
		driver_post(&f->queue[LV_CONSOLE_STDOUT], &part, 1);
	assert_int_equal(write(f->console->bell.fd, &one, sizeof(one)), sizeof(one));
	for (; done < posted && turns < 100; turns++) {
		unsigned now = 0;

		loop_once(&f->guest.loop, 0);
		while (driver_used(&f->queue[LV_CONSOLE_STDOUT], &head, &len))
			now++;
		most = now > most ? now : most;
		done += now;
	}
	assert_int_equal(done, posted);
	assert_in_range(most, 1, 8);
	assert_in_range(turns, 3, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PIPES(test_output), PIPES(test_wake_only_when_needed), PIPES(test_config), PIPES(test_backpressure),
		PIPES(test_broken_pipe), PIPES(test_input), PIPES(test_end_of_file), PIPES(test_drain), PIPES(test_abandon), PIPES(test_drain_takes_over), PIPES(test_violation),
		PIPES(test_attach), PIPES(test_attach_many),
		cmocka_unit_test_setup_teardown(test_none, setup_none, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup_files, teardown),
		cmocka_unit_test_setup_teardown(test_turn_is_bounded, setup_none, teardown),
		PIPES(test_tail_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
