/* SPDX-License-Identifier: Apache-2.0 */
/* The console of Linux guests, with the test in the role of Linux' driver: ports come up, end and change their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_console.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/console.h"

#define FEATURES (1ull << VIRTIO_CONSOLE_F_SIZE | 1ull << VIRTIO_CONSOLE_F_MULTIPORT)
enum { RX0, TX0, CONTROL_RX, CONTROL_TX, RX1, TX1, RX2, TX2, RX3, TX3, QUEUES };
#define CONTROL_BUFFERS 8
#define BUFFER 64

struct fixture {
	struct guest guest;
	struct device *console;
	struct driver queue[QUEUES];
	int in[2], out[2], err[2]; /* pipes */
	gpa_t buffer, control;     /* control: CONTROL_BUFFERS buffers that are posted again once they were read */
};

struct heard {
	struct virtio_console_control head;
	char more[BUFFER];
	uint32_t more_size;
};

static void post_control_buffer(struct fixture *f, gpa_t at)
{
	driver_post(&f->queue[CONTROL_RX], &(struct part){ at, BUFFER, true }, 1);
}

static void start(struct fixture *f, bool terminal, uint64_t features)
{
	struct device_config config = { .type = LV_DEV_CONSOLE };

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(f->in) | pipe(f->out) | pipe(f->err), 0);
	config.console.in = f->in[0];
	config.console.out = f->out[1];
	config.console.err = f->err[1];
	config.console.log = -1;
	config.console.multiport = true;
	config.console.terminal = terminal;
	guest_init(&f->guest);
	f->console = guest_negotiate_device(&f->guest, &config, features);
	assert_non_null(f->console);
	assert_int_equal(f->console->queues, QUEUES);
	for (unsigned i = 0; i < QUEUES; i++)
		driver_init(&f->queue[i], &f->guest, &f->guest.ring[i]);
	f->buffer = guest_alloc(&f->guest, 65536, 4096);
	f->control = guest_alloc(&f->guest, CONTROL_BUFFERS * BUFFER, 64);
	for (unsigned i = 0; i < CONTROL_BUFFERS; i++)
		post_control_buffer(f, f->control + i * BUFFER);
}

static int setup(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));

	start(f, false, FEATURES);
	return 0;
}

static int setup_terminal(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));

	start(f, true, FEATURES);
	return 0;
}

static int setup_plain(void **state)
{
	struct fixture *f = *state = calloc(1, sizeof(*f));

	start(f, true, 1ull << VIRTIO_CONSOLE_F_SIZE);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int *end[] = { f->in, f->out, f->err };

	guest_fini(&f->guest);
	for (unsigned i = 0; i < 6; i++)
		if (end[i / 2][i % 2] >= 0)
			close(end[i / 2][i % 2]);
	free(f);
	return 0;
}

static void shut(int *fd)
{
	close(*fd);
	*fd = -1;
}

static void say(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	struct virtio_console_control message = { id, event, value };

	memcpy(guest_ptr(&f->guest, f->buffer), &message, sizeof(message));
	driver_post(&f->queue[CONTROL_TX], &(struct part){ f->buffer, sizeof(message), false }, 1);
	guest_ring(&f->guest, f->console);
}

/* The next message of the host; its buffer goes back. */
static bool hear(struct fixture *f, struct heard *heard)
{
	uint32_t head, len;
	gpa_t at;

	memset(heard, 0, sizeof(*heard));
	if (!driver_used(&f->queue[CONTROL_RX], &head, &len))
		return false;
	assert_true(len >= sizeof(heard->head) && len <= BUFFER);
	at = f->queue[CONTROL_RX].desc[head].addr;
	memcpy(&heard->head, guest_ptr(&f->guest, at), sizeof(heard->head));
	heard->more_size = len - sizeof(heard->head);
	memcpy(heard->more, (char *)guest_ptr(&f->guest, at) + sizeof(heard->head), heard->more_size);
	post_control_buffer(f, at);
	guest_ring(&f->guest, f->console);
	return true;
}

static struct heard expect(struct fixture *f, uint32_t id, uint16_t event, uint16_t value)
{
	struct heard heard;

	assert_true(hear(f, &heard));
	assert_int_equal(heard.head.id, id);
	assert_int_equal(heard.head.event, event);
	assert_int_equal(heard.head.value, value);
	return heard;
}

static void expect_silence(struct fixture *f)
{
	struct heard heard;

	assert_false(hear(f, &heard));
}

