/* SPDX-License-Identifier: Apache-2.0 */
/* A parent and its children, as a shell has them: waits of every kind, stops, SIGCHLD, groups and sessions, orphans, deaths, pidfds. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "check.h"

/* ---- wait ---- */

/* A child that lives until the other end of its gate is closed, and ends with this. */
static pid_t gated(int *gate, int end)
{
	int both[2];
	char byte;
	pid_t pid;

	pipe(both);
	pid = fork();
	if (pid == 0) {
		close(both[1]);
		_exit(read(both[0], &byte, 1) == 0 ? end : end + 1);
	}
	close(both[0]);
	*gate = both[1];
	return pid;
}

static void waits(void)
{
	int gate, status = 0;
	siginfo_t info = { 0 };
	pid_t pid = gated(&gate, 3);

	IS(waitpid(pid, &status, WNOHANG), 0);
	IS(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
	IS(info.si_pid, 0);
	close(gate);
	IS(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	CHECK(info.si_pid == pid && info.si_status == 3 && info.si_code == CLD_EXITED && info.si_signo == SIGCHLD);
	IS(kill(pid, 0), 0);
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
	FAILS(waitpid(pid, &status, 0), ECHILD);
	FAILS(kill(pid, 0), ESRCH);

	/* Stop and go on. */
	pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	kill(pid, SIGSTOP);
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	IS(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
	kill(pid, SIGCONT);
	CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
	kill(pid, SIGSTOP);
	CHECK(waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_code == CLD_STOPPED && info.si_status == SIGSTOP);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);

	/* By group. */
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		_exit(5);
	}
	setpgid(pid, pid);
	CHECK(waitpid(-pid, &status, 0) == pid && WEXITSTATUS(status) == 5);
}

static volatile sig_atomic_t children, last_child, last_status;

static void on_child(int signo, siginfo_t *info, void *context)
{
	children++;
	last_child = info->si_pid;
	last_status = info->si_status;
}

static void child_signals(void)
{
	struct sigaction action = { .sa_sigaction = on_child, .sa_flags = SA_SIGINFO }, old;
	sigset_t set, before;
	int status;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &before);
	sigaction(SIGCHLD, &action, &old);
	pid = fork();
	if (pid == 0)
		_exit(11);
	while (!children)
		sigsuspend(&before);
	CHECK(last_child == pid && last_status == 11);
	IS(waitpid(pid, &status, 0), pid);
	/* Nobody asks: no zombie is left. */
	action.sa_flags |= SA_NOCLDWAIT;
	sigaction(SIGCHLD, &action, NULL);
	pid = fork();
	if (pid == 0)
		_exit(0);
	FAILS(waitpid(pid, &status, 0), ECHILD);
	signal(SIGCHLD, SIG_IGN);
	pid = fork();
	if (pid == 0)
		_exit(0);
	FAILS(waitpid(pid, &status, 0), ECHILD);
	sigaction(SIGCHLD, &old, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* ---- groups, orphans ---- */

static void groups(void)
{
	int status, told[2];
	pid_t pid, grandchild = 0;

	pid = fork();
	if (pid == 0)
		_exit(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid() && setsid() == -1 ? 0 : 1);
	waitpid(pid, &status, 0);
	IS(status, 0);
	FAILS(setpgid(12345678, 0), ESRCH);
	FAILS(setpgid(0, -1), EINVAL);
	/* A group is signalled together. */
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		for (int i = 0; i < 2; i++)
			if (fork() == 0)
				for (;;)
					pause();
		signal(SIGTERM, SIG_IGN);
		kill(0, SIGTERM);
		int n = 0;

		while (wait(&status) > 0)
			n += WTERMSIG(status) == SIGTERM;
		_exit(n);
	}
	waitpid(pid, &status, 0);
	IS(status, 2 << 8);
	/* An orphan goes to who asked for such. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pipe(told);
	pid = fork();
	if (pid == 0) {
		grandchild = fork();
		if (grandchild == 0) {
			_exit(13);
		}
		write(told[1], &grandchild, sizeof(grandchild));
		_exit(0);
	}
	read(told[0], &grandchild, sizeof(grandchild));
	IS(waitpid(pid, &status, 0), pid);
	CHECK(waitpid(grandchild, &status, 0) == grandchild && WEXITSTATUS(status) == 13);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void death_signal(void)
{
	int status, told[2];
	pid_t pid;
	char byte;

	pipe(told);
	pid = fork();
	if (pid == 0) {
		int ready[2];

		pipe(ready);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			write(ready[1], "x", 1);
			for (;;)
				pause();
		}
		read(ready[0], &byte, 1);
		_exit(0);
	}
	close(told[1]);
	waitpid(pid, &status, 0);
	IS(read(told[0], &byte, 1), 0); /* the grandchild had the other end */
	close(told[0]);
}

static void pidfds(void)
{
	int gate, fd, place, other = open("/proc", O_RDONLY | O_DIRECTORY);
	struct pollfd ready;
	pid_t pid = gated(&gate, 6);
	char name[32];

	snprintf(name, sizeof(name), "/proc/%d", pid);
	place = open(name, O_RDONLY | O_DIRECTORY);
	IS(syscall(SYS_pidfd_send_signal, place, 0, NULL, 0), 0);
	FAILS(syscall(SYS_pidfd_send_signal, other, 0, NULL, 0), EBADF);

	fd = syscall(SYS_pidfd_open, pid, 0);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	ready = (struct pollfd){ .fd = fd, .events = POLLIN };
	IS(poll(&ready, 1, 0), 0);
	IS(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), 0);
	close(gate);
	IS(poll(&ready, 1, 10000), 1);
	siginfo_t info = { 0 };

	CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == 6);
	FAILS(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	FAILS(syscall(SYS_pidfd_send_signal, place, 0, NULL, 0), ESRCH);
	FAILS(syscall(SYS_pidfd_open, pid, 0), ESRCH);
	FAILS(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);
	close(fd), close(place), close(other);
}

