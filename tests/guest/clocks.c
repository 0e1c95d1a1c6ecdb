/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program sees of a pause of its VM: clocks "keep" or "advance" MS. It says "ready" when its timers are set, is paused for MS milliseconds or more,
 * and looks when a line comes. "load": eight threads compute, and port 80 is read from. Without arguments: as a process and in a VM, what holds of clocks without a pause.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>

#include "check.h"

static int64_t us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct timespec at(int64_t us)
{
	return (struct timespec){ us / 1000000, us % 1000000 * 1000 };
}

static int timer_file(clockid_t clock, int64_t first, int64_t every, int flags)
{
	const struct itimerspec value = { .it_value = at(first), .it_interval = at(every) };
	int fd = timerfd_create(clock, TFD_NONBLOCK);

	return fd >= 0 && timerfd_settime(fd, flags, &value, NULL) == 0 ? fd : -1;
}

/* How often it expired; 0: it did not. */
static int64_t ticks(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? (int64_t)n : 0;
}

static timer_t posix_timer(clockid_t clock, int signo, int64_t first, int64_t every, int flags)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo };
	const struct itimerspec value = { .it_value = at(first), .it_interval = at(every) };
	timer_t timer = NULL;

	if (timer_create(clock, &event, &timer) || timer_settime(timer, flags, &value, NULL))
		check_say(false, "a timer", __LINE__);
	return timer;
}

static volatile sig_atomic_t alarms, most_overrun;

static void on_alarm(int signo, siginfo_t *info, void *context)
{
	alarms++;
	if (info->si_overrun > most_overrun)
		most_overrun = info->si_overrun;
}

static volatile int done;
static int64_t furthest; /* step of the monotonic clock between two looks at it, us */
static bool backwards;
static volatile int looks;

/* Computes all the time, and looks at the clock; once more after it was told to end, since the pause may lie between its last two looks. */
static void *look(void *unused)
{
	int64_t last = us(CLOCK_MONOTONIC), now;

	for (bool end = false; !end; last = now, looks = 1) {
		end = done;
		now = us(CLOCK_MONOTONIC);
		backwards |= now < last;
		if (now - last > furthest)
			furthest = now - last;
	}
	return NULL;
}

struct sleeper {
	clockid_t clock;
	int64_t until;
	volatile bool awake;
	pthread_t thread;
};

