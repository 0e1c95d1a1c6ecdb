/* SPDX-License-Identifier: Apache-2.0 */
/* Many processes one after the other: nothing of them is left, whatever way they came and went; and what generations of them write is each one's own. */
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

#define PAGE 4096
#define HUGE_ (2 << 20)

static int rounds = 60;

static bool reaped(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* ---- nothing is left ---- */

static long free_kb(void)
{
	char text[256] = "";
	int fd = open("/proc/meminfo", O_RDONLY);
	const char *at;

	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	at = strstr(text, "MemFree:");
	return at ? atol(at + 8) : 0;
}

static bool just_exits(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return reaped(pid);
}

static bool executes(void)
{
	pid_t pid = fork();

	if (!pid) {
		execl("/proc/self/exe", "forks", "exit", (char *)NULL);
		_exit(1);
	}
	return reaped(pid);
}

static bool fails_to_execute(void)
{
	pid_t pid = fork();

	if (!pid) {
		execl("/proc/self/maps", "maps", (char *)NULL);
		execl("/nowhere", "nowhere", (char *)NULL);
		_exit(0);
	}
	execl("/proc/self/maps", "maps", (char *)NULL);
	return reaped(pid);
}

static bool executes_by_vfork(void)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/proc/self/exe", "forks", "exit", (char *)NULL);
		_exit(1);
	}
	return reaped(pid);
}

static void *nothing(void *with)
{
	return with;
}

static void *waits_for_ever(void *with)
{
	pause();
	return with;
}

static bool with_threads(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (!pid) {
		for (int i = 0; i < 3; i++)
			if (!pthread_create(&thread, NULL, nothing, NULL))
				pthread_join(thread, NULL);
		pthread_create(&thread, NULL, waits_for_ever, NULL);
		execl("/proc/self/exe", "forks", "exit", (char *)NULL);
		_exit(1);
	}
	return reaped(pid);
}

static bool with_shared_memory(void)
{
	char *shared = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	shared[0] = 1;
	pid = fork();
	if (!pid) {
		shared[5 * PAGE] = 2;
		_exit(shared[0] != 1);
	}
	bool good = reaped(pid) && shared[5 * PAGE] == 2;
	munmap(shared, 8 * PAGE);
	return good;
}

static bool with_large_pages(void)
{
	char *large = mmap(NULL, 4 * HUGE_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	memset(large, 1, 4 * HUGE_);
	pid = fork();
	if (!pid) {
		large[HUGE_ + 7 * PAGE] = 2;
		madvise(large + 2 * HUGE_, PAGE, MADV_DONTNEED);
		_exit(large[HUGE_] != 1 || large[2 * HUGE_] != 0);
	}
	large[3 * HUGE_] = 3;
	bool good = reaped(pid) && large[HUGE_ + 7 * PAGE] == 1 && large[2 * HUGE_] == 1;
	munmap(large, 4 * HUGE_);
	return good;
}

/* Signals that a process never took end with it. */
static bool with_signals(void)
{
	union sigval value = { .sival_int = 1 };
	pid_t pid = fork();
	bool good = pid > 0;
	int status;

	if (!pid)
		for (;;)
			pause();
	for (int i = 0; i < 20; i++)
		good &= !sigqueue(pid, SIGRTMIN + 3, value);
	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && status == SIGKILL && good;
}

static bool many(bool (*once)(void))
{
	bool good = true;

	for (int i = 0; i < rounds; i++)
		good &= once();
	return good;
}

/* Libos keeps some of what it had: the second half takes nothing. */
static bool keeps_nothing(bool (*once)(void))
{
	bool good = many(once);
	long before = free_kb();

	good &= many(once);
	long lost = before - free_kb();
	if (in_vm() && lost > 128)
		printf("%ld KiB fewer than before\n", lost);
	return good && (!in_vm() || lost <= 128);
}

static void nothing_left(void)
{
	struct rlimit limit = { 128, 128 };
	sigset_t set;

	CHECK(keeps_nothing(just_exits));
	CHECK(keeps_nothing(executes));
	CHECK(keeps_nothing(fails_to_execute));
	CHECK(keeps_nothing(executes_by_vfork));
	CHECK(keeps_nothing(with_threads));
	CHECK(keeps_nothing(with_shared_memory));
	CHECK(keeps_nothing(with_large_pages));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_BLOCK, &set, NULL);
	setrlimit(RLIMIT_SIGPENDING, &limit);
	CHECK(keeps_nothing(with_signals));
}

