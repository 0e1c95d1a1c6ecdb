/* SPDX-License-Identifier: Apache-2.0 */
/* What execve keeps, resets and refuses: programs that run and are written, set-id bits, tables of descriptors that others share. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "check.h"

#define COPY "./copy"

static bool copied(const char *to, mode_t mode)
{
	int from = open("/proc/self/exe", O_RDONLY), fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	struct stat st;

	if (fstat(from, &st))
		return false;
	for (off_t at = 0; at < st.st_size;)
		if (sendfile(fd, from, &at, (size_t)(st.st_size - at)) <= 0)
			return false;
	close(from);
	return !fchmod(fd, mode) && !close(fd);
}

static bool reaped(pid_t pid, int wanted)
{
	int status;
	bool good = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == wanted;

	if (!good)
		printf("status %x\n", status);
	return good;
}

/* ---- a program that runs is not written ---- */

static pid_t running(int *go)
{
	int in[2], out[2];
	char byte;

	if (pipe(in) || pipe(out))
		return -1;
	pid_t pid = fork();

	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		execl(COPY, COPY, "wait", NULL);
		_exit(99);
	}
	close(in[0]);
	close(out[1]);
	*go = in[1];
	return read(out[0], &byte, 1) == 1 ? pid : -1;
}

static void check_busy(void)
{
	int go = -1, fd;
	pid_t pid;

	CHECK(copied(COPY, 0755));
	fd = open(COPY, O_WRONLY);
	CHECK(fd >= 0 && !access(COPY, X_OK));
	FAILS(execl(COPY, COPY, "wait", NULL), ETXTBSY);
	close(fd);
	pid = running(&go);
	CHECK(pid > 0);
	FAILS(open(COPY, O_WRONLY), ETXTBSY);
	FAILS(open(COPY, O_RDWR), ETXTBSY);
	FAILS(open(COPY, O_RDONLY | O_TRUNC), ETXTBSY);
	FAILS(truncate(COPY, 0), ETXTBSY);
	IS(access(COPY, W_OK), 0);
	IS(chmod(COPY, 0700), 0);
	CHECK((fd = open(COPY, O_RDONLY)) >= 0 && !close(fd));
	CHECK(write(go, "", 1) == 1 && reaped(pid, 5));
	CHECK((fd = open(COPY, O_RDWR)) >= 0 && !close(fd)); /* it has ended */
	close(go);
}

/* ---- set-id bits ---- */

/* As user 1000: the exit status of the copy says what it is: 1 for each of euid 0, egid 7, AT_SECURE, dumpable. */
static bool runs_as(mode_t mode, bool no_new_privs, int wanted)
{
	pid_t pid;

	if (!copied(COPY, 0755) || chown(COPY, 0, 7) || chmod(COPY, mode))
		return false;
	pid = fork();
	if (!pid) {
		if (no_new_privs)
			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (syscall(SYS_setgroups, 0, NULL) || setresgid(1000, 1000, 1000) || syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(99);
		execl(COPY, COPY, "ids", NULL);
		_exit(98);
	}
	return reaped(pid, wanted);
}

static int say_ids(void)
{
	uid_t real, effective, saved;
	gid_t real_g, effective_g, saved_g;

	if (getresuid(&real, &effective, &saved) || getresgid(&real_g, &effective_g, &saved_g) || real != 1000 || real_g != 1000 || saved != effective || saved_g != effective_g)
		return 64;
	if (getauxval(AT_EUID) != effective || getauxval(AT_EGID) != effective_g)
		return 65;
	/* with user 0 come its rights */
	if (effective == 0 && syscall(SYS_chroot, "/"))
		return 66;
	return (effective == 0) + 2 * (effective_g == 7) + 4 * !!getauxval(AT_SECURE) + 8 * (prctl(PR_GET_DUMPABLE) == 1);
}

static void check_ids(void)
{
	CHECK(runs_as(0755, false, 8));
	CHECK(runs_as(04755, false, 1 + 4));
	CHECK(runs_as(02755, false, 2 + 4));
	CHECK(runs_as(06755, false, 1 + 2 + 4));
	CHECK(runs_as(02745, false, 8)); /* a lock's mark, not the group's program */
	CHECK(runs_as(06755, true, 8));
}

/* ---- a shared table of descriptors is the program's own from then on ---- */

static void check_table(void)
{
	int keep = open("/", O_RDONLY | O_CLOEXEC);
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);

	if (!pid) {
		execl(COPY, COPY, "ids", NULL);
		_exit(98);
	}
	CHECK(reaped(pid, 64));
	IS(fcntl(keep, F_GETFD), FD_CLOEXEC);
	close(keep);
}

