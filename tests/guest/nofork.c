/* SPDX-License-Identifier: Apache-2.0 */
/* One VM is one process: every way to make another one is refused with EACCES, and execve with ENOSYS. Not compared with a process. */
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

int main(int argc, char **argv)
{
	char *arguments[] = {argv[0], "child", NULL};
	pid_t pid;
	struct clone_args no_thread = { .exit_signal = SIGCHLD };
	int spawned, status;

	if (argc > 1 && !strcmp(argv[1], "exec")) {
		FAILS(execve(argv[0], arguments, environ), ENOSYS);
		return check_end();
	}
	if (argc > 1)
		return 9; /* a child that should not be */
	FAILS(fork(), EACCES);
	FAILS(vfork(), EACCES);
	FAILS(syscall(SYS_fork), EACCES);
	FAILS(syscall(SYS_clone3, &no_thread, sizeof(no_thread)), ENOSYS); /* so that the C library tries the others */
	FAILS(execve(argv[0], arguments, environ), ENOSYS);
	spawned = posix_spawn(&pid, argv[0], NULL, NULL, arguments, arguments + 2);
	CHECK(spawned == EACCES);
	FAILS(wait(&status), ECHILD);
	FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
	CHECK(system("true") != 0);
	return check_end();
}
