/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapped FILE: one thread counts in a page of a shared mapping, another one changes others and has all of them written back, again and again. Prints
 * the last number, which the file has when all has been written back once more.
 *
 * mapped FILE sync: what was written to a mapping is the file's after syncfs(2), sync(2) and fsync(2) of its directory, without msync(2).
 *
 * mapped FILE wait: once /other/go is there a page of FILE is touched, whose server does not answer: another thread goes on all the same, and has the
 * processor for itself, though there is a signal for the one that waits.
 *
 * mapped FILE pipe: the same with bytes that go from a pipe to FILE; who reads the pipe meanwhile gets those behind them.
 *
 * mapped FILE busy: threads write to FILE all the while, and what is read of the rest of it comes. Prints how many bytes.
 *
 * mapped FILE full: FILE is there, and has no room for what is written to it by a mapping. munmap(2) cannot tell, fsync(2) does, once.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 8
#define COUNTED 5

static volatile long *page[PAGES];
static atomic_bool done;

static void *count(void *context)
{
	while (!done) {
		page[COUNTED][0]++;
		sched_yield();
	}
	return NULL;
}

static int full(const char *path)
{
	int fd = open(path, O_RDWR);
	char *map = fd < 0 ? MAP_FAILED : mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return 1;
	memset(map, 'x', PAGES * PAGE);
	for (int i = 0; i < 3; i++)
		printf("%s\n", (i ? fsync(fd) : munmap(map, PAGES * PAGE)) ? strerrorname_np(errno) : "done");
	return 0;
}

/* The other end says when it has seen the number, by taking the file of that name away. */
static int synced(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0644), directory = open("/data", O_RDONLY | O_DIRECTORY);
	volatile long *number = fd < 0 || directory < 0 || ftruncate(fd, PAGE) ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	char name[32];

	if (number == MAP_FAILED)
		return 1;
	for (long way = 1; way <= 3; way++) {
		number[0] = way;
		if (way == 1 ? syncfs(fd) : way == 2 ? (sync(), 0) : fsync(directory))
			return 1;
		snprintf(name, sizeof(name), "/data/said-%ld", way);
		close(open(name, O_CREAT | O_WRONLY, 0644));
		while (!access(name, F_OK))
			usleep(1000);
	}
	return 0;
}

static pthread_t toucher;
static atomic_int signals;

static void on_signal(int signo)
{
	signals++;
}

static long processor_ms(void)
{
	struct timespec had = { 0 };
	clockid_t clock;

	if (pthread_getcpuclockid(toucher, &clock) || clock_gettime(clock, &had))
		puts("what a thread had of the processor is not told");
	return had.tv_sec * 1000 + had.tv_nsec / 1000000;
}

/* Long enough for the page to have been touched meanwhile. */
static void *go_on(void *touching)
{
	while (!*(atomic_bool *)touching)
		sched_yield();
	for (int i = 0; i < 50; i++)
		usleep(1000);
	long before = processor_ms();

	pthread_kill(toucher, SIGUSR1);
	for (int i = 0; i < 100; i++)
		usleep(1000);
	long had = processor_ms() - before;

	if (had > 30)
		printf("who waits had the processor for %ld ms\n", had);
	puts("others run");
	return NULL;
}

static int ends[2];

static void *read_on(void *moving)
{
	char text[8] = "";

	while (!*(atomic_bool *)moving)
		sched_yield();
	for (int i = 0; i < 50; i++)
		usleep(1000);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	if (poll(&(struct pollfd){ .fd = ends[0], .events = POLLIN }, 1, 0) || read(ends[0], text, 4) != -1 || errno != EAGAIN)
		puts("bytes that are on their way are there");
	fcntl(ends[0], F_SETFL, 0);
	puts("reads");
	if (read(ends[0], text, 4) == 4)
		printf("read %s\n", text);
	return NULL;
}

static int piped(const char *path)
{
	static atomic_bool moving;
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (fd < 0 || pipe(ends) || write(ends[1], "abcdefgh", 8) != 8)
		return 1;
	puts("open");
	while (access("/other/go", F_OK))
		usleep(1000);
	if (pthread_create(&thread, NULL, read_on, &moving))
		return 1;
	moving = true;
	if (splice(ends[0], NULL, fd, NULL, 4, 0) == 4)
		puts("moved");
	pthread_join(thread, NULL);
	return 0;
}

static int waiting(const char *path)
{
	static atomic_bool touching;
	int fd = open(path, O_RDONLY);
	volatile char *map = fd < 0 ? MAP_FAILED : mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (map == MAP_FAILED)
		return 1;
	toucher = pthread_self();
	signal(SIGUSR1, on_signal);
	puts("mapped");
	while (access("/other/go", F_OK))
		usleep(1000);
	if (pthread_create(&thread, NULL, go_on, &touching))
		return 1;
	touching = true;
	printf("page %c\n", map[(PAGES - 1) * PAGE]);
	pthread_join(thread, NULL);
	return signals != 1; /* after the page had come */
}

#define BUSY_BYTES (2 << 20)
#define WRITERS 8

static void *write_on(void *context)
{
	const int fd = *(const int *)context;

	while (!done)
		if (pwrite(fd, "busy", 4, BUSY_BYTES) != 4)
			break;
	return NULL;
}

static int busy(const char *path)
{
	static char text[BUSY_BYTES];
	int fd = open(path, O_RDWR | O_CREAT, 0644), reader = open(path, O_RDONLY);
	pthread_t thread[WRITERS];
	ssize_t got, all = 0;

	if (fd < 0 || reader < 0)
		return 1;
	for (int i = 0; i < WRITERS; i++)
		if (pthread_create(&thread[i], NULL, write_on, &fd))
			return 1;
	while (all < BUSY_BYTES && (got = pread(reader, text + all, BUSY_BYTES - (size_t)all, all)) > 0)
		all += got;
	for (ssize_t i = 0; i < all; i++)
		all = text[i] == 'x' ? all : -1;
	printf("%zd\n", all);
	done = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return argv[2][0] == 'b' ? busy(argv[1]) : argv[2][0] == 's' ? synced(argv[1]) : argv[2][0] == 'w' ? waiting(argv[1]) : argv[2][0] == 'p' ? piped(argv[1]) : full(argv[1]);
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0644) : -1;
	char *map = fd < 0 || ftruncate(fd, PAGES * PAGE) ? MAP_FAILED : mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_t thread;

	if (map == MAP_FAILED)
		return 1;
	for (int i = 0; i < PAGES; i++)
		page[i] = (volatile long *)(map + i * PAGE);
	if (pthread_create(&thread, NULL, count, NULL))
		return 1;
	for (int round = 1; round <= 50; round++) {
		for (int i = 0; i < PAGES; i++)
			page[i][1] = round;
		if (msync(map, PAGES * PAGE, MS_SYNC))
			return 1;
	}
	done = true;
	pthread_join(thread, NULL);
	if (msync(map, PAGES * PAGE, MS_SYNC))
		return 1;
	printf("%ld\n", page[COUNTED][0]);
	return 0;
}