/* As Linux does it: all ports are added, then each is made ready, then PID 1 opens those that it knows. */
static void bring_up(struct fixture *f)
{
	struct heard heard;

	say(f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned id = 0; id < 4; id++)
		expect(f, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	for (unsigned id = 0; id < 4; id++)
		say(f, id, VIRTIO_CONSOLE_PORT_READY, 1);
	while (hear(f, &heard))
		;
	for (unsigned id = 0; id < 4; id++)
		say(f, id, VIRTIO_CONSOLE_PORT_OPEN, 1);
}

static void write_port(struct fixture *f, unsigned queue, const char *text)
{
	memcpy(guest_ptr(&f->guest, f->buffer + 4096), text, strlen(text));
	driver_post(&f->queue[queue], &(struct part){ f->buffer + 4096, strlen(text), false }, 1);
	guest_ring(&f->guest, f->console);
}

static void want_input(struct fixture *f, unsigned queue)
{
	driver_post(&f->queue[queue], &(struct part){ f->buffer + 8192, 100, true }, 1);
	guest_ring(&f->guest, f->console);
}

static void expect_input(struct fixture *f, unsigned queue, const char *text)
{
	uint32_t head, len;

	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->queue[queue], &head, &len), 1);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(guest_ptr(&f->guest, f->buffer + 8192), text, len);
}

static void expect_no_input(struct fixture *f, unsigned queue)
{
	uint32_t head, len;

	guest_settle(&f->guest);
	assert_int_equal(driver_used(&f->queue[queue], &head, &len), 0);
}

static void expect_read(int fd, const char *text)
{
	char got[256] = "";

	assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
}

/* ---- ports ---- */

static void test_configuration(void **state)
{
	struct fixture *f = *state;
	struct virtio_console_config config;
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };

	assert_int_equal(f->console->ops->configuration(f->console, space), sizeof(config));
	memcpy(&config, space, sizeof(config));
	assert_int_equal(config.max_nr_ports, 4);
	assert_int_equal(f->console->features, FEATURES);
}

