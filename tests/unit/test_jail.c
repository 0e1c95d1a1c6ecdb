/* SPDX-License-Identifier: Apache-2.0 */
/* The jail, each time in a process of its own: what must work still does, and what must not work kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "vmm/jail/jail.h"
#include "base/loop.h"

/* Runs inside() in a jailed child; its wait status. */
static int run(struct jail *jail, int (*inside)(void))
{
	pid_t pid = fork();
	const char *step;
	int status;

	if (!pid)
		_exit(jail_enter(jail, JAIL_CREATED, &step) || jail_enter(jail, JAIL_RUNNING, &step) ? 99 : inside());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* What the monitor does after the jail: a loop thread, timers, memory. */
static struct loop open_loop;
static struct loop_timer timer;

static bool timer_fired;

static void fired(void *context)
{
	timer_fired = true;
}

static bool has_fired(void *context)
{
	return timer_fired;
}

static int loop_in_thread(void)
{
	timer.fire = fired;
	if (loop_start(&open_loop))
		return 1;
	loop_lock(&open_loop);
	loop_timer_set(&open_loop, &timer, 1);
	loop_unlock(&open_loop);
	loop_finish(&open_loop, has_fired, NULL);
	if (mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return 2;
	return 0;
}

/* It is there before the last filter, which is its own, too. */
static struct loop_watch poke;
static int poke_fd;

static void on_poke(void *context, uint32_t events)
{
	syscall(SYS_getrandom, NULL, 0, 0);
}

static int thread_ahead(bool asks)
{
	struct jail jail = { .ahead = true, .descriptors = 64 };
	const char *step;
	uint64_t one = 1;

	timer.fire = fired;
	if (loop_init(&open_loop) || jail_enter(&jail, JAIL_CREATED, &step) || loop_start(&open_loop))
		return 1;
	loop_lock(&open_loop);
	poke = (struct loop_watch){ .fd = poke_fd, .ready = on_poke };
	if (jail_enter(&jail, JAIL_RUNNING, &step) || loop_update(&open_loop, &poke, EPOLLIN))
		return 2;
	if (asks && write(poke_fd, &one, sizeof(one)) < 0)
		return 3;
	loop_unlock(&open_loop);
	while (asks)
		poll(NULL, 0, -1);
	loop_dismiss(&open_loop);
	return 0;
}

static void test_thread_ahead(void **state)
{
	for (int asks = 0; asks < 2; asks++) {
		int status;
		pid_t pid;

		poke_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (!(pid = fork()))
			_exit(thread_ahead(asks));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, asks ? SIGSYS : 0);
		close(poke_fd);
	}
}

static void test_allowed(void **state)
{
	struct jail basic = { .descriptors = 64 };

	assert_int_equal(loop_init(&open_loop), 0);
	assert_int_equal(run(&basic, loop_in_thread), 0);
	loop_fini(&open_loop);
}

static int do_open(void) { return open("/etc/passwd", O_RDONLY); }
static int do_socket(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static int do_exec(void) { return execl("/bin/true", "true", (char *)NULL); }
static int do_fork(void) { return fork(); }
static int do_ptrace(void) { return ptrace(PTRACE_TRACEME, 0, NULL, NULL); }
static pid_t getppid_before;

static int do_kill(void) { return kill(getppid_before, 0); }
static int do_ioctl(void) { return ioctl(0, TIOCSTI, "x"); }
static int do_executable(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int do_mprotect(void)
{
	static char page[8192];

	return mprotect((void *)(((uintptr_t)page + 4095) & ~4095ul), 4096, PROT_READ | PROT_EXEC);
}
/* ioctl numbers are 32 bits: an upper half must not smuggle one past the filter, nor hide a good one. */
static int do_wide_ioctl(void) { return syscall(SYS_ioctl, 0, 0x500000000ul | TIOCSTI, "x"); }
static int do_io_uring(void) { return syscall(SYS_io_uring_setup, 8, NULL); }
static int do_x32(void) { return syscall(0x40000000 | SYS_getpid); }
static int do_unix(void) { return socket(AF_UNIX, SOCK_STREAM, 0); }
static int do_connect(void) { return connect(3, NULL, 0); }
static int do_stat(void)
{
	struct stat st;

	return syscall(SYS_newfstatat, -1, "/etc/shadow", &st, AT_EMPTY_PATH);
}
/* A monitor is one of many of its user: it signals nobody but itself, and itself only to kick a vCPU. */
static int do_tkill(void) { return syscall(SYS_tkill, getppid_before, SIGUSR1); }
static int do_tgkill_other(void) { return syscall(SYS_tgkill, getppid_before, getppid_before, SIGUSR1); }
static int do_tgkill_stop(void) { return syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGSTOP); }
static int do_tgkill_wide(void) { return syscall(SYS_tgkill, getpid() | 1ul << 32, syscall(SYS_gettid), SIGKILL); }
static int do_clone_namespace(void) { return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); }
static int do_new_root(void) { return chroot("/"); }
static int do_setuid(void) { return syscall(SYS_setuid, 0); }
static int do_pidfd(void) { return syscall(SYS_pidfd_open, getppid_before, 0); }
static int do_kvm_create(void) { return ioctl(0, KVM_CREATE_VM, 0); }

static void test_forbidden(void **state)
{
	static int (*const forbidden[])(void) = {
		do_open, do_socket, do_exec, do_fork, do_ptrace, do_kill, do_ioctl, do_executable, do_mprotect, do_wide_ioctl,
		do_io_uring, do_x32, do_unix, do_connect, do_stat, do_tkill, do_tgkill_other, do_tgkill_stop, do_tgkill_wide,
		do_clone_namespace, do_new_root, do_setuid, do_pidfd, do_kvm_create,
	};
	static const struct jail kinds[] = { { .descriptors = 64 }, { .descriptors = 64, .disks = true }, { .descriptors = 64, .is_linux = true },
		{ .descriptors = 64, .ahead = true }, { .descriptors = 64, .ahead = true, .disks = true } };
	const unsigned count = sizeof(forbidden) / sizeof(*forbidden);

	getppid_before = getpid();
	for (unsigned i = 0; i < 2 * count; i++) { /* of each call, one that is told its devices before and one that waits for them */
		struct jail jail = kinds[i < count ? i % 3 : 3 + i % 2];
		int status;

		jail.full = jail.required = i % 2;
		status = run(&jail, forbidden[i % count]);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 99) {
			print_message("no namespaces can be made here\n");
			jail.full = false;
			status = run(&jail, forbidden[i % count]);
		}
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
			fail_msg("attempt %u: wait status 0x%x", i, status);
	}
}

