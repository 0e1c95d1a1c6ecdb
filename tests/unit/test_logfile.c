/* SPDX-License-Identifier: Apache-2.0 */
/* The console log: its bound, and a host that has no room for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vmm/host/logfile.h"

static char block[1 << 20];

static int memory_file(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static uint64_t size_of(const struct logfile *log)
{
	return lseek(log->fd, 0, SEEK_END);
}

static void expect_last(const struct logfile *log, char want, size_t len)
{
	char *bytes = malloc(len);

	assert_int_equal(pread(log->fd, bytes, len, log->end - len), len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], want);
	free(bytes);
}

static void test_bound(void **state)
{
	const struct iovec part = { block, sizeof(block) };
	struct logfile log;

	logfile_init(&log, memory_file());
	for (unsigned i = 0; i < 40; i++) {
		memset(block, 'a' + i % 26, sizeof(block));
		logfile_write(&log, &part, 1);
		assert_true(size_of(&log) <= LOGFILE_LIMIT);
		assert_true(i < 8 || size_of(&log) >= LOGFILE_LIMIT / 2);
	}
	expect_last(&log, 'n', sizeof(block)); /* 39 % 26 */
	assert_false(log.full);
	close(log.fd);
}

/* One write of 32 MiB: its last half of the limit, whatever was there before. */
static void test_large(void **state)
{
	static const unsigned before[] = { 0, 7, 8, 9, 16 };
	struct iovec part[32];
	struct logfile log;

	for (unsigned b = 0; b < 5; b++) {
		logfile_init(&log, memory_file());
		memset(block, 'o', sizeof(block));
		for (unsigned i = 0; i < before[b]; i++)
			logfile_write(&log, &(struct iovec){ block, sizeof(block) }, 1);
		memset(block, 'n', sizeof(block));
		for (unsigned i = 0; i < 32; i++)
			part[i] = (struct iovec){ block, sizeof(block) };
		logfile_write(&log, part, 32);
		assert_true(size_of(&log) <= LOGFILE_LIMIT);
		assert_int_equal(size_of(&log), log.end);
		expect_last(&log, 'n', LOGFILE_LIMIT / 2);
		close(log.fd);
	}
}

/* A log of a version that bounded it less. */
static void test_too_large_before(void **state)
{
	struct logfile log;
	int fd = memory_file();

	assert_int_equal(ftruncate(fd, 40 << 20), 0);
	logfile_init(&log, fd);
	logfile_write(&log, &(struct iovec){ "end", 3 }, 1);
	assert_int_equal(size_of(&log), LOGFILE_LIMIT / 2 + 3);
	close(fd);
}

/* The file may not grow beyond 1 MiB: as in a full file system, what is there can be overwritten. */
static void test_no_room(void **state)
{
	struct rlimit old, small = { 1 << 20, 0 };
	struct logfile log;
	char last[6];

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	logfile_init(&log, memory_file());
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 100; i++) {
		memset(block, 'a' + i % 26, sizeof(block));
		logfile_write(&log, &(struct iovec){ block, 100000 }, 1);
		assert_int_equal(size_of(&log), log.end);
		expect_last(&log, 'a' + i % 26, 100000);
	}
	logfile_write(&log, &(struct iovec){ "end", 3 }, 1);
	assert_int_equal(pread(log.fd, last, 3, log.end - 3), 3);
	assert_memory_equal(last, "end", 3);
	assert_true(log.full);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	close(log.fd);
}

/* Not a byte fits: nothing is written, nothing fails. */
static void test_nothing_fits(void **state)
{
	struct logfile log;
	int fd = open("/dev/full", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	log = (struct logfile){ .fd = fd };
	logfile_write(&log, &(struct iovec){ block, sizeof(block) }, 1);
	assert_int_equal(log.end, 0);
	assert_true(log.full);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bound), cmocka_unit_test(test_large), cmocka_unit_test(test_too_large_before),
		cmocka_unit_test(test_no_room), cmocka_unit_test(test_nothing_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
