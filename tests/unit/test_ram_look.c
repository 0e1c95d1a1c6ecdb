/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is looked at again and again while it is used: what the looks have, one over the other, is the memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/mem.h"
#include "vmm/state/ram_diff.h"
#include "vmm/state/ram_file.h"
#include "vmm/state/ram_track.h"

#define PAGE 4096ull
#define BASE 0x4000000000ull
#define ALL (2048 * PAGE)
#define MORE (64 * PAGE)

struct world {
	struct mem mem;
	uint8_t *at;
	int pagemap;
	struct ram_track track;
	uint8_t *there; /* what the other side has */
	uint64_t pages; /* of the last look */
};

static uint8_t *anonymous(uint64_t len)
{
	uint8_t *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	return map;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->at = anonymous(ALL + MORE);
	world->there = anonymous(ALL + MORE);
	world->mem.slot_count = 1;
	world->mem.slot[0] = (struct mem_slot){ .gpa = BASE, .len = ALL, .hva = world->at, .kind = MEM_RAM };
	world->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	assert_int_equal(mem_add(&world->mem, BASE, ALL, world->at, true), 0);
	if (ram_track_open(&world->track)) {
		ram_track_close(&world->track);
		skip(); /* before Linux 6.7 */
	}
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	ram_track_close(&world->track);
	munmap(world->at, ALL + MORE);
	munmap(world->there, ALL + MORE);
	close(world->pagemap);
	free(world);
	return 0;
}

/* As the source of a migration sends it: what is data. */
static void send(struct world *world, int fd)
{
	off_t from = 0, to;

	for (; (from = lseek(fd, from, SEEK_DATA)) >= 0; from = to) {
		to = lseek(fd, from, SEEK_HOLE);
		assert_int_equal(pread(fd, world->there + from, (size_t)(to - from), from), to - from);
	}
}

static void look(struct world *world)
{
	struct ram_file file;
	int more, fd = memfd_create("look", MFD_CLOEXEC);

	assert_int_equal(ram_file_begin_look(&file, &world->mem, world->pagemap, fd, &world->track), 0);
	while ((more = ram_file_step(&file)) > 0)
		;
	assert_int_equal(more, 0);
	world->pages = file.pages;
	send(world, fd);
	ram_file_end(&file);
	close(fd);
}

static bool arrived(const struct world *world)
{
	return memcmp(world->at, world->there, ALL) == 0;
}

static void test_what_was_written(void **state)
{
	struct world *world = *state;
	volatile uint8_t sink;

	memset(world->at + 10 * PAGE, 'a', 700 * PAGE);
	world->at[1500 * PAGE] = 0; /* touched, and zero */
	look(world);
	assert_int_equal(world->pages, 700);
	assert_true(arrived(world));
	sink = world->at[20 * PAGE] + world->at[1800 * PAGE];
	(void)sink;
	look(world);
	assert_int_equal(world->pages, 0);
	world->at[20 * PAGE + 5] = 'b';
	world->at[1500 * PAGE + 1] = 'c';
	world->at[1999 * PAGE] = 'd';
	world->at[1998 * PAGE] = 0;
	look(world);
	assert_int_equal(world->pages, 3);
	assert_true(arrived(world));
}

/* Written as zeroes, and given back: the other side had something there. */
static void test_zeroes(void **state)
{
	struct world *world = *state;

	memset(world->at, 'a', 100 * PAGE);
	look(world);
	memset(world->at + 3 * PAGE, 0, 2 * PAGE);
	assert_int_equal(mem_drop(&world->mem, BASE + 40 * PAGE, 10 * PAGE), 0);
	assert_int_equal(mem_drop(&world->mem, BASE + 60 * PAGE, 2 * PAGE), 0);
	world->at[61 * PAGE] = 'z';
	assert_int_equal(mem_drop(&world->mem, BASE + 500 * PAGE, PAGE), 0); /* never there */
	look(world);
	assert_int_equal(world->pages, 2 + 10 + 2);
	assert_true(arrived(world));
	look(world);
	assert_int_equal(world->pages, 0);
	memset(world->at + 40 * PAGE, 'n', PAGE);
	look(world);
	assert_int_equal(world->pages, 1);
	assert_true(arrived(world));
}

