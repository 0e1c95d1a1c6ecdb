/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that reach into each other: memory, descriptors, and what they have in common. */
#include <fcntl.h>
#include <linux/kcmp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

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

/* Opened and read; -1 and errno if either does not go. */
static long read_of(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY);
	long n = fd < 0 ? -1 : read(fd, text, size - 1);
	int why = errno;

	text[n < 0 ? 0 : n] = 0;
	close(fd);
	errno = why;
	return n;
}

/* Field n of /proc/PID/stat, of those behind the name, which is the second one. */
static unsigned long stat_field(pid_t pid, int n)
{
	char text[1024];
	const char *at = read_of(pid, "stat", text, sizeof(text)) > 0 ? strrchr(text, ')') : NULL;

	for (n -= 2; at && n--;)
		at = strchr(at + 1, ' ');
	return at ? strtoul(at, NULL, 10) : 12345;
}

/* What /proc tells everybody of another user's process, and what it does not. */
static void check_proc(pid_t root)
{
	static const char *const open_ones[] = { "cmdline", "status", "statm", "limits", "mounts", "comm", "oom_score_adj" };
	static const char *const closed[] = { "environ", "maps", "smaps", "smaps_rollup", "auxv", "io", "mem", "pagemap", "personality", "fdinfo/0", "fd/0", "exe", "ns/net" };
	static const char *const links[] = { "exe", "cwd", "root", "fd/0", "ns/net", "ns/uts" };
	char text[256], path[64];

	for (size_t i = 0; i < sizeof(open_ones) / sizeof(*open_ones); i++)
		if (!CHECK(read_of(root, open_ones[i], text, sizeof(text)) > 0))
			printf("%s\n", open_ones[i]);
	for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++)
		if (!CHECK(read_of(root, closed[i], text, sizeof(text)) == -1 && errno == EACCES))
			printf("%s\n", closed[i]);
	snprintf(path, sizeof(path), "task/%d/maps", root);
	CHECK(read_of(root, path, text, sizeof(text)) == -1 && errno == EACCES);
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", root, links[i]);
		if (!CHECK(readlink(path, text, sizeof(text)) == -1 && errno == EACCES))
			printf("%s\n", links[i]);
	}
	snprintf(path, sizeof(path), "/proc/%d/root/etc", root);
	FAILS(open(path, O_PATH), EACCES);
	snprintf(path, sizeof(path), "/proc/%d/cwd/file", root);
	FAILS(access(path, F_OK), EACCES);
	IS(stat_field(root, 26), 1); /* where its code begins */
	IS(stat_field(root, 28), 0); /* and its stack */
	CHECK(stat_field(root, 23) > 1);
}

