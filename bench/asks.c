/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a server on so many connections, each for the next answer when it has the one before: asks [-c CONNECTIONS] [-t SECONDS] [-n] ADDRESS PORT WHAT [PATH],
 * where WHAT is http, redis-set, redis-get or memcached-get (values of 1 KiB, stored first). -n: each request has a connection of its own, which the
 * server ends. Prints {"requests": N, "seconds": S, "per_s": N, "median_us": T, "p99_us": T}. Every answer has to be as long as the first one, and to begin like it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/stats.h"

#define MOST_CONNECTIONS 1024
#define SAMPLES (1 << 20) /* times of the last so many requests are kept */
#define ROOM (256 << 10)
#define VALUE 1024
#define SAME 12 /* "HTTP/1.1 200" */
#define SILENCE_MS 10000 /* of all connections: the server has stopped */

struct connection {
	int fd;
	size_t got;
	uint64_t asked;
};

static struct {
	struct sockaddr_in to;
	char request[512];
	size_t request_size, answer_size;
	char beginning[SAME];
	bool anew;
	uint64_t count;
	int epoll;
} asks;
static uint64_t sample[SAMPLES];
static char room[ROOM];

static void die(const char *what)
{
	fprintf(stderr, "asks: %s:%u: %s%s%s\n", inet_ntoa(asks.to.sin_addr), ntohs(asks.to.sin_port), what, errno ? ": " : "", errno ? strerror(errno) : "");
	exit(1);
}

/* So long is an answer that begins so; 0: that is not known yet. */
static size_t answer_size(const char *answer, size_t n)
{
	size_t head = 0, body = 0;
	char *end = memmem(answer, n, "\r\n\r\n", 4), *line = memmem(answer, n, "\r\n", 2), *length;

	if (!line)
		return 0;
	if (!strncmp(answer, "+OK", 3) || !strncmp(answer, "STORED", 6))
		return (size_t)(line + 2 - answer);
	if (sscanf(answer, "$%zu", &body) == 1)
		return (size_t)(line + 2 - answer) + body + 2;
	if (sscanf(answer, "VALUE k 0 %zu", &body) == 1)
		return (size_t)(line + 2 - answer) + body + sizeof("\r\nEND\r\n") - 1;
	if (!end)
		return 0;
	head = (size_t)(end + 4 - answer);
	length = strcasestr(answer, "\r\ncontent-length:");
	if (strncmp(answer, "HTTP/1.1 200", SAME) || !length || length > end || sscanf(length + 17, "%zu", &body) != 1)
		return errno = 0, die("this is no answer that is understood"), 0;
	return head + body;
}

static int connected(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&asks.to, sizeof(asks.to)) && errno != EINPROGRESS)
		die("connect");
	return fd;
}

/* One request by itself; its answer tells how long all will be. */
static void ask_once(const char *request, size_t size)
{
	const struct timeval limit = { .tv_sec = 10 };
	int fd = connected(0);
	size_t n = 0, whole = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("send");
	while (!whole || n < whole) {
		ssize_t more = recv(fd, room + (whole ? 0 : n), ROOM - 1 - (whole ? 0 : n), 0);
		if (more <= 0)
			die("the first answer does not come");
		n += (size_t)more;
		if (!whole) {
			room[n] = 0;
			whole = answer_size(room, n);
			memcpy(asks.beginning, room, SAME);
		}
	}
	close(fd);
	asks.answer_size = whole;
}

