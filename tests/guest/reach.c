/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that reach into each other: memory, descriptors, and what they have in common. */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "check.h"

#define PAGE 4096

static char *map(int prot)
{
	return mmap(NULL, 2 * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static bool reaped(pid_t pid, int wanted)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

/* A child that waits for a byte, and then says whether what it sees is "theirs". */
static pid_t child_with(char *memory, int *go)
{
	int pipes[2];
	char byte;

	if (pipe(pipes))
		return -1;
	pid_t pid = fork();

	*go = pipes[1];
	if (!pid) {
		close(pipes[1]);
		_exit(read(pipes[0], &byte, 1) == 1 && !strcmp(memory, "theirs") ? 7 : 1);
	}
	close(pipes[0]);
	return pid;
}

#define READ(own, others) process_vm_readv(pid, own, sizeof(own) / sizeof(*own), others, sizeof(others) / sizeof(*others), 0)
#define WRITE(own, others) process_vm_writev(pid, own, sizeof(own) / sizeof(*own), others, sizeof(others) / sizeof(*others), 0)

static void check_memory(void)
{
	char *memory = map(PROT_READ | PROT_WRITE), *fixed = map(PROT_READ), text[16] = "theirs", got[32] = "";
	int go;

	strcpy(memory, "before");
	strcpy(memory + PAGE - 2, "across");
	pid_t pid = child_with(memory, &go);

	strcpy(memory, "mine");
	{
		struct iovec own[2] = { { got, 3 }, { got + 3, 20 } }, others[3] = { { memory, 4 }, { NULL, 0 }, { memory + PAGE - 2, 7 } };

		IS(READ(own, others), 11);
		CHECK(!memcmp(got, "befoacross", 11));
	}
	{
		struct iovec own[1] = { { text, 7 } }, others[1] = { { memory, 7 } };

		IS(WRITE(own, others), 7);
		CHECK(!strcmp(memory, "mine"));
		IS(process_vm_readv(pid, own, 0, others, 1, 0), 0);
		IS(process_vm_readv(pid, own, 1, others, 0, 0), 0);
		FAILS(process_vm_readv(pid, own, 1, others, 1, 1), EINVAL);
		FAILS(process_vm_readv(pid, own, 1025, others, 1, 0), EINVAL);
		FAILS(process_vm_readv(pid, own, 1, others, 1025, 0), EINVAL);
		FAILS(process_vm_readv(999999, own, 1, others, 1, 0), ESRCH);
	}
	{
		struct iovec own[1] = { { text, 7 } }, others[2] = { { memory + PAGE, 4 }, { (void *)PAGE, 7 } }, nowhere[1] = { { (void *)PAGE, 7 } }, constant[1] = { { fixed, 7 } };

		IS(READ(own, others), 4); /* as far as it goes */
		FAILS(READ(own, nowhere), EFAULT);
		FAILS(WRITE(own, constant), EFAULT);
		FAILS(READ(nowhere, others), EFAULT);
		FAILS(process_vm_readv(pid, (void *)PAGE, 1, others, 1, 0), EFAULT);
		FAILS(process_vm_readv(pid, own, 1, (void *)PAGE, 1, 0), EFAULT);
		own[0].iov_len = -1l;
		FAILS(READ(own, nowhere), EINVAL);
	}
	CHECK(write(go, "", 1) == 1 && reaped(pid, 7));
	close(go);
	{
		struct iovec own[1] = { { got, 5 } }, others[1] = { { memory, 5 } };

		pid = getpid(); /* itself */
		CHECK(READ(own, others) == 5 && !strcmp(got, "mine"));
		strcpy(got, "self");
		CHECK(WRITE(own, others) == 5 && !strcmp(memory, "self"));
	}
}

static void check_rights(void)
{
	char text[4];
	struct iovec own = { text, 1 }, others = { text, 1 };
	pid_t root = getpid(), pid = fork();

	if (!pid) {
		int fd = (int)syscall(SYS_pidfd_open, root, 0);

		if (syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(1);
		FAILS(process_vm_readv(root, &own, 1, &others, 1, 0), EPERM);
		FAILS(process_vm_writev(root, &own, 1, &others, 1, 0), EPERM);
		FAILS(syscall(SYS_pidfd_getfd, fd, 0, 0), EPERM);
		FAILS(syscall(SYS_kcmp, root, root, KCMP_VM, 0, 0), EPERM);
		_exit(check_end());
	}
	CHECK(reaped(pid, 0));
}

static void check_descriptors(void)
{
	int go, file = open("file", O_RDWR | O_CREAT, 0600), of_child, pidfd;
	char memory[] = "theirs", text[8];
	pid_t pid;

	CHECK(write(file, "content", 8) == 8);
	pid = child_with(memory, &go);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	close(file);
	of_child = (int)syscall(SYS_pidfd_getfd, pidfd, file, 0);
	CHECK(of_child >= 0 && fcntl(of_child, F_GETFD) == FD_CLOEXEC && pread(of_child, text, 8, 0) == 8 && !strcmp(text, "content"));
	IS(syscall(SYS_kcmp, pid, getpid(), KCMP_FILE, file, of_child), 0);
	CHECK(syscall(SYS_kcmp, pid, getpid(), KCMP_FILE, file, go) > 0);
	FAILS(syscall(SYS_kcmp, pid, getpid(), KCMP_FILE, 99, of_child), EBADF);
	FAILS(syscall(SYS_kcmp, pid, 999999, KCMP_FILE, file, of_child), ESRCH);
	FAILS(syscall(SYS_kcmp, pid, getpid(), 99, 0, 0), EINVAL);
	IS(syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0), 0);
	CHECK(syscall(SYS_kcmp, pid, getpid(), KCMP_VM, 0, 0) > 0);
	CHECK(syscall(SYS_kcmp, pid, getpid(), KCMP_FILES, 0, 0) > 0);
	FAILS(syscall(SYS_pidfd_getfd, pidfd, 99, 0), EBADF);
	FAILS(syscall(SYS_pidfd_getfd, of_child, 0, 0), EBADF);
	FAILS(syscall(SYS_pidfd_getfd, pidfd, file, 1), EINVAL);
	CHECK(write(go, "", 1) == 1 && reaped(pid, 7));
	FAILS(syscall(SYS_pidfd_getfd, pidfd, file, 0), ESRCH);
}

int main(void)
{
	check_scratch();
	check_memory();
	check_descriptors();
	if (!getuid())
		check_rights();
	return check_end();
}
