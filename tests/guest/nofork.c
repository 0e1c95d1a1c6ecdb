/* SPDX-License-Identifier: Apache-2.0 */
/* One VM is one process: every way to make another one is refused with ENOSYS. Not compared with a process. */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "check.h"

int main(int argc, char **argv)
{
	char *arguments[] = {argv[0], "child", NULL};
	pid_t pid;
	int spawned, status;

	if (argc > 1)
		return 9; /* a child that should not be */
	FAILS(fork(), ENOSYS);
	FAILS(vfork(), ENOSYS);
	spawned = posix_spawn(&pid, argv[0], NULL, NULL, arguments, arguments + 2);
	CHECK(spawned == ENOSYS);
	FAILS(wait(&status), ECHILD);
	FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
	CHECK(system("true") != 0);
	return check_end();
}
