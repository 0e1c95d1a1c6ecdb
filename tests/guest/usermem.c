/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a system call was given and that is not what it should be: read-only, missing, or taken away by another
 * thread while the call waits. Arguments: none, "disk FILE", or "stdin".
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include "check.h"

#define PAGE 4096

static void *pages(size_t n, int rights)
{
	void *p = mmap(NULL, n * PAGE, rights, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		printf("FAIL no memory\n");
		exit(1);
	}
	return p;
}

/* ---- words that cannot be written ---- */

static long futex(void *at, int op, int value, void *second, int third)
{
	return syscall(SYS_futex, at, op, value, NULL, second, third);
}

static void check_futex(void)
{
	int *fixed = pages(1, PROT_READ), *none = pages(1, PROT_NONE), word = 0;

	FAILS(futex(fixed, FUTEX_LOCK_PI, 0, NULL, 0), EFAULT);
	FAILS(futex(fixed, FUTEX_TRYLOCK_PI, 0, NULL, 0), EFAULT);
	FAILS(futex(none, FUTEX_LOCK_PI, 0, NULL, 0), EFAULT);
	FAILS(futex(none, FUTEX_UNLOCK_PI, 0, NULL, 0), EFAULT);
	FAILS(futex(fixed, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, NULL, 0), EAGAIN);
	FAILS(futex(none, FUTEX_WAIT, 0, NULL, 0), EFAULT);
	FAILS(futex(&word, FUTEX_WAKE_OP, 1, fixed, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)), EFAULT);
	FAILS(syscall(SYS_futex, none, FUTEX_CMP_REQUEUE, 1, 1, &word, 0), EFAULT);
	IS(word, 0);
}

/* ---- memory that ends ---- */

/* Two pages of which only the first is there. */
static char *half(int rights)
{
	char *p = pages(2, rights);

	munmap(p + PAGE, PAGE);
	return p;
}

static void check_ends(void)
{
	char *edge = half(PROT_READ | PROT_WRITE), text[64];
	int fd = open("ends", O_RDWR | O_CREAT | O_TRUNC, 0600), zero = open("/dev/zero", O_RDONLY), random = open("/dev/urandom", O_RDONLY), p[2];
	char *beyond = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	pipe(p);
	memset(edge, 'e', PAGE);
	/* What was there was moved, and said. */
	IS(write(fd, edge + PAGE - 100, 200), 100);
	IS(pread(fd, edge + PAGE - 10, 50, 0), 10);
	FAILS(pread(fd, edge + PAGE, 50, 0), EFAULT);
	FAILS(write(fd, edge + PAGE, 1), EFAULT);
	IS(lseek(fd, 0, SEEK_CUR), 100);
	FAILS(read(zero, edge + PAGE, 8), EFAULT);
	FAILS(read(random, edge + PAGE, 8), EFAULT);
	FAILS(write(p[1], edge + PAGE, 8), EFAULT);
	IS(write(p[1], "0123456789", 10), 10);
	FAILS(read(p[0], edge + PAGE, 5), EFAULT);
	IS(read(p[0], text, 10), 10);
	FAILS(read(zero, (char *)-4096, 8), EFAULT);
	FAILS(write(fd, (char *)0x4000010000, 8), EFAULT);
	FAILS(read(zero, (char *)0x4000010000, 8), EFAULT);
	FAILS(open((char *)0x4000010000, O_RDONLY), EFAULT);
	FAILS(pipe((int *)(edge + PAGE)), EFAULT);
	/* A page of a mapping behind the end of its file: a fault for the program, an error for a call. */
	FAILS(write(p[1], beyond + PAGE, 8), EFAULT);
	FAILS(read(zero, beyond + PAGE, 8), EFAULT);
	FAILS(stat(beyond + PAGE, (struct stat *)text), EFAULT);
	IS(write(p[1], beyond + 100, 1), 1);
	close(fd);
	close(p[0]);
	close(p[1]);
}

/* ---- sendfile ---- */

/* No byte that was read is lost when the other side takes only some. */
static void check_sendfile(void)
{
	int fd = open("/proc/self/maps", O_RDONLY), p[2], source[2], target = open("sent", O_RDWR | O_CREAT | O_TRUNC, 0600);
	static char filler[60000];
	int64_t sent = 0, r, at = 3;

	for (int i = 0; i < 400; i++) /* a long text: no two of them are alike */
		mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pipe2(p, O_NONBLOCK);
	IS(write(p[1], filler, sizeof(filler)), sizeof(filler));
	while ((r = sendfile(p[1], fd, NULL, 1 << 20)) > 0)
		sent += r;
	CHECK(r == 0 || errno == EAGAIN || errno == EINVAL);
	CHECK(lseek(fd, 0, SEEK_CUR) == sent);
	/* What cannot be read again is not a source for anything but a pipe. */
	pipe(source);
	IS(write(source[1], "0123456789", 10), 10);
	FAILS(sendfile(target, source[0], NULL, 10), EINVAL);
	IS(read(source[0], filler, 20), 10);
	FAILS(sendfile(target, source[0], &at, 10), ESPIPE);
	close(fd);
}

