/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of files, pipes and mappings is done or refused: sizes, limits, seals, allocation. */
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define PAGE 4096

static char block[PAGE];

/* ---- locked memory ---- */

static long locked_kib(void)
{
	char line[200];
	long kib = -1;
	FILE *status = fopen("/proc/self/status", "r");

	while (status && fgets(line, sizeof(line), status))
		sscanf(line, "VmLck: %ld", &kib);
	fclose(status);
	return kib;
}

static void locked_memory(void)
{
	struct rlimit old, few = { 2 * PAGE, 0 };
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	IS(getrlimit(RLIMIT_MEMLOCK, &old), 0);
	few.rlim_max = old.rlim_max;
	IS(setrlimit(RLIMIT_MEMLOCK, &few), 0);
	IS(seteuid(65534), 0); /* root may lock what it likes */
	IS(mlock(p, 2 * PAGE), 0);
	IS(mlock(p, 2 * PAGE), 0); /* counts once */
	IS(locked_kib(), 8);
	FAILS(madvise(p, PAGE, MADV_DONTNEED), EINVAL);
	FAILS(mlock(p, 3 * PAGE), ENOMEM);
	FAILS(mlock(p + 3 * PAGE, 1), ENOMEM);
	FAILS(mlockall(MCL_CURRENT), ENOMEM);
	FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED ? -1 : 0, EAGAIN);
	IS(munlock(p, PAGE), 0);
	IS(mlock(p + 3 * PAGE, 1), 0);
	IS(munmap(p + 3 * PAGE, PAGE), 0); /* and what is gone does not count */
	IS(locked_kib(), 4);
	few.rlim_cur = 0;
	IS(setrlimit(RLIMIT_MEMLOCK, &few), 0);
	FAILS(mlock(p, 1), EPERM);
	FAILS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0) == MAP_FAILED ? -1 : 0, EPERM);
	IS(munlockall(), 0);
	IS(locked_kib(), 0);
	IS(seteuid(0), 0);
	IS(setrlimit(RLIMIT_MEMLOCK, &old), 0);
	IS(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
	IS(munlockall(), 0);
	munmap(p, 3 * PAGE);
}

/* ---- the stack ---- */

static uintptr_t deepest;

static __attribute__((noinline)) int descend(int depth)
{
	volatile char frame[1000];

	deepest = (uintptr_t)frame;
	frame[0] = (char)depth;
	return depth < 100000 ? descend(depth + 1) + frame[0] : 0;
}

static jmp_buf out;

static void on_deep(int signo)
{
	longjmp(out, signo);
}

/* Binds when the stack grows: 1 MiB, of the 8 that it might have had. */
static void stack_size(void)
{
	struct rlimit old, less = { 1 << 20, RLIM_INFINITY };
	stack_t other = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };
	struct sigaction action = { .sa_handler = on_deep, .sa_flags = SA_ONSTACK };
	char here;

	IS(getrlimit(RLIMIT_STACK, &old), 0);
	less.rlim_max = old.rlim_max;
	IS(setrlimit(RLIMIT_STACK, &less), 0);
	IS(sigaltstack(&other, NULL), 0);
	IS(sigaction(SIGSEGV, &action, NULL), 0);
	if (!setjmp(out))
		descend(0);
	CHECK((uintptr_t)&here - deepest > 900 << 10 && (uintptr_t)&here - deepest < 1100 << 10);
	IS(setrlimit(RLIMIT_STACK, &old), 0);
	signal(SIGSEGV, SIG_DFL);
}

/* ---- pipes ---- */

static int fill(int fd)
{
	int total = 0, n;

	while ((n = (int)write(fd, block, sizeof(block))) > 0)
		total += n;
	return total;
}

