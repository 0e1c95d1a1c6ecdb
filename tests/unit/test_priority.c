/* SPDX-License-Identifier: Apache-2.0 */
/* A process that is made ahead has less of the processor, with all of its threads, and then as much as we. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/priority.h"

static int go[2], ready[2];

static void *wait_for_end(void *context)
{
	pid_t tid = gettid();
	(void)!write(ready[1], &tid, sizeof(tid));
	for (;;)
		pause();
	return NULL;
}

static void child(void)
{
	pthread_t thread;
	char byte;
	if (read(go[0], &byte, 1) != 1 || pthread_create(&thread, NULL, wait_for_end, NULL))
		_exit(1);
	pause();
	_exit(0);
}

static void lower_and_restore(void **state)
{
	int own = getpriority(PRIO_PROCESS, 0);
	pid_t tid = 0;
	if (geteuid() || sched_getscheduler(0) != SCHED_OTHER)
		skip(); /* nobody else gets a priority back */
	assert_true(!pipe(go) && !pipe(ready));
	pid_t pid = fork();
	if (!pid)
		child();
	assert_true(priority_lower(pid));
	int low = own + 5 < 19 ? own + 5 : 19;
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pid), low);
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(read(ready[0], &tid, sizeof(tid)), sizeof(tid));
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)tid), low);
	priority_restore(pid);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)pid), own);
	assert_int_equal(getpriority(PRIO_PROCESS, (id_t)tid), own);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(priority_lower(pid));
	priority_restore(pid); /* of one that has gone: nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(lower_and_restore) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
