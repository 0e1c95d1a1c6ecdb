/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's own time of day: what is set is seen everywhere at once, and by nobody outside. As a process nothing is set: that would be the machine's. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "check.h"

#define DAY 86400
#define TOLERATED 100 /* seconds that a slow machine may take */

#define VM(fact) CHECK(!in_vm() || (fact))

static time_t start;

static bool about(time_t time, time_t wanted)
{
	return time >= wanted && time < wanted + TOLERATED;
}

static bool shows(time_t wanted)
{
	struct timespec read, asked;
	struct timeval of_day;

	return !clock_gettime(CLOCK_REALTIME, &read) && !syscall(SYS_clock_gettime, CLOCK_REALTIME, &asked) && !gettimeofday(&of_day, NULL) &&
	       about(read.tv_sec, wanted) && about(asked.tv_sec, wanted) && about(of_day.tv_sec, wanted) && about(time(NULL), wanted) && about(syscall(SYS_time, NULL), wanted);
}

static bool set(time_t to)
{
	return !clock_settime(CLOCK_REALTIME, &(struct timespec){ .tv_sec = to });
}

static bool made_at(const char *name, time_t wanted)
{
	struct stat st;
	int fd = open(name, O_WRONLY | O_CREAT, 0600);

	return !fstat(fd, &st) && !close(fd) && about(st.st_mtime, wanted);
}

static bool child_sees(time_t wanted)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(!shows(wanted));
	return waitpid(pid, &status, 0) == pid && !status;
}

static int timer(int flags, time_t at)
{
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);

	timerfd_settime(fd, flags, &(struct itimerspec){ .it_value.tv_sec = at }, NULL);
	return fd;
}

static int expired(int fd)
{
	uint64_t times;

	return read(fd, &times, sizeof(times)) == sizeof(times) ? 0 : errno;
}

static void check_set(void)
{
	int64_t before = now_ms();
	int noon = timer(TFD_TIMER_ABSTIME, start + DAY / 2), later = timer(TFD_TIMER_ABSTIME, start + 10 * DAY), span = timer(0, DAY / 2),
	    watch = timer(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, start + 10 * DAY);

	VM(shows(start));
	VM(set(start + DAY));
	VM(shows(start + DAY));
	VM(child_sees(start + DAY));
	VM(made_at("tomorrow", start + DAY));
	CHECK(now_ms() - before < TOLERATED * 1000);
	VM(expired(noon) == 0);
	VM(expired(later) == EAGAIN);
	VM(expired(span) == EAGAIN);
	VM(expired(watch) == ECANCELED);
	VM(!settimeofday(&(struct timeval){ .tv_sec = start }, NULL));
	VM(shows(start));
	CHECK(now_ms() - before < TOLERATED * 1000);
}

static void *sleeper(void *unused)
{
	clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &(struct timespec){ .tv_sec = start + 2 * DAY }, NULL);
	return unused;
}

static void check_sleeper(void)
{
	pthread_t thread;

	if (in_vm()) {
		pthread_create(&thread, NULL, sleeper, NULL);
		set(start + 3 * DAY);
		pthread_join(thread, NULL);
		set(start);
	}
	CHECK("who sleeps until then wakes up");
}

static void check_refused(void)
{
	struct timespec none = { 0 };
	int status;
	pid_t pid;

	VM(!set(0) && errno == EINVAL); /* less than CLOCK_MONOTONIC */
	FAILS(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &none), EINVAL);
	FAILS(clock_settime(CLOCK_BOOTTIME, &none), EINVAL);
	FAILS(settimeofday(&(struct timeval){ .tv_usec = 1000001 }, NULL), EINVAL);
	FAILS(settimeofday(&(struct timeval){ .tv_sec = -1 }, NULL), EINVAL);
	pid = fork();
	if (!pid) {
		if (!getuid() && syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(1);
		FAILS(clock_settime(CLOCK_REALTIME, &none), EPERM);
		FAILS(settimeofday(&(struct timeval){ .tv_sec = 1 }, NULL), EPERM);
		_exit(check_end());
	}
	CHECK(waitpid(pid, &status, 0) == pid && !status);
}

int main(void)
{
	check_scratch();
	start = time(NULL);
	check_set();
	check_sleeper();
	check_refused();
	return check_end();
}
