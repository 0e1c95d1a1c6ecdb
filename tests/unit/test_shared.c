/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams that others read and write too: the loop never sleeps in them, and others find them as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/flood.h"
#include "tests/unit/ring_driver.h"
#include "vmm/dev/console.h"
#include "base/own_open.h"
#include "vmm/host/own.h"
#include "vmm/host/sink.h"
#include "vmm/host/source.h"

struct vm {
	struct guest guest;
	struct device *console;
	struct driver in, out;
	gpa_t buffer;
};

static void wants_input(struct vm *vm)
{
	for (unsigned i = 0; i < 4; i++) {
		struct part part = { vm->buffer + 1024 * i, 1024, true };

		driver_post(&vm->in, &part, 1);
	}
	guest_ring(&vm->guest, vm->console);
}

/* A VM whose stdin and stdout are these, waiting for input. */
static struct vm *vm_new(int in, int out)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct device_config config = { .type = LV_DEV_CONSOLE, .console = { .in = in, .out = out, .err = -1, .log = -1 } };

	signal(SIGPIPE, SIG_IGN);
	guest_init(&vm->guest);
	vm->console = guest_add_device(&vm->guest, &config);
	assert_non_null(vm->console);
	driver_of(&vm->in, &vm->guest, vm->console, LV_CONSOLE_STDIN);
	driver_of(&vm->out, &vm->guest, vm->console, LV_CONSOLE_STDOUT);
	vm->buffer = guest_alloc(&vm->guest, 1 << 20, 4096);
	wants_input(vm);
	return vm;
}

static void vm_free(struct vm *vm)
{
	guest_fini(&vm->guest);
	free(vm);
}

static uint32_t got(struct vm *vm)
{
	uint32_t head, len, sum = 0;

	guest_settle(&vm->guest);
	while (driver_used(&vm->in, &head, &len))
		sum += len;
	return sum;
}

/* A terminal passes on what is typed in its own time. */
static void arrives(int in)
{
	struct pollfd poll_fd = { .fd = in, .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, 10000), 1);
}

static void two_readers(int in, int writer)
{
	struct vm *a = vm_new(in, -1), *b = vm_new(in, -1);
	int flags = fcntl(in, F_GETFL);

	assert_int_equal(flood(), 4); /* two bells, two inputs */
	assert_int_equal(write(writer, "line\n", 5), 5);
	arrives(in);
	/* Both loops are told; the first one takes it all, and the second must find nothing and go on. */
	alarm(10);
	assert_int_equal(got(a) + got(b), 5);
	assert_int_equal(write(writer, "next\n", 5), 5);
	arrives(in);
	assert_int_equal(got(b) + got(a), 5);
	alarm(0);
	assert_int_equal(flood(), 4);
	assert_int_equal(b->console->stats.requests[LV_CONSOLE_STDIN] + a->console->stats.requests[LV_CONSOLE_STDIN], 2);
	assert_int_equal(fcntl(in, F_GETFL), flags);
	vm_free(a);
	vm_free(b);
	assert_int_equal(fcntl(in, F_GETFL), flags); /* it is still open */
}

static void test_fifo(void **state)
{
	char path[] = "/tmp/lightvm-fifo-XXXXXX";
	int in, out;

	assert_non_null(mkdtemp(path));
	char fifo[64] = "";
	strcat(strcat(fifo, path), "/f");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	in = open(fifo, O_RDWR);
	out = open(fifo, O_WRONLY);
	unlink(fifo);
	rmdir(path);
	two_readers(in, out);
	close(in);
	close(out);
}

static void test_pipe(void **state)
{
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	two_readers(fd[0], fd[1]);
	close(fd[0]);
	close(fd[1]);
}

static void test_socket(void **state)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	two_readers(fd[0], fd[1]);
	close(fd[0]);
	close(fd[1]);
}

static void test_terminal(void **state)
{
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	two_readers(slave, master);
	close(master);
	close(slave);
}

/* Where it cannot be opened anew. */
static void test_shared_pipe(void **state)
{
	struct source source = { .kind = SOURCE_SHARED };
	char bytes[8];
	struct iovec iov = { bytes, sizeof(bytes) };
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	source.fd = fd[0];
	alarm(10);
	assert_int_equal(source_read(&source, &iov, 1), -EAGAIN);
	assert_int_equal(write(fd[1], "abc", 3), 3);
	assert_int_equal(source_read(&source, &iov, 1), 3);
	close(fd[1]);
	assert_int_equal(source_read(&source, &iov, 1), 0);
	alarm(0);
	close(fd[0]);
}

/* Files have their position in the description that they came with; a terminal's other end would be a new terminal. */
static void test_not_opened_anew(void **state)
{
	char path[] = "/tmp/lightvm-shared-XXXXXX";
	int file = mkstemp(path), master, slave, null = open("/dev/null", O_RDWR), pair[2];

	unlink(path);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(own_open(file, O_RDONLY), -EOPNOTSUPP);
	assert_int_equal(own_open(master, O_RDONLY), -EOPNOTSUPP);
	assert_int_equal(own_open(null, O_RDONLY), -EOPNOTSUPP);
	assert_int_equal(own_open(pair[0], O_RDONLY), -EOPNOTSUPP);
	assert_int_equal(own_open(-1, O_RDONLY), -EOPNOTSUPP);
	int fds[] = { file, master, slave, null, pair[0], pair[1] };
	for (unsigned i = 0; i < 6; i++)
		close(fds[i]);
}

static void fill(const struct sink *sink)
{
	static const char bytes[4096];
	ssize_t n;

	alarm(10);
	while ((n = sink_write(sink, bytes, sizeof(bytes))) > 0)
		;
	alarm(0);
	assert_int_equal(n, -EAGAIN);
}

/* Nobody reads: a terminal that polls as writable has room for a byte, not for a page. */
static void test_full_terminal(void **state)
{
	struct sink sink;
	int master, slave, flags;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	flags = fcntl(slave, F_GETFL);
	sink_open(&sink, slave);
	assert_int_equal(sink.kind, SINK_STREAM);
	fill(&sink);
	assert_int_equal(fcntl(slave, F_GETFL), flags);
	sink_close(&sink);
	close(master);
	close(slave);
}

static void test_full_pipe(void **state)
{
	struct sink sink;
	int fd[2];

	assert_int_equal(pipe(fd), 0);
	sink_open(&sink, fd[1]);
	fill(&sink);
	sink_close(&sink);
	sink = (struct sink){ .fd = fd[1], .kind = SINK_SHARED };
	fill(&sink);
	close(fd[0]);
	assert_int_equal(sink_write(&sink, "x", 1), -EPIPE);
	close(fd[1]);
}

/* What a client brings becomes non-blocking: it has given it away. */
static void test_taken(void **state)
{
	struct vm *vm = vm_new(-1, -1);
	int in[2], out[2];

	assert_int_equal(pipe(in) | pipe(out), 0);
	assert_int_equal(got(vm), 0); /* its end, four times */
	assert_int_equal(console_attach(vm->console, in[0], out[1]), 0);
	wants_input(vm);
	assert_int_equal(flood(), 2); /* the bell and the client's input */
	assert_int_equal(write(in[1], "abc", 3), 3);
	assert_int_equal(got(vm), 3);
	vm_free(vm);
	close(in[1]);
	close(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fifo), cmocka_unit_test(test_pipe), cmocka_unit_test(test_socket), cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_shared_pipe), cmocka_unit_test(test_not_opened_anew), cmocka_unit_test(test_full_terminal),
		cmocka_unit_test(test_full_pipe), cmocka_unit_test(test_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