/* ---- generations ---- */

#define PAGES 700
static unsigned char *area;

static bool all_are(unsigned char value, int except, unsigned char other)
{
	for (int i = 0; i < PAGES; i++)
		if (area[i * PAGE] != (i % 7 == except ? other : value))
			return false;
	return true;
}

static void write_each(int of_seven, unsigned char value)
{
	for (int i = 0; i < PAGES; i++)
		if (i % 7 == of_seven)
			area[i * PAGE] = value;
}

static void grandchild(void)
{
	write_each(1, 30);
	_exit(area[0] == 10 && area[PAGE] == 30 && area[2 * PAGE] == 20 ? 0 : 1);
}

static void child_writes(int go)
{
	char byte;
	pid_t pid;

	write_each(2, 20);
	pid = fork();
	if (!pid)
		grandchild();
	write_each(1, 21);
	bool good = reaped(pid) && read(go, &byte, 1) == 1; /* the parent has written meanwhile */
	good &= area[3 * PAGE] == 10 && area[PAGE] == 21 && area[2 * PAGE] == 20;
	mprotect(area, PAGES * PAGE, PROT_READ);
	mprotect(area, PAGES * PAGE, PROT_READ | PROT_WRITE);
	write_each(3, 22);
	unsigned char *moved = mremap(area, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE);
	good &= moved[3 * PAGE] == 22 && moved[0] == 10 && moved[PAGES * PAGE] == 0;
	madvise(moved, PAGES * PAGE, MADV_DONTNEED);
	_exit(good && moved[0] == 0 ? 0 : 1);
}

static void generations(void)
{
	int go[2];
	pid_t pid;

	area = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < PAGES; i++)
		area[i * PAGE] = 10;
	IS(pipe(go), 0);
	pid = fork();
	if (!pid)
		child_writes(go[0]);
	write_each(3, 11);
	IS(write(go[1], "x", 1), 1);
	CHECK(reaped(pid));
	CHECK(all_are(10, 3, 11));
	pid = fork();
	if (!pid)
		_exit(!all_are(10, 3, 11));
	munmap(area, PAGES / 2 * PAGE);
	CHECK(reaped(pid));
	CHECK(area[(PAGES / 2 + 1) * PAGE] != 0);
	munmap(area + PAGES / 2 * PAGE, (PAGES - PAGES / 2) * PAGE);
}

/* What the kernel writes is the writer's own, too. */
static void by_calls(void)
{
	char *page = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fds[2];
	pid_t pid;

	memset(page, 'p', 4 * PAGE);
	IS(pipe(fds), 0);
	IS(write(fds[1], "ccccPPPP", 8), 8);
	pid = fork();
	if (!pid) {
		IS(read(fds[0], page + PAGE - 2, 4), 4);
		_exit(page[PAGE] != 'c' || page[PAGE + 2] != 'p');
	}
	CHECK(reaped(pid));
	CHECK(page[PAGE - 2] == 'p' && page[PAGE] == 'p');
	IS(read(fds[0], page + PAGE, 4), 4);
	CHECK(page[PAGE] == 'P' && page[PAGE + 4] == 'p');
	munmap(page, 4 * PAGE);
	close(fds[0]);
	close(fds[1]);
}

/* ---- memory of others ---- */

