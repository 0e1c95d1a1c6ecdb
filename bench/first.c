/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times a program from fork+exec until it prints a mark on its standard output; it is then killed:
 * first [-n RUNS] [-t SECONDS] MARK COMMAND [ARG...]. For monitors whose guest announces itself on its serial port.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/stats.h"

#define MOST_RUNS 1000
#define WINDOW 65536

static pid_t start(char **command, int *out)
{
	int pair[2];
	if (pipe(pair) < 0)
		exit(1);
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(pair[1], 1);
		close(pair[0]);
		close(pair[1]);
		execvp(command[0], command);
		_exit(127);
	}
	close(pair[1]);
	*out = pair[0];
	return pid;
}

/* The time at which the mark was complete; 0: it never came. */
static uint64_t await_mark(int fd, const char *mark, uint64_t limit)
{
	static char seen[WINDOW + 1];
	size_t count = 0;
	for (uint64_t now; (now = now_ns()) < limit;) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		if (poll(&wait, 1, (limit - now) / 1000000 + 1) <= 0)
			continue;
		ssize_t n = read(fd, seen + count, WINDOW - count);
		if (n <= 0)
			break;
		count += n;
		if (memmem(seen, count, mark, strlen(mark)))
			return now_ns();
		if (count == WINDOW) { /* the mark may lie across the cut */
			memmove(seen, seen + WINDOW / 2, WINDOW / 2);
			count = WINDOW / 2;
		}
	}
	fprintf(stderr, "first: '%s' never came; the last that did: %.*s\n", mark, count > 400 ? 400 : (int)count, count > 400 ? seen + count - 400 : seen);
	return 0;
}

int main(int argc, char **argv)
{
	static uint64_t sample[MOST_RUNS];
	int runs = 5, option;
	uint64_t limit_s = 60;
	while ((option = getopt(argc, argv, "+n:t:")) > 0) {
		if (option == 'n')
			runs = atoi(optarg);
		else if (option == 't')
			limit_s = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind < 2 || runs < 1 || runs > MOST_RUNS) {
		fprintf(stderr, "usage: first [-n RUNS] [-t SECONDS] MARK COMMAND [ARG...]\n");
		return 2;
	}
	for (int i = -1; i < runs; i++) { /* the first one warms the page cache and is not counted */
		int out;
		uint64_t began = now_ns();
		pid_t pid = start(argv + optind + 1, &out);
		uint64_t end = await_mark(out, argv[optind], began + limit_s * 1000000000);
		kill(pid, SIGKILL);
		close(out);
		waitpid(pid, NULL, 0);
		if (!end)
			return 1;
		if (i >= 0)
			sample[i] = end - began;
	}
	stats_print(argv[optind + 1], sample, runs);
	return 0;
}
