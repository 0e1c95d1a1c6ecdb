/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* In the child, which shares our memory until exec: only system calls, nothing that changes memory we go on with. */
static int prepare(const struct spawn *spawn, pid_t parent, int null)
{
	static const int keys[] = { SIGINT, SIGQUIT, SIGHUP };
	sigset_t none;
	if (spawn->session)
		setsid();
	if (spawn->die_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
		return -ECHILD;
	for (size_t i = 0; spawn->ignore_keys && i < sizeof(keys) / sizeof(*keys); i++)
		signal(keys[i], SIG_IGN);
	for (size_t i = 0; i < spawn->keep_count; i++)
		if (fcntl(spawn->keep[i], F_SETFD, 0))
			return -errno;
	if (!spawn->inherit_in && dup2(spawn->in >= 0 ? spawn->in : null, STDIN_FILENO) < 0)
		return -errno;
	if ((spawn->out >= 0 && dup2(spawn->out, STDOUT_FILENO) < 0) || (spawn->err >= 0 && dup2(spawn->err, STDERR_FILENO) < 0))
		return -errno;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) ? -errno : 0;
}

const char *spawn_find(const char *program, char *path, size_t room)
{
	static const char *const dirs[] = { "/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin", "/sbin" };
	if (strchr(program, '/'))
		return program;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(path, room, "%s/%s", dirs[i], program);
		if (!access(path, X_OK))
			return path;
	}
	return NULL;
}

pid_t spawn_start(const struct spawn *spawn, const char *program, struct error *error)
{
	char room[256];
	const char *path = spawn_find(program, room, sizeof(room));
	if (!path)
		return error_set(error, -ENOENT, "%s is not installed", program);
	int null = spawn->inherit_in ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t parent = getpid();
	volatile int failed = 0;
	pid_t child = vfork();
	if (child == 0) {
		failed = prepare(spawn, parent, null);
		if (!failed) {
			execve(path, spawn->argv, environ);
			failed = -errno;
		}
		_exit(EXIT_FAILURE);
	}
	int err = child < 0 ? -errno : failed;
	if (null >= 0)
		close(null);
	if (child > 0 && err)
		waitpid(child, NULL, 0);
	return err ? error_set(error, err, "%s: %s", path, strerror(-err)) : child;
}