/* ---- taken away while a call waits ---- */

static char *buffer; /* the waiting call's */
static int in, out;  /* what it waits for, and how to wake it */
static atomic_int waiter_tid;
static atomic_long answer;
static int answer_error;

static long wait_read(void) { return read(in, buffer, 256); }
static long wait_readv(void) { return readv(in, &(struct iovec){ buffer, 64 }, 1); }
static long wait_recv(void) { return recvfrom(in, buffer, 64, 0, NULL, NULL); }
static long wait_recvmsg(void)
{
	struct iovec piece = { buffer, 64 };

	return recvmsg(in, &(struct msghdr){ .msg_iov = &piece, .msg_iovlen = 1 }, 0);
}
static long wait_recvmsg_header(void) { return recvmsg(in, (struct msghdr *)buffer, 0); }
static long wait_poll(void) { return poll((struct pollfd *)buffer, 1, 10000); }
static long wait_select(void) { return select(in + 1, (fd_set *)buffer, NULL, NULL, &(struct timeval){ 10, 0 }); }
static long wait_epoll(void)
{
	int epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };

	epoll_ctl(epoll, EPOLL_CTL_ADD, in, &event);
	long r = epoll_wait(epoll, (struct epoll_event *)buffer, 4, 10000);
	int error = errno;

	close(epoll);
	errno = error;
	return r;
}
static long wait_accept(void)
{
	socklen_t *len = (socklen_t *)(buffer + 256);

	return accept(in, (struct sockaddr *)buffer, len);
}
static long wait_futex(void) { return futex(buffer, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, 0); }
static long wait_write(void)
{
	long r;

	do
		r = write(out, buffer, PAGE);
	while (r > 0);
	return r;
}

static void wake_write(void) { write(out, "12345678", 8); }
static void wake_unmapped_futex(void) { futex(buffer, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, 0); }
static void wake_connect(void)
{
	struct sockaddr_in to;
	socklen_t n = sizeof(to);

	getsockname(in, (struct sockaddr *)&to, &n);
	out = socket(AF_INET, SOCK_STREAM, 0);
	connect(out, (struct sockaddr *)&to, n);
}
static void wake_drain(void)
{
	static char all[1 << 20];
	struct pollfd fd = { .fd = in, .events = POLLIN };

	if (poll(&fd, 1, 0) == 1)
		read(in, all, sizeof(all));
}
static void wake_timer(void)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };

	timerfd_settime(in, 0, &soon, NULL);
}
static void wake_signal(void) { kill(getpid(), SIGUSR1); }

static void *waiter(void *function)
{
	waiter_tid = (int)syscall(SYS_gettid);
	long r = ((long (*)(void))function)();

	answer_error = r < 0 ? errno : 0;
	answer = r;
	return NULL;
}

/* True when the thread sleeps in its call; bounded. */
static bool sleeps(int tid)
{
	char path[64], text[256], *state;
	int64_t end = now_ms() + 10000;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	while (now_ms() < end) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text) - 1);

		close(fd);
		text[n > 0 ? n : 0] = 0;
		state = strrchr(text, ')');
		if (state && state[2] == 'S')
			return true;
		sched_yield();
	}
	return false;
}

/* The buffer goes while the call waits: it answers EFAULT, or what it can without the buffer. */
static void taken_away(const char *name, long (*call)(void), void (*wake)(void), bool fault)
{
	pthread_t thread;

	buffer = pages(1, PROT_READ | PROT_WRITE);
	*(struct pollfd *)buffer = (struct pollfd){ .fd = in, .events = POLLIN };
	if (call == wait_select) {
		FD_ZERO((fd_set *)buffer);
		FD_SET(in, (fd_set *)buffer);
	}
	if (call == wait_recvmsg_header) {
		struct iovec *piece = (struct iovec *)(buffer + 512);

		*piece = (struct iovec){ buffer + 1024, 64 };
		*(struct msghdr *)buffer = (struct msghdr){ .msg_name = buffer + 128, .msg_namelen = 64, .msg_iov = piece, .msg_iovlen = 1 };
	}
	if (call == wait_accept)
		*(socklen_t *)(buffer + 256) = 128;
	if (call == wait_futex)
		memset(buffer, 0, 16);
	waiter_tid = 0;
	answer = 12345;
	pthread_create(&thread, NULL, waiter, (void *)call);
	while (!waiter_tid)
		sched_yield();
	bool slept = sleeps(waiter_tid);

	munmap(buffer, PAGE);
	wake();
	pthread_join(thread, NULL);
	check_say(slept, name, __LINE__);
	if (fault)
		check_say(answer == -1 && answer_error == EFAULT, name, __LINE__);
}

static int udp_to_self(void)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(here);

	bind(s, (struct sockaddr *)&here, n);
	getsockname(s, (struct sockaddr *)&here, &n);
	connect(s, (struct sockaddr *)&here, n);
	return s;
}