static void pipe_sizes(void)
{
	int p[2], in;
	char c[3];

	IS(pipe2(p, O_NONBLOCK), 0);
	IS(fcntl(p[0], F_GETPIPE_SZ), 65536);
	IS(fill(p[1]), 65536);
	FAILS(fcntl(p[1], F_SETPIPE_SZ, PAGE), EBUSY);
	IS(fcntl(p[0], F_SETPIPE_SZ, 100000), 131072);
	IS(fcntl(p[1], F_GETPIPE_SZ), 131072);
	IS(fill(p[1]), 65536);
	while (read(p[0], block, sizeof(block)) > 0)
		;
	/* the contents go along */
	IS(write(p[1], "abc", 3), 3);
	IS(fcntl(p[1], F_SETPIPE_SZ, 1), PAGE);
	IS(ioctl(p[0], FIONREAD, &in), 0);
	IS(in, 3);
	CHECK(read(p[0], c, 3) == 3 && !memcmp(c, "abc", 3));
	IS(fill(p[1]), PAGE);
	IS(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	IS(fill(p[1]), (1 << 20) - PAGE);
	FAILS(fcntl(p[1], F_SETPIPE_SZ, -1), EINVAL);
	FAILS(fcntl(open(".", O_RDONLY), F_SETPIPE_SZ, PAGE), EBADF);
	FAILS(fcntl(open(".", O_RDONLY), F_GETPIPE_SZ), EBADF);
	close(p[0]);
	close(p[1]);
}

static void *drain(void *arg)
{
	static char big[65536];

	return (void *)read(*(int *)arg, big, sizeof(big));
}

/* A FIFO that is open for both: who waits for room in it hears of a reader. */
static void both_ends(void)
{
	struct pollfd both = { .events = POLLOUT };
	pthread_t thread;

	IS(mkfifo("fifo", 0600), 0);
	both.fd = open("fifo", O_RDWR | O_NONBLOCK);
	fill(both.fd);
	IS(poll(&both, 1, 0), 0);
	IS(pthread_create(&thread, NULL, drain, &both.fd), 0);
	IS(poll(&both, 1, 30000), 1);
	IS(both.revents, POLLOUT);
	pthread_join(thread, NULL);
	close(both.fd);
}

/* By its name below /proc, a pipe is opened once more, for what one asks. */
static void opened_again(void)
{
	char path[64], text[300];
	int p[2], again, file;
	ssize_t n;

	IS(pipe(p), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	again = open(path, O_WRONLY);
	IS(write(again, "x", 1), 1);
	FAILS(read(again, text, 1), EBADF);
	IS(read(p[0], text, 1), 1);
	close(again);
	close(p[1]);
	IS(read(p[0], text, 1), 0);
	file = open(".", O_TMPFILE | O_WRONLY, 0600);
	IS(write(file, "hidden", 6), 6);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	n = readlink(path, text, sizeof(text));
	CHECK(n > 10 && !memcmp(text + n - 10, " (deleted)", 10));
	again = open(path, O_RDONLY);
	CHECK(read(again, text, 10) == 6 && !memcmp(text, "hidden", 6));
	close(again);
	IS(linkat(AT_FDCWD, path, AT_FDCWD, "shown", AT_SYMLINK_FOLLOW), 0);
	IS(unlink("shown"), 0);
	FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "shown", AT_SYMLINK_FOLLOW), ENOENT);
	close(file);
	file = open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "shown", AT_SYMLINK_FOLLOW), ENOENT);
	close(file);
	close(p[0]);
}

/* ---- the size of files ---- */

static volatile sig_atomic_t too_big;

static void on_too_big(int signo)
{
	(void)signo;
	too_big++;
}

/* Nothing is said meanwhile: standard output may be a file, too. */
static void file_sizes(void)
{
	struct rlimit limit, old;
	struct sigaction action = { .sa_handler = on_too_big };
	int fd = open("sized", O_CREAT | O_RDWR, 0600), p[2], first;
	long r[11];

	sigaction(SIGXFSZ, &action, NULL);
	IS(pipe(p), 0);
	IS(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 100;
	r[0] = setrlimit(RLIMIT_FSIZE, &limit);
	r[1] = write(fd, block, 200);
	first = too_big;
	errno = 0;
	r[2] = write(fd, block, 1) == -1 ? errno : 0;
	r[3] = write(fd, block, 0);
	r[4] = pwrite(fd, block, 1, 5000) == -1 ? errno : 0;
	r[5] = pwrite(fd, block, 50, 60);
	r[6] = ftruncate(fd, 101) == -1 ? errno : 0;
	r[7] = ftruncate(fd, 100) || ftruncate(fd, 10);
	r[8] = truncate("sized", 200) == -1 ? errno : 0;
	r[9] = fallocate(fd, 0, 0, 101) == -1 ? errno : 0;
	r[10] = write(p[1], block, 1000); /* of files only */
	IS(setrlimit(RLIMIT_FSIZE, &old), 0);
	IS(r[0], 0);
	IS(r[1], 100);
	IS(first, 0);
	IS(r[2], EFBIG);
	IS(r[3], 0);
	IS(r[4], EFBIG);
	IS(r[5], 40);
	IS(r[6], EFBIG);
	IS(r[7], 0);
	IS(r[8], EFBIG);
	IS(r[9], EFBIG);
	IS(r[10], 1000);
	IS(too_big, 5);
	IS(pwrite(fd, block, 1, 5000), 1);
	close(p[0]);
	close(p[1]);
	close(fd);
}

static void allocated(void)
{
	struct stat st;
	int fd = open("allocated", O_CREAT | O_RDWR, 0600);

	IS(fallocate(fd, 0, 0, 1 << 20), 0);
	CHECK(!fstat(fd, &st) && st.st_size == 1 << 20 && st.st_blocks >= 2048);
	IS(pread(fd, block, sizeof(block), 5 * PAGE), PAGE);
	CHECK(!block[0] && !memcmp(block, block + 1, sizeof(block) - 1));
	IS(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20), 0);
	CHECK(!fstat(fd, &st) && st.st_size == 1 << 20 && st.st_blocks >= 4096);
	IS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 19), 0);
	CHECK(!fstat(fd, &st) && st.st_size == 1 << 20 && st.st_blocks < 4096);
	FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE), EOPNOTSUPP);
	FAILS(fallocate(fd, 0, -1, PAGE), EINVAL);
	FAILS(fallocate(fd, 0, 0, 0), EINVAL);
	FAILS(fallocate(fd, 0, INT64_MAX - 5, 10), EFBIG);
	/* Only where it is memory: a host's disk would be filled. */
	CHECK(!in_vm() || (fallocate(fd, 0, 0, 1ll << 40) == -1 && errno == ENOSPC));
	CHECK(!fstat(fd, &st) && st.st_size == 1 << 20);
	close(fd);
}