/* A child with this user and group, which others of both may look at. */
static pid_t child_of(uid_t uid, gid_t gid, int *go)
{
	int pipes[2];
	char byte;

	if (pipe(pipes))
		return -1;
	pid_t pid = fork();

	if (pid) {
		bool ready = read(pipes[0], &byte, 1) == 1;

		*go = pipes[1];
		close(pipes[0]);
		return ready ? pid : -1;
	}
	if (syscall(SYS_setresgid, gid, gid, gid) || syscall(SYS_setresuid, uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1) || write(pipes[1], "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* /proc/PID/fd may be listed by who has the user of the process; what is in it is for who may look into the process, which needs the group as well. */
static void check_open_files(void)
{
	static const char *const names[] = { "fd/0", "fdinfo/0" };
	int go;
	pid_t target = child_of(1000, 1001, &go);

	for (gid_t gid = 1001; gid <= 1002; gid++) {
		pid_t pid = fork();

		if (pid) {
			CHECK(reaped(pid, 0));
			continue;
		}
		char path[64], text[256];

		if (syscall(SYS_setresgid, gid, gid, gid) || syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(1);
		snprintf(path, sizeof(path), "/proc/%d/fd", target);
		CHECK(!close(open(path, O_RDONLY | O_DIRECTORY)));
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
			snprintf(path, sizeof(path), "/proc/%d/%s", target, names[i]);
			int fd = open(path, O_PATH), why = errno;

			if (!CHECK(gid == 1001 ? !close(fd) : fd == -1 && why == EACCES))
				printf("%s: %d, errno %d\n", names[i], fd, why);
		}
		snprintf(path, sizeof(path), "/proc/%d/fd/0", target);
		CHECK(gid == 1001 ? readlink(path, text, sizeof(text)) > 0 : readlink(path, text, sizeof(text)) == -1 && errno == EACCES);
		_exit(check_end());
	}
	CHECK(!kill(target, SIGKILL) && waitpid(target, NULL, 0) == target);
	close(go);
}

static bool links_are_protected(void)
{
	char text[2] = "";
	int fd = open("/proc/sys/fs/protected_hardlinks", O_RDONLY);
	bool are = read(fd, text, 1) == 1 && text[0] == '1';

	close(fd);
	return are || in_vm();
}

/* A name of another user's file; here is a directory that all may write. */
static void check_links(void)
{
	CHECK(!links_are_protected() || (link("secret", "name") == -1 && errno == EPERM));
	CHECK(!links_are_protected() || (link("readable", "name") == -1 && errno == EPERM));
	CHECK(!links_are_protected() || (link("set-id", "name") == -1 && errno == EPERM));
	CHECK(!links_are_protected() || (link("fifo", "name") == -1 && errno == EPERM));
	FAILS(open("readable", O_RDONLY | O_TRUNC), EACCES);
	FAILS(open("nobody's", O_RDONLY | O_TRUNC), ENOENT);
	FAILS(open(".", O_RDONLY | O_TRUNC), EISDIR);
	CHECK(!link("shared", "name") && !unlink("name"));
	CHECK(!close(open("own", O_RDWR | O_CREAT, 0400)) && !link("own", "name") && !unlink("name"));
}

static void make_files(void)
{
	static const struct { const char *name; mode_t mode; } files[] = { { "secret", 0600 }, { "readable", 0644 }, { "shared", 0666 }, { "set-id", 04777 } };

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		CHECK(!close(open(files[i].name, O_RDWR | O_CREAT, 0600)) && !chmod(files[i].name, files[i].mode));
	CHECK(!mkfifo("fifo", 0600) && !chmod("fifo", 0666) && !chmod(".", 0777));
}

static void check_rights(void)
{
	char text[4];
	struct iovec own = { text, 1 }, others = { text, 1 };
	void *head;
	size_t len;

	make_files();
	pid_t root = getpid(), pid = fork();

	if (!pid) {
		int fd = (int)syscall(SYS_pidfd_open, root, 0);

		if (syscall(SYS_setresgid, 1000, 1000, 1000) || syscall(SYS_setresuid, 1000, 1000, 1000))
			_exit(1);
		FAILS(process_vm_readv(root, &own, 1, &others, 1, 0), EPERM);
		FAILS(process_vm_writev(root, &own, 1, &others, 1, 0), EPERM);
		FAILS(syscall(SYS_pidfd_getfd, fd, 0, 0), EPERM);
		FAILS(syscall(SYS_kcmp, root, root, KCMP_VM, 0, 0), EPERM);
		FAILS(syscall(SYS_get_robust_list, root, &head, &len), EPERM);
		IS(syscall(SYS_get_robust_list, 0, &head, &len), 0);
		FAILS(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
		FAILS(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), EPERM);
		FAILS(socket(AF_INET, SOCK_RAW, IPPROTO_RAW), EPERM);
		check_proc(root);
		check_links();
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

/* A timer's signals go to threads of the process that makes it. */
static void check_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL | SIGEV_THREAD_ID, .sigev_signo = SIGUSR1 };
	timer_t timer;
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	event._sigev_un._tid = pid;
	FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event._sigev_un._tid = 999999;
	FAILS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), EINVAL);
	event._sigev_un._tid = getpid();
	IS(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), 0);
	CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
}

/* ---- advice for another process' memory ---- */

static void check_advice(void)
{
	char *memory = map(PROT_READ | PROT_WRITE);
	struct iovec all = { memory, 4096 }, odd = { memory + 1, 4096 }, hole = { (void *)4096, 4096 };
	pid_t child = fork();

	if (!child) {
		pause();
		_exit(0);
	}
	int fd = (int)syscall(SYS_pidfd_open, child, 0);

	IS(syscall(SYS_process_madvise, fd, &all, 1, MADV_COLD, 0), 4096);
	IS(syscall(SYS_process_madvise, fd, &all, 1, MADV_WILLNEED, 0), 4096);
	IS(syscall(SYS_process_madvise, fd, &all, 0, MADV_COLD, 0), 0);
	FAILS(syscall(SYS_process_madvise, fd, &all, 1, MADV_COLD, 1), EINVAL);
	FAILS(syscall(SYS_process_madvise, fd, &all, 1, MADV_DONTNEED, 0), EINVAL);
	FAILS(syscall(SYS_process_madvise, fd, &odd, 1, MADV_COLD, 0), EINVAL);
	FAILS(syscall(SYS_process_madvise, fd, &hole, 1, MADV_COLD, 0), ENOMEM);
	FAILS(syscall(SYS_process_madvise, fd, (void *)16, 1, MADV_COLD, 0), EFAULT);
	FAILS(syscall(SYS_process_madvise, -1, &all, 1, MADV_COLD, 0), EBADF);
	FAILS(syscall(SYS_process_madvise, 0, &all, 1, MADV_COLD, 0), EBADF);
	kill(child, SIGKILL);
	IS(waitpid(child, NULL, 0), child);
	FAILS(syscall(SYS_process_madvise, fd, &all, 1, MADV_COLD, 0), ESRCH);
	close(fd);
}

int main(void)
{
	check_scratch();
	check_memory();
	check_descriptors();
	check_timers();
	check_advice();
	if (!getuid())
		check_rights();
	if (!getuid())
		check_open_files();
	return check_end();
}
