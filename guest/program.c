/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/report.h"
#include "guest/guest_user.h"

#define FILES_SOFT 1024
#define FILES_HARD 524288

extern char **environ;

void terminal_resize(int terminal, unsigned rows, unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	if (rows && columns)
		ioctl(terminal, TIOCSWINSZ, &size);
}

static void default_signals(void)
{
	sigset_t none;
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int streams_become(const struct program *program)
{
	int from[3] = { program->in, program->terminal ? program->in : program->out, program->terminal ? program->in : program->err };
	/* None of them is 0, 1 or 2: PID 1 holds those. */
	for (int i = 0; i < 3; i++)
		if (dup2(from[i], i) < 0)
			return -errno;
	return 0;
}

static int give(int status, const char *step, const char *object, int err)
{
	report_error(step, object, err);
	return status;
}

/* The last steps, as the user: a status only comes back from a failure. */
static int become(const struct program *program)
{
	const struct guest_config *config = program->config;
	struct rlimit files = { FILES_SOFT, FILES_HARD };
	struct user user;
	char missing[300];
	if (user_find(&user, config->user, missing, sizeof(missing)))
		return give(EXIT_NO_EXEC, "start: the image has no", missing, 0);
	setrlimit(RLIMIT_NOFILE, &files);
	environ = program->env;
	if (!env_get(environ, "HOME") && setenv("HOME", user.home, 1))
		return give(EXIT_NO_EXEC, "start", config->program, ENOMEM);
	if (program->terminal && fchown(STDIN_FILENO, user.uid, (gid_t)-1) && errno != EROFS && errno != EPERM)
		return give(EXIT_NO_EXEC, "start: hand the terminal to", config->user, errno);
	if (program->first) {
		report_evidence();
		report_mark(LV_MARK_PROGRAM);
	}
	report_drop_ports();
	int err = user_become(&user);
	if (err)
		return give(EXIT_NO_EXEC, "start: become user", config->user, err);
	if (chdir(config->cwd ? config->cwd : "/"))
		return give(EXIT_NO_EXEC, "start: enter the working directory", config->cwd, errno);
	execvp(config->program, config->argv);
	err = errno;
	return give(err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NO_EXEC, "start: execute", config->program, err);
}

static void child(const struct program *program)
{
	setsid();
	int err = streams_become(program);
	if (!err && program->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0))
		err = -errno;
	if (err)
		_exit(give(EXIT_NO_EXEC, program->terminal ? "start: take the terminal for" : "start: streams of", program->config->program, err));
	default_signals();
	umask(022);
	_exit(become(program));
}

pid_t program_start(const struct program *program)
{
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		child(program);
	return pid;
}
