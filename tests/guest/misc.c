/* SPDX-License-Identifier: Apache-2.0 */
/* What is left: random numbers, unknown calls, identity, limits, the parts of /proc that programs read. */
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "check.h"

static char text[65536];

static void check_random(void)
{
	unsigned char a[64] = {0}, b[64] = {0};

	CHECK(getrandom(a, 64, 0) == 64 && getrandom(b, 64, GRND_NONBLOCK) == 64 && memcmp(a, b, 64));
	CHECK(!getentropy(text, 256));
	FAILS(getrandom(a, 64, 0x1000), EINVAL);
}

static void check_unknown(void)
{
	FAILS(syscall(999), ENOSYS);
	FAILS(syscall(100000), ENOSYS);
	FAILS(syscall(-1), ENOSYS);
}

static bool proc(const char *name)
{
	FILE *f = fopen(name, "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	if (f)
		fclose(f);
	text[n] = 0;
	return n > 0;
}

static void check_proc(void)
{
	char path[300];

	CHECK(proc("/proc/self/maps") && strstr(text, "[stack]") && strstr(text, "r-xp"));
	CHECK(proc("/proc/self/status") && strstr(text, "Threads:\t1\n") && strstr(text, "VmRSS:"));
	CHECK(proc("/proc/self/stat") && atoi(text) == getpid());
	CHECK(proc("/proc/self/cmdline") && text[0]);
	CHECK(proc("/proc/cpuinfo") && strstr(text, "processor\t: 0\n") && strstr(text, "flags\t"));
	CHECK(proc("/proc/meminfo") && strstr(text, "MemTotal:") && strstr(text, "MemFree:") && strstr(text, "MemAvailable:"));
	CHECK(readlink("/proc/self/exe", path, sizeof(path)) > 1 && path[0] == '/');
	CHECK(readlink("/proc/self/fd/0", path, sizeof(path)) > 1);
	FAILS(open("/proc/nothing", 0), ENOENT);
}

static void check_identity(void)
{
	struct utsname name;
	char comm[16];

	CHECK(!uname(&name) && !strcmp(name.sysname, "Linux") && !strcmp(name.machine, "x86_64"));
	IS(personality(PER_LINUX32), PER_LINUX);
	CHECK(!uname(&name) && !strcmp(name.machine, "i686")); /* as linux32(8) has it for a build */
	IS(personality(PER_LINUX), PER_LINUX32);
	CHECK(!uname(&name) && !strcmp(name.machine, "x86_64"));
	CHECK(getpid() == syscall(SYS_gettid) && getppid() >= 0);
	CHECK(getuid() == geteuid() && getgid() == getegid());
	/* 0: a leader outside of the PID namespace, as in a container or a CI job */
	CHECK(getpgrp() >= 0 && getsid(0) >= 0);
	CHECK(!prctl(PR_SET_NAME, "renamed") && !prctl(PR_GET_NAME, comm) && !strcmp(comm, "renamed"));
	CHECK(!prctl(PR_SET_NAME, "renamed-but-much-too-long") && !prctl(PR_GET_NAME, comm) && !strcmp(comm, "renamed-but-muc"));
	CHECK(gethostname(text, 64) == 0 && text[0]);
	CHECK(umask(0123) == 022 && umask(022) == 0123);
}

static void check_limits(void)
{
	struct rlimit limit;
	struct sysinfo info;
	struct statfs fs;
	cpu_set_t cpus;

	CHECK(!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur >= 256);
	CHECK(!sysinfo(&info) && info.totalram > 0 && info.mem_unit > 0);
	CHECK(!statfs("/", &fs) && fs.f_bsize > 0);
	CHECK(!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) >= 1);
	CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1 && sysconf(_SC_PAGESIZE) == 4096);
	CHECK(sysconf(_SC_PHYS_PAGES) > 100);
	CHECK(isatty(99) == 0 && errno == EBADF);
}

/* Calls that the C library has no wrapper for, or seldom uses. */
static void check_seldom(void)
{
	const size_t far = 8 << 20; /* a fault may bring in the neighbourhood */
	char *m = mmap(NULL, far + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char there = 9;
	int fd = open("/dev/null", O_RDWR), second = dup(fd), third = dup(fd), epoll = epoll_create1(0);
	struct epoll_event event;
	struct timespec moment = { 0, 1000 }, wrong = { 0, 1000000000 };
	struct iovec part = { m, 8 };
	void *list = NULL;
	size_t size = 0;
	unsigned long base = 0;

	*m = 1;
	CHECK(mincore(m, 4096, &there) == 0 && there & 1);
	CHECK(mincore(m + far, 4096, &there) == 0 && !(there & 1));
	FAILS(mincore(m + 1, 4096, &there), EINVAL);
	CHECK(!mincore(NULL, 0, NULL));
	FAILS(syscall(SYS_mincore, m, 4096, 8), EFAULT);
	munmap(m + 4096, 4096);
	FAILS(mincore(m + 4096, 4096, &there), ENOMEM);
	IS(syscall(SYS_close_range, second, third, 4 /* CLOSE_RANGE_CLOEXEC */), 0);
	IS(fcntl(third, F_GETFD), FD_CLOEXEC);
	IS(fcntl(epoll, F_GETFD), 0);
	IS(syscall(SYS_close_range, second, third, 0), 0);
	FAILS(fcntl(second, F_GETFD), EBADF);
	FAILS(fcntl(third, F_GETFD), EBADF);
	FAILS(syscall(SYS_close_range, third, second, 0), EINVAL);
	FAILS(syscall(SYS_close_range, second, third, 64), EINVAL);
	IS(syscall(SYS_epoll_pwait2, epoll, &event, 1, &moment, NULL, 0), 0);
	FAILS(syscall(SYS_epoll_pwait2, epoll, &event, 1, &wrong, NULL, 0), EINVAL);
	FAILS(syscall(SYS_epoll_pwait2, epoll, &event, 0, &moment, NULL, 0), EINVAL);
	IS(syscall(SYS_faccessat2, AT_FDCWD, "/dev/null", R_OK, AT_EACCESS), 0);
	IS(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH), 0);
	FAILS(syscall(SYS_faccessat2, AT_FDCWD, "/dev/null", 8, 0), EINVAL);
	FAILS(syscall(SYS_faccessat2, AT_FDCWD, "/dev/null", R_OK, 1), EINVAL);
	IS(pwritev2(fd, &part, 1, -1, 0), 8);
	FAILS(pwritev2(fd, &part, 1, 0, 0x40000000), EOPNOTSUPP);
	IS(syscall(SYS_get_robust_list, 0, &list, &size), 0);
	CHECK(list && size == 24);
	FAILS(syscall(SYS_get_robust_list, 12345678, &list, &size), ESRCH);
	IS(syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &base), 0);
	CHECK(base && *(unsigned long *)base == base);
	FAILS(syscall(SYS_arch_prctl, 0x1003, 8), EFAULT);
	FAILS(syscall(SYS_arch_prctl, 0x1002, 1ul << 63), EPERM);
	FAILS(syscall(SYS_arch_prctl, 1, 0), EINVAL);
	close(fd);
	close(epoll);
	munmap(m, far + 4096);
}

int main(void)
{
	umask(022);
	check_random();
	check_unknown();
	check_proc();
	check_identity();
	check_limits();
	check_seldom();
	return check_end();
}
