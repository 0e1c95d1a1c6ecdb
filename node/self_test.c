/* SPDX-License-Identifier: Apache-2.0 */
#include "node/self_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"
#include "node/node_paths.h"

/* The first line that the monitor prints, and its wait status; a negative errno. */
static int probe(const char *monitor, char *line, size_t room, struct error *error)
{
	char *argv[] = { "lightvm-vmm", "--probe", NULL };
	struct spawn spawn = { SPAWN_INIT, .argv = argv, .die_with_us = true };
	struct spawned child;
	int pipe_fd[2];
	if (pipe2(pipe_fd, O_CLOEXEC))
		return error_set(error, -errno, "pipe: %s", strerror(errno));
	spawn.out = spawn.err = pipe_fd[1];
	int err = spawn_start(&spawn, monitor, &child, error);
	close(pipe_fd[1]);
	size_t size = 0;
	for (ssize_t n; size + 1 < room && (n = read(pipe_fd[0], line + size, room - 1 - size)) > 0;)
		size += (size_t)n;
	close(pipe_fd[0]);
	line[size] = 0;
	line[strcspn(line, "\n")] = 0;
	return err ? err : spawned_wait(&child);
}

int self_test(enum self_test *kind, struct error *error)
{
	char line[256] = "";
	*kind = SELF_TEST_UNKNOWN;
	if (access("/dev/kvm", R_OK | W_OK))
		return 0;
	char *monitor = paths_monitor(error);
	if (!monitor)
		return -ENOENT;
	int status = probe(monitor, line, sizeof(line), error);
	free(monitor);
	if (status < 0)
		return status;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return error_set(error, -EIO, "the self-test failed: %s", line[0] ? line : "no message");
	*kind = strcmp(line, "page-table") ? SELF_TEST_HARDWARE : SELF_TEST_PAGE_TABLE;
	return 0;
}