/* What one kind of guest needs, the other's monitor may not do. */
static int do_irq_line(void) { return ioctl(-1, KVM_IRQ_LINE, 0) < 0 ? 7 : 0; }
static int do_queue(void) { return ioctl(-1, TUNSETQUEUE, 0) < 0 ? 7 : 0; }
static int do_random(void) { return syscall(SYS_getrandom, NULL, 0, 0) < 0 ? 8 : 7; }
static int do_sync(void) { return fdatasync(-1) < 0 ? 7 : 0; }
static int do_hole(void) { return fallocate(-1, 0, 0, 1) < 0 ? 7 : 0; }
static int do_ring(void) { return syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0) < 0 ? 7 : 0; }

/* What only who waits for a configuration may do. */
static int do_seals(void) { return fcntl(-1, F_GET_SEALS) < 0 ? 7 : 0; }
static int do_eventfd(void) { return eventfd(0, EFD_CLOEXEC) < 0 ? 8 : 7; }
static int do_filter(void) { return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) < 0 ? 7 : 0; }
static int do_tap(void) { unsigned offloads = 0; return ioctl(-1, TUNSETOFFLOAD, offloads) < 0 ? 7 : 0; }
static int do_ring_setup(void) { return syscall(SYS_io_uring_setup, 8, NULL) < 0 ? 7 : 0; }
static int do_open_nothing(void) { return open("/proc/self/fd/0", O_RDONLY) < 0 && errno == EPERM ? 7 : 8; }

