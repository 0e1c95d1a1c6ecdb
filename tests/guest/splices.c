/* SPDX-License-Identifier: Apache-2.0 */
/* splice, tee, vmsplice and sendfile: what they move, where they wait, what they refuse. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "check.h"

static char text[300000] __attribute__((aligned(4096))), back[300000];

static int file_with(const char *name, size_t n, int flags)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_RDWR | flags, 0600);

	CHECK(fd >= 0 && (n == 0 || write(fd, text, n) == (ssize_t)n));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void check_files(void)
{
	int in = file_with("in", sizeof(text), 0), out = file_with("out", 0, 0), p[2];
	loff_t from = 1000, to = 5;
	size_t sum = 0;

	IS(pipe(p), 0);
	IS(splice(in, &from, p[1], NULL, 10, 0), 10);
	CHECK(from == 1010 && lseek(in, 0, SEEK_CUR) == 0);
	IS(splice(p[0], NULL, out, &to, 10, SPLICE_F_MOVE), 10);
	CHECK(to == 15 && lseek(out, 0, SEEK_CUR) == 0);
	CHECK(pread(out, back, 10, 5) == 10 && !memcmp(back, text + 1000, 10));
	for (ssize_t n; (n = splice(in, NULL, p[1], NULL, 65536, 0)) > 0;)
		for (ssize_t m; n > 0 && (m = splice(p[0], NULL, out, NULL, (size_t)n, 0)) > 0; n -= m)
			sum += (size_t)m;
	IS(sum, sizeof(text));
	CHECK(pread(out, back, sizeof(back), 0) == sizeof(back) && !memcmp(back, text, sizeof(text)));
	IS(splice(in, NULL, p[1], NULL, 10, 0), 0);
	close(in), close(out), close(p[0]), close(p[1]);
}

static void check_pipes(void)
{
	int a[2], b[2];

	IS(pipe(a), 0);
	IS(pipe2(b, O_NONBLOCK), 0);
	IS(write(a[1], "abcdef", 6), 6);
	IS(tee(a[0], b[1], 4, 0), 4);
	CHECK(read(b[0], back, 10) == 4 && !memcmp(back, "abcd", 4));
	IS(splice(a[0], NULL, b[1], NULL, 100, 0), 6);
	CHECK(read(b[0], back, 10) == 6 && !memcmp(back, "abcdef", 6));
	FAILS(splice(a[0], NULL, b[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
	FAILS(tee(b[0], a[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	IS(write(b[1], text, 65536), 65536);
	IS(write(a[1], "x", 1), 1);
	FAILS(splice(a[0], NULL, b[1], NULL, 1, 0), EAGAIN);
	close(b[0]);
	signal(SIGPIPE, SIG_IGN);
	FAILS(splice(a[0], NULL, b[1], NULL, 1, 0), EPIPE);
	FAILS(tee(a[0], b[1], 1, 0), EPIPE);
	IS(read(a[0], back, 10), 1);
	close(a[1]);
	IS(pipe(b), 0);
	IS(splice(a[0], NULL, b[1], NULL, 1, 0), 0);
	close(a[0]), close(b[0]), close(b[1]);
}

static void check_memory(void)
{
	struct iovec parts[3] = { { .iov_base = "one", .iov_len = 3 }, { 0 }, { .iov_base = "two", .iov_len = 3 } };
	struct iovec into[2] = { { .iov_base = back, .iov_len = 2 }, { .iov_base = back + 10, .iov_len = 10 } };
	struct iovec much = { .iov_base = text, .iov_len = 70000 }, bad = { .iov_base = (void *)8, .iov_len = 1 };
	int p[2];

	IS(pipe(p), 0);
	IS(vmsplice(p[1], parts, 3, 0), 6);
	IS(vmsplice(p[0], into, 2, 0), 6);
	CHECK(!memcmp(back, "on", 2) && !memcmp(back + 10, "etwo", 4));
	FAILS(vmsplice(p[1], &bad, 1, 0), EFAULT);
	IS(vmsplice(p[1], &much, 1, SPLICE_F_NONBLOCK), 65536);
	FAILS(vmsplice(p[1], &much, 1, SPLICE_F_NONBLOCK), EAGAIN);
	IS(vmsplice(p[1], NULL, 0, 0), 0);
	FAILS(vmsplice(p[1], &much, 1025, 0), EINVAL);
	FAILS(vmsplice(p[1], &much, 1, 16), EINVAL);
	FAILS(vmsplice(1000, &much, 1, 0), EBADF);
	close(p[0]), close(p[1]);
}

static void *read_all(void *arg)
{
	size_t sum = 0;

	for (ssize_t n; (n = read(*(int *)arg, back + sum, sizeof(back) - sum)) > 0;)
		sum += (size_t)n;
	return (void *)sum;
}

/* A socket that takes less than the pipe has; both ends wait for the other. */
static void check_sockets(void)
{
	int s[2], p[2], in = file_with("in", sizeof(text), 0);
	pthread_t reader;
	size_t sent = 0;
	void *got;

	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	IS(pipe(p), 0);
	pthread_create(&reader, NULL, read_all, &s[1]);
	for (ssize_t n; (n = splice(in, NULL, p[1], NULL, 50000, 0)) > 0;)
		for (ssize_t m; n > 0 && (m = splice(p[0], NULL, s[0], NULL, (size_t)n, 0)) > 0; n -= m)
			sent += (size_t)m;
	close(s[0]);
	pthread_join(reader, &got);
	IS(sent, sizeof(text));
	CHECK((size_t)got == sizeof(text) && !memcmp(back, text, sizeof(text)));
	close(s[1]);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	IS(write(s[0], "from a socket", 13), 13);
	IS(splice(s[1], NULL, p[1], NULL, 100, 0), 13);
	IS(read(p[0], back, 100), 13);
	close(s[0]);
	IS(splice(s[1], NULL, p[1], NULL, 100, 0), 0);
	close(s[1]), close(p[0]), close(p[1]), close(in);
}

