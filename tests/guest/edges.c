/* SPDX-License-Identifier: Apache-2.0 */
/* Calls at the edges of what they take: memory, time, futexes, epoll, pipes, children that do not exist. */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"

#define PAGE 4096ul

static void *map(size_t size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

static void check_memory(void)
{
	char *own = map(2 * PAGE, MAP_PRIVATE), *shared = map(PAGE, MAP_SHARED);
	int fd = memfd_create("edges", 0);

	FAILS(munmap(own, -1ul), EINVAL);
	FAILS(munmap(own, -PAGE), EINVAL);
	strcpy(own, "still here");
	FAILS(mprotect(own, PAGE, PROT_READ | PROT_GROWSDOWN), EINVAL); /* it does not grow */
	FAILS(mprotect(own, PAGE, PROT_READ | PROT_GROWSUP), EINVAL);
	own[PAGE] = 1;
	CHECK(!strcmp(own, "still here"));
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0x7ffffffffffff000) == MAP_FAILED && errno == EOVERFLOW);
	strcpy(shared, "others see it");
	CHECK(!madvise(shared, PAGE, MADV_DONTNEED));
	FAILS(madvise(shared, PAGE, MADV_FREE), EINVAL);
	CHECK(!strcmp(shared, "others see it"));
	CHECK(!madvise(own, PAGE, MADV_DONTNEED) && !own[0]);
	CHECK(!mlock(own, PAGE));
	FAILS(msync(own, PAGE, MS_INVALIDATE), EBUSY);
	CHECK(!munlock(own, PAGE) && !msync(own, PAGE, MS_INVALIDATE));
	munmap(own, 2 * PAGE);
	munmap(shared, PAGE);
	close(fd);
}

static void check_timers(void)
{
	struct itimerspec spec = { .it_value = { 1, 0 } }, old;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	uint64_t n = 0;
	timer_t timer;

	CHECK(!timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL)); /* long ago */
	CHECK(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 5000) == 1); /* on a slow processor not at once */
	CHECK(read(fd, &n, sizeof(n)) == sizeof(n) && n == 1);
	FAILS(read(fd, &n, sizeof(n)), EAGAIN);
	CHECK(!timerfd_gettime(fd, &old) && !old.it_value.tv_sec && !old.it_value.tv_nsec);
	spec.it_interval.tv_sec = 1000000000;
	CHECK(!timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL));
	CHECK(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 5000) == 1);
	CHECK(read(fd, &n, sizeof(n)) == sizeof(n) && n == 1);
	FAILS(read(fd, &n, sizeof(n)), EAGAIN);
	close(fd);
	CHECK(!timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_NONE }, &timer));
	FAILS(timer_settime(timer, 0, NULL, NULL), EINVAL);
	spec = (struct itimerspec){ .it_interval = { 5, 0 } };
	CHECK(!timer_settime(timer, 0, &spec, NULL) && !timer_gettime(timer, &old) && !old.it_interval.tv_sec); /* off is off */
	CHECK(!timer_delete(timer));
}

static void check_clocks(void)
{
	struct timespec none = { 0, 0 }, bad = { 0, 1000000000 };

	FAILS(clock_settime(CLOCK_MONOTONIC, &none), EINVAL);
	FAILS(clock_settime(CLOCK_REALTIME_COARSE, &none), EINVAL);
	FAILS(clock_settime(99, &none), EINVAL);
	FAILS(clock_settime(CLOCK_REALTIME, &bad), EINVAL);
	FAILS(syscall(SYS_clock_settime, CLOCK_REALTIME, 8), EFAULT);
	IS(clock_nanosleep(CLOCK_MONOTONIC_RAW, 0, &none, NULL), EOPNOTSUPP);
	IS(clock_nanosleep(CLOCK_REALTIME_COARSE, 0, &none, NULL), EOPNOTSUPP);
	IS(clock_nanosleep(CLOCK_TAI, 0, &none, NULL), 0);
}

