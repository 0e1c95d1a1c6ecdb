/* SPDX-License-Identifier: Apache-2.0 */
/* What calls answer at their edges, where the process itself or a child of it is asked about. */
#include "check.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A child that does nothing, or ends at once with 4. */
static pid_t child(bool ends)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	while (!ends)
		pause();
	_exit(4);
}

static void waits(void)
{
	siginfo_t info;

	memset(&info, 0xee, sizeof(info));
	CHECK(waitid(P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD && info.si_signo == 0);
	memset(&info, 0xee, sizeof(info));
	CHECK(syscall(SYS_waitid, P_ALL, 0, &info, 0, NULL) == -1 && errno == EINVAL && info.si_signo == 0 && info.si_pid == 0);
	pid_t pid = child(false);
	int fd = (int)syscall(SYS_pidfd_open, pid, O_NONBLOCK);

	CHECK(fd >= 0);
	FAILS(waitid((idtype_t)3 /* P_PIDFD */, (id_t)fd, &info, WEXITED), EAGAIN);
	IS(waitid((idtype_t)3, (id_t)fd, &info, WEXITED | WNOHANG), 0);
	kill(pid, SIGKILL);
	IS(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	IS(waitid((idtype_t)3, (id_t)fd, &info, WEXITED), 0);
	CHECK(info.si_code == CLD_KILLED && info.si_status == SIGKILL);
	close(fd);
}

static void signals_as_files(void)
{
	struct signalfd_siginfo told = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int fd = signalfd(-1, &set, 0);
	pid_t pid = child(true);

	IS(read(fd, &told, sizeof(told)), sizeof(told));
	CHECK(told.ssi_signo == SIGCHLD && told.ssi_code == CLD_EXITED && told.ssi_pid == (uint32_t)pid && told.ssi_uid == getuid() && told.ssi_status == 4);
	CHECK(!told.ssi_addr && !told.ssi_ptr);
	IS(waitpid(pid, NULL, 0), pid);
	int ends[2];

	static const int signals[] = { 0, SIGUSR1, SIGWINCH }; /* 0: a real-time one; the others have no codes of their own */

	CHECK(!pipe(ends) && !fcntl(ends[0], F_SETOWN, getpid()) && !fcntl(ends[0], F_SETFL, O_ASYNC));
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		int signo = signals[i] ? signals[i] : SIGRTMIN + 1;

		IS(fcntl(ends[0], F_SETSIG, signo), 0);
		sigaddset(&set, signo);
		sigprocmask(SIG_BLOCK, &set, NULL);
		IS(signalfd(fd, &set, 0), fd);
		IS(write(ends[1], "x", 1), 1);
		IS(read(fd, &told, sizeof(told)), sizeof(told));
		CHECK(told.ssi_signo == (uint32_t)signo && told.ssi_code == POLL_IN && told.ssi_fd == ends[0] && told.ssi_band & 1 && !told.ssi_addr);
	}
	IS(fcntl(ends[0], F_SETSIG, SIGSEGV), 0); /* which has: there is one code for all that can have happened */
	sigaddset(&set, SIGSEGV);
	sigprocmask(SIG_BLOCK, &set, NULL);
	IS(signalfd(fd, &set, 0), fd);
	IS(write(ends[1], "x", 1), 1);
	IS(read(fd, &told, sizeof(told)), sizeof(told));
	CHECK(told.ssi_signo == SIGSEGV && told.ssi_code == SI_SIGIO && told.ssi_fd == ends[0] && told.ssi_band & 1 && !told.ssi_addr);
}

static void clocks(void)
{
	static const clockid_t unfit[] = { CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE };
	const struct timespec soon = { .tv_nsec = 1 };
	timer_t timer;

	for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
		FAILS(timer_create(unfit[i], NULL, &timer), EOPNOTSUPP);
		IS(clock_nanosleep(unfit[i], 0, &soon, NULL), EOPNOTSUPP);
	}
	/* A machine may have a clock that wakes it; a VM has none. */
	CHECK(!in_vm() || (timer_create(CLOCK_BOOTTIME_ALARM, NULL, &timer) == -1 && errno == EOPNOTSUPP));
	CHECK(!in_vm() || clock_nanosleep(CLOCK_REALTIME_ALARM, 0, &soon, NULL) == EOPNOTSUPP);
}

static long clone3_with(uint64_t flags, uint64_t stack, uint64_t size)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD, .stack = stack, .stack_size = size };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (!pid)
		_exit(1); /* of a call that should have failed */
	return pid;
}