/* Only the first of the two stages. */
static int run_waiting(int (*inside)(void))
{
	struct jail jail = { .ahead = true, .descriptors = 64 };
	pid_t pid = fork();
	const char *step;
	int status;

	if (!pid)
		_exit(jail_enter(&jail, JAIL_CREATED, &step) ? 99 : inside());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_waiting(void **state)
{
	static int (*const calls[])(void) = { do_random, do_seals, do_eventfd, do_filter, do_tap, do_ring_setup, do_sync, do_open_nothing };
	static int (*const forbidden[])(void) = { do_socket, do_exec, do_fork, do_ptrace, do_kill, do_ioctl, do_executable, do_mprotect, do_wide_ioctl, do_x32,
		do_unix, do_connect, do_tkill, do_tgkill_other, do_tgkill_stop, do_clone_namespace, do_new_root, do_setuid, do_pidfd, do_kvm_create,
		do_irq_line, do_queue };
	struct jail jail = { .ahead = true, .descriptors = 64 };

	getppid_before = getpid();
	for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		assert_int_equal(WEXITSTATUS(run_waiting(calls[i])), 7);
		assert_int_equal(run(&jail, calls[i]) & 0x7f, SIGSYS);
	}
	for (unsigned i = 0; i < sizeof(forbidden) / sizeof(*forbidden); i++)
		assert_int_equal(run_waiting(forbidden[i]) & 0x7f, SIGSYS);
}

static void test_kinds(void **state)
{
	static const struct {
		int (*call)(void);
		bool for_disks;
	} calls[] = { { do_irq_line, false }, { do_queue, false }, { do_random, false }, { do_sync, true }, { do_hole, true }, { do_ring, true } };
	struct jail libos = { .descriptors = 64 }, disk = { .descriptors = 64, .disks = true }, linux_guest = { .descriptors = 64, .is_linux = true };

	for (unsigned i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		int status = run(&disk, calls[i].call);

		assert_int_equal(run(&libos, calls[i].call) & 0x7f, SIGSYS);
		assert_true(calls[i].for_disks ? WEXITSTATUS(status) == 7 : (status & 0x7f) == SIGSYS);
		assert_int_equal(WEXITSTATUS(run(&linux_guest, calls[i].call)), 7);
	}
}

/* What the monitor is for goes on: a vCPU's thread is kicked. */
static volatile sig_atomic_t kicked;

static void on_kick(int number)
{
	kicked++;
}

static int do_kick(void)
{
	signal(SIGUSR1, on_kick);
	return syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1) < 0 ? 1 : kicked == 1 ? 0 : 2;
}

static int do_much_memory(void)
{
	return mmap(NULL, 512 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED ? 7 : 0;
}

static void test_limits(void **state)
{
	struct jail jail = { .descriptors = 64 };

	assert_int_equal(run(&jail, do_kick), 0);
	assert_int_equal(run(&jail, do_much_memory), 0);
	jail.address_space = 256 << 20;
	assert_int_equal(WEXITSTATUS(run(&jail, do_much_memory)), 7);
}

static int logged_only(void)
{
	return getuid() == (uid_t)-1; /* not in the list */
}

static void test_log_only(void **state)
{
	struct jail log = { .log_only = true, .descriptors = 64 };

	assert_int_equal(run(&log, logged_only), 0);
}

static int rights_left(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || syscall(SYS_capget, &header, data))
		return 1;
	return data[0].effective || data[0].permitted || data[0].inheritable || data[1].effective || data[1].permitted ? 2 : 0;
}