static void *read_pipe(void *fd)
{
	static char some[30000];

	return (void *)read(*(int *)fd, some, sizeof(some));
}

struct move { int from, to; ssize_t moved; };

static void *move(void *arg)
{
	struct move *m = arg;

	m->moved = splice(m->from, NULL, m->to, NULL, 30000, 0);
	return NULL;
}

/* While splice waits for room, somebody else reads the pipe: who has a byte has it alone. */
static void check_two_readers(void)
{
	struct move m;
	int p[2], s[2], waiting = -1;
	pthread_t mover, reader;
	size_t filled = 0, drained = 0;
	ssize_t n;
	void *got;

	IS(pipe(p), 0);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	while ((n = send(s[0], text, 4096, MSG_DONTWAIT)) > 0)
		filled += (size_t)n;
	IS(write(p[1], text, 30000), 30000);
	m = (struct move){ .from = p[0], .to = s[0] };
	pthread_create(&mover, NULL, move, &m);
	for (int i = 0; i < 100; i++)
		sched_yield();
	pthread_create(&reader, NULL, read_pipe, &p[0]);
	for (int i = 0; i < 100; i++)
		sched_yield();
	while (drained < filled && (n = recv(s[1], back, MIN(sizeof(back), filled - drained), 0)) > 0)
		drained += (size_t)n;
	close(p[1]);
	pthread_join(mover, NULL);
	pthread_join(reader, &got);
	CHECK((m.moved > 0 ? m.moved : 0) + (long)got == 30000);
	CHECK(!ioctl(p[0], FIONREAD, &waiting) && waiting == 0);
	close(p[0]), close(s[0]), close(s[1]);
}

static void check_refused(void)
{
	int p[2], file = file_with("in", 10, 0), end = file_with("end", 0, O_APPEND), event = eventfd(1, 0), dir = open(".", O_RDONLY);
	loff_t zero = 0, before = -1;

	IS(pipe(p), 0);
	IS(write(p[1], "abc", 3), 3);
	IS(splice(-1, NULL, -1, NULL, 0, 99), 0);
	FAILS(splice(-1, NULL, p[1], NULL, 1, 0), EBADF);
	FAILS(splice(p[0], NULL, -1, NULL, 1, 0), EBADF);
	FAILS(splice(p[1], NULL, file, NULL, 1, 0), EBADF);
	FAILS(splice(file, NULL, p[0], NULL, 1, 0), EBADF);
	FAILS(splice(file, NULL, file, NULL, 1, 0), EINVAL);
	FAILS(splice(p[0], NULL, p[1], NULL, 1, 0), EINVAL);
	FAILS(splice(p[0], &zero, file, NULL, 1, 0), ESPIPE);
	FAILS(splice(file, NULL, p[1], &zero, 1, 0), ESPIPE);
	FAILS(splice(file, (loff_t *)8, p[1], NULL, 1, 0), EFAULT);
	FAILS(splice(file, &before, p[1], NULL, 1, 0), EINVAL);
	FAILS(splice(p[0], NULL, end, NULL, 1, 0), EINVAL);
	FAILS(splice(event, NULL, p[1], NULL, 8, 0), EINVAL);
	FAILS(splice(p[0], NULL, event, NULL, 8, 0), EINVAL);
	FAILS(splice(dir, NULL, p[1], NULL, 8, 0), EINVAL);
	FAILS(splice(p[0], NULL, file, NULL, 1, 16), EINVAL);
	FAILS(tee(p[0], p[1], 1, 0), EINVAL);
	FAILS(tee(p[0], file, 1, 0), EINVAL);
	FAILS(tee(p[1], p[1], 1, 0), EBADF);
	IS(tee(-1, -1, 0, 0), 0);
	FAILS(tee(-1, p[1], 1, 0), EBADF);
	FAILS(sendfile(end, file, NULL, 1), EINVAL);
	close(p[0]), close(p[1]), close(file), close(end), close(event), close(dir);
}

static volatile int told;

static void on_io(int signo)
{
	told++;
}

/* Bytes that leave a pipe are no news for who reads it. */
static void check_owner(void)
{
	int p[2], out = file_with("out", 0, 0);

	IS(pipe(p), 0);
	IS(write(p[1], "abcdef", 6), 6);
	signal(SIGIO, on_io);
	IS(fcntl(p[0], F_SETOWN, getpid()), 0);
	IS(fcntl(p[0], F_SETFL, O_ASYNC), 0);
	IS(splice(p[0], NULL, out, NULL, 6, 0), 6);
	IS(told, 0);
	IS(write(p[1], "g", 1), 1);
	IS(told, 1);
	close(out), close(p[0]), close(p[1]);
}

int main(void)
{
	check_scratch();
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 31 >> 3);
	check_files();
	check_pipes();
	check_memory();
	check_sockets();
	check_two_readers();
	check_owner();
	check_refused();
	return check_end();
}
