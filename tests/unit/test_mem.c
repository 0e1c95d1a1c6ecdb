/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory: what may be added, what an address leads to, and what is left of pages that were given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/mem.h"

#define PAGE 4096ull
#define PAGES 8u
#define BASE 0x4000000000ull

static void test_mem(void **state)
{
	static uint8_t a[8192], b[4096];
	struct mem mem = { 0 };

	assert_int_equal(mem_add(&mem, 0x1000, 0, a, true), -EINVAL);
	assert_int_equal(mem_add(&mem, ~0ull - 100, 4096, a, true), -EINVAL);
	assert_int_equal(mem_add(&mem, 0x1000, 4096, a, true), 0);
	assert_int_equal(mem_add(&mem, 0x1800, 4096, b, true), -EINVAL);
	assert_int_equal(mem_add(&mem, 0x8000, 4096, b, true), 0);
	assert_ptr_equal(mem_at(&mem, 0x1fff, 1), a + 4095);
	assert_null(mem_at(&mem, 0x1fff, 2));
	assert_null(mem_at(&mem, 0xfff, 2));
	assert_null(mem_at(&mem, 0x1000, SIZE_MAX));
	/* what continues a range in both address spaces becomes part of it */
	assert_int_equal(mem_add(&mem, 0x2000, 4096, a + 4096, true), 0);
	assert_int_equal(mem.count, 2);
	assert_ptr_equal(mem_at(&mem, 0x1fff, 2), a + 4095);
}

static void test_mem_full(void **state)
{
	static uint8_t page[4096];
	struct mem mem = { 0 };

	for (unsigned i = 0; i < MEM_RANGES; i++)
		assert_int_equal(mem_add(&mem, i * 0x2000ull, 4096, page, true), 0);
	assert_int_equal(mem_add(&mem, 0x1000000, 4096, page, true), -ENOSPC);
}

/* KVM refuses, here because there is no VM: nothing of the memory stays, so that the next try meets nothing of the first one's. */
static void test_refused_slot(void **state)
{
	static uint8_t page[4096];
	struct mem mem = { 0 };

	for (int i = 0; i < 2; i++)
		assert_int_equal(mem_add_ram(&mem, -1, BASE, PAGE, page), -EBADF);
	assert_null(mem_at(&mem, BASE, 1));
	assert_int_equal(mem.count, 0);
	assert_int_equal(mem.slot_count, 0);
}

static bool all_are(const uint8_t *bytes, uint8_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

/* As a restored VM's memory is: private, with the saved bytes in a file behind it. */
static uint8_t *map_saved(struct mem *mem)
{
	char saved[PAGES * PAGE];
	int fd = memfd_create("saved", MFD_CLOEXEC);
	uint8_t *map;

	memset(saved, 'S', sizeof(saved));
	assert_int_equal(write(fd, saved, sizeof(saved)), sizeof(saved));
	map = mmap(NULL, sizeof(saved), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	assert_int_equal(mem_add(mem, BASE, sizeof(saved), map, true), 0);
	assert_int_equal(mem_note_file(mem, &(struct mem_file){ .hva = map, .len = sizeof(saved), .fd = -1 }), 0);
	return map;
}

static void test_drop_of_a_files_pages(void **state)
{
	struct mem mem = { 0 };
	uint8_t *map = map_saved(&mem);

	map[3 * PAGE] = 'w'; /* one is written, the next one only read, the one after never touched */
	assert_true(all_are(map + 4 * PAGE, 'S', PAGE));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mem_drop(&mem, BASE + 3 * PAGE, 3 * PAGE), 0);
		assert_true(all_are(map + 3 * PAGE, 0, 3 * PAGE));
		memset(map + 3 * PAGE, 'n', 3 * PAGE); /* and again */
	}
	assert_true(all_are(map, 'S', 3 * PAGE));
	assert_true(all_are(map + 6 * PAGE, 'S', 2 * PAGE));
	munmap(map, PAGES * PAGE);
}

static void test_drop_of_anonymous_pages(void **state)
{
	struct mem mem = { 0 };
	uint8_t *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char resident[PAGES];

	memset(map, 'x', PAGES * PAGE);
	assert_int_equal(mem_add(&mem, BASE, PAGES * PAGE, map, true), 0);
	assert_int_equal(mem_drop(&mem, BASE + PAGE, 2 * PAGE), 0);
	assert_int_equal(mincore(map, PAGES * PAGE, resident), 0);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(resident[i] & 1, i != 1 && i != 2); /* the host has them back */
	assert_true(all_are(map + PAGE, 0, 2 * PAGE));
	munmap(map, PAGES * PAGE);
}

/* What can neither be given back nor be mapped anew is emptied. */
static void test_drop_of_locked_pages(void **state)
{
	struct mem mem = { 0 };
	uint8_t *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(map, 'x', PAGES * PAGE);
	assert_int_equal(syscall(SYS_mlock, map, PAGE), 0); /* the sanitizer's mlock() does nothing */
	assert_int_equal(mem_add(&mem, BASE, PAGES * PAGE, map, true), 0);
	assert_int_equal(madvise(map, 2 * PAGE, MADV_DONTNEED), -1);
	assert_int_equal(mem_drop(&mem, BASE, 2 * PAGE), 0);
	assert_true(all_are(map, 0, 2 * PAGE));
	assert_true(all_are(map + 2 * PAGE, 'x', (PAGES - 2) * PAGE));
	munmap(map, PAGES * PAGE);
}

static void test_drop_refuses(void **state)
{
	static uint8_t image[2 * 4096] __attribute__((aligned(4096))), ram[2 * 4096] __attribute__((aligned(4096)));
	struct mem mem = { 0 };

	memset(image, 'i', sizeof(image));
	memset(ram, 'r', sizeof(ram));
	assert_int_equal(mem_add(&mem, BASE - sizeof(image), sizeof(image), image, false), 0);
	assert_int_equal(mem_add(&mem, BASE, sizeof(ram), ram, true), 0);
	assert_int_equal(mem_drop(&mem, BASE - PAGE, PAGE), -EINVAL);     /* devices may not write the image */
	assert_int_equal(mem_drop(&mem, BASE - PAGE, 2 * PAGE), -EINVAL);
	assert_int_equal(mem_drop(&mem, BASE + PAGE, 2 * PAGE), -EINVAL); /* beyond the end */
	assert_int_equal(mem_drop(&mem, BASE + 1, PAGE), -EINVAL);
	assert_int_equal(mem_drop(&mem, BASE, PAGE + 1), -EINVAL);
	assert_int_equal(mem_drop(&mem, BASE, ~(PAGE - 1)), -EINVAL);
	assert_true(all_are(image, 'i', sizeof(image)));
	assert_true(all_are(ram, 'r', sizeof(ram)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mem), cmocka_unit_test(test_mem_full), cmocka_unit_test(test_refused_slot),
		cmocka_unit_test(test_drop_of_a_files_pages), cmocka_unit_test(test_drop_of_anonymous_pages),
		cmocka_unit_test(test_drop_of_locked_pages), cmocka_unit_test(test_drop_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
