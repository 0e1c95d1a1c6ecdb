/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes cost: a line "WAY US" each, the median. spawn, fork: /bin/true (dynamic) is started that way and waited for; child: a
 * fork whose child ends at once; shell: "true|true|..." of five programs by /bin/sh -c; pipeline: cat into cat, five of them, of MIB MiB,
 * told as time and, "throughput MIB/S", as what passes through it in a second, of the fastest. With a WAY as argument that one only (for perf).
 */
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/stats.h"

#define MIB 16
#define MOST 200

static char *const true_words[] = { "/bin/true", NULL }, *const no_words[] = { NULL };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Waits for a child, which must end with status 0. */
static void wait_for(pid_t child)
{
	int status;
	if (child < 0)
		die("no process");
	if (waitpid(child, &status, 0) != child || status) {
		fprintf(stderr, "process %d ended with wait status 0x%x\n", (int)child, status);
		exit(1);
	}
}

static void spawn_words(const char *program, char *const words[])
{
	pid_t child;
	int err = posix_spawn(&child, program, NULL, NULL, words, no_words);
	if (err) {
		fprintf(stderr, "%s: %s\n", program, strerror(err));
		exit(1);
	}
	wait_for(child);
}

static void by_spawn(void)
{
	spawn_words("/bin/true", true_words);
}

static void by_fork(void)
{
	pid_t child = fork();
	if (!child) {
		execve("/bin/true", true_words, no_words);
		_exit(127);
	}
	wait_for(child);
}

static void by_child(void)
{
	pid_t child = fork();
	if (!child)
		_exit(0);
	wait_for(child);
}

static void by_shell(void)
{
	spawn_words("/bin/sh", (char *const[]){ "sh", "-c", "/bin/true|/bin/true|/bin/true|/bin/true|/bin/true", NULL });
}

static void by_pipeline(void)
{
	spawn_words("/bin/sh", (char *const[]){ "sh", "-c", "/bin/cat /tmp/bytes|/bin/cat|/bin/cat|/bin/cat|/bin/cat >/dev/null", NULL });
}

/* The first run is not counted: it is the one that reads the files. */
static void tell(const char *way, void (*work)(void), int n)
{
	uint64_t ns[MOST];
	work();
	for (int i = 0; i < n; i++) {
		uint64_t start = now_ns();
		work();
		ns[i] = now_ns() - start;
	}
	qsort(ns, n, sizeof(*ns), stats_order);
	printf("%s %.1f\n", way, stats_us(ns, n, 0.5));
	if (work == by_pipeline)
		printf("throughput %.1f\n", MIB * 1e6 / stats_us(ns, n, 0));
	fflush(stdout);
}

static void make_bytes(void)
{
	static char mib[1 << 20];
	int fd = open("/tmp/bytes", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("/tmp/bytes");
	for (int i = 0; i < MIB; i++)
		if (write(fd, mib, sizeof(mib)) != sizeof(mib))
			die("/tmp/bytes");
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *way;
		void (*work)(void);
		int n;
	} ways[] = { { "spawn", by_spawn, 100 }, { "fork", by_fork, 100 }, { "child", by_child, MOST }, { "shell", by_shell, 30 }, { "pipeline", by_pipeline, 7 } };

	make_bytes();
	for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (argc < 2 || !strcmp(argv[1], ways[i].way))
			tell(ways[i].way, ways[i].work, ways[i].n);
	unlink("/tmp/bytes");
	return 0;
}