/* The same without execve: what is closed, and where one goes, from then on is one's own. */
static void check_unshared(void)
{
	int kept = open("/", O_RDONLY), status;
	char before[256], after[256];

	CHECK(getcwd(before, sizeof(before)) != NULL);
	for (int way = 0; way < 3; way++) {
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0);

		if (!pid && way == 0)
			_exit(syscall(SYS_close_range, kept, kept, CLOSE_RANGE_UNSHARE) != 0);
		if (!pid && way == 1)
			_exit(unshare(CLONE_FILES) || close(kept));
		if (!pid)
			_exit(unshare(CLONE_FS) || chdir("/"));
		CHECK(waitpid(pid, &status, 0) == pid && status == 0);
		CHECK(fcntl(kept, F_GETFD) == 0 && getcwd(after, sizeof(after)) && !strcmp(before, after));
	}
	close(kept);
}

/* ---- what stays and what goes ---- */

static int say_state(void)
{
	struct sigaction action;
	sigset_t mask, pending;
	stack_t stack;
	struct rlimit limit;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	sigpending(&pending);
	if (!sigismember(&mask, SIGUSR1) || !sigismember(&pending, SIGUSR1))
		return 1;
	if (sigaction(SIGUSR2, NULL, &action) || action.sa_handler != SIG_DFL || sigaction(SIGHUP, NULL, &action) || action.sa_handler != SIG_IGN)
		return 2;
	if (sigaltstack(NULL, &stack) || stack.ss_flags != SS_DISABLE)
		return 3;
	if (fcntl(70, F_GETFD) != 0 || fcntl(71, F_GETFD) != -1)
		return 4;
	if (umask(0) != 033 || nice(0) != 3 || getrlimit(RLIMIT_CORE, &limit) || limit.rlim_cur != 4096)
		return 5;
	if (prctl(PR_GET_KEEPCAPS) || prctl(PR_GET_DUMPABLE) != 1 || alarm(0) == 0)
		return 6;
	return 0;
}

static void ignore(int signo)
{
}

static void check_state(void)
{
	static char own_stack[65536];
	pid_t pid = fork();

	if (!pid) {
		sigset_t mask;

		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR1);
		sigprocmask(SIG_BLOCK, &mask, NULL);
		kill(getpid(), SIGUSR1);
		signal(SIGUSR2, ignore);
		signal(SIGHUP, SIG_IGN);
		sigaltstack(&(stack_t){ .ss_sp = own_stack, .ss_size = sizeof(own_stack) }, NULL);
		dup2(1, 70);
		dup3(1, 71, O_CLOEXEC);
		umask(033);
		if (nice(3) != 3)
			_exit(97);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 4096, 4096 });
		prctl(PR_SET_KEEPCAPS, 1);
		prctl(PR_SET_DUMPABLE, 0);
		alarm(100);
		mlockall(MCL_CURRENT);
		execl(COPY, COPY, "state", NULL);
		_exit(98);
	}
	CHECK(reaped(pid, 0));
}

/* A child of CLONE_PARENT is the caller's sibling, and tells its parent as the caller does. */
static void check_sibling(void)
{
	int pipes[2], status, sibling = 0;
	pid_t pid;

	if (pipe(pipes))
		return;
	pid = fork();
	if (!pid) {
		int made = (int)syscall(SYS_clone, CLONE_PARENT | SIGUSR1, NULL, NULL, NULL, 0);

		if (made)
			_exit(write(pipes[1], &made, sizeof(made)) == sizeof(made) && waitpid(made, NULL, 0) == -1 ? 0 : 1);
		_exit(9);
	}
	CHECK(reaped(pid, 0));
	CHECK(read(pipes[0], &sibling, sizeof(sibling)) == sizeof(sibling) && waitpid(sibling, &status, 0) == sibling && WEXITSTATUS(status) == 9);
}

int main(int argc, char **argv)
{
	char byte;

	if (argc > 1 && !strcmp(argv[1], "wait"))
		return write(1, "", 1) == 1 && read(0, &byte, 1) == 1 ? 5 : 6;
	if (argc > 1 && !strcmp(argv[1], "ids"))
		return say_ids();
	if (argc > 1 && !strcmp(argv[1], "state"))
		return say_state();
	check_scratch();
	check_busy();
	check_table();
	check_unshared();
	check_state();
	check_sibling();
	if (!getuid()) {
		CHECK(!chmod(".", 0755));
		check_ids();
	}
	return check_end();
}
