/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that would notice if anything of it were lost, doubled or old: memory, a file, a pipe, a connection to itself, a timer, a second thread, the
 * clock. It prints "NONCE ROUND" now and then and, if something is wrong, what and ends. The nonce is drawn once, so that a new start cannot pass for one that goes on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 1024
#define RECORDS 512
#define TOLD 25 /* rounds between two lines */

static uint64_t nonce, written[PAGES], rounds;
static unsigned char *memory;
static int file, tube[2], ends[2], timer;
static _Atomic uint64_t beats;
static uint64_t ticks, last_ns;

static void wrong(const char *what)
{
	printf("wrong: %s in round %" PRIu64 "\n", what, rounds);
	fflush(stdout);
	exit(1);
}

static uint64_t word_of(uint64_t page, uint64_t round, uint64_t at)
{
	return nonce ^ (page * 0x9e3779b97f4a7c15ull + round * 0xbf58476d1ce4e5b9ull + at);
}

static void write_page(uint64_t page)
{
	uint64_t *word = (uint64_t *)(memory + page * PAGE);
	written[page] = rounds;
	for (uint64_t i = 0; i < PAGE / 8; i++)
		word[i] = word_of(page, rounds, i);
}

static void check_page(uint64_t page)
{
	const uint64_t *word = (const uint64_t *)(memory + page * PAGE);
	for (uint64_t i = 0; i < PAGE / 8; i++)
		if (word[i] != (written[page] ? word_of(page, written[page], i) : 0))
			wrong("memory");
}

/* Some pages are given back, and must read as zero then, also where a file lies behind them. */
static void use_memory(void)
{
	write_page(rounds * 7 % PAGES);
	if (rounds % 5 == 0) {
		uint64_t page = rounds * 13 % PAGES;
		if (madvise(memory + page * PAGE, PAGE, MADV_DONTNEED))
			wrong("madvise");
		written[page] = 0;
	}
	for (uint64_t i = 0; i < 16; i++)
		check_page((rounds * 31 + i * 61) % PAGES);
	if (rounds % (4 * TOLD) == 0)
		for (uint64_t page = 0; page < PAGES; page++)
			check_page(page);
}

static void use_file(void)
{
	uint64_t record[2] = { nonce, rounds }, got[2], older = rounds < RECORDS ? 0 : rounds - RECORDS + 1;
	if (pwrite(file, record, sizeof(record), (off_t)(rounds % RECORDS * sizeof(record))) != sizeof(record))
		wrong("pwrite");
	if (pread(file, got, sizeof(got), (off_t)(older % RECORDS * sizeof(got))) != sizeof(got) || got[0] != nonce || got[1] != older)
		wrong("the file");
}

static void through(int in, int out, const char *what)
{
	uint64_t value = rounds ^ nonce, got = 0;
	if (write(in, &value, sizeof(value)) != sizeof(value) || read(out, &got, sizeof(got)) != sizeof(got) || got != value)
		wrong(what);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void use_time(void)
{
	static uint64_t beats_seen, ticks_seen;
	uint64_t expired = 0, at = now();
	if (at < last_ns)
		wrong("the clock went back");
	last_ns = at;
	if (read(timer, &expired, sizeof(expired)) == sizeof(expired))
		ticks += expired;
	if (rounds % (4 * TOLD) != 0)
		return;
	if (rounds && (beats == beats_seen || ticks == ticks_seen))
		wrong(beats == beats_seen ? "the other thread stands still" : "the timer stands still");
	beats_seen = beats;
	ticks_seen = ticks;
}

static void *beat(void *unused)
{
	const struct timespec pause = { .tv_nsec = 3000000 };
	for (;;) {
		nanosleep(&pause, NULL);
		beats++;
	}
	return unused;
}

static void connect_to_ourselves(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(4711) };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&to, sizeof(to)) || listen(listener, 1) || connect(ends[0], (void *)&to, sizeof(to)))
		wrong("connecting");
	ends[1] = accept(listener, NULL, NULL);
}

int main(void)
{
	const struct itimerspec every = { { 0, 5000000 }, { 0, 5000000 } };
	const struct timespec pause = { .tv_nsec = 1000000 };
	pthread_t thread;
	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce) || pipe(tube))
		wrong("the start");
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	file = open("/tmp/walker.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	if (memory == MAP_FAILED || file < 0 || timerfd_settime(timer, 0, &every, NULL) || pthread_create(&thread, NULL, beat, NULL))
		wrong("the start");
	connect_to_ourselves();
	for (;; rounds++) {
		use_memory();
		use_file();
		through(tube[1], tube[0], "the pipe");
		through(ends[rounds & 1], ends[~rounds & 1], "the connection");
		use_time();
		if (rounds % TOLD == 0) {
			printf("%016" PRIx64 " %" PRIu64 "\n", nonce, rounds / TOLD);
			fflush(stdout);
		}
		nanosleep(&pause, NULL);
	}
}