/* Of a VM that was restored: a file lies behind it, of which some is read, some written, and some given back. */
static void test_restored(void **state)
{
	struct world *world = *state;
	int fd = memfd_create("saved", MFD_CLOEXEC);
	uint8_t page[PAGE];
	volatile uint8_t sink;

	memset(page, 's', sizeof(page));
	for (unsigned i = 100; i < 200; i++)
		assert_int_equal(pwrite(fd, page, PAGE, (off_t)(i * PAGE)), PAGE);
	assert_int_equal(ftruncate(fd, ALL), 0);
	assert_int_equal(ram_layers_map(&world->mem, &(const struct mem_file){ .hva = world->at, .len = ALL, .fd = fd }, NULL, 0), 0);
	sink = world->at[110 * PAGE];
	world->at[120 * PAGE] = 'w';
	look(world);
	assert_int_equal(world->pages, 100);
	assert_true(arrived(world));
	sink = world->at[130 * PAGE] + world->at[140 * PAGE];
	(void)sink;
	look(world);
	assert_int_equal(world->pages, 0);
	world->at[131 * PAGE] = 'x';
	assert_int_equal(mem_drop(&world->mem, BASE + 110 * PAGE, PAGE), 0);
	assert_int_equal(mem_drop(&world->mem, BASE + 120 * PAGE, PAGE), 0);
	assert_int_equal(mem_drop(&world->mem, BASE + 150 * PAGE, 10 * PAGE), 0);
	world->at[151 * PAGE] = 'y';
	look(world);
	assert_int_equal(world->pages, 1 + 1 + 1 + 10);
	assert_true(arrived(world));
	world->at[152 * PAGE] = 'v'; /* in what was mapped since */
	look(world);
	assert_int_equal(world->pages, 1);
	assert_true(arrived(world));
	close(fd);
}

/* Memory that comes between two looks. */
static void test_grown(void **state)
{
	struct world *world = *state;

	memset(world->at, 'a', PAGE);
	look(world);
	world->mem.slot[1] = (struct mem_slot){ .gpa = BASE + ALL, .len = MORE, .hva = world->at + ALL, .kind = MEM_RAM };
	world->mem.slot_count = 2;
	memset(world->at + ALL + PAGE, 'g', 2 * PAGE);
	look(world);
	assert_int_equal(world->pages, 2);
	assert_memory_equal(world->at + ALL, world->there + ALL, MORE);
}

struct writer {
	struct world *world;
	atomic_bool over;
};

static void *write_on(void *context)
{
	struct writer *writer = context;
	uint64_t seed = 1, n = 0;

	while (!atomic_load(&writer->over)) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		uint64_t page = (seed >> 33) % (ALL / PAGE);
		uint8_t *at = writer->world->at + page * PAGE;

		if (++n % 64 == 0)
			mem_drop(&writer->world->mem, BASE + page * PAGE, PAGE);
		else if (n % 16 == 0)
			memset(at, 0, PAGE);
		else
			memcpy(at + seed % 500 * 8, &seed, sizeof(seed));
	}
	return NULL;
}

/* Somebody writes all the while; the last look is at memory that stands still. */
static void test_while_it_is_used(void **state)
{
	struct world *world = *state;
	struct writer writer = { .world = world };
	pthread_t thread;

	for (unsigned round = 0; round < 5; round++) {
		atomic_store(&writer.over, false);
		assert_int_equal(pthread_create(&thread, NULL, write_on, &writer), 0);
		for (unsigned i = 0; i < 10; i++)
			look(world);
		atomic_store(&writer.over, true);
		pthread_join(thread, NULL);
		look(world);
		assert_true(arrived(world));
	}
}

/* Afterwards nothing of it is left: a save finds what there is. */
static void test_over(void **state)
{
	struct world *world = *state;
	struct ram_file file;
	int more, fd = memfd_create("save", MFD_CLOEXEC);

	memset(world->at, 'a', 5 * PAGE);
	look(world);
	ram_track_close(&world->track);
	assert_int_equal(ram_file_begin(&file, &world->mem, world->pagemap, fd), 0);
	while ((more = ram_file_step(&file)) > 0)
		;
	assert_int_equal(more, 0);
	assert_int_equal(file.pages, 5);
	ram_file_end(&file);
	close(fd);
	assert_int_equal(ram_track_open(&world->track), 0);
	look(world);
	assert_int_equal(world->pages, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_written, setup, teardown), cmocka_unit_test_setup_teardown(test_zeroes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restored, setup, teardown), cmocka_unit_test_setup_teardown(test_grown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_while_it_is_used, setup, teardown), cmocka_unit_test_setup_teardown(test_over, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
