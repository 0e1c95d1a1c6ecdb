/* SPDX-License-Identifier: Apache-2.0 */
/* The serial port, driven as Linux' 8250 driver drives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <linux/serial_reg.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/linux/serial.h"
#include "vmm/state/stream.h"

struct fixture {
	struct loop loop;
	struct serial serial;
	int in[2], out[2], irq;
	unsigned panics;
};

static struct fixture fixture;

static void panicked(void *context)
{
	((struct fixture *)context)->panics++;
}

static int setup(void **state)
{
	struct fixture *f = &fixture;
	*f = (struct fixture){ .irq = eventfd(0, EFD_NONBLOCK) };
	assert_int_equal(pipe2(f->in, O_NONBLOCK) | pipe2(f->out, O_NONBLOCK) | loop_init(&f->loop), 0);
	serial_init(&f->serial, &f->loop, f->in[0], f->out[1], f->irq);
	f->serial.panicked = panicked;
	f->serial.context = f;
	assert_int_equal(serial_start(&f->serial), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	const int fds[] = { f->in[0], f->in[1], f->out[0], f->out[1], f->irq };
	serial_fini(&f->serial);
	loop_fini(&f->loop);
	for (unsigned i = 0; i < 5; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return 0;
}

static bool interrupted(struct fixture *f)
{
	uint64_t count;
	return read(f->irq, &count, sizeof(count)) == sizeof(count);
}

static void say(struct fixture *f, const char *text)
{
	for (; *text; text++) {
		assert_true(serial_read(&f->serial, UART_LSR) & UART_LSR_THRE);
		serial_write(&f->serial, UART_TX, *text);
	}
}

static void output(void **state)
{
	struct fixture *f = *state;
	char text[64] = "";
	say(f, "hello\n");
	assert_int_equal(read(f->out[0], text, sizeof(text)), 6);
	assert_string_equal(text, "hello\n");
	assert_false(interrupted(f));
	serial_write(&f->serial, UART_IER, UART_IER_THRI);
	assert_true(interrupted(f));
	assert_int_equal(serial_read(&f->serial, UART_IIR) & 0xf, UART_IIR_THRI);
	assert_int_equal(serial_read(&f->serial, UART_IIR) & 0xf, UART_IIR_NO_INT);
}

/* The register that sends is the divisor's low byte while the latch is set. */
static void divisor(void **state)
{
	struct fixture *f = *state;
	char c;
	serial_write(&f->serial, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	serial_write(&f->serial, UART_DLL, 12);
	assert_int_equal(serial_read(&f->serial, UART_DLL), 12);
	serial_write(&f->serial, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(read(f->out[0], &c, 1), -1);
}

static void input(void **state)
{
	struct fixture *f = *state;
	serial_write(&f->serial, UART_IER, UART_IER_RDI);
	assert_int_equal(write(f->in[1], "ab", 2), 2);
	loop_once(&f->loop, 1000);
	assert_true(interrupted(f));
	assert_int_equal(serial_read(&f->serial, UART_IIR) & 0xf, UART_IIR_RDI);
	assert_int_equal(serial_read(&f->serial, UART_RX), 'a');
	assert_true(serial_read(&f->serial, UART_LSR) & UART_LSR_DR);
	assert_int_equal(serial_read(&f->serial, UART_RX), 'b');
	assert_false(serial_read(&f->serial, UART_LSR) & UART_LSR_DR);
	assert_int_equal(serial_read(&f->serial, UART_RX), 0);
}

/* More than the port holds stays in the pipe until the guest has read. */
static void input_overrun(void **state)
{
	struct fixture *f = *state;
	char text[3 * SERIAL_IN];
	unsigned got = 0;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = i;
	assert_int_equal(write(f->in[1], text, sizeof(text)), sizeof(text));
	for (unsigned round = 0; round < 4; round++) {
		loop_once(&f->loop, 10);
		while (serial_read(&f->serial, UART_LSR) & UART_LSR_DR)
			assert_int_equal(serial_read(&f->serial, UART_RX), (uint8_t)text[got++]);
	}
	assert_int_equal(got, sizeof(text));
}

/* A reader that takes nothing: the transmitter says that it is full, nothing blocks, nothing is lost. */
static void slow_reader(void **state)
{
	struct fixture *f = *state;
	char text[4096];
	size_t sent = 0, got = 0;
	ssize_t n;
	while (serial_read(&f->serial, UART_LSR) & UART_LSR_THRE && sent < 1 << 20) {
		serial_write(&f->serial, UART_TX, 'x');
		sent++;
	}
	assert_true(sent < 1 << 20);
	while ((n = read(f->out[0], text, sizeof(text))) > 0) {
		got += n;
		loop_once(&f->loop, 0);
	}
	assert_int_equal(got, sent);
	assert_true(serial_drain(&f->serial));
}

static void reader_gone(void **state)
{
	struct fixture *f = *state;
	close(f->out[0]);
	f->out[0] = -1;
	for (unsigned i = 0; i < 2 * SERIAL_OUT; i++)
		say(f, "y\n");
	assert_true(serial_drain(&f->serial));
}

static void panic(void **state)
{
	struct fixture *f = *state;
	say(f, "Kernel panic - not synced\n");
	assert_int_equal(f->panics, 0);
	say(f, "[ 1.0] KKernel panic - not syncing: VFS\n");
	assert_int_equal(f->panics, 1);
}

static char logged[64];

static void keep(void *context, const char *data, unsigned size)
{
	strncat(logged, data, size);
}

/* The log gets lines, half a line after a moment, and all of it although nobody reads the port. */
static void log_of_lines(void **state)
{
	struct fixture *f = *state;
	serial_fini(&f->serial);
	serial_init(&f->serial, &f->loop, -1, -1, f->irq);
	f->serial.log = keep;
	f->serial.context = f;
	logged[0] = 0;
	say(f, "one\ntw");
	assert_string_equal(logged, "one\n");
	say(f, "o\nlogin: ");
	assert_string_equal(logged, "one\ntwo\n");
	for (unsigned i = 0; i < 100 && !strstr(logged, "login"); i++)
		loop_once(&f->loop, 1000);
	assert_string_equal(logged, "one\ntwo\nlogin: ");
	say(f, "end");
	assert_true(serial_drain(&f->serial));
	assert_string_equal(logged, "one\ntwo\nlogin: end");
}

/* Any value in any register. */
static void garbage(void **state)
{
	struct fixture *f = *state;
	unsigned seed = 1;
	for (unsigned i = 0; i < 200000; i++) {
		seed = seed * 1103515245 + 12345;
		if (seed >> 31)
			serial_write(&f->serial, seed >> 8 & 7, seed >> 16);
		else
			serial_read(&f->serial, seed >> 8 & 7);
		assert_true(f->serial.out_count <= SERIAL_OUT && f->serial.in_count <= SERIAL_IN);
	}
}

#define TAG STREAM_TAG("TEST")

/* Registers and bytes on their way arrive. */
static void saved(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[4096];
	static struct serial_state got;
	struct serial other;
	serial_write(&f->serial, UART_IER, UART_IER_RDI | UART_IER_THRI);
	serial_write(&f->serial, UART_SCR, 0x5a);
	serial_write(&f->serial, UART_MCR, UART_MCR_DTR);
	say(f, "half a li");
	assert_int_equal(write(f->in[1], "abc", 3), 3);
	f->serial.in_watch.ready(&f->serial, EPOLLIN);
	struct stream stream = stream_writer(bytes, sizeof(bytes));
	stream_begin(&stream, TAG, 1);
	serial_save(&f->serial, &stream);
	assert_int_equal(stream_end(&stream), 0);
	const size_t size = stream.at;
	stream = stream_reader(bytes, size);
	stream_begin(&stream, TAG, 1);
	serial_read_saved(&got, &stream);
	assert_int_equal(stream_end(&stream), 0);
	serial_init(&other, &f->loop, -1, -1, f->irq);
	serial_load(&other, &got);
	assert_int_equal(serial_read(&other, UART_SCR), 0x5a);
	assert_int_equal(serial_read(&other, UART_IER), UART_IER_RDI | UART_IER_THRI);
	assert_int_equal(other.out_count, f->serial.out_count);
	assert_int_equal(serial_read(&other, UART_RX), 'a');
	assert_int_equal(serial_read(&other, UART_RX), 'b');
	serial_fini(&other);
}


/* More bytes than there is room for. */
static void saved_too_much(void **state)
{
	static uint8_t bytes[2 * SERIAL_OUT], text[SERIAL_OUT + 1];
	static const uint8_t registers[8]; /* all zero, and two flags */
	static struct serial_state got;
	struct stream stream = stream_writer(bytes, sizeof(bytes));
	(void)state;
	stream_begin(&stream, TAG, 1);
	stream_put(&stream, registers, sizeof(registers));
	stream_put32(&stream, SERIAL_OUT + 1);
	stream_put(&stream, text, sizeof(text));
	stream_put32(&stream, 0);
	stream_put32(&stream, 0);
	assert_int_equal(stream_end(&stream), 0);
	stream = stream_reader(bytes, stream.at);
	stream_begin(&stream, TAG, 1);
	serial_read_saved(&got, &stream);
	assert_int_not_equal(stream_end(&stream), 0);
	assert_int_equal(got.out_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(output, setup, teardown), cmocka_unit_test_setup_teardown(divisor, setup, teardown),
		cmocka_unit_test_setup_teardown(input, setup, teardown), cmocka_unit_test_setup_teardown(input_overrun, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_reader, setup, teardown), cmocka_unit_test_setup_teardown(reader_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(panic, setup, teardown), cmocka_unit_test_setup_teardown(log_of_lines, setup, teardown), cmocka_unit_test_setup_teardown(garbage, setup, teardown), cmocka_unit_test_setup_teardown(saved, setup, teardown), cmocka_unit_test(saved_too_much),
	};
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
