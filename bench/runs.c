/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times a program from fork+exec to its exit, or with -p until a TCP port answers an HTTP request (it is then ended by
 * SIGTERM): runs [-n RUNS] [-p PORT] [-w MS] [-l LABEL] COMMAND [ARG...]. The command's stdout goes to /dev/null. -w: so long is waited before each.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/stats.h"

extern char **environ;

#define MOST_RUNS 10000
#define ANSWER_LIMIT_NS 10000000000ull

static pid_t start(char **command)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	int error = posix_spawnp(&pid, command[0], &actions, NULL, command, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error) {
		fprintf(stderr, "runs: %s: %s\n", command[0], strerror(error));
		exit(1);
	}
	return pid;
}

/* One HTTP request to the port; true if the first bytes of an answer came. */
static int answers(int port)
{
	static const char request[] = "HEAD / HTTP/1.0\r\n\r\n";
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval limit = {.tv_sec = 5};
	char answer[5];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	int good = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 && recv(fd, answer, sizeof(answer), MSG_WAITALL) == sizeof(answer);
	close(fd);
	return good;
}

static void await_answer(int port, uint64_t began, pid_t pid)
{
	while (!answers(port)) {
		if (waitpid(pid, NULL, WNOHANG) == pid || now_ns() - began > ANSWER_LIMIT_NS) {
			fprintf(stderr, "runs: port %d: no answer\n", port);
			kill(pid, SIGKILL);
			exit(1);
		}
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL); /* the resolution of this measurement */
	}
}

static uint64_t one_run(char **command, int port)
{
	uint64_t began = now_ns(), ended;
	int status;
	pid_t pid = start(command);
	if (port) {
		await_answer(port, began, pid);
		ended = now_ns();
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		return ended - began;
	}
	waitpid(pid, &status, 0);
	ended = now_ns();
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "runs: %s ended with status %#x\n", command[0], status);
		exit(1);
	}
	return ended - began;
}

int main(int argc, char **argv)
{
	static uint64_t sample[MOST_RUNS];
	const char *label = NULL;
	int runs = 20, port = 0, wait_ms = 0, option;
	while ((option = getopt(argc, argv, "+n:p:w:l:")) != -1) {
		if (option == 'n')
			runs = atoi(optarg);
		else if (option == 'p')
			port = atoi(optarg);
		else if (option == 'w')
			wait_ms = atoi(optarg);
		else if (option == 'l')
			label = optarg;
		else
			return 2;
	}
	if (optind == argc || runs < 1 || runs > MOST_RUNS) {
		fprintf(stderr, "usage: runs [-n RUNS] [-p PORT] [-w MS] [-l LABEL] COMMAND [ARG...]\n");
		return 2;
	}
	one_run(argv + optind, port); /* files into the page cache */
	for (int i = 0; i < runs; i++) {
		nanosleep(&(struct timespec){ .tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000 }, NULL);
		sample[i] = one_run(argv + optind, port);
	}
	stats_print(label ? label : argv[optind], sample, runs);
	return 0;
}