static void prepare(const char *what, const char *path)
{
	char value[VALUE + 1] = "", store[VALUE + 128];
	int n;

	memset(value, 'v', VALUE);
	asks.request_size = 0;
	if (!strcmp(what, "http") && path) {
		n = snprintf(asks.request, sizeof(asks.request), "GET %s HTTP/1.1\r\nHost: bench\r\n%s\r\n", path, asks.anew ? "Connection: close\r\n" : "");
	} else if (!strcmp(what, "memcached-get")) {
		ask_once(store, (size_t)snprintf(store, sizeof(store), "set k 0 0 %d\r\n%s\r\n", VALUE, value));
		n = snprintf(asks.request, sizeof(asks.request), "get k\r\n");
	} else if (!strcmp(what, "redis-get")) {
		ask_once(store, (size_t)snprintf(store, sizeof(store), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n", VALUE, value));
		n = snprintf(asks.request, sizeof(asks.request), "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
	} else if (!strcmp(what, "redis-set")) {
		n = snprintf(asks.request, sizeof(asks.request), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nvvv\r\n");
	} else {
		fprintf(stderr, "asks: what is to be asked is http PATH, redis-set, redis-get or memcached-get, not \"%s\"\n", what);
		exit(2);
	}
	asks.request_size = (size_t)n;
	if (asks.request_size >= sizeof(asks.request)) {
		fprintf(stderr, "asks: the path is too long: %s\n", path);
		exit(2);
	}
	ask_once(asks.request, asks.request_size);
}

static void ask(struct connection *one)
{
	one->got = 0;
	one->asked = now_ns();
	if (send(one->fd, asks.request, asks.request_size, MSG_NOSIGNAL) != (ssize_t)asks.request_size)
		die("send");
}

/* Its first event is that it can be written to: then it asks. */
static void begin(struct connection *one)
{
	struct epoll_event event = { .events = EPOLLOUT, .data.ptr = one };

	one->asked = now_ns();
	one->fd = connected(SOCK_NONBLOCK);
	if (epoll_ctl(asks.epoll, EPOLL_CTL_ADD, one->fd, &event))
		die("epoll");
}

static void established(struct connection *one)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = one };
	uint64_t began = one->asked;
	int err = 0;
	socklen_t size = sizeof(err);

	if (!getsockopt(one->fd, SOL_SOCKET, SO_ERROR, &err, &size) && err)
		errno = err, die("connect");
	if (epoll_ctl(asks.epoll, EPOLL_CTL_MOD, one->fd, &event))
		die("connect");
	ask(one);
	if (asks.anew)
		one->asked = began;
}

static void answered(struct connection *one)
{
	sample[asks.count++ % SAMPLES] = now_ns() - one->asked;
	if (asks.anew) {
		close(one->fd);
		begin(one);
	} else {
		ask(one);
	}
}

static void receive(struct connection *one)
{
	ssize_t n = recv(one->fd, room, ROOM, 0);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		die("recv");
	errno = 0;
	size_t same = asks.answer_size < SAME ? asks.answer_size : SAME, left = one->got < same ? same - one->got : 0;
	if (memcmp(room, asks.beginning + one->got * (left > 0), left < (size_t)n ? left : (size_t)n))
		die("an answer begins in another way than the first one");
	one->got += (size_t)n;
	if (one->got > asks.answer_size || (!n && (!asks.anew || one->got < asks.answer_size)))
		die("an answer has another length than the first one");
	if (asks.anew ? !n : one->got == asks.answer_size)
		answered(one);
}

static double run(unsigned connections, double seconds)
{
	static struct connection all[MOST_CONNECTIONS];
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	struct epoll_event event[64];

	for (unsigned i = 0; i < connections; i++)
		begin(&all[i]);
	while (now_ns() < end) {
		int n = epoll_wait(asks.epoll, event, 64, SILENCE_MS);
		if (!n)
			errno = 0, die("nothing was heard of it for 10 s");
		for (int i = 0; i < n; i++)
			if (event[i].events & EPOLLOUT)
				established(event[i].data.ptr);
			else
				receive(event[i].data.ptr);
	}
	return (double)(now_ns() - start) / 1e9;
}

static void usage(void)
{
	fprintf(stderr, "usage: asks [-c CONNECTIONS (1 to %d)] [-t SECONDS] [-n] ADDRESS PORT http PATH|redis-set|redis-get|memcached-get\n", MOST_CONNECTIONS);
	exit(2);
}

/* Processor time of this process. */
static double own_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	unsigned connections = 32;
	double seconds = 5;
	int c;

	while ((c = getopt(argc, argv, "c:t:n")) != -1) {
		if (c == 'c')
			connections = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 't')
			seconds = strtod(optarg, NULL);
		else if (c == 'n')
			asks.anew = true;
		else
			usage();
	}
	if (argc - optind < 3 || !connections || connections > MOST_CONNECTIONS || seconds <= 0 || inet_pton(AF_INET, argv[optind], &asks.to.sin_addr) != 1)
		usage();
	asks.to.sin_family = AF_INET;
	asks.to.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
	asks.epoll = epoll_create1(EPOLL_CLOEXEC);
	prepare(argv[optind + 2], argv[optind + 3]);
	double own = own_ns();
	seconds = run(connections, seconds);
	own = own_ns() - own;
	int n = asks.count < SAMPLES ? (int)asks.count : SAMPLES;
	if (!n)
		errno = 0, die("no answer came in time");
	qsort(sample, (size_t)n, sizeof(*sample), stats_order);
	printf("{\"requests\": %lu, \"seconds\": %.3f, \"per_s\": %.0f, \"median_us\": %.1f, \"p99_us\": %.1f, \"own_us\": %.2f}\n", asks.count, seconds,
	       (double)asks.count / seconds, stats_us(sample, n, 0.5), stats_us(sample, n, 0.99), own / 1000 / (double)asks.count);
	return 0;
}