static void expect_stream_port(struct fixture *f, unsigned id, const char *name, bool open)
{
	struct heard heard;

	say(f, id, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(f, id, VIRTIO_CONSOLE_PORT_OPEN, open);
	heard = expect(f, id, VIRTIO_CONSOLE_PORT_NAME, 1);
	assert_int_equal(heard.more_size, strlen(name));
	assert_memory_equal(heard.more, name, strlen(name));
}

/* Connected before it has a name: PID 1 opens a port when its name appears, and a read must not see an end then. */
static void test_bring_up(void **state)
{
	struct fixture *f = *state;

	say(f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned id = 0; id < 4; id++)
		expect(f, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	say(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
	expect(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_stream_port(f, 1, "lightvm.stdin", true);
	expect_stream_port(f, 2, "lightvm.stdout", true);
	expect_stream_port(f, 3, "lightvm.stderr", true);
	expect_silence(f);
}

static void test_output(void **state)
{
	struct fixture *f = *state;
	char tail[32] = "";

	bring_up(f);
	write_port(f, TX2, "out");
	write_port(f, TX3, "err");
	write_port(f, TX0, "terminal"); /* no terminal: only the log has it */
	write_port(f, TX1, "nobody");
	expect_read(f->out[0], "out");
	expect_read(f->err[0], "err");
	assert_int_equal(console_tail(f->console, tail, sizeof(tail)), 14);
	assert_string_equal(tail, "outerrterminal");
	for (unsigned q = TX0; q < QUEUES; q += 2)
		assert_int_equal(f->queue[q].used->idx, f->queue[q].avail->idx);
	assert_true(f->guest.interrupts > 0);
}

static void test_input_waits_for_open(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(write(f->in[1], "early", 5), 5);
	want_input(f, RX1);
	want_input(f, RX0);
	expect_no_input(f, RX1);
	bring_up(f);
	expect_input(f, RX1, "early");
	expect_no_input(f, RX0);
	want_input(f, RX1);
	assert_int_equal(write(f->in[1], "late", 4), 4);
	expect_input(f, RX1, "late");
	say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	want_input(f, RX1);
	assert_int_equal(write(f->in[1], "unread", 6), 6);
	expect_no_input(f, RX1);
	expect_no_input(f, RX0);
	say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect_input(f, RX1, "unread");
}

static void test_end_of_file(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	assert_int_equal(write(f->in[1], "last", 4), 4);
	shut(&f->in[1]);
	want_input(f, RX1);
	expect_input(f, RX1, "last");
	want_input(f, RX1);
	expect_no_input(f, RX1);
	expect(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	want_input(f, RX1); /* told once */
	expect_silence(f);
	write_port(f, TX2, "still");
	expect_read(f->out[0], "still");
}

static void test_reader_gone(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	shut(&f->out[0]);
	write_port(f, TX2, "lost");
	assert_int_equal(f->queue[TX2].used->idx, 1);
	expect(f, 2, VIRTIO_CONSOLE_PORT_OPEN, 0);
	expect_silence(f);
}

static void test_clients(void **state)
{
	struct fixture *f = *state;
	int in[2], out[2];

	assert_int_equal(pipe(in) | pipe(out), 0);
	bring_up(f);
	assert_int_equal(console_attach(f->console, in[0], out[1]), 0);
	want_input(f, RX1);
	assert_int_equal(write(in[1], "typed", 5), 5);
	expect_input(f, RX1, "typed");
	write_port(f, TX0, "login: ");
	expect_read(out[0], "login: ");
	/* Nobody reads the program's stdin: what is typed is for the terminal. */
	say(f, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
	want_input(f, RX0);
	assert_int_equal(write(in[1], "root", 4), 4);
	expect_input(f, RX0, "root");
	close(in[1]);
	close(out[0]);
}

/* ---- the terminal ---- */

static void test_terminal(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	write_port(f, TX0, "$ ");
	expect_read(f->out[0], "$ ");
	want_input(f, RX1);
	want_input(f, RX0);
	assert_int_equal(write(f->in[1], "ls\r", 3), 3);
	expect_input(f, RX0, "ls\r");
	expect_no_input(f, RX1);
	write_port(f, TX2, "x");
	assert_int_equal(f->queue[TX2].used->idx, 1);
}

static void test_resize(void **state)
{
	struct fixture *f = *state;
	struct heard heard;
	uint16_t size[2];

	assert_int_equal(console_resize(f->console, 50, 132), 0); /* too early to say */
	assert_int_equal(f->guest.reconfigurations, 1);
	expect_silence(f);
	say(f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	for (unsigned id = 0; id < 4; id++)
		expect(f, id, VIRTIO_CONSOLE_PORT_ADD, 1);
	say(f, 0, VIRTIO_CONSOLE_PORT_READY, 1);
	expect(f, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
	expect(f, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
	expect(f, 0, VIRTIO_CONSOLE_RESIZE, 1);
	assert_int_equal(console_resize(f->console, 24, 80), 0);
	heard = expect(f, 0, VIRTIO_CONSOLE_RESIZE, 1);
	assert_int_equal(heard.more_size, 4);
	memcpy(size, heard.more, 4);
	assert_int_equal(size[0], 80);
	assert_int_equal(size[1], 24);
	assert_int_equal(console_resize(f->console, 0, 80), -EINVAL);
}

/* A driver without MULTIPORT has port 0 and nothing else. */
static void test_plain(void **state)
{
	struct fixture *f = *state;

	want_input(f, RX0);
	assert_int_equal(write(f->in[1], "a", 1), 1);
	expect_input(f, RX0, "a");
	write_port(f, TX0, "b");
	expect_read(f->out[0], "b");
	say(f, VIRTIO_CONSOLE_BAD_ID, VIRTIO_CONSOLE_DEVICE_READY, 1);
	expect_silence(f);
}

/* ---- guests that do not play by the rules ---- */

static void test_nonsense(void **state)
{
	struct fixture *f = *state;

	for (unsigned event = 0; event < 12; event++) {
		say(f, 4, event, 1);
		say(f, ~0u, event, 7);
	}
	driver_post(&f->queue[CONTROL_TX], &(struct part){ f->buffer, 7, false }, 1);
	driver_post(&f->queue[CONTROL_TX], &(struct part){ f->buffer, 8, true }, 1);
	guest_ring(&f->guest, f->console);
	assert_int_equal(f->console->stats.needs_reset, 0);
	assert_int_equal(f->queue[CONTROL_TX].used->idx, f->queue[CONTROL_TX].avail->idx);
}

/* What is told is a state, not a list: a guest that asks and never listens costs nothing. */
static void test_flood(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 200; i++)
		say(f, i % 4, i % 5 ? VIRTIO_CONSOLE_PORT_READY : VIRTIO_CONSOLE_DEVICE_READY, 1);
	assert_int_equal(f->queue[CONTROL_RX].used->idx, CONTROL_BUFFERS);
	assert_int_equal(f->console->stats.needs_reset, 0);
}

static void test_reset(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	f->console->ops->reset(f->console);
	want_input(f, RX1);
	assert_int_equal(write(f->in[1], "x", 1), 1);
	expect_no_input(f, RX1);
	bring_up(f);
	expect_input(f, RX1, "x");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_configuration), TEST(test_bring_up), TEST(test_output), TEST(test_input_waits_for_open), TEST(test_end_of_file),
		TEST(test_reader_gone), TEST(test_clients), TEST(test_nonsense), TEST(test_flood), TEST(test_reset),
		cmocka_unit_test_setup_teardown(test_terminal, setup_terminal, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup_terminal, teardown),
		cmocka_unit_test_setup_teardown(test_plain, setup_plain, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
