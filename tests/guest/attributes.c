/* SPDX-License-Identifier: Apache-2.0 */
/* What a program may set on itself is kept and told back; what is wrong is refused with Linux' word for it. */
#include "check.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int saved = errno;

	close(fd);
	errno = saved;
	return good;
}

/* The line of the file that begins so, without that. */
static const char *line_of(const char *path, const char *start)
{
	static char line[4096];
	FILE *f = fopen(path, "r");
	bool found = false;

	while (!found && f && fgets(line, sizeof(line), f))
		found = !strncmp(line, start, strlen(start));
	if (f)
		fclose(f);
	return found ? line + strlen(start) : "";
}

static void oom_score(void)
{
	const char *path = "/proc/self/oom_score_adj";
	int before = atoi(line_of(path, ""));

	CHECK(write_text(path, "500"));
	IS(atoi(line_of(path, "")), 500);
	CHECK(write_text(path, " 700\n"));
	IS(atoi(line_of(path, "")), 700);
	CHECK(!write_text(path, "1001") && errno == EINVAL);
	CHECK(!write_text(path, "-1001") && errno == EINVAL);
	CHECK(!write_text(path, "a") && errno == EINVAL);
	CHECK(!write_text(path, "7 7") && errno == EINVAL);
	IS(atoi(line_of(path, "")), 700);
	CHECK(write_text(path, before == 0 ? "0" : "700"));
}

static void *new_thread_nice(void *arg)
{
	*(int *)arg = getpriority(PRIO_PROCESS, 0);
	return NULL;
}

static void niceness(void)
{
	pthread_t thread;
	int seen = 0;

	IS(setpriority(PRIO_PROCESS, 0, 5), 0);
	IS(getpriority(PRIO_PROCESS, 0), 5);
	IS(nice(2), 7);
	IS(getpriority(PRIO_PROCESS, getpid()), 7);
	IS(pthread_create(&thread, NULL, new_thread_nice, &seen), 0);
	IS(pthread_join(thread, NULL), 0);
	IS(seen, 7);
	IS(setpriority(PRIO_PROCESS, 0, 100), 0);
	IS(getpriority(PRIO_PROCESS, 0), 19);
	FAILS(getpriority(99, 0), EINVAL);
	FAILS(setpriority(-1, 0, 0), EINVAL);
	FAILS(getpriority(PRIO_PROCESS, 1 << 21), ESRCH);
	FAILS(setpriority(PRIO_PROCESS, 1 << 21, 0), ESRCH);
	FAILS(getpriority(PRIO_USER, 123456), ESRCH);
	CHECK(!setpriority(PRIO_PROCESS, 0, -5) || !in_vm());
	CHECK(getpriority(PRIO_PROCESS, 0) == -5 || !in_vm());
}

static void policies(void)
{
	struct sched_param p = { 7 }, got = { 0 };
	bool may = !sched_setscheduler(0, SCHED_FIFO, &p);

	CHECK(may || (!in_vm() && errno == EPERM));
	CHECK(!may || (sched_getscheduler(0) == SCHED_FIFO && !sched_getparam(0, &got) && got.sched_priority == 7));
	p.sched_priority = 9;
	CHECK(!may || (!sched_setparam(0, &p) && !sched_getparam(0, &got) && got.sched_priority == 9));
	p.sched_priority = 1;
	CHECK(!may || (!sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p) && sched_getscheduler(0) == (SCHED_RR | SCHED_RESET_ON_FORK)));
	p.sched_priority = 0;
	FAILS(sched_setscheduler(0, SCHED_RR, &p), EINVAL);
	p.sched_priority = 100;
	FAILS(sched_setscheduler(0, SCHED_FIFO, &p), EINVAL);
	p.sched_priority = 0;
	IS(sched_setscheduler(0, SCHED_BATCH, &p), 0);
	IS(sched_getscheduler(0), SCHED_BATCH);
	IS(sched_getparam(0, &got), 0);
	IS(got.sched_priority, 0);
	IS(sched_setscheduler(0, SCHED_OTHER, &p), 0);
	p.sched_priority = 5;
	FAILS(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	FAILS(sched_setparam(0, &p), EINVAL);
	FAILS(sched_setscheduler(0, 4, &p), EINVAL);
	FAILS(sched_setscheduler(0, -1, &p), EINVAL);
	FAILS(sched_setscheduler(0, SCHED_OTHER, NULL), EINVAL);
	FAILS(sched_getscheduler(-1), EINVAL);
	FAILS(sched_getparam(-1, &p), EINVAL);
	FAILS(sched_getparam(0, NULL), EINVAL);
	FAILS(sched_getscheduler(1 << 21), ESRCH);
	FAILS(sched_get_priority_max(4), EINVAL);
	FAILS(sched_rr_get_interval(-1, &(struct timespec){ 0 }), EINVAL);
}