static void *sleep_on(void *context)
{
	struct sleeper *sleeper = context;
	const struct timespec until = at(sleeper->until);

	while (clock_nanosleep(sleeper->clock, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	sleeper->awake = true;
	return NULL;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

/* The same by a futex with a time of the wall clock. */
static void *await_never(void *context)
{
	struct sleeper *sleeper = context;
	const struct timespec until = at(sleeper->until);

	pthread_mutex_lock(&lock);
	while (pthread_cond_timedwait(&never, &lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&lock);
	sleeper->awake = true;
	return NULL;
}

static int64_t uptime_us(void)
{
	double up = -1;
	FILE *file = fopen("/proc/uptime", "r");

	if (file && fscanf(file, "%lf", &up) != 1)
		up = -1;
	if (file)
		fclose(file);
	return (int64_t)(up * 1e6);
}

static int64_t cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000ll + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static bool awake_soon(struct sleeper *sleeper)
{
	for (int64_t end = now_ms() + 10000; !sleeper->awake && now_ms() < end;)
		usleep(1000);
	return sleeper->awake;
}

static void block(int how, int signo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signo);
	pthread_sigmask(how, &set, NULL);
}

struct clocks {
	int64_t mono, real, boot, up, cpu; /* us */
};

/* All at one moment, as far as that can be had on a busy machine: between the first and the last there are at most this many us. */
static struct clocks clocks_within(int64_t limit)
{
	struct clocks now;

	for (int tries = 0; tries < 100; tries++) {
		now = (struct clocks){ us(CLOCK_MONOTONIC), us(CLOCK_REALTIME), us(CLOCK_BOOTTIME), uptime_us(), cpu_us() };
		if (us(CLOCK_MONOTONIC) - now.mono <= limit)
			break;
	}
	return now;
}

/*
 * A span of the monotonic clock, set between two times of it, that has not passed yet: however slowly the program runs, nothing
 * happens before its time, and what is left is right.
 */
static void not_early(int span, bool happened, int64_t from, int64_t to, int64_t length)
{
	struct itimerspec left = { 0 };
	int64_t now = us(CLOCK_MONOTONIC), remains;

	if (ticks(span) || happened) {
		CHECK(us(CLOCK_MONOTONIC) - from >= length);
		return;
	}
	CHECK(timerfd_gettime(span, &left) == 0);
	remains = left.it_value.tv_sec * 1000000 + left.it_value.tv_nsec / 1000;
	CHECK(remains <= length - (now - to) + 1 && remains >= length - (us(CLOCK_MONOTONIC) - from) - 1);
}

static int paused(bool advance, int64_t pause)
{
	const int64_t hour = 3600ll * 1000000, half = pause / 2, near = pause / 7, period = 20000;
	int64_t begun = us(CLOCK_MONOTONIC), real = us(CLOCK_REALTIME);
	int wall_once = timer_file(CLOCK_REALTIME, real + half, 0, TFD_TIMER_ABSTIME), wall_later = timer_file(CLOCK_REALTIME, real + hour, 0, TFD_TIMER_ABSTIME);
	int wall_span = timer_file(CLOCK_REALTIME, half, 0, 0), boot_once = timer_file(CLOCK_BOOTTIME, half, 0, 0);
	int every = timer_file(CLOCK_MONOTONIC, half, period, 0), span = timer_file(CLOCK_MONOTONIC, half, 0, 0);
	struct sleeper wall = { .clock = CLOCK_REALTIME, .until = real + half }, waiter = wall, monotonic = { .clock = CLOCK_MONOTONIC, .until = begun + half };
	int cancelled = timer_file(CLOCK_REALTIME, real + hour, 0, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	struct clocks before, after;
	struct itimerspec left;
	pthread_t looker;
	timer_t timer;
	char line;

	sigaction(SIGUSR1, &(struct sigaction){ .sa_sigaction = on_alarm, .sa_flags = SA_SIGINFO }, NULL);
	block(SIG_BLOCK, SIGUSR1);
	timer = posix_timer(CLOCK_REALTIME, SIGUSR1, real + half, period, TIMER_ABSTIME);
	pthread_create(&looker, NULL, look, NULL);
	pthread_create(&wall.thread, NULL, sleep_on, &wall);
	pthread_create(&monotonic.thread, NULL, sleep_on, &monotonic);
	pthread_create(&waiter.thread, NULL, await_never, &waiter);
	while (!looks)
		sched_yield();
	before = clocks_within(near / 4);
	printf("ready\n");
	fflush(stdout);
	if (read(0, &line, 1) != 1)
		return 1;
	after = clocks_within(near / 4);
	done = 1;
	pthread_join(looker, NULL);
	const int64_t mono = after.mono - before.mono, boot = after.boot - before.boot, up = after.up - before.up, cpu = after.cpu - before.cpu;
	real = after.real - before.real;
	fprintf(stderr, "us: monotonic %ld, real %ld, boot %ld, uptime %ld, processor %ld, furthest step %ld\n", mono, real, boot, up, cpu, furthest);
	CHECK(real >= pause);
	CHECK(boot >= pause && labs(boot - real) < near);
	CHECK(labs(up - boot) < near);
	CHECK(!backwards);
	CHECK(cpu <= real - pause + near);
	CHECK(advance ? mono >= pause && furthest >= pause : real - mono >= pause - near);
	CHECK(ticks(wall_once) == 1 && ticks(wall_once) == 0);
	CHECK(ticks(wall_later) == 0);
	CHECK(ticks(boot_once) == 1);
	IS(poll(&(struct pollfd){ .fd = cancelled, .events = POLLIN }, 1, 0), 1);
	FAILS(read(cancelled, &left, sizeof(left)), ECANCELED);
	FAILS(read(cancelled, &left, sizeof(left)), EAGAIN);
	if (advance) {
		CHECK(ticks(every) >= half / period);
		CHECK(ticks(span) == 1);
		CHECK(ticks(wall_span) == 1);
		CHECK(awake_soon(&monotonic));
	} else {
		not_early(span, monotonic.awake, begun, before.mono, half);
		not_early(wall_span, ticks(every) > 0, begun, before.mono, half);
	}
	CHECK(awake_soon(&wall));
	CHECK(awake_soon(&waiter));
	block(SIG_UNBLOCK, SIGUSR1); /* one signal waits for all the periods that have passed */
	block(SIG_BLOCK, SIGUSR1);
	IS(alarms > 0 ? 1 : 0, 1);
	CHECK(alarms <= half / period / 8);
	CHECK(most_overrun >= half / period - 1);
	CHECK(timer_getoverrun(timer) >= 0);
	return check_end();
}

static void unpaused(void)
{
	int64_t mono = us(CLOCK_MONOTONIC), boot = us(CLOCK_BOOTTIME);
	struct sysinfo info;

	CHECK(boot >= mono);
	CHECK(sysinfo(&info) == 0 && labs(info.uptime - uptime_us() / 1000000) <= 2);
	int fd = timer_file(CLOCK_BOOTTIME, us(CLOCK_BOOTTIME) + 1000, 1000, TFD_TIMER_ABSTIME);
	struct pollfd poller = { .fd = fd, .events = POLLIN };
	IS(poll(&poller, 1, 10000), 1);
	CHECK(ticks(fd) >= 1);
	fd = timer_file(CLOCK_REALTIME, 1, 0, TFD_TIMER_ABSTIME); /* long ago */
	poller.fd = fd;
	IS(poll(&poller, 1, 10000), 1);
	IS(ticks(fd), 1);
	struct sleeper sleeper = { .clock = CLOCK_BOOTTIME, .until = us(CLOCK_BOOTTIME) + 5000 };
	sleep_on(&sleeper);
	CHECK(us(CLOCK_BOOTTIME) >= sleeper.until);
	sleeper = (struct sleeper){ .clock = CLOCK_REALTIME, .until = us(CLOCK_REALTIME) + 5000 };
	sleep_on(&sleeper);
	CHECK(us(CLOCK_REALTIME) >= sleeper.until);
	await_never(&(struct sleeper){ .until = us(CLOCK_REALTIME) + 5000 });
}

/* Whoever computes here touches memory, too. */
static void *compute(void *unused)
{
	static _Thread_local volatile uint64_t memory[1 << 16];

	for (uint64_t i = 0; !done; i = i * 6364136223846793005ull + 1442695040888963407ull)
		memory[i >> 48] += i;
	return NULL;
}

/* Eight threads that compute, and what is sent is read. Never ends. */
static int loaded(void)
{
	const struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80) };
	static char buffer[65536];
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
	pthread_t thread;

	if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) || listen(listener, 8))
		return 1;
	for (int i = 0; i < 8; i++)
		pthread_create(&thread, NULL, compute, NULL);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while (read(fd, buffer, sizeof(buffer)) > 0)
			;
		close(fd);
	}
	return 1;
}