static int bounding_set_left(void)
{
	for (int cap = 0; cap < 40; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && getuid() == 0)
			return 2;
	return rights_left();
}

static void test_rights(void **state)
{
	struct jail log = { .log_only = true, .descriptors = 64 }, full = { .log_only = true, .full = true, .required = true, .descriptors = 64 };
	int status;

	assert_int_equal(run(&log, rights_left), 0);
	status = run(&full, bounding_set_left);
	assert_true(status == 0 || WEXITSTATUS(status) == 99); /* 99: no namespaces can be made here */
}

static int kept[2];

static int descriptors_left(void)
{
	int keep[] = { kept[1], -1, kept[0], 0, kept[1] };

	if (jail_keep_only(keep, 5))
		return 9;
	return fcntl(kept[0], F_GETFD) < 0 ? 1 : fcntl(kept[1], F_GETFD) < 0 ? 2 : fcntl(200, F_GETFD) >= 0 ? 3 :
	       fcntl(kept[0] + 1, F_GETFD) >= 0 ? 4 : fcntl(2, F_GETFD) < 0 ? 5 : 0;
}

static void test_descriptors(void **state)
{
	struct jail log = { .log_only = true, .descriptors = 64 };

	kept[0] = fcntl(0, F_DUPFD, 100);
	kept[1] = fcntl(0, F_DUPFD, 110);
	assert_true(fcntl(0, F_DUPFD, kept[0] + 1) >= 0);
	assert_int_equal(dup2(0, 200), 200);
	assert_int_equal(run(&log, descriptors_left), 0);
}

static int root_is_empty(void)
{
	return access("/etc", F_OK) == 0 ? 1 : access("/proc", F_OK) == 0 ? 2 : access("..", F_OK) != 0 ? 3 : 0;
}

static void test_empty_root(void **state)
{
	struct jail full = { .full = true, .required = true, .log_only = true, .descriptors = 64 };
	int status = run(&full, root_is_empty);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 99) {
		print_message("no namespaces can be made here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

/* ---- with a vsock device ---- */

static char vsock_dir[] = "/tmp/lv-jail-XXXXXX";

static int connects(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "vsock_7" }, other = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(other.sun_path, vsock_dir);
	strcat(other.sun_path, "/vsock_7");
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) || shutdown(fd, SHUT_WR))
		return 1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	return connect(fd, (struct sockaddr *)&other, sizeof(other)) == 0 ? 2 : 0;
}

static void test_vsock(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct jail jail = { .is_linux = true, .dials = true, .descriptors = 64 };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), status;

	assert_non_null(mkdtemp(vsock_dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/vsock_7", vsock_dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 5), 0);
	jail.directory = open(vsock_dir, O_DIRECTORY | O_RDONLY);
	assert_int_equal(WEXITSTATUS(run(&jail, connects)), 2); /* the basic jail hides no other names */
	status = run(&jail, do_socket);
	assert_true(WIFSIGNALED(status));
	/* Who only listens may not call: the guest of every VM that lightvm starts. */
	jail.dials = false;
	assert_int_equal(run(&jail, connects) & 0x7f, SIGSYS);
	jail.dials = jail.full = jail.required = true;
	status = run(&jail, connects);
	jail.directory = -1;
	assert_true(status == 0 || WEXITSTATUS(status) == 99); /* 99: no namespaces can be made here */
	assert_true(WEXITSTATUS(run(&jail, connects)) == (status ? 99 : 1));
	unlink(address.sun_path);
	rmdir(vsock_dir);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vsock),
		cmocka_unit_test(test_allowed), cmocka_unit_test(test_thread_ahead), cmocka_unit_test(test_waiting), cmocka_unit_test(test_forbidden), cmocka_unit_test(test_kinds), cmocka_unit_test(test_limits), cmocka_unit_test(test_log_only),
		cmocka_unit_test(test_rights), cmocka_unit_test(test_descriptors), cmocka_unit_test(test_empty_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
