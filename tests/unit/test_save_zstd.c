/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of saved VMs that is compressed: it comes back byte for byte, with its holes; what is cut, altered, too much or made up is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"
#include "node/save_zstd.h"

#define MIB (1u << 20)

static int file(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static uint64_t size_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

static uint64_t taken(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* Words at some places of so many bytes; what is between them is a hole. */
static int memory_with(uint64_t size, const uint64_t *places, size_t count)
{
	int fd = file();
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(fd_write_at(fd, "something", 9, places[i]), 0);
	return fd;
}

static int packed(int memory)
{
	struct error error = { 0 };
	int fd = file();
	assert_int_equal(save_zstd_pack(memory, fd, "it", &error), 0);
	return fd;
}

static void same(int a, int b)
{
	uint64_t size = size_of(a);
	assert_int_equal(size_of(b), size);
	const void *one = mmap(NULL, size, PROT_READ, MAP_SHARED, a, 0), *other = mmap(NULL, size, PROT_READ, MAP_SHARED, b, 0);
	assert_true(one != MAP_FAILED && other != MAP_FAILED);
	assert_memory_equal(one, other, size);
	munmap((void *)one, size);
	munmap((void *)other, size);
}

static void comes_back(int memory)
{
	struct error error = { 0 };
	int small = packed(memory), again = file();
	const uint64_t before = taken(memory);
	assert_int_equal(save_zstd_unpack(small, 0, again, size_of(memory), "it", &error), 0);
	assert_true(taken(again) <= before);
	same(memory, again);
	close(small);
	close(again);
	close(memory);
}

static void refused(int small, uint64_t size, const char *words)
{
	struct error error = { 0 };
	int again = file();
	assert_int_equal(save_zstd_unpack(small, 0, again, size, "it", &error), -EBADMSG);
	if (!strstr(error.text, words))
		fail_msg("\"%s\" is not in \"%s\"", words, error.text);
	close(again);
}

/* True: it is taken, and what it becomes is the memory all the same. */
static bool refused_or_same(int small, int memory)
{
	struct error error = { 0 };
	int again = file(), err = save_zstd_unpack(small, 0, again, size_of(memory), "it", &error);
	if (err)
		assert_true(err == -EBADMSG && error.text[0]);
	else
		same(memory, again);
	close(again);
	return !err;
}

static void it_comes_back_as_it_was(void **state)
{
	const uint64_t none[] = { 0 }, some[] = { 0, 5000, MIB - 4, 9 * MIB + 17, 40 * MIB - 9 };
	comes_back(memory_with(1, none, 0));
	comes_back(memory_with(MIB, none, 0));
	comes_back(memory_with(40ull * MIB, none, 0));
	comes_back(memory_with(40ull * MIB, some, 5));
	comes_back(memory_with(3ull * MIB + 4097, some, 3)); /* behind memory there may be a record of any length (vmm/state/ram_runs.h) */
}

static void what_cannot_be_compressed_comes_back(void **state)
{
	const size_t size = 3 * MIB + 11;
	uint32_t *noise = malloc(size + 4), word = 1;
	for (size_t i = 0; i <= size / 4; i++)
		noise[i] = word = word * 1664525 + 1013904223;
	int memory = file();
	assert_int_equal(fd_write(memory, noise, size), 0);
	free(noise);
	comes_back(memory);
}

static void holes_cost_nothing(void **state)
{
	const uint64_t one[] = { 77ull * MIB };
	int memory = memory_with(4096ull * MIB, one, 1), small = packed(memory);
	assert_true(size_of(small) < 1u << 20);
	close(small);
	close(memory);
}

/* Whichever byte is another one. */
static void what_is_altered_is_refused(void **state)
{
	const uint64_t some[] = { 0, 2 * MIB };
	int memory = memory_with(2ull * MIB + 5000, some, 2), small = packed(memory);
	const off_t length = (off_t)size_of(small);
	unsigned harmless = 0;
	for (off_t at = 0; at < length; at++) {
		uint8_t byte, other;
		assert_int_equal(pread(small, &byte, 1, at), 1);
		other = byte ^ (1u << at % 8);
		assert_int_equal(pwrite(small, &other, 1, at), 1);
		harmless += refused_or_same(small, memory);
		assert_int_equal(pwrite(small, &byte, 1, at), 1);
	}
	assert_true(harmless * 8 < length); /* some bits say how a frame is to be read, and not what is in it */
	assert_true(refused_or_same(small, memory));
	close(small);
	close(memory);
}

static void what_is_not_whole_is_refused(void **state)
{
	const uint64_t some[] = { 0, 2 * MIB };
	int memory = memory_with(2ull * MIB + 5000, some, 2), small = packed(memory);
	const uint64_t size = size_of(memory);
	const off_t length = (off_t)size_of(small);
	refused(small, size - 1, "more than the");
	refused(small, size + 1, "it is not whole");
	assert_int_equal(pwrite(small, "x", 1, length), 1);
	refused(small, size, "it: ");
	for (off_t at = length - 1; at >= 0; at--) {
		assert_int_equal(ftruncate(small, at), 0);
		refused(small, size, "it is not whole");
	}
	assert_int_equal(pwrite(small, "no such thing at all", 20, 0), 20);
	refused(small, size, "zstd: ");
	close(small);
	close(memory);
}

static void no_room_is_said(void **state)
{
	const uint64_t some[] = { 0 };
	struct error error = { 0 };
	int memory = memory_with(MIB, some, 1), full = open("/dev/full", O_RDWR | O_CLOEXEC);
	assert_true(full >= 0);
	assert_int_equal(save_zstd_pack(memory, full, "it", &error), -ENOSPC);
	assert_string_equal(error.text, "it: No space left on device");
	close(full);
	close(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_back_as_it_was),
		cmocka_unit_test(what_cannot_be_compressed_comes_back),
		cmocka_unit_test(holes_cost_nothing),
		cmocka_unit_test(what_is_altered_is_refused),
		cmocka_unit_test(what_is_not_whole_is_refused),
		cmocka_unit_test(no_room_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