/* A place that only the child has. */
static void memory_of_another(void)
{
	int fds[2], file;
	char path[64], byte = 0;
	uint64_t at;
	pid_t pid;

	IS(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		char *page = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		page[5] = 'c';
		at = (uint64_t)page;
		_exit(write(fds[1], &at, sizeof(at)) != sizeof(at) || pause());
	}
	IS(read(fds[0], &at, sizeof(at)), sizeof(at));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	file = open(path, O_RDONLY);
	IS(pread(file, &byte, 1, (off_t)at + 5), 1);
	IS(byte, 'c');
	IS(pread(file, &byte, 1, (off_t)at + 40 * PAGE), 1);
	IS(byte, 0);
	close(file);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fds[0]);
	close(fds[1]);
}

/* ---- who reaps ---- */

static void ignores_children(void)
{
	int fds[2];
	pid_t pid, orphan = 0;

	IS(pipe(fds), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = fork();
	if (!pid) {
		orphan = fork();
		if (!orphan)
			_exit(0);
		siginfo_t info;
		waitid(P_PID, (id_t)orphan, &info, WEXITED | WNOWAIT);
		_exit(write(fds[1], &orphan, sizeof(orphan)) != sizeof(orphan) || read(fds[0], &pid, 0) != 0);
	}
	signal(SIGCHLD, SIG_IGN);
	IS(read(fds[0], &orphan, sizeof(orphan)), sizeof(orphan));
	FAILS(waitpid(pid, NULL, 0), ECHILD);
	for (int i = 0; i < 500 && !in_vm() && !kill(orphan, 0); i++) /* who is its parent by now, or was in between, may not have looked yet */
		usleep(10000);
	FAILS(kill(orphan, 0), ESRCH);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(fds[0]);
	close(fds[1]);
}

/* ---- what others map, and what another program had ---- */

static void sealed(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING), status;

	IS(ftruncate(fd, PAGE), 0);
	char *mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	munmap(mapped, PAGE);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	kill(pid, SIGKILL);
	IS(waitpid(pid, &status, 0), pid);
	IS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	close(fd);
}

static void executes_with_context(void)
{
	unsigned long context = 0;
	char number[32];
	pid_t pid = fork();

	if (!pid) {
		if (syscall(SYS_io_setup, 8, &context))
			_exit(2);
		snprintf(number, sizeof(number), "%lu", context);
		execl("/proc/self/exe", "forks", "context", number, (char *)NULL);
		_exit(3);
	}
	CHECK(reaped(pid));
}

/* ---- one page at two addresses ---- */

static void *waits_on(void *word)
{
	syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
	return NULL;
}

/* Moving waiters to where they are takes an end. */
static void requeues(void)
{
	int fd = memfd_create("word", 0);
	pthread_t thread;

	IS(ftruncate(fd, PAGE), 0);
	uint32_t *one = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), *two = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	*one = 0;
	pthread_create(&thread, NULL, waits_on, one);
	while (syscall(SYS_futex, one, FUTEX_CMP_REQUEUE, 0, INT32_MAX, two, 0) != 1)
		sched_yield();
	IS(syscall(SYS_futex, one, FUTEX_REQUEUE, 0, INT32_MAX, one, 0), 1);
	*two = 1;
	IS(syscall(SYS_futex, two, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	pthread_join(thread, NULL);
	close(fd);
}

/* ---- threads that take files away from calls that wait for a live volume ---- */

static const char *path;
static volatile int taken = -1;
static volatile bool over;

static void *changes(void *with)
{
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };

	while (!over) {
		fchmod(taken, 0640);
		futimens(taken, times);
		fchown(taken, (uid_t)-1, (gid_t)-1);
	}
	return with;
}

static void *closes(void *with)
{
	for (int i = 0; i < 400; i++) {
		int fd = open(path, O_RDWR | O_CREAT, 0600);

		taken = fd;
		(void)!pwrite(fd, "x", 1, 0);
		char *mapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		for (int turn = 0; turn < i % 8; turn++)
			sched_yield();
		munmap(mapped, PAGE);
		close(fd);
		unlink(path);
	}
	over = true;
	return with;
}