static void on_end(int signo)
{
	done = 1;
}

/* getppid() by this function's own call site, with something to lose in every register that it does not change. */
static bool call_keeps_registers(uint64_t pattern)
{
	register uint64_t r8 __asm__("r8") = pattern, r9 __asm__("r9") = ~pattern, r10 __asm__("r10") = pattern + 1, r12 __asm__("r12") = pattern + 2;
	register uint64_t r13 __asm__("r13") = pattern + 3, r14 __asm__("r14") = pattern + 4, r15 __asm__("r15") = pattern + 5;
	uint64_t rax = SYS_getppid, rbx = pattern + 6, rdi = pattern + 7, rsi = pattern + 8, rdx = pattern + 9;

	__asm__ volatile("syscall" : "+a"(rax), "+b"(rbx), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r12), "+r"(r13), "+r"(r14), "+r"(r15)
			 : : "rcx", "r11", "memory");
	return rax < 1u << 22 && rbx == pattern + 6 && rdi == pattern + 7 && rsi == pattern + 8 && rdx == pattern + 9 && r8 == pattern && r9 == ~pattern &&
	       r10 == pattern + 1 && r12 == pattern + 2 && r13 == pattern + 3 && r14 == pattern + 4 && r15 == pattern + 5;
}

/* System calls without an end, until SIGTERM: nothing is lost, wherever among their instructions the VM was stopped. */
static int calls(void)
{
	uint64_t good = 0, bad = 0;

	signal(SIGTERM, on_end);
	printf("ready\n");
	fflush(stdout);
	while (!done)
		if (call_keeps_registers(good * 6364136223846793005ull))
			good++;
		else
			bad++;
	CHECK(good > 1000);
	IS(bad, 0);
	return check_end();
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "calls") == 0)
		return calls();
	if (argc > 1 && strcmp(argv[1], "load") == 0)
		return loaded();
	if (argc > 2)
		return paused(strcmp(argv[1], "advance") == 0, atoll(argv[2]) * 1000);
	unpaused();
	return check_end();
}