/* ---- seals ---- */

static void seals(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING), plain = memfd_create("plain", 0), reader;
	char path[64];
	char *map, *view;

	FAILS(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
	FAILS(fcntl(open(".", O_RDONLY), F_GET_SEALS), EINVAL);
	IS(ftruncate(fd, 2 * PAGE), 0);
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	IS(mprotect(map, PAGE, PROT_READ), 0);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY); /* it could become writable again */
	/* no new writers, but those that are there go on */
	IS(mprotect(map, PAGE, PROT_READ | PROT_WRITE), 0);
	IS(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	map[0] = 'm';
	FAILS(write(fd, "x", 1), EPERM);
	CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
	view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(view != MAP_FAILED && view[0] == 'm');
	FAILS(mprotect(view, PAGE, PROT_READ | PROT_WRITE), EACCES);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
	munmap(map, PAGE);
	IS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED && (map[0] = 'p') && view[0] == 'm');
	IS(ftruncate(fd, PAGE), 0); /* neither of the seals on size */
	IS(ftruncate(fd, 2 * PAGE), 0);
	FAILS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), EPERM);
	IS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK), 0);
	FAILS(ftruncate(fd, PAGE), EPERM);
	FAILS(ftruncate(fd, 3 * PAGE), EPERM);
	FAILS(fallocate(fd, 0, 0, 3 * PAGE), EPERM);
	FAILS(fcntl(fd, F_ADD_SEALS, 0x10000), EINVAL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY);
	FAILS(fcntl(reader, F_ADD_SEALS, F_SEAL_SEAL), EPERM);
	IS(fcntl(reader, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
	IS(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
	FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EPERM);
	munmap(map, PAGE);
	munmap(view, PAGE);
	close(fd);
	close(plain);
	close(reader);
}

/* ---- mappings ---- */

static int map_errno(int prot, int flags, int fd)
{
	void *p = mmap(NULL, PAGE, prot, flags, fd, 0);

	if (p == MAP_FAILED)
		return errno;
	munmap(p, PAGE);
	return 0;
}

static void validated(void)
{
	int fd = open("mapped", O_CREAT | O_RDWR, 0600), reader = open("mapped", O_RDONLY), place = open("mapped", O_PATH);

	IS(ftruncate(fd, PAGE), 0);
	IS(map_errno(PROT_READ, MAP_SHARED_VALIDATE, fd), 0);
	IS(map_errno(PROT_READ, MAP_SHARED_VALIDATE | 1 << 23, fd), EOPNOTSUPP);
	IS(map_errno(PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd), EOPNOTSUPP);
	IS(map_errno(PROT_READ, MAP_SHARED | 1 << 23, fd), 0); /* the old call takes any flag */
	IS(map_errno(PROT_WRITE, MAP_SHARED_VALIDATE, reader), EACCES);
	IS(map_errno(PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1), EINVAL);
	IS(map_errno(PROT_READ, MAP_PRIVATE, place), EBADF);
	IS(map_errno(PROT_READ, MAP_PRIVATE | MAP_HUGETLB, fd), EINVAL);
	close(fd);
	close(reader);
	close(place);
}

/* Many pages of a shared file through several views, some of them holes. */
static void views(void)
{
	enum { PAGES = 300 };
	int fd = memfd_create("views", 0), wrong = 0;
	char *a, *b;

	IS(ftruncate(fd, PAGES * PAGE), 0);
	a = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	for (int i = 0; i < PAGES; i += 3)
		a[i * PAGE] = (char)i;
	for (int i = 0; i < PAGES; i++)
		wrong += b[i * PAGE] != (i % 3 ? 0 : (char)i);
	IS(wrong, 0);
	for (int i = 0; i < PAGES; i++)
		a[i * PAGE] = (char)(i + 1);
	for (int i = 0; i < PAGES; i++)
		wrong += b[i * PAGE] != (char)(i + 1);
	IS(wrong, 0);
	IS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * PAGE, 10 * PAGE), 0);
	for (int i = 0; i < PAGES; i++)
		wrong += b[i * PAGE] != (i >= 10 && i < 20 ? 0 : (char)(i + 1)) || b[i * PAGE] != a[i * PAGE];
	IS(wrong, 0);
	munmap(a, PAGES * PAGE);
	munmap(b, PAGES * PAGE);
	close(fd);
}