/* ---- groups that nobody can wake any more, and who is in the background ---- */

static volatile int told;

static void count(int signo)
{
	told += signo == SIGHUP ? 1 : 10;
}

/* In a session of its own: what the process at the head of a group leaves behind when it ends, stopped, is told. Its exit status: what arrived. */
static int left_stopped(void)
{
	int results[2], status;
	char got = 0;

	setsid();
	pipe(results);
	pid_t head = fork();

	if (head == 0) {
		setpgid(0, 0);
		pid_t member = fork();

		if (member == 0) {
			signal(SIGHUP, count);
			signal(SIGCONT, count);
			raise(SIGSTOP);
			got = (char)told;
			_exit(write(results[1], &got, 1) != 1);
		}
		_exit(waitpid(member, &status, WUNTRACED) != member);
	}
	setpgid(head, head);
	waitpid(head, &status, 0);
	return read(results[0], &got, 1) == 1 ? got : 100;
}

/* Who is in the background may ask whose the terminal is, and is not stopped for it. */
static int asks_from_background(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), gate[2];

	setsid();
	grantpt(master);
	unlockpt(master);
	int terminal = open(ptsname(master), O_RDWR); /* becomes the session's */

	pipe(gate);
	pid_t pid = fork();

	if (pid == 0) {
		char byte;

		_exit(read(gate[0], &byte, 1) != 1);
	}
	setpgid(pid, pid);
	if (tcsetpgrp(terminal, pid))
		return 1;
	bool right = tcgetpgrp(terminal) == pid && tcgetsid(terminal) == getpid();

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return right ? 0 : 2;
}

/* What the foreground is told when the session's leader ends: SIGHUP, and nothing else. */
static int leader_ends(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), results[2], status;
	char got = 0;

	grantpt(master);
	unlockpt(master);
	pipe(results);
	pid_t leader = fork();

	if (leader == 0) {
		sigset_t none, both;

		setsid();
		int terminal = open(ptsname(master), O_RDWR);

		sigemptyset(&none);
		sigemptyset(&both);
		sigaddset(&both, SIGHUP);
		sigaddset(&both, SIGCONT);
		sigprocmask(SIG_BLOCK, &both, NULL);
		signal(SIGHUP, count);
		signal(SIGCONT, count);
		if (fork())
			_exit(terminal < 0);
		sigsuspend(&none);
		got = (char)told;
		_exit(write(results[1], &got, 1) != 1);
	}
	waitpid(leader, &status, 0);
	return WEXITSTATUS(status) == 0 && read(results[0], &got, 1) == 1 ? got : 100;
}

static int status_of(int (*what)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(what());
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void groups_left(void)
{
	IS(status_of(left_stopped), 11);
	IS(status_of(asks_from_background), 0);
	IS(status_of(leader_ends), 1);
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	waits();
	child_signals();
	groups();
	death_signal();
	pidfds();
	groups_left();
	return check_end();
}