static void tcp_pair(int *server, int *client)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(here);

	bind(listener, (struct sockaddr *)&here, n);
	listen(listener, 5);
	getsockname(listener, (struct sockaddr *)&here, &n);
	*client = socket(AF_INET, SOCK_STREAM, 0);
	connect(*client, (struct sockaddr *)&here, n);
	*server = accept(listener, NULL, NULL);
	close(listener);
}

static void check_taken_away(void)
{
	int p[2];
	sigset_t set;

	pipe(p);
	in = p[0];
	out = p[1];
	taken_away("read of a pipe", wait_read, wake_write, true);
	wake_drain();
	taken_away("readv of a pipe", wait_readv, wake_write, true);
	wake_drain();
	taken_away("poll of a pipe", wait_poll, wake_write, true);
	wake_drain();
	taken_away("select of a pipe", wait_select, wake_write, true);
	wake_drain();
	taken_away("epoll of a pipe", wait_epoll, wake_write, true);
	wake_drain();
	taken_away("write to a pipe", wait_write, wake_drain, true);
	taken_away("futex", wait_futex, wake_unmapped_futex, false);
	in = out = eventfd(0, 0);
	taken_away("read of an eventfd", wait_read, wake_write, true);
	in = timerfd_create(CLOCK_MONOTONIC, 0);
	taken_away("read of a timerfd", wait_read, wake_timer, true);
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	in = p[0];
	out = p[1];
	taken_away("read of a stream", wait_read, wake_write, true);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, p);
	in = p[0];
	out = p[1];
	taken_away("recv of a datagram", wait_recv, wake_write, true);
	wake_drain();
	taken_away("recvmsg of a datagram", wait_recvmsg, wake_write, true);
	in = out = udp_to_self();
	taken_away("recv of UDP", wait_recv, wake_write, true);
	wake_drain();
	taken_away("recvmsg of UDP", wait_recvmsg, wake_write, true);
	wake_drain();
	taken_away("recvmsg of UDP, header and all", wait_recvmsg_header, wake_write, true);
	tcp_pair(&in, &out);
	taken_away("read of TCP", wait_read, wake_write, true);
	wake_drain();
	taken_away("recvmsg of TCP", wait_recvmsg, wake_write, false);
	in = socket(AF_INET, SOCK_STREAM, 0);
	listen(in, 5);
	taken_away("accept", wait_accept, wake_connect, true);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	in = signalfd(-1, &set, 0);
	buffer = NULL;
	taken_away("read of a signalfd", wait_read, wake_signal, false);
}

/* ---- a disk: every request waits ---- */

#define READERS 120
#define LARGE (64 << 10)
static const char *disk;
static atomic_int stop_all, wrong, faults, done_reads;

static void *read_disk(void *unused)
{
	int fd = open(disk, O_RDONLY);
	char *to = pages(LARGE / PAGE, PROT_READ | PROT_WRITE);

	for (int i = 0; i < 20; i++)
		if (pread(fd, to, LARGE, (i % 8) * LARGE) != LARGE)
			wrong++;
		else
			done_reads++;
	close(fd);
	return unused;
}

static void ignore(int signo) { }

/* More requests than the ring holds, and a signal for each of those who wait. */
static void check_many(void)
{
	pthread_t thread[READERS];
	pthread_attr_t attr;

	sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = ignore, .sa_flags = SA_RESTART }, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 0; i < READERS; i++)
		pthread_create(&thread[i], &attr, read_disk, NULL);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < READERS; i++)
			pthread_kill(thread[i], SIGUSR2);
		sched_yield();
	}
	for (int i = 0; i < READERS; i++)
		pthread_join(thread[i], NULL);
	IS(wrong, 0);
	IS(done_reads, READERS * 20);
}

static char *moving;

static void *use_moving(void *writes)
{
	int fd = open(disk, O_RDWR);

	while (!stop_all) {
		ssize_t n = writes ? pwrite(fd, moving, LARGE, LARGE * 4) : pread(fd, moving, LARGE, 0);

		if (n < 0 && errno == EFAULT)
			faults++;
		else if (n < 0)
			wrong++;
	}
	close(fd);
	return NULL;
}

/* The buffer comes and goes while requests are on their way. */
static void check_moving(void)
{
	pthread_t thread[2];
	int64_t end = now_ms() + 10000;

	wrong = 0;
	moving = pages(LARGE / PAGE, PROT_READ | PROT_WRITE);
	for (long i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, use_moving, (void *)i);
	while (faults < 200 && now_ms() < end) {
		munmap(moving, LARGE);
		sched_yield();
		mmap(moving, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		sched_yield();
	}
	stop_all = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	CHECK(faults >= 200);
	IS(wrong, 0);
}

/* ---- standard input: whoever runs this writes a line when it has seen "waiting" on standard error ---- */

static void tell_waiting(void)
{
	fputs("waiting\n", stderr);
}

int main(int argc, char **argv)
{
	alarm(60);
	if (argc == 3) {
		disk = argv[2];
		check_many();
		check_moving();
		return check_end();
	}
	if (argc == 2) {
		in = 0;
		taken_away("read of standard input", wait_read, tell_waiting, true);
		return check_end();
	}
	check_scratch();
	check_futex();
	check_ends();
	check_sendfile();
	check_taken_away();
	return check_end();
}
