/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, eventfd, timerfd. */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include "check.h"

static char buffer[200000];
static volatile int sigpipes;

static void on_sigpipe(int signo)
{
	sigpipes += signo == SIGPIPE;
}

static void check_pipe(void)
{
	int p[2], waiting = 0;
	ssize_t n;

	IS(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
	FAILS(read(p[0], buffer, 1), EAGAIN);
	IS(write(p[1], "abcdef", 6), 6);
	CHECK(!ioctl(p[0], FIONREAD, &waiting) && waiting == 6);
	IS(read(p[0], buffer, 4), 4);
	IS(read(p[0], buffer, 10), 2);
	n = write(p[1], buffer, sizeof(buffer));
	IS(n, 65536);
	FAILS(write(p[1], buffer, 1), EAGAIN);
	IS(read(p[0], buffer, 4096), 4096);
	IS(write(p[1], buffer, 4096), 4096);
	FAILS(lseek(p[0], 0, SEEK_SET), ESPIPE);
	FAILS(write(p[0], "x", 1), EBADF);
	FAILS(read(p[1], buffer, 1), EBADF);
	close(p[1]);
	for (n = 0; waiting > 0;) {
		waiting = (int)read(p[0], buffer, sizeof(buffer));
		n += waiting;
	}
	IS(n, 65536);
	IS(read(p[0], buffer, 1), 0);
	close(p[0]);
}

static void check_broken(void)
{
	int p[2];

	signal(SIGPIPE, on_sigpipe);
	IS(pipe(p), 0);
	close(p[0]);
	FAILS(write(p[1], "x", 1), EPIPE);
	IS(sigpipes, 1);
	signal(SIGPIPE, SIG_IGN);
	FAILS(write(p[1], "x", 1), EPIPE);
	IS(sigpipes, 1);
	close(p[1]);
}

static void *produce(void *fd)
{
	static char block[1000];

	for (int i = 0; i < 1000; i++) {
		memset(block, 'a' + i % 26, sizeof(block));
		if (write(*(int *)fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			break;
	}
	close(*(int *)fd);
	return NULL;
}

static void check_blocking(void)
{
	unsigned long total = 0, sum = 0;
	pthread_t thread;
	ssize_t n;
	int p[2];

	IS(pipe(p), 0);
	pthread_create(&thread, NULL, produce, &p[1]);
	while ((n = read(p[0], buffer, 3333)) > 0) {
		total += (unsigned long)n;
		for (ssize_t i = 0; i < n; i++)
			sum = sum * 17 + (unsigned char)buffer[i];
	}
	pthread_join(thread, NULL);
	printf("%lu bytes through a pipe, sum %lx\n", total, sum);
	close(p[0]);
}

static void check_eventfd(void)
{
	int fd = eventfd(5, EFD_NONBLOCK), s = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT};
	uint64_t value = 7;

	IS(write(fd, &value, 8), 8);
	IS(poll(&poll_fd, 1, 0), 1);
	IS(poll_fd.revents, POLLIN | POLLOUT);
	CHECK(read(fd, &value, 8) == 8 && value == 12);
	FAILS(read(fd, &value, 8), EAGAIN);
	value = UINT64_MAX;
	FAILS(write(fd, &value, 8), EINVAL);
	value = UINT64_MAX - 1;
	IS(write(fd, &value, 8), 8);
	FAILS(write(fd, &value, 8), EAGAIN);
	FAILS(read(fd, &value, 4), EINVAL);
	CHECK(read(s, &value, 8) == 8 && value == 1);
	CHECK(read(s, &value, 8) == 8 && value == 1);
	FAILS(read(s, &value, 8), EAGAIN);
	close(fd);
	close(s);
}

static void check_timerfd(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	struct itimerspec spec = {.it_value = {0, 30000000}}, left;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int64_t start = now_ms();
	uint64_t value;

	FAILS(read(fd, &value, 8), EAGAIN);
	IS(timerfd_settime(fd, 0, &spec, NULL), 0);
	CHECK(!timerfd_gettime(fd, &left) && left.it_value.tv_nsec > 0 && left.it_value.tv_nsec <= 30000000);
	IS(poll(&poll_fd, 1, 5000), 1);
	CHECK(now_ms() - start >= 29);
	CHECK(read(fd, &value, 8) == 8 && value == 1);
	spec.it_value.tv_nsec = spec.it_interval.tv_nsec = 5000000;
	IS(timerfd_settime(fd, 0, &spec, NULL), 0);
	start = now_ms();
	for (uint64_t sum = 0; sum < 10; sum += value) {
		poll(&poll_fd, 1, 5000);
		if (read(fd, &value, 8) != 8)
			break;
	}
	CHECK(now_ms() - start >= 45);
	spec = (struct itimerspec){0};
	IS(timerfd_settime(fd, 0, &spec, &left), 0);
	CHECK(left.it_interval.tv_nsec == 5000000);
	IS(poll(&poll_fd, 1, 30), 0);
	clock_gettime(CLOCK_MONOTONIC, &spec.it_value);
	IS(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL), 0);
	IS(poll(&poll_fd, 1, 5000), 1);
	close(fd);
}

/* With O_DIRECT what is written together is read together, and what a read has no room for is lost. */
static void check_packets(void)
{
	static char large[10000], got[10000];
	int fds[2], written = 0;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)i;
	IS(pipe2(fds, O_DIRECT | O_NONBLOCK), 0);
	CHECK(write(fds[1], "first", 5) == 5 && write(fds[1], "2nd", 3) == 3 && write(fds[1], "", 0) == 0);
	CHECK(read(fds[0], got, sizeof(got)) == 5 && !memcmp(got, "first", 5));
	CHECK(read(fds[0], got, 1) == 1 && got[0] == '2');
	FAILS(read(fds[0], got, sizeof(got)), EAGAIN);
	IS(write(fds[1], large, sizeof(large)), sizeof(large)); /* in packets of PIPE_BUF */
	CHECK(read(fds[0], got, sizeof(got)) == PIPE_BUF && !memcmp(got, large, PIPE_BUF));
	CHECK(read(fds[0], got, sizeof(got)) == PIPE_BUF && !memcmp(got, large + PIPE_BUF, PIPE_BUF));
	IS(fcntl(fds[0], F_SETPIPE_SZ, 2 * 65536), 2 * 65536);
	IS(read(fds[0], got, sizeof(got)), sizeof(large) - 2 * PIPE_BUF);
	while (write(fds[1], "x", 1) == 1)
		written++;
	CHECK(written == 32 && errno == EAGAIN);
	IS(read(fds[0], got, sizeof(got)), 1);
	IS(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0); /* a stream from here on */
	CHECK(write(fds[1], "ab", 2) == 2);
	for (int i = 1; i < written; i++)
		if (read(fds[0], got, sizeof(got)) != 1)
			IS(i, written);
	CHECK(read(fds[0], got, 1) == 1 && got[0] == 'a' && read(fds[0], got, 9) == 1 && got[0] == 'b');
	IS(fcntl(fds[1], F_SETFL, O_NONBLOCK | O_DIRECT), 0);
	CHECK(write(fds[1], "y", 1) == 1 && write(fds[1], "z", 1) == 1);
	IS(read(fds[0], got, 9), 1);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	check_packets();
	check_pipe();
	check_broken();
	check_blocking();
	check_eventfd();
	check_timerfd();
	return check_end();
}
