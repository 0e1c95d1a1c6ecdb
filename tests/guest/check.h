/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest tests: each program runs as a process and in a VM, and prints the same lines in both. So a line says what was
 * found out, never an address, a time or a number that may differ.
 */
#ifndef TESTS_GUEST_CHECK_H
#define TESTS_GUEST_CHECK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int check_failures;

static inline bool check_say(bool good, const char *text, int line)
{
	int saved = errno;

	if (good) {
		printf("ok %s\n", text);
	} else {
		printf("FAIL line %d: %s (errno %d %s)\n", line, text, saved, strerror(saved));
		check_failures++;
	}
	fflush(stdout);
	return good;
}
/* One fact that must hold. */
#define CHECK(expression) check_say((expression), #expression, __LINE__)
/* A call that must fail with this errno. */
#define FAILS(call, number) check_say((errno = 0, (long)(call) == -1) && errno == (number), #call " fails with " #number, __LINE__)
/* A call that must answer this integer. */
static inline bool check_is(long got, long want, const char *text, int line)
{
	if (got == want)
		return check_say(true, text, line);
	printf("line %d: got %ld, wanted %ld\n", line, got, want);
	return check_say(false, text, line);
}
#define IS(call, want) check_is((long)(call), (long)(want), #call " = " #want, __LINE__)

/* On the library OS: for what an older kernel, or a real disk, would not show. */
static inline bool in_vm(void)
{
	struct utsname names;

	return !uname(&names) && strstr(names.version, "LightVM");
}

/* The exit status of main(). */
static inline int check_end(void)
{
	printf(check_failures ? "%d failed\n" : "all good\n", check_failures);
	return check_failures ? 1 : 0;
}

static inline int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A new empty directory, which becomes the working directory. */
static inline void check_scratch(void)
{
	static char name[256];
	const char *parent = getenv("TMPDIR");

	snprintf(name, sizeof(name), "%s/guest.XXXXXX", parent ? parent : "/tmp");
	if (!mkdtemp(name) || chdir(name)) {
		printf("FAIL no scratch directory %s: %s\n", name, strerror(errno));
		exit(1);
	}
}

#endif