struct attr { /* of sched_setattr: the first version */
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static void policy_attributes(void)
{
	struct attr a = { .size = sizeof(a), .policy = SCHED_BATCH, .nice = 11 }, got = { 0 };
	struct { struct attr a; uint64_t more[4]; } later = { .a = a };

	IS(syscall(SYS_sched_setattr, 0, &a, 0), 0);
	IS(syscall(SYS_sched_getattr, 0, &got, sizeof(got), 0), 0);
	CHECK(got.size == sizeof(got) && got.policy == SCHED_BATCH && got.nice == 11 && got.priority == 0);
	IS(getpriority(PRIO_PROCESS, 0), 11);
	later.a.size = sizeof(later);
	IS(syscall(SYS_sched_setattr, 0, &later, 0), 0);
	later.more[3] = 1;
	FAILS(syscall(SYS_sched_setattr, 0, &later, 0), E2BIG);
	a.size = 8;
	FAILS(syscall(SYS_sched_setattr, 0, &a, 0), E2BIG);
	a.size = sizeof(a);
	a.flags = 1ull << 40;
	FAILS(syscall(SYS_sched_setattr, 0, &a, 0), EINVAL);
	FAILS(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
	FAILS(syscall(SYS_sched_setattr, -1, &a, 0), EINVAL);
	FAILS(syscall(SYS_sched_getattr, 0, &got, 8, 0), EINVAL);
	FAILS(syscall(SYS_sched_getattr, 0, &got, sizeof(got), 1), EINVAL);
}

static void io_priorities(void)
{
	enum { BEST_EFFORT = 2 << 13, NONE = 0 };

	IS(syscall(SYS_ioprio_set, 1, 0, BEST_EFFORT | 3), 0);
	IS(syscall(SYS_ioprio_get, 1, 0), BEST_EFFORT | 3);
	FAILS(syscall(SYS_ioprio_set, 1, 0, NONE | 3), EINVAL);
	FAILS(syscall(SYS_ioprio_set, 9, 0, BEST_EFFORT), EINVAL);
	FAILS(syscall(SYS_ioprio_get, 0, 0), EINVAL);
	FAILS(syscall(SYS_ioprio_set, 1, 1 << 21, BEST_EFFORT), ESRCH);
}

static volatile int came;

static void on_signal(int signo)
{
	(void)signo;
	came++;
}

static int queue_signals(int most)
{
	int n = 0;

	while (n < most && !sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = n }))
		n++;
	return n;
}

static void queued_signals(void)
{
	struct rlimit old, limit;
	sigset_t set;

	signal(SIGRTMIN, on_signal);
	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	IS(queue_signals(1000), 1000);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	IS(came, 1000);
	sigprocmask(SIG_BLOCK, &set, NULL);
	IS(getrlimit(RLIMIT_SIGPENDING, &old), 0);
	limit = old;
	limit.rlim_cur = 0;
	IS(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
	FAILS(sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 }), EAGAIN);
	IS(kill(getpid(), SIGUSR1), 0); /* the plain ones always come */
	IS(kill(getpid(), SIGRTMIN), 0);
	came = 0;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	IS(came, 2);
	IS(setrlimit(RLIMIT_SIGPENDING, &old), 0);
}

static void barriers(void)
{
	int known = (int)syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
	int core = MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;

	IS(known & core, core);
	FAILS(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), EPERM);
	IS(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
	IS(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0), 0);
	FAILS(syscall(SYS_membarrier, core, 0, 0), EINVAL);
	FAILS(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1, 0), EINVAL);
}

