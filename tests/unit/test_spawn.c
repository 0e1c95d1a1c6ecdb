/* SPDX-License-Identifier: Apache-2.0 */
/* base/spawn: what a started program has, and what it does not have. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/spawn.h"

#define PATIENCE_MS 10000

/* Runs argv to its end; out gets what it wrote. Its wait status. */
static int run_as(struct spawn spawn, char *const *argv, char *out, size_t room)
{
	int pair[2];
	struct spawned child;
	struct error error = { 0 };
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	spawn.argv = argv;
	spawn.out = pair[1];
	int err = spawn_start(&spawn, argv[0], &child, &error);
	if (err)
		fail_msg("%s", error.text);
	close(pair[1]);
	size_t size = 0;
	for (ssize_t n; (n = read(pair[0], out + size, room - 1 - size)) > 0;)
		size += (size_t)n;
	out[size] = 0;
	close(pair[0]);
	assert_true(spawned_ends(&child, PATIENCE_MS));
	int status = spawned_wait(&child);
	assert_int_equal(child.pid, 0);
	assert_int_equal(child.pidfd, -1);
	return status;
}

static void environment(void **state)
{
	char out[256], *argv[] = { "/usr/bin/env", NULL };
	setenv("LIGHTVM_TEST_SECRET", "1", 1);
	assert_int_equal(run_as((struct spawn){ SPAWN_INIT }, argv, out, sizeof(out)), 0);
	assert_string_equal(out, "");
	char *env[] = { "A=b", NULL };
	struct spawn given = { SPAWN_INIT, .env = env };
	assert_int_equal(run_as(given, argv, out, sizeof(out)), 0);
	assert_string_equal(out, "A=b\n");
}

static void descriptors(void **state)
{
	char out[256], *argv[] = { "/bin/sh", "-c", "readlink /proc/self/fd/0; ls /proc/self/fd", NULL };
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 20), other = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 30);
	int keep[] = { kept };
	struct spawn spawn = { SPAWN_INIT, .keep = keep, .keep_count = 1 };
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
	assert_string_equal(out, "/dev/null\n0\n1\n2\n20\n3\n"); /* 3 is that of the listing */
	close(kept);
	close(other);
}

static void on_signal(int number)
{
}

/* A handler of ours would run on our memory. What is blocked here is not blocked there. */
static void signals(void **state)
{
	char out[256], *argv[] = { "/usr/bin/sed", "-n", "/^Sig[BIC]/p", "/proc/self/status", NULL };
	sigset_t set, before;
	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	struct spawn spawn = { SPAWN_INIT, .ignore_keys = true };
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGUSR1, SIG_DFL);
	assert_string_equal(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000007\nSigCgt:\t0000000000000000\n");
}

static void failures(void **state)
{
	struct spawned child;
	struct error error = { 0 };
	char *argv[] = { "x", NULL };
	struct spawn spawn = { SPAWN_INIT, .argv = argv };
	assert_int_equal(spawn_start(&spawn, "no-such-program-here", &child, &error), -ENOENT);
	assert_string_equal(error.text, "no-such-program-here is not installed");
	assert_int_equal(spawn_start(&spawn, "/etc/passwd", &child, &error), -EACCES);
	assert_string_equal(error.text, "/etc/passwd: Permission denied");
	assert_int_equal(child.pid, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nothing of it is left */
}

static void *in_thread(void *context)
{
	struct spawned child;
	struct error error = { 0 };
	char *argv[] = { "true", NULL };
	struct spawn spawn = { SPAWN_INIT, .argv = argv, .die_with_us = true };
	*(int *)context = spawn_start(&spawn, "true", &child, &error);
	return NULL;
}

/* The kernel would end the child with the thread, not with the process. */
static void main_thread_only(void **state)
{
	pthread_t thread;
	int err = 0;
	assert_int_equal(pthread_create(&thread, NULL, in_thread, &err), 0);
	pthread_join(thread, NULL);
	assert_int_equal(err, -EINVAL);
	char out[16], *argv[] = { "/bin/echo", "1", NULL };
	struct spawn spawn = { SPAWN_INIT, .die_with_us = true };
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
}

static void namespaces(void **state)
{
	if (getuid())
		skip();
	char out[64], *argv[] = { "/bin/sh", "-c", "echo $$", NULL };
	struct spawn spawn = { SPAWN_INIT, .namespaces = CLONE_NEWPID | CLONE_NEWIPC, .die_with_us = true };
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
	assert_string_equal(out, "1\n");
}

/* The program is told under which number its parent knows it; and has in a user namespace what it will need there. */
static void outer_number(void **state)
{
	char out[64], word[SPAWN_PID_WORD] = "", *argv[] = { "/bin/sh", "-c", "echo $$ $0", word, NULL };
	struct spawn spawn = { SPAWN_INIT, .pid_word = word };
	int own, given;
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
	assert_int_equal(sscanf(out, "%d %d", &own, &given), 2);
	assert_int_equal(own, given);
	spawn.namespaces = CLONE_NEWUSER | CLONE_NEWPID;
	argv[2] = "echo $$ $0 $(grep CapAmb: /proc/self/status)";
	struct spawned child;
	struct error error = { 0 };
	spawn.argv = argv;
	if (spawn_start(&spawn, argv[0], &child, &error))
		skip(); /* no user namespaces here */
	int number = child.pid;
	spawned_wait(&child);
	assert_int_equal(atoi(word), number);
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
	assert_int_equal(sscanf(out, "%d %d", &own, &given), 2);
	assert_int_equal(own, 1);
	assert_int_not_equal(given, 1);
	assert_non_null(strstr(out, "CapAmb: 0000000000240100")); /* SYS_ADMIN, SYS_CHROOT, SETPCAP */
}

static void control_group(void **state)
{
	/* Where the second version is the only one, or beside the first. No right to make one: skipped. */
	bool both = !access("/sys/fs/cgroup/unified/cgroup.procs", F_OK);
	char out[512], path[] = "/sys/fs/cgroup/unified/lightvm-test-XXXXXX", alone[] = "/sys/fs/cgroup/lightvm-test-XXXXXX";
	char *template = both ? path : alone;
	if ((!both && access("/sys/fs/cgroup/cgroup.procs", F_OK)) || !mkdtemp(template))
		skip();
	int dir = open(template, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *argv[] = { "/bin/cat", "/proc/self/cgroup", NULL };
	struct spawn spawn = { SPAWN_INIT };
	spawn.cgroup = dir;
	assert_int_equal(run_as(spawn, argv, out, sizeof(out)), 0);
	close(dir);
	assert_int_equal(rmdir(template), 0);
	assert_non_null(strstr(out, strrchr(template, '/')));
}

int main(void)
{
	syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC: whatever the runner left open */);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(environment),	    cmocka_unit_test(descriptors), cmocka_unit_test(signals),	    cmocka_unit_test(failures),
		cmocka_unit_test(main_thread_only), cmocka_unit_test(namespaces), cmocka_unit_test(outer_number),  cmocka_unit_test(control_group),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
