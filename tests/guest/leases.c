/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of files: who may have one, and how somebody else's open takes it away. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check.h"

static bool reaped(pid_t pid, int wanted)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

static int opened(const char *name, int flags)
{
	return open(name, flags, 0600);
}

static void check_who(void)
{
	int read_only = opened("file", O_RDONLY), both, directory = opened(".", O_RDONLY), pipes[2];

	CHECK(!pipe(pipes));
	IS(fcntl(read_only, F_GETLEASE), F_UNLCK);
	FAILS(fcntl(read_only, F_SETLEASE, F_UNLCK), EAGAIN);
	FAILS(fcntl(read_only, F_SETLEASE, 99), EINVAL);
	FAILS(fcntl(directory, F_SETLEASE, F_RDLCK), EINVAL);
	IS(fcntl(read_only, F_SETLEASE, F_RDLCK), 0);
	IS(fcntl(read_only, F_GETLEASE), F_RDLCK);
	IS(fcntl(read_only, F_SETLEASE, F_WRLCK), 0); /* nobody else has it open */
	IS(fcntl(read_only, F_GETLEASE), F_WRLCK);
	IS(fcntl(read_only, F_SETLEASE, F_UNLCK), 0);
	IS(fcntl(read_only, F_GETLEASE), F_UNLCK);
	both = opened("file", O_RDWR);
	FAILS(fcntl(both, F_SETLEASE, F_RDLCK), EAGAIN); /* it writes itself */
	FAILS(fcntl(both, F_SETLEASE, F_WRLCK), EAGAIN); /* the other reads */
	FAILS(fcntl(read_only, F_SETLEASE, F_RDLCK), EAGAIN);
	close(read_only);
	IS(fcntl(both, F_SETLEASE, F_WRLCK), 0);
	read_only = dup(both);
	close(both);
	IS(fcntl(read_only, F_GETLEASE), F_WRLCK); /* of what is open, not of the descriptor */
	close(read_only);
	close(directory);
}

static void check_not_waiting(void)
{
	int fd = opened("file", O_RDONLY), other;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	IS(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
	CHECK((other = opened("file", O_RDONLY)) >= 0 && !close(other));
	CHECK(sigtimedwait(&set, NULL, &(struct timespec){ 0 }) == -1);
	FAILS(opened("file", O_WRONLY | O_NONBLOCK), EAGAIN);
	IS(sigtimedwait(&set, NULL, &(struct timespec){ .tv_sec = 60 }), SIGIO);
	IS(fcntl(fd, F_GETLEASE), F_UNLCK); /* what it must come to */
	IS(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	CHECK((other = opened("file", O_WRONLY | O_NONBLOCK)) >= 0 && !close(other));
	close(fd);
}

/* A child opens the file and waits until the holder has lowered the lease to that. */
static void check_waiting(int flags, int type, int to)
{
	int fd = opened("file", O_RDONLY), signo = SIGRTMIN;
	siginfo_t info;
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, signo);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(!fcntl(fd, F_SETSIG, signo) && !fcntl(fd, F_SETLEASE, type));
	pid = fork();
	if (!pid) {
		close(fd);
		_exit(opened("file", flags) >= 0 ? 3 : 1);
	}
	CHECK(sigtimedwait(&set, &info, &(struct timespec){ .tv_sec = 60 }) == signo && info.si_fd == fd && info.si_code == POLL_MSG);
	IS(waitpid(pid, NULL, WNOHANG), 0);
	IS(fcntl(fd, F_SETLEASE, to), 0);
	CHECK(reaped(pid, 3));
	IS(fcntl(fd, F_GETLEASE), to);
	close(fd);
}

int main(void)
{
	alarm(100);
	check_scratch();
	close(open("file", O_RDWR | O_CREAT, 0644));
	check_who();
	check_not_waiting();
	check_waiting(O_RDONLY, F_WRLCK, F_RDLCK);
	check_waiting(O_RDWR, F_WRLCK, F_UNLCK);
	check_waiting(O_WRONLY, F_RDLCK, F_UNLCK);
	check_waiting(O_RDONLY | O_TRUNC, F_WRLCK, F_UNLCK);
	return check_end();
}
