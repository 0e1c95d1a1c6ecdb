/* SPDX-License-Identifier: Apache-2.0 */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK 32768

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

/* ---- the child ---- */

/* It never returns, so that what an instrumented function marks on its stack would stay marked. */
#define CHILD_SIDE __attribute__((no_sanitize("address")))

struct child {
	const struct spawn *spawn;
	const char *path;
	pid_t parent; /* as the child sees it */
	int null;
	bool has_handlers; /* of ours, which would run on our memory */
	volatile int failed;
	volatile pid_t pid; /* of the child, as the parent sees it; there before it runs */
};

CHILD_SIDE static void reset_handlers(void)
{
	struct sigaction action;
	for (int number = 1; number < NSIG; number++)
		if (!sigaction(number, NULL, &action) && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
			signal(number, SIG_DFL);
}

CHILD_SIDE static void print_pid(pid_t pid, char *word)
{
	char digit[SPAWN_PID_WORD];
	int n = 0;
	do
		digit[n++] = '0' + pid % 10;
	while (pid /= 10);
	while (n)
		*word++ = digit[--n];
	*word = 0;
}

/* A process has all rights in a user namespace that is its own, but exec would take them from whoever is not root there. */
CHILD_SIDE static int keep_rights(void)
{
	static const int rights[] = { CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_SETPCAP };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	for (size_t i = 0; i < sizeof(rights) / sizeof(*rights); i++)
		data[0].inheritable |= 1u << rights[i];
	data[0].permitted = data[0].effective = data[0].inheritable;
	if (syscall(SYS_capset, &header, data))
		return -errno;
	for (size_t i = 0; i < sizeof(rights) / sizeof(*rights); i++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, rights[i], 0, 0))
			return -errno;
	return 0;
}

/* Until exec our memory is shared: only system calls, nothing that changes what the parent goes on with. */
CHILD_SIDE static int prepare(const struct child *child)
{
	static const int keys[] = { SIGINT, SIGQUIT, SIGHUP };
	const struct spawn *spawn = child->spawn;
	sigset_t none;
	if (child->has_handlers)
		reset_handlers();
	if (spawn->pid_word)
		print_pid(child->pid, spawn->pid_word);
	int err = spawn->namespaces & CLONE_NEWUSER ? keep_rights() : 0;
	if (err)
		return err;
	if (spawn->session)
		setsid();
	if (spawn->die_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != child->parent))
		return -ECHILD;
	for (size_t i = 0; spawn->ignore_keys && i < sizeof(keys) / sizeof(*keys); i++)
		signal(keys[i], SIG_IGN);
	for (size_t i = 0; i < spawn->keep_count; i++)
		if (fcntl(spawn->keep[i], F_SETFD, 0))
			return -errno;
	if (!spawn->inherit_in && dup2(spawn->in >= 0 ? spawn->in : child->null, STDIN_FILENO) < 0)
		return -errno;
	if ((spawn->out >= 0 && dup2(spawn->out, STDOUT_FILENO) < 0) || (spawn->err >= 0 && dup2(spawn->err, STDERR_FILENO) < 0))
		return -errno;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) ? -errno : 0;
}

CHILD_SIDE static int run_child(void *context)
{
	struct child *child = context;
	char *const nothing[] = { NULL };
	child->failed = prepare(child);
	if (!child->failed) {
		execve(child->path, child->spawn->argv, child->spawn->env ? child->spawn->env : nothing);
		child->failed = -errno;
	}
	_exit(EXIT_FAILURE);
}

/*
 * vfork with what only clone3 has: the control group, which costs a grace period to change later, and a process descriptor. The
 * child has a stack of its own, so that nothing of this frame is written under the parent's feet.
 */
CHILD_SIDE __attribute__((noinline)) static long start_child(struct child *child, int *pidfd)
{
	_Alignas(16) char stack[CHILD_STACK];
	const struct spawn *spawn = child->spawn;
	struct clone_args args = { .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND | spawn->namespaces,
		.pidfd = (uintptr_t)pidfd, .parent_tid = (uintptr_t)&child->pid, .exit_signal = SIGCHLD, .stack = (uintptr_t)stack, .stack_size = sizeof(stack) };
	if (spawn->cgroup >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)spawn->cgroup;
	}
	long result;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %[child], %%rdi\n\t"
			 "mov %[run], %%rax\n\t"
			 "xor %%ebp, %%ebp\n\t" /* where one of the two may have been */
			 "call *%%rax\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone3), "D"(&args), "S"(sizeof(args)), [child] "r"(child), [run] "r"(run_child)
			 : "rcx", "r11", "memory");
	if (result != -ENOSYS || spawn->cgroup >= 0 || spawn->pid_word)
		return result;
	/* Container engines refuse clone3, whose flags their filters cannot see. */
	child->has_handlers = true;
	int pid = clone(run_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD | (int)spawn->namespaces, child, pidfd);
	return pid < 0 ? -errno : pid;
}

/* ---- the parent ---- */

static int check(const struct spawn *spawn, struct error *error)
{
	if (spawn->die_with_us && (pid_t)syscall(SYS_gettid) != getpid())
		return error_set(error, -EINVAL, "only the main thread can start what shall die with the process");
	return 0;
}

int spawn_start(const struct spawn *spawn, const char *program, struct spawned *out, struct error *error)
{
	char room[256];
	*out = SPAWNED_NONE;
	struct child child = { .spawn = spawn, .path = spawn_find(program, room, sizeof(room)), .null = -1 };
	child.parent = spawn->namespaces & CLONE_NEWPID ? 0 : getpid();
	if (!child.path)
		return error_set(error, -ENOENT, "%s is not installed", program);
	int err = check(spawn, error);
	if (err)
		return err;
	if (!spawn->inherit_in && spawn->in < 0 && (child.null = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
		return error_set(error, -errno, "/dev/null: %s", strerror(errno));
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	int pidfd = -1;
	long pid = start_child(&child, &pidfd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (child.null >= 0)
		close(child.null);
	if (pid > 0)
		*out = (struct spawned){ .pid = (pid_t)pid, .pidfd = pidfd };
	if (pid > 0 && child.failed)
		spawned_wait(out);
	err = pid < 0 ? (int)pid : child.failed;
	return err ? error_set(error, err, "%s: %s", child.path, strerror(-err)) : 0;
}

bool spawned_ends(const struct spawned *child, int milliseconds)
{
	struct pollfd poll_fd = { .fd = child->pidfd, .events = POLLIN };
	int n;
	while ((n = poll(&poll_fd, 1, milliseconds)) < 0 && errno == EINTR)
		;
	return n == 1;
}

int spawned_wait(struct spawned *child)
{
	int status = 0;
	while (child->pid > 0 && waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	spawned_leave(child);
	return status;
}

void spawned_leave(struct spawned *child)
{
	if (child->pidfd >= 0)
		close(child->pidfd);
	*child = SPAWNED_NONE;
}