/* ---- the size of the program ---- */

static uint64_t size_of_space(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages = 0;

	if (!f || fscanf(f, "%lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (uint64_t)PAGE;
}

static void space(void)
{
	enum { MANY = 64 << 20 };
	struct rlimit old, limit;
	char *reserved, *p, *heap;

	IS(getrlimit(RLIMIT_AS, &old), 0);
	limit = old;
	limit.rlim_cur = size_of_space() + MANY;
	IS(setrlimit(RLIMIT_AS, &limit), 0);
	CHECK(mmap(NULL, 2 * MANY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED && errno == ENOMEM);
	reserved = mmap(NULL, MANY / 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(reserved != MAP_FAILED);
	CHECK(mremap(reserved, MANY / 2, 2 * MANY, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
	p = mmap(reserved, MANY / 2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); /* in the place of something */
	CHECK(p == reserved);
	IS(setrlimit(RLIMIT_AS, &old), 0);
	IS(getrlimit(RLIMIT_DATA, &old), 0);
	limit = old;
	limit.rlim_cur = MANY / 4;
	heap = sbrk(0);
	IS(setrlimit(RLIMIT_DATA, &limit), 0);
	CHECK(mmap(NULL, MANY / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
	FAILS(mprotect(reserved, MANY / 2, PROT_READ | PROT_WRITE), ENOMEM);
	FAILS(brk(heap + MANY), ENOMEM);
	IS(mprotect(reserved, PAGE, PROT_READ | PROT_WRITE), 0);
	p = mmap(NULL, MANY / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* no data of its own */
	CHECK(p != MAP_FAILED);
	IS(setrlimit(RLIMIT_DATA, &old), 0);
	munmap(p, MANY / 2);
	munmap(reserved, MANY / 2);
}

/* ---- the time of the program ---- */

static volatile sig_atomic_t out_of_time;

static void on_out_of_time(int signo)
{
	(void)signo;
	out_of_time++;
}

static void processor_time(void)
{
	struct rlimit old, limit;
	struct timespec used;
	int64_t start = now_ms();

	signal(SIGXCPU, on_out_of_time);
	IS(getrlimit(RLIMIT_CPU, &old), 0);
	limit = old;
	limit.rlim_cur = 1;
	IS(setrlimit(RLIMIT_CPU, &limit), 0);
	while (!out_of_time && now_ms() - start < 60000)
		;
	IS(out_of_time, 1);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	CHECK(!in_vm() || used.tv_sec >= 1); /* Linux counts ticks for this, which may be far from the clock's time */
	IS(setrlimit(RLIMIT_CPU, &old), 0);
}

static void open_files(void)
{
	struct rlimit old, limit;

	IS(getrlimit(RLIMIT_NOFILE, &old), 0);
	limit = old;
	limit.rlim_cur = old.rlim_max + 1;
	FAILS(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
	limit.rlim_cur = 5;
	IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
	int fd;
	while ((fd = dup(0)) >= 0)
		;
	IS(errno, EMFILE);
	for (fd = 3; fd < 5; fd++)
		close(fd);
	IS(setrlimit(RLIMIT_NOFILE, &old), 0);
}

int main(void)
{
	check_scratch();
	space();
	open_files();
	pipe_sizes();
	both_ends();
	opened_again();
	file_sizes();
	allocated();
	seals();
	validated();
	views();
	processor_time();
	locked_memory();
	stack_size();
	return check_end();
}
