/* SPDX-License-Identifier: Apache-2.0 */
/* Files that signal when they become ready (O_ASYNC), and options of calls that are honoured or refused. */
#include "check.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static volatile sig_atomic_t plain, told;
static siginfo_t last;

static void on_plain(int signo)
{
	(void)signo;
	plain++;
}

static void on_told(int signo, siginfo_t *info, void *context)
{
	(void)signo;
	(void)context;
	last = *info;
	told++;
}

static void owners(int fd)
{
	struct f_owner_ex owner = { F_OWNER_PID, 1 << 21 };

	IS(fcntl(fd, F_GETOWN), 0);
	IS(fcntl(fd, F_SETOWN, getpid()), 0);
	CHECK(fcntl(fd, F_GETOWN) == getpid());
	FAILS(fcntl(fd, F_SETOWN, 1 << 21), ESRCH);
	FAILS(fcntl(fd, F_SETOWN_EX, &owner), ESRCH);
	owner.type = 9;
	FAILS(fcntl(fd, F_SETOWN_EX, &owner), EINVAL);
	owner = (struct f_owner_ex){ F_OWNER_TID, (pid_t)syscall(SYS_gettid) };
	IS(fcntl(fd, F_SETOWN_EX, &owner), 0);
	owner.pid = 0;
	IS(fcntl(fd, F_GETOWN_EX, &owner), 0);
	CHECK(owner.type == F_OWNER_TID && owner.pid == (pid_t)syscall(SYS_gettid));
	IS(fcntl(fd, F_GETSIG), 0);
	FAILS(fcntl(fd, F_SETSIG, 65), EINVAL);
	FAILS(fcntl(fd, F_SETSIG, -1), EINVAL);
}

static void signalled(int in, int out)
{
	char c;

	owners(in);
	plain = told = 0;
	IS(write(out, "a", 1), 1);
	IS(plain, 0); /* not asked for */
	IS(read(in, &c, 1), 1);
	IS(fcntl(in, F_SETFL, O_ASYNC), 0);
	CHECK(fcntl(in, F_GETFL) & O_ASYNC);
	IS(write(out, "b", 1), 1);
	IS(plain, 1);
	IS(read(in, &c, 1), 1);
	IS(fcntl(in, F_SETSIG, SIGRTMIN + 1), 0);
	IS(fcntl(in, F_GETSIG), SIGRTMIN + 1);
	told = 0;
	IS(write(out, "c", 1), 1);
	IS(told, 1);
	CHECK(last.si_fd == in && last.si_code == POLL_IN && (last.si_band & POLLIN));
	IS(read(in, &c, 1), 1);
	IS(fcntl(in, F_SETFL, 0), 0);
	CHECK(!(fcntl(in, F_GETFL) & O_ASYNC));
	told = 0;
	IS(write(out, "d", 1), 1);
	IS(told, 0);
	close(in);
	close(out);
}

static void not_for_all(void)
{
	int file = open("file", O_CREAT | O_RDWR, 0600), ends[2];

	IS(fcntl(file, F_SETFL, O_ASYNC), 0);
	CHECK(!(fcntl(file, F_GETFL) & O_ASYNC)); /* files are always ready */
	IS(fcntl(file, F_NOTIFY, 1), -1);
	IS(pipe(ends), 0);
	close(ends[0]);
	close(ends[1]);
	close(file);
}

static long open2(const char *path, uint64_t flags, uint64_t mode, size_t size, uint64_t tail)
{
	struct { struct open_how how; uint64_t tail; } a = { .how = { .flags = flags, .mode = mode }, .tail = tail };

	return syscall(SYS_openat2, AT_FDCWD, path, &a, size);
}

static void open_how(void)
{
	size_t size = sizeof(struct open_how);
	long fd = open2("new", O_CREAT | O_RDWR, 0600, size, 0);

	CHECK(fd >= 0);
	FAILS(open2("new", O_RDONLY, 0600, size, 0), EINVAL);
	FAILS(open2("new", O_CREAT | O_RDWR, 070000, size, 0), EINVAL);
	FAILS(open2("new", 1ull << 40, 0, size, 0), EINVAL);
	FAILS(open2("new", O_PATH | O_RDWR, 0, size, 0), EINVAL);
	FAILS(open2("new", O_RDONLY, 0, size - 8, 0), EINVAL);
	FAILS(open2("new", O_RDONLY, 0, size + 8, 1), E2BIG);
	close((int)fd);
	fd = open2("new", O_RDONLY, 0, size + 8, 0);
	CHECK(fd >= 0);
	close((int)fd);
}

static void no_wait(void)
{
	struct rlimit limit;
	struct pollfd *many = calloc(70000, sizeof(*many));
	struct timespec times[2] = { 0 };
	int ends[2];
	char c;
	struct iovec piece = { &c, 1 };

	IS(pipe(ends), 0);
	/* Linux before 6.4 does not know it of pipes: a process has nothing to show there. */
	bool unknown = !in_vm() && preadv2(ends[0], &piece, 1, -1, RWF_NOWAIT) == -1 && errno == EOPNOTSUPP;
	CHECK(unknown || (preadv2(ends[0], &piece, 1, -1, RWF_NOWAIT) == -1 && errno == EAGAIN));
	IS(write(ends[1], "x", 1), 1);
	CHECK(unknown || preadv2(ends[0], &piece, 1, -1, RWF_NOWAIT) == 1);
	CHECK(!(fcntl(ends[0], F_GETFL) & O_NONBLOCK));
	FAILS(preadv2(ends[0], &piece, 1, -1, 0x4000), EOPNOTSUPP);
	IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 500;
	IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
	FAILS(poll(many, 501, 0), EINVAL);
	FAILS(utimensat(AT_FDCWD, "new", times, 0x8000), EINVAL);
	close(ends[0]);
	close(ends[1]);
	free(many);
}

int main(void)
{
	struct sigaction action = { .sa_handler = on_plain, .sa_flags = SA_RESTART };
	int ends[2];

	check_scratch();
	sigaction(SIGIO, &action, NULL);
	action.sa_sigaction = on_told;
	action.sa_flags |= SA_SIGINFO;
	sigaction(SIGRTMIN + 1, &action, NULL);
	IS(pipe(ends), 0);
	signalled(ends[0], ends[1]);
	IS(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	signalled(ends[0], ends[1]);
	not_for_all();
	open_how();
	no_wait();
	return check_end();
}
