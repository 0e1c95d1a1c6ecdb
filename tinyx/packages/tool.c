/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/packages/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* What parses their output must not meet a translation. */
static char **make_environment(void)
{
	size_t count = 0, kept = 0;
	while (environ[count])
		count++;
	char **env = alloc_zero((count + 2) * sizeof(*env));
	for (size_t i = 0; i < count; i++)
		if (!text_starts(environ[i], "LC_") && !text_starts(environ[i], "LANG"))
			env[kept++] = environ[i];
	env[kept] = "LC_ALL=C.UTF-8";
	return env;
}

static int start(char *const *argv, int out, int err, struct spawned *child, struct error *error)
{
	char **env = make_environment();
	struct spawn spawn = { SPAWN_INIT, .argv = argv, .env = env };
	spawn.out = out;
	spawn.err = err;
	int failed = spawn_start(&spawn, argv[0], child, error);
	free(env);
	if (failed == -ENOENT)
		return error_set(error, failed, "packages need %s, which is not here; on Debian: apt-get install %s", argv[0], text_starts(argv[0], "apt") ? "apt" : "dpkg");
	return failed;
}

int tool_start(char *const *argv, struct spawned *child, struct error *error)
{
	int ends[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0 || pipe2(ends, O_CLOEXEC)) {
		if (null >= 0)
			close(null);
		return error_set(error, -errno, "%s: %s", argv[0], strerror(errno));
	}
	int err = start(argv, ends[1], null, child, error);
	close(ends[1]);
	close(null);
	if (err)
		close(ends[0]);
	return err ? err : ends[0];
}

/* Takes what is there; false when it has ended. */
static bool take(int fd, size_t limit, struct text *to, bool *too_much)
{
	char block[16384];
	ssize_t n = read(fd, block, sizeof(block));
	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (to->size + (size_t)n > limit)
		*too_much = true;
	else
		text_add(to, block, (size_t)n);
	return !*too_much;
}

static bool take_both(int out, int err, size_t limit, struct text *text, struct text *complaints)
{
	struct pollfd ends[] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
	bool too_much = false;
	while (ends[0].fd >= 0 || ends[1].fd >= 0) {
		if (poll(ends, 2, -1) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < 2; i++)
			if (ends[i].fd >= 0 && ends[i].revents && !take(ends[i].fd, limit, i ? complaints : text, &too_much))
				ends[i].fd = -1;
	}
	return !too_much;
}

int tool_run(char *const *argv, size_t limit, struct text *out, struct text *complaints, int *status, struct error *error)
{
	struct spawned child;
	int one[2], two[2] = { -1, -1 };
	if (pipe2(one, O_CLOEXEC) || pipe2(two, O_CLOEXEC))
		return error_set(error, -errno, "%s: %s", argv[0], strerror(errno));
	int err = start(argv, one[1], two[1], &child, error);
	close(one[1]);
	close(two[1]);
	bool whole = err || take_both(one[0], two[0], limit, out, complaints);
	close(one[0]);
	close(two[0]);
	if (err)
		return err;
	if (!whole)
		kill(child.pid, SIGKILL);
	int ended = spawned_wait(&child);
	*status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
	return whole ? 0 : error_set(error, -EFBIG, "%s printed more than %zu bytes", argv[0], limit);
}