/* /proc has the one asked for, and all that it has, while others ask, too. */
static bool tells_of(pid_t pid, const char *name, const char *wanted)
{
	char from[64], text[16384];
	size_t used = 0;
	ssize_t n;

	snprintf(from, sizeof(from), "/proc/%d/%s", pid, name);
	int fd = open(from, O_RDONLY);
	while ((n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	text[used] = 0;
	return strstr(text, wanted);
}

static void *asks_of_itself(void *with)
{
	bool good = true;
	char line[32];

	snprintf(line, sizeof(line), "Pid:\t%d\n", getpid());
	while (!over)
		good &= tells_of(getpid(), "maps", "[stack]") && tells_of(getpid(), "status", line);
	return good ? with : NULL;
}

#define MAKERS 6

static pthread_barrier_t makers;

/* Each makes the same directories, as builds do whose parts run at once, and a file of its own in each. */
static void *makes(void *number)
{
	char name[300];
	bool good = true;

	for (int i = 0; i < 30; i++) {
		pthread_barrier_wait(&makers);
		snprintf(name, sizeof(name), "%s/made%d", path, i);
		good &= !mkdir(name, 0755) || errno == EEXIST;
		snprintf(name, sizeof(name), "%s/made%d/%d", path, i, (int)(long)number % 2);
		good &= !mkdir(name, 0755) || errno == EEXIST;
		snprintf(name, sizeof(name), "%s/made%d/%d/%d", path, i, (int)(long)number % 2, (int)(long)number);
		int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		good &= fd >= 0 && write(fd, "x", 1) == 1 && !close(fd);
	}
	return good ? number : NULL;
}

static void make_at_once(const char *directory)
{
	pthread_t thread[MAKERS];
	void *answer;
	bool good = true;

	path = directory;
	pthread_barrier_init(&makers, NULL, MAKERS);
	for (long i = 0; i < MAKERS; i++)
		pthread_create(&thread[i], NULL, makes, (void *)(i + 1));
	for (int i = 0; i < MAKERS; i++) {
		pthread_join(thread[i], &answer);
		good &= answer != NULL;
	}
	CHECK(good);
}

static void volume(const char *directory)
{
	char name[256], other[256];
	pthread_t thread[4];
	void *answer;
	bool good = true;

	snprintf(name, sizeof(name), "%s/taken", directory);
	snprintf(other, sizeof(other), "%s/mapped", directory);
	path = name;
	int fd = open(other, O_RDWR | O_CREAT, 0600);
	IS(ftruncate(fd, PAGE), 0);
	char *mapped = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(mapped != MAP_FAILED);
	pid_t pid = fork(), parent;

	if (!pid) {
		char line[32];

		parent = getppid();
		snprintf(line, sizeof(line), "Pid:\t%d\n", parent);
		for (int i = 0; i < 300; i++) {
			good &= pwrite(fd, "x", 1, 0) == 1; /* so that the volume is asked again */
			good &= tells_of(parent, "maps", "mapped") && tells_of(parent, "status", line);
		}
		_exit(!good);
	}
	pthread_create(&thread[0], NULL, changes, NULL);
	pthread_create(&thread[1], NULL, changes, NULL);
	pthread_create(&thread[2], NULL, asks_of_itself, &good);
	pthread_create(&thread[3], NULL, closes, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], &answer);
		good &= i != 2 || answer;
	}
	CHECK(good);
	CHECK(reaped(pid));
	make_at_once(directory);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "exit"))
		return 0;
	if (argc > 2 && !strcmp(argv[1], "context"))
		return !(syscall(SYS_io_destroy, strtoul(argv[2], NULL, 10)) == -1 && errno == EINVAL);
	if (argc > 2) {
		volume(argv[2]);
		return check_end();
	}
	if (argc > 1)
		rounds = atoi(argv[1]);
	setvbuf(stdout, NULL, _IONBF, 0);
	generations();
	by_calls();
	nothing_left();
	memory_of_another();
	ignores_children();
	sealed();
	executes_with_context();
	requeues();
	return check_end();
}
