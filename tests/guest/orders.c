/* SPDX-License-Identifier: Apache-2.0 */
/* Which error is told first where a call has several things wrong with it, and calls that ask for nothing. */
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "check.h"

#define NOWHERE 0x300000001000l /* nothing is there */
#define NOT_OPEN 99

static void check_paths(void)
{
	FAILS(syscall(SYS_openat, NOT_OPEN, "", O_RDONLY, 0), ENOENT);
	FAILS(syscall(SYS_mkdirat, NOT_OPEN, "", 0700), ENOENT);
	FAILS(syscall(SYS_unlinkat, NOT_OPEN, "", 0), ENOENT);
	FAILS(syscall(SYS_fchmodat, NOT_OPEN, "", 0700), ENOENT);
	FAILS(syscall(SYS_openat, NOT_OPEN, "x", O_RDONLY, 0), EBADF);
	FAILS(syscall(SYS_truncate, "none", -1l), EINVAL);
	FAILS(syscall(SYS_ftruncate, NOT_OPEN, -1l), EINVAL);
	FAILS(syscall(SYS_utime, NULL, NULL), EFAULT);
	FAILS(syscall(SYS_utimes, NULL, NULL), EFAULT);
	FAILS(syscall(SYS_utimensat, AT_FDCWD, NULL, NULL, 0), EFAULT);
	FAILS(syscall(SYS_memfd_create, NOWHERE, 0x1000), EINVAL);
}

static void check_descriptors(void)
{
	int fd = open("file", O_RDWR | O_CREAT, 0600), place = open("file", O_PATH), pipes[2];
	char text[4] = "abc";
	struct epoll_event event;

	CHECK(write(fd, text, 3) == 3 && !pipe(pipes));
	FAILS(syscall(SYS_pread64, NOT_OPEN, text, 1, -1l), EINVAL);
	FAILS(syscall(SYS_pwrite64, NOT_OPEN, text, 1, -1l), EINVAL);
	FAILS(syscall(SYS_pread64, pipes[0], text, 1, 0), ESPIPE);
	FAILS(syscall(SYS_read, fd, text, -1l), EFAULT);
	FAILS(syscall(SYS_write, fd, text, -1l), EFAULT);
	IS(syscall(SYS_readv, fd, -1l, 0), 0);
	IS(syscall(SYS_writev, fd, -1l, 0), 0);
	FAILS(syscall(SYS_sendfile, NOT_OPEN, NOT_OPEN, NOWHERE, 1), EFAULT);
	IS(syscall(SYS_flock, fd, 32), 0); /* LOCK_MAND */
	FAILS(epoll_wait(place, &event, 1, 0), EBADF);
	FAILS(syscall(SYS_timerfd_gettime, place, text), EBADF);
	FAILS(syscall(SYS_setns, place, 0), EBADF);
	FAILS(syscall(SYS_epoll_create, 0x80000000), EINVAL);
	FAILS(syscall(SYS_timerfd_settime, NOT_OPEN, 0xff, NOWHERE, NULL), EFAULT);
	FAILS(syscall(SYS_accept4, NOT_OPEN, NULL, NULL, 0xff), EBADF);
	close(fd);
	close(place);
}

static void check_memory(void)
{
	IS(syscall(SYS_mincore, 0, 0, NOWHERE), 0);
	IS(syscall(SYS_mlock, 0, 0), 0);
	IS(syscall(SYS_munlock, 0, 0), 0);
}

static void check_limits(void)
{
	struct rlimit limit;

	FAILS(syscall(SYS_getrlimit, RLIMIT_CORE, NULL), EFAULT);
	FAILS(syscall(SYS_getrlimit, 99, NULL), EINVAL);
	FAILS(syscall(SYS_prlimit64, 999999, RLIMIT_CORE, NOWHERE, NULL), EFAULT);
	FAILS(syscall(SYS_prlimit64, 999999, 99, NULL, &limit), ESRCH);
	FAILS(syscall(SYS_prlimit64, 0, 99, NULL, &limit), EINVAL);
}

