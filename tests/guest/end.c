/* SPDX-License-Identifier: Apache-2.0 */
/* Ends in the way that its argument names. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>

#include "check.h"

__attribute__((noinline)) static void poke_nothing(void)
{
	*(volatile int *)0x10 = 42;
}

__attribute__((noinline)) static int divide(volatile int by)
{
	return 10 / by;
}

static void *leave(void *status)
{
	exit((int)(long)status);
}

static void *last_thread(void *unused)
{
	printf("the last thread\n");
	fflush(stdout);
	return unused;
}

static void at_exit(void)
{
	printf("at exit\n");
}

static int overflow(int depth)
{
	volatile char frame[4096];

	frame[0] = (char)depth;
	return depth < 0 ? frame[0] : overflow(depth + 1) + frame[0];
}

static void in_thread(void *(*start)(void *))
{
	pthread_t thread;

	pthread_create(&thread, NULL, start, (void *)5l);
	if (start == leave)
		pthread_join(thread, NULL);
	pthread_exit(NULL);
}

static void end(const char *how)
{
	if (!strncmp(how, "exit", 4))
		exit(atoi(how + 4));
	else if (!strncmp(how, "signal", 6))
		kill(getpid(), atoi(how + 6));
	else if (!strcmp(how, "quick"))
		_exit(6);
	else if (!strcmp(how, "abort"))
		abort();
	else if (!strcmp(how, "segv"))
		poke_nothing();
	else if (!strcmp(how, "fpe"))
		printf("%d\n", divide(0));
	else if (!strcmp(how, "ill"))
		__asm__ volatile("ud2");
	else if (!strcmp(how, "trap"))
		__asm__ volatile("int3");
	else if (!strcmp(how, "hlt"))
		__asm__ volatile("hlt");
	else if (!strcmp(how, "overflow"))
		overflow(0);
	else if (!strcmp(how, "jump"))
		((void (*)(void))0x123456)();
	else if (!strcmp(how, "thread-exit"))
		in_thread(leave);
	else if (!strcmp(how, "last-thread"))
		in_thread(last_thread);
	else
		printf("no such end: %s\n", how);
}

int main(int argc, char **argv)
{
	atexit(at_exit);
	printf("before\n");
	fflush(stdout);
	if (argc > 1)
		end(argv[1]);
	return 0;
}