static void switches(void)
{
	FAILS(prctl(PR_SET_DUMPABLE, 7), EINVAL);
	IS(prctl(PR_GET_DUMPABLE), 1);
	IS(prctl(PR_SET_DUMPABLE, 0), 0);
	IS(prctl(PR_GET_DUMPABLE), 0);
	IS(prctl(PR_SET_DUMPABLE, 1), 0);
	IS(prctl(PR_SET_TIMERSLACK, 12345), 0);
	IS(prctl(PR_GET_TIMERSLACK), 12345);
	IS(prctl(PR_SET_TIMERSLACK, 0), 0);
	IS(prctl(PR_GET_TIMERSLACK), 50000);
	IS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	IS(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	FAILS(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0), EINVAL);
	IS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	IS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	IS(atoi(line_of("/proc/self/status", "NoNewPrivs:")), 1);
	FAILS(prctl(PR_SET_PDEATHSIG, 500), EINVAL);
}

/* How many numbers the line of /proc/stat has. */
static int numbers(const char *start)
{
	const char *at = line_of("/proc/stat", start);
	int n = 0;

	for (char *end; strtoull(at, &end, 10), end != at; at = end)
		n++;
	return n;
}

static void shapes(void)
{
	struct statx sx;
	int fd = open("born", O_CREAT | O_RDWR, 0600);

	IS(numbers("softirq "), 11);
	IS(numbers("cpu "), 10);
	IS(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &sx), 0);
	CHECK((sx.stx_mask & STATX_BTIME) && sx.stx_btime.tv_sec >= time(NULL) - 100 && sx.stx_btime.tv_sec <= time(NULL) + 1);
	FAILS(syscall(SYS_statx, fd, "", 0x8000000, STATX_ALL, &sx), EINVAL);
	close(fd);
}

static void errors(void)
{
	int place = open(".", O_PATH), ep = epoll_create1(0), null = open("/dev/null", O_RDWR), file = open("born", O_RDWR), p[2], deep[6];
	struct epoll_event event = { 0 };
	struct iovec piece = { &event, 1 };
	char text[8];
	void *gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(gone, 4096);
	FAILS(readlink("", text, sizeof(text)), ENOENT);
	FAILS(readlink("born", text, sizeof(text)), EINVAL);
	FAILS(readlinkat(place, "", text, sizeof(text)), ENOENT);
	FAILS(syscall(SYS_futex, gone, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
	IS(syscall(SYS_futex, gone, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0), 0);
	FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, place, &event), EBADF);
	FAILS(fdatasync(null), EINVAL);
	FAILS(fsync(ep), EINVAL);
	FAILS(fcntl(place, F_SETFL, 0), EBADF);
	FAILS(sync_file_range(file, 0, 1, 8), EINVAL);
	FAILS(sync_file_range(file, -1, 1, 0), EINVAL);
	IS(sync_file_range(file, 0, 1, 0), 0);
	IS(pipe(p), 0);
	FAILS(sync_file_range(p[0], 0, 1, 0), ESPIPE);
	FAILS(pwritev(p[0], &piece, 1, 0), ESPIPE);
	FAILS(pwrite(p[0], text, 1, 0), ESPIPE);
	FAILS(pread(p[1], text, 1, 0), ESPIPE);
	FAILS(writev(p[0], &piece, 1), EBADF);
	int tcp = socket(AF_INET, SOCK_STREAM, 0), value;
	socklen_t size = 16;
	FAILS(getsockname(tcp, NULL, &size), EFAULT);
	FAILS(getsockname(tcp, (struct sockaddr *)&event, NULL), EFAULT);
	size = sizeof(value);
	FAILS(getsockopt(tcp, 500, 1, &value, &size), EOPNOTSUPP);
	FAILS(accept(place, NULL, NULL), EBADF);
	FAILS(accept(file, NULL, NULL), ENOTSOCK);
	close(tcp);
	for (int i = 0; i < 6; i++)
		deep[i] = epoll_create1(0);
	for (int i = 0; i < 4; i++)
		IS(epoll_ctl(deep[i], EPOLL_CTL_ADD, deep[i + 1], &event), 0);
	FAILS(epoll_ctl(deep[4], EPOLL_CTL_ADD, deep[5], &event), ELOOP);
	FAILS(epoll_ctl(deep[5], EPOLL_CTL_ADD, deep[0], &event), ELOOP);
	FAILS(epoll_ctl(deep[3], EPOLL_CTL_ADD, deep[0], &event), ELOOP);
}

int main(void)
{
	check_scratch();
	oom_score();
	niceness();
	policies();
	policy_attributes();
	io_priorities();
	queued_signals();
	barriers();
	shapes();
	errors();
	switches();
	return check_end();
}