static void check_signals(void)
{
	siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_USER };
	stack_t none = { 0 };

	FAILS(syscall(SYS_rt_sigqueueinfo, 999999, 99, &info), EPERM);
	FAILS(syscall(SYS_rt_tgsigqueueinfo, 999999, 999999, SIGUSR1, &info), EPERM);
	FAILS(syscall(SYS_rt_tgsigqueueinfo, 999999, 0, SIGUSR1, &info), EINVAL);
	info.si_code = SI_QUEUE;
	FAILS(syscall(SYS_rt_sigqueueinfo, 999999, SIGUSR1, &info), ESRCH);
	FAILS(syscall(SYS_pidfd_send_signal, NOT_OPEN, SIGUSR1, NULL, 0x100), EINVAL);
	/* As it is: nothing is asked for. Linux 6.1 says ENOMEM all the same. */
	CHECK(!sigaltstack(&none, NULL) || (errno == ENOMEM && !in_vm()));
	none.ss_sp = (void *)4096;
	FAILS(sigaltstack(&none, NULL), ENOMEM);
}

static void check_scheduling(void)
{
	uint64_t mask[16] = { 0 };

	FAILS(syscall(SYS_sched_getaffinity, 999999, 3, mask), EINVAL);
	FAILS(syscall(SYS_sched_getaffinity, 999999, sizeof(mask), mask), ESRCH);
	FAILS(syscall(SYS_sched_setaffinity, 999999, 8, NOWHERE), EFAULT);
	FAILS(syscall(SYS_sched_setaffinity, 999999, 8, mask), ESRCH);
	FAILS(syscall(SYS_sched_setaffinity, 0, 8, mask), EINVAL);
}

static void check_times(void)
{
	struct itimerval value;

	FAILS(syscall(SYS_setitimer, 99, NOWHERE, NULL), EFAULT);
	FAILS(syscall(SYS_setitimer, 99, NULL, &value), EINVAL);
	FAILS(syscall(SYS_timer_create, 99, NOWHERE, NULL), EFAULT);
	FAILS(syscall(SYS_timer_settime, 99, 0, NOWHERE, NULL), EFAULT);
	FAILS(syscall(SYS_timer_settime, 99, 0, NULL, NULL), EINVAL);
	FAILS(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, NOWHERE, NULL), EOPNOTSUPP);
	FAILS(syscall(SYS_futex, NOWHERE, 99, 0, NULL, NULL, 0), ENOSYS);
	FAILS(syscall(SYS_io_setup, 0x10000000, (unsigned long[]){ 0 }), EINVAL);
}

static void check_clone(void)
{
	uint64_t args[1024] = { [11] = 1 };

	FAILS(syscall(SYS_clone3, args, 8192), E2BIG);
	FAILS(syscall(SYS_clone3, args, 12 * 8), E2BIG);
	FAILS(syscall(SYS_clone3, args, 8), EINVAL);
	FAILS(syscall(SYS_clone, CLONE_PIDFD, NULL, NOWHERE, NULL, 0), EFAULT);
}

/* Others' threads are scheduled by root and by their own user. */
static void check_others(void)
{
	struct rlimit limit;
	uint64_t mask = 1;
	int status;
	pid_t root = getpid(), pid = fork();

	if (!pid) {
		if (syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(1);
		FAILS(syscall(SYS_sched_setaffinity, root, 8, &mask), EPERM);
		FAILS(setpriority(PRIO_PROCESS, root, 19), EPERM);
		FAILS(sched_setscheduler(root, SCHED_BATCH, &(struct sched_param){ 0 }), EPERM);
		FAILS(syscall(SYS_ioprio_set, 1, root, 0), EPERM);
		FAILS(prlimit(root, RLIMIT_CORE, NULL, &limit), EPERM);
		_exit(check_end());
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
	check_scratch();
	check_paths();
	check_descriptors();
	check_memory();
	check_limits();
	check_signals();
	check_scheduling();
	check_times();
	check_clone();
	if (!getuid())
		check_others();
	return check_end();
}
