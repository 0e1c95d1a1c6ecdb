/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times the monitor from just before its exec to the program's entry (the guest's own mark in the boot ledger):
 *   boots [-n RUNS] [-l LABEL] [-k] MONITOR OPTION...
 * One VM after the other, each to its end; the ledger comes from the status file. With -k ("keep") every VM stays, so
 * that each starts beside more idle ones (the one before has come to rest first); the ledger comes from the control socket, and the change of MemAvailable and
 * the times of the first and the last VMs are told as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/control.h"
#include "bench/kept.h"
#include "bench/stats.h"

extern char **environ;

#define MOST_RUNS 10000
#define MOST_OPTIONS 64
#define LIMIT_NS 30000000000ull
#define IDLE_NS 5000000ull /* a VM that ran for none of it is idle */

static uint64_t sample[MOST_RUNS];
static pid_t monitor[MOST_RUNS + 1];
static int started;
static char scratch[] = "/tmp/lightvm-boots.XXXXXX";

static void clean_up(void)
{
	for (int i = 0; i < started; i++)
		kill(monitor[i], SIGKILL);
	while (started > 0)
		waitpid(monitor[--started], NULL, 0);
	unlink(scratch);
}

static void fail(const char *what, const char *detail)
{
	fprintf(stderr, "boots: %s: %s\n", what, detail);
	clean_up();
	exit(1);
}

/* Starts a monitor with these two more options; *began is the time just before. */
static pid_t start(char **option, int options, const char *name, const char *value, uint64_t *began)
{
	char start_ns[24], *argv[MOST_OPTIONS + 8];
	pid_t pid;
	char **more = argv; /* ours come first: what follows "--" is the program's */
	*more++ = option[0], *more++ = (char *)name, *more++ = (char *)value, *more++ = "--start-ns", *more++ = start_ns;
	memcpy(more, option + 1, options * sizeof(*more)); /* with the NULL at its end */
	*began = now_ns();
	snprintf(start_ns, sizeof(start_ns), "%llu", (unsigned long long)*began);
	int error = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
	if (error)
		fail(argv[0], strerror(error));
	return pid;
}

static uint64_t boot_to_end(char **option, int options)
{
	struct lv_status status = {0};
	uint64_t began;
	waitpid(start(option, options, "--status", scratch, &began), NULL, 0);
	int fd = open(scratch, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, &status, sizeof(status)) < (ssize_t)LV_STATUS_SIZE(0) || !status.ledger[LV_STEP_PROGRAM].ns)
		fail(option[0], status.error[0] ? status.error : "the ledger has no program entry");
	close(fd);
	return status.ledger[LV_STEP_PROGRAM].ns - began;
}

/* Asks a monitor for its status; the time of the program's entry, 0: not yet. */
static uint64_t ask_entry(int fd)
{
	const struct lv_control_request request = {.magic = LV_CONTROL_MAGIC, .op = LV_CTL_STATUS};
	static struct {
		struct lv_control_reply head;
		struct lv_status status;
	} reply;
	if (send(fd, &request, sizeof(request), MSG_NOSIGNAL) < 0 || recv(fd, &reply, sizeof(reply), 0) < (ssize_t)(sizeof(reply.head) + LV_STATUS_SIZE(0)))
		fail("a monitor", "ended before its program began, or does not answer");
	return reply.status.ledger[LV_STEP_PROGRAM].ns;
}

/* A listening control socket without a name in the file system, and a connection to it. */
static int control_pair(int *client)
{
	static int number;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = LIMIT_NS / 1000000000};
	socklen_t len = offsetof(struct sockaddr_un, sun_path) + 1 +
		snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "lightvm-boots-%d-%d", getpid(), number++);
	int server = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	*client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	setsockopt(*client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(server, (struct sockaddr *)&at, len) < 0 || listen(server, 4) < 0 || connect(*client, (struct sockaddr *)&at, len) < 0)
		fail("control socket", strerror(errno));
	return server;
}

/* Processor time of a process' first thread, which runs the vCPU. */
static uint64_t used_ns(pid_t pid)
{
	char path[40];
	unsigned long long ns = 0;
	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	FILE *file = fopen(path, "r");
	if (file && fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	if (file)
		fclose(file);
	return ns;
}

/* The next VM is to start beside idle ones: a program that has begun may have work for many milliseconds. */
static void await_idle(pid_t pid)
{
	uint64_t before, now = used_ns(pid), end = now_ns() + LIMIT_NS;
	do {
		before = now;
		nap(IDLE_NS);
		now = used_ns(pid);
	} while (now != before && now_ns() < end);
}

static uint64_t boot_and_keep(char **option, int options)
{
	char value[24];
	uint64_t began, entry;
	int client, server = control_pair(&client);
	snprintf(value, sizeof(value), "fd:%d", server);
	monitor[started] = start(option, options, "--control", value, &began);
	started++;
	close(server);
	nap(2000000); /* the question should not disturb the start */
	while (!(entry = ask_entry(client))) {
		if (now_ns() - began > LIMIT_NS)
			fail(option[0], "its program did not begin within 30 s");
		nap(200000);
	}
	close(client);
	await_idle(monitor[started - 1]);
	return entry - began;
}

static void run_to_end(const char *label, int runs, char **option, int options)
{
	int fd = mkstemp(scratch);
	if (fd < 0)
		fail(scratch, strerror(errno));
	close(fd);
	boot_to_end(option, options); /* files into the page cache */
	for (int i = 0; i < runs; i++)
		sample[i] = boot_to_end(option, options);
	stats_print(label, sample, runs);
}

struct command {
	char **option;
	int options;
};

static uint64_t one_more(void *context)
{
	struct command *command = context;
	return boot_and_keep(command->option, command->options);
}

int main(int argc, char **argv)
{
	const char *label = "boot";
	int runs = 20, option;
	bool keep = false;
	while ((option = getopt(argc, argv, "+n:l:k")) != -1) {
		if (option == 'n')
			runs = atoi(optarg);
		else if (option == 'l')
			label = optarg;
		else if (option == 'k')
			keep = true;
		else
			return 2;
	}
	int options = argc - optind;
	if (options < 1 || options > MOST_OPTIONS || runs < 1 || runs > MOST_RUNS) {
		fprintf(stderr, "usage: boots [-n RUNS] [-l LABEL] [-k] MONITOR OPTION...\n");
		return 2;
	}
	if (keep)
		kept_print(label, runs, sample, one_more, &(struct command){ argv + optind, options });
	else
		run_to_end(label, runs, argv + optind, options);
	clean_up();
	return 0;
}