static void clones(void)
{
	FAILS(clone3_with(1ull << 36, 0, 0), EINVAL);
	FAILS(clone3_with(CLONE_FS | CLONE_NEWNS, 0, 0), EINVAL);
	FAILS(clone3_with(0, 4096, 0), EINVAL);
	FAILS(clone3_with(0, 0, 4096), EINVAL);
	FAILS(clone3_with(0, UINT64_MAX - 4095, 4096), EINVAL);
}

static void files(void)
{
	struct timespec omit[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	int fd = open("file", O_CREAT | O_RDWR, 0600), dir = open(".", O_RDONLY);
	int64_t from = -1, to = 0;
	struct statx about;
	int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);

	IS(utimensat(AT_FDCWD, "missing", omit, 0), 0);
	FAILS(syscall(SYS_utimensat, fd, NULL, NULL, AT_SYMLINK_NOFOLLOW), EINVAL);
	IS(write(fd, "0123456789", 10), 10);
	FAILS(copy_file_range(dir, NULL, fd, NULL, 5, 0), EISDIR);
	FAILS(copy_file_range(fd, NULL, dir, NULL, 5, 0), EISDIR);
	FAILS(copy_file_range(fd, &from, fd, &to, 5, 0), EOVERFLOW);
	CHECK(!statx(AT_FDCWD, "/proc", 0, STATX_TYPE, &about) && about.stx_attributes & STATX_ATTR_MOUNT_ROOT);
	CHECK(!statx(AT_FDCWD, "/proc/sys", 0, STATX_TYPE, &about) && !(about.stx_attributes & STATX_ATTR_MOUNT_ROOT));
	CHECK(about.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT);
	CHECK(!ftruncate(sealed, 4112) && !fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW));
	IS(pwrite(sealed, "0123456789", 10, 4090), 10);
	FAILS(pwrite(sealed, "0123456789", 10, 4110), EPERM);
	static const char page[4096];

	IS(pwrite(sealed, page, sizeof(page), 100), 3996);
}

static void memory(void)
{
	char *at = mmap(NULL, 16384, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	IS(madvise(at, 4096, 22 /* MADV_POPULATE_READ */), 0);
	FAILS(madvise(at, 4096, 23 /* MADV_POPULATE_WRITE */), EINVAL);
	IS(mprotect(at, 4096, PROT_NONE), 0);
	FAILS(madvise(at, 4096, 22), EINVAL);
	FAILS(mremap(at, 8192, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at + 4096), EINVAL);
}

/* Is there a line of this identifier, with this in the column? */
static bool told(const char *file, int id, int column, long value)
{
	char line[512];
	FILE *in = fopen(file, "r");
	bool found = false;

	while (in && !found && fgets(line, sizeof(line), in)) {
		long number[16] = { 0 };
		int n = 0;

		for (char *word = strtok(line, " "); word && n < 16; word = strtok(NULL, " "))
			number[n++] = strtol(word, NULL, 10);
		found = n > column && number[1] == id && number[column] == value;
	}
	if (in)
		fclose(in);
	return found;
}

static void sysv(void)
{
	int shm = shmget(IPC_PRIVATE, 5000, 0640), sem = semget(IPC_PRIVATE, 3, 0600), msg = msgget(IPC_PRIVATE, 0600);
	struct { long type; char text[8]; } message = { .type = 1, .text = "seven" };

	CHECK(shm >= 0 && sem >= 0 && msg >= 0);
	CHECK(told("/proc/sysvipc/shm", shm, 3, 5000) && told("/proc/sysvipc/shm", shm, 2, 640) && told("/proc/sysvipc/shm", shm, 6, 0));
	void *at = shmat(shm, NULL, 0);

	CHECK(told("/proc/sysvipc/shm", shm, 6, 1) && told("/proc/sysvipc/shm", shm, 4, getpid()));
	CHECK(told("/proc/sysvipc/sem", sem, 3, 3));
	IS(msgsnd(msg, &message, 7, 0), 0);
	CHECK(told("/proc/sysvipc/msg", msg, 3, 7) && told("/proc/sysvipc/msg", msg, 4, 1) && told("/proc/sysvipc/msg", msg, 5, getpid()));
	CHECK(!shmdt(at) && !shmctl(shm, IPC_RMID, NULL) && !semctl(sem, 0, IPC_RMID) && !msgctl(msg, IPC_RMID, NULL));
	CHECK(!told("/proc/sysvipc/shm", shm, 3, 5000) && !told("/proc/sysvipc/sem", sem, 3, 3) && !told("/proc/sysvipc/msg", msg, 3, 7));
}

int main(void)
{
	check_scratch();
	waits();
	signals_as_files();
	clocks();
	clones();
	files();
	memory();
	sysv();
	return check_end();
}