static void check_futex(void)
{
	struct timespec soon = { 0, 1000000 };
	uint32_t word = 0;

	FAILS(syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, &soon, NULL, 0), ENOSYS);
	FAILS(syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
	FAILS(syscall(SYS_futex, &word, FUTEX_REQUEUE, 1, 1, 8, 0), EFAULT);
}

static void check_epoll(void)
{
	struct epoll_event event = { .events = 0, .data.u32 = 7 };
	int epoll = epoll_create1(0), p[2];

	CHECK(!pipe2(p, O_NONBLOCK) && !epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
	IS(write(p[1], "x", 1), 1);
	IS(epoll_wait(epoll, &event, 1, 0), 0);
	close(p[1]); /* who asks for nothing hears of the end all the same */
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.events == EPOLLHUP && event.data.u32 == 7);
	close(p[0]);
	CHECK(!pipe2(p, O_NONBLOCK));
	event = (struct epoll_event){ .events = EPOLLOUT | EPOLLET };
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, p[1], &event) && epoll_wait(epoll, &event, 1, 0) == 1);
	char byte;

	CHECK(write(p[1], "xy", 2) == 2 && read(p[0], &byte, 1) == 1);
	IS(epoll_wait(epoll, &event, 1, 0), 0); /* there was room before */
	close(p[0]);
	close(p[1]);
	close(epoll);
}

static void check_children(void)
{
	siginfo_t info;

	FAILS(waitpid(-1, NULL, 0x40), EINVAL);
	FAILS(waitpid(-1, NULL, WNOHANG), ECHILD);
	FAILS(waitpid(INT32_MIN, NULL, 0), ESRCH);
	FAILS(waitid(P_ALL, 0, &info, 0), EINVAL);
	FAILS(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
	FAILS(waitid(99, 0, &info, WEXITED), EINVAL);
	FAILS(waitid(P_PID, 0, &info, WEXITED), EINVAL);
	FAILS(waitid(P_PIDFD, 99, &info, WEXITED), EBADF);
	FAILS(setpgid(0, -1), EINVAL);
	FAILS(getrandom(&info, 1, GRND_RANDOM | GRND_INSECURE), EINVAL);
}

static void check_descriptors(void)
{
	int p[2], socket_fd = socket(AF_INET, SOCK_DGRAM, 0), owner = 0, on = 1, fd = open("edges", O_CREAT | O_WRONLY, 0600);

	FAILS(readahead(fd, 0, 1), EBADF);
	FAILS(ioctl(fd, FIOASYNC, &on), ENOTTY);
	close(fd);
	unlink("edges");
	owner = getpid();
	CHECK(!ioctl(socket_fd, FIOSETOWN, &owner) && fcntl(socket_fd, F_GETOWN) == owner);
	owner = 0;
	CHECK(!ioctl(socket_fd, SIOCSPGRP, &owner) && fcntl(socket_fd, F_GETOWN) == 0);
	CHECK(!fcntl(socket_fd, F_SETOWN, getpid()) && !ioctl(socket_fd, SIOCGPGRP, &owner) && owner == getpid());
	CHECK(!ioctl(socket_fd, FIOASYNC, &on) && fcntl(socket_fd, F_GETFL) & O_ASYNC);
	on = 0;
	CHECK(!ioctl(socket_fd, FIOASYNC, &on) && !(fcntl(socket_fd, F_GETFL) & O_ASYNC));
	FAILS(send(socket_fd, &on, 65536, 0), EMSGSIZE);
	close(socket_fd);
	CHECK(!pipe(p));
	FAILS(ioctl(p[0], FIOGETOWN, &owner), ENOTTY);
	FAILS(mlock((void *)-PAGE, 2 * PAGE), EINVAL);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	check_scratch();
	check_descriptors();
	check_memory();
	check_timers();
	check_clocks();
	check_futex();
	check_epoll();
	check_children();
	return check_end();
}
