/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory that is saved to a file and mapped from it: once, and again from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "vmm/mem.h"
#include "vmm/state/ram_diff.h"
#include "vmm/state/ram_file.h"
#include "vmm/state/stream.h"

#define PAGE 4096ull
#define BASE 0x4000000000ull
#define IMAGE (4 * PAGE)
#define LOW (256 * PAGE)  /* these two follow each other in guest memory, not in ours */
#define HIGH (4096 * PAGE)
#define ALL (LOW + HIGH)
#define CHAIN 7 /* differences on one whole memory */

struct world {
	struct mem mem;
	uint8_t *low, *high;
	int pagemap;
};

static uint8_t *anonymous(uint64_t len)
{
	uint8_t *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(map, MAP_FAILED);
	return map;
}

static void world_init(struct world *world)
{
	uint8_t *first = anonymous(IMAGE + LOW);

	memset(world, 0, sizeof(*world));
	world->low = first + IMAGE;
	world->high = anonymous(HIGH);
	world->mem.slot_count = 3;
	world->mem.slot[0] = (struct mem_slot){ .gpa = BASE - IMAGE, .len = IMAGE + LOW, .hva = first, .kind = MEM_WINDOW, .image = IMAGE };
	world->mem.slot[1] = (struct mem_slot){ .gpa = 0x1000000, .len = PAGE, .hva = first, .kind = MEM_IMAGE };
	world->mem.slot[2] = (struct mem_slot){ .gpa = BASE + LOW, .len = HIGH, .hva = world->high, .kind = MEM_RAM };
	memset(first, 'i', IMAGE);
	world->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	assert_true(world->pagemap >= 0);
}

static void world_fini(struct world *world)
{
	munmap(world->low - IMAGE, IMAGE + LOW);
	munmap(world->high, HIGH);
	close(world->pagemap);
}

static int new_file(void)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Answers how many pages it wrote. */
static uint64_t save(const struct world *world, int fd)
{
	struct ram_file file;
	int more;

	assert_int_equal(ram_file_begin(&file, &world->mem, world->pagemap, fd), 0);
	while ((more = ram_file_step(&file)) > 0)
		;
	assert_int_equal(more, 0);
	return file.pages;
}

static int map(struct world *world, int fd, const int *below, unsigned count)
{
	const struct mem_file behind[] = { { .hva = world->low, .len = LOW, .fd = fd }, { .hva = world->high, .len = HIGH, .fd = fd, .offset = LOW } };
	int err = 0;

	world->mem.file_count = 0;
	for (unsigned i = 0; i < 2 && !err; i++)
		err = ram_layers_map(&world->mem, &behind[i], below, count);
	return err;
}

static void restore(struct world *world, int fd)
{
	assert_int_equal(map(world, fd, NULL, 0), 0);
	assert_int_equal(mem_add(&world->mem, BASE + LOW, HIGH, world->high, true), 0);
}

static bool same(const struct world *a, const struct world *b)
{
	return memcmp(a->low, b->low, LOW) == 0 && memcmp(a->high, b->high, HIGH) == 0;
}

static uint64_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, ALL);
	return (uint64_t)st.st_blocks * 512 / PAGE;
}

static void use_some(struct world *world, uint8_t value)
{
	for (unsigned i = 0; i < 3; i++)
		world->low[(3 + 40 * i) * PAGE + i] = value;
	memset(world->high + 100 * PAGE, value, 700 * PAGE);
	world->high[HIGH - 1] = value;
}

static void test_what_is_its_own(void **state)
{
	struct world world, other;
	int fd = new_file();

	world_init(&world);
	world_init(&other);
	use_some(&world, 'a');
	world.high[2000 * PAGE] = 0; /* touched, and zero all the same */
	assert_true(world.high[3000 * PAGE] == 0); /* only read */
	assert_int_equal(ram_file_base(&world.mem), BASE);
	assert_int_equal(ram_file_size(&world.mem), ALL);
	assert_int_equal(save(&world, fd), 3 + 700 + 1);
	assert_int_equal(blocks(fd), 3 + 700 + 1);
	restore(&other, fd);
	assert_true(same(&world, &other));
	world_fini(&world);
	world_fini(&other);
	close(fd);
}

/* A restored one is saved: what it has not touched comes from the file behind it, and what it gave back does not. */
static void test_again(void **state)
{
	struct world first, second, third;
	int fd = new_file(), next = new_file();

	world_init(&first);
	world_init(&second);
	world_init(&third);
	use_some(&first, 'a');
	save(&first, fd);
	memset(second.high, 'x', HIGH); /* of another life */
	restore(&second, fd);
	second.high[150 * PAGE] = 'b';
	second.high[2500 * PAGE] = 'c';
	second.low[0] = 'd';
	assert_int_equal(mem_drop(&second.mem, BASE + LOW + 400 * PAGE, 100 * PAGE), 0);
	assert_int_equal(save(&second, next), 3 + 600 + 1 + 2);
	restore(&third, next);
	assert_true(same(&second, &third));
	assert_int_equal(third.high[450 * PAGE], 0);
	assert_int_equal(third.high[150 * PAGE], 'b');
	assert_int_equal(blocks(fd), 3 + 700 + 1);
	world_fini(&first);
	world_fini(&second);
	world_fini(&third);
	close(fd);
	close(next);
}

/* Every second page in many places: more pieces than are worth a mapping each. */
static void test_many_pieces(void **state)
{
	struct world world, other;
	int fd = new_file();

	world_init(&world);
	world_init(&other);
	for (unsigned i = 0; i < HIGH / PAGE; i += 18)
		world.high[i * PAGE] = 'p';
	for (unsigned i = 0; i < LOW / PAGE; i += 2)
		world.low[i * PAGE] = 'q';
	save(&world, fd);
	restore(&other, fd);
	assert_true(same(&world, &other));
	world_fini(&world);
	world_fini(&other);
	close(fd);
}

/* Of one whose pages lie behind a file that nobody knows any more all are looked at. */
static void test_unknown_file(void **state)
{
	struct world world, other;
	int fd = new_file(), behind = new_file();

	world_init(&world);
	world_init(&other);
	assert_int_equal(ftruncate(behind, LOW), 0);
	assert_int_equal(pwrite(behind, "of the file", 11, 7 * PAGE), 11);
	assert_ptr_equal(mmap(world.low, LOW, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, behind, 0), world.low);
	assert_int_equal(mem_note_file(&world.mem, &(struct mem_file){ .hva = world.low, .len = LOW, .fd = -1 }), 0);
	assert_int_equal(save(&world, fd), 1);
	restore(&other, fd);
	assert_true(same(&world, &other));
	world_fini(&world);
	world_fini(&other);
	close(fd);
	close(behind);
}

/* ---- differences ---- */

/* Answers how many runs it has. */
static unsigned save_difference(const struct world *world, int fd, uint64_t *pages)
{
	struct ram_file file;
	struct ram_runs runs;
	uint64_t size;
	int more;

	assert_int_equal(ram_file_begin_difference(&file, &world->mem, world->pagemap, fd), 0);
	while ((more = ram_file_step(&file)) > 0)
		;
	assert_int_equal(more, 0);
	*pages = file.pages;
	ram_file_end(&file);
	assert_int_equal(ram_runs_read(&runs, fd, &size), 0);
	assert_int_equal(size, ALL);
	const unsigned count = runs.count;
	ram_runs_free(&runs);
	return count;
}

/* In the chain: written anew, become zero, given back, and given back and written; what is only read is not in it, nor what is zero where nothing was. */
static void change(struct world *world, uint8_t value)
{
	volatile uint8_t sink;

	world->high[150 * PAGE] = value;
	world->high[2500 * PAGE] = value;
	memset(world->high + (200 + value) * PAGE, 0, PAGE);
	assert_int_equal(mem_drop(&world->mem, BASE + LOW + (400 + value) * PAGE, 2 * PAGE), 0);
	assert_int_equal(mem_drop(&world->mem, BASE + LOW + (500 + value) * PAGE, PAGE), 0);
	world->high[(500 + value) * PAGE + 7] = value;
	world->high[3000 * PAGE] = 0;
	sink = world->high[700 * PAGE] + world->high[(400 + value) * PAGE] + world->high[3500 * PAGE];
	(void)sink;
}

/* As cp and tar may leave it: without holes. */
static int without_holes(int fd)
{
	static uint8_t bytes[1 << 16];
	int copy = new_file();
	ssize_t n;

	for (off_t at = 0; (n = pread(fd, bytes, sizeof(bytes), at)) > 0; at += n)
		assert_int_equal(pwrite(copy, bytes, (size_t)n, at), n);
	return copy;
}

static void test_differences(void **state)
{
	struct world first, world, other;
	int fd[CHAIN + 1], top = -1;
	uint64_t pages;

	world_init(&first);
	use_some(&first, 'a');
	fd[0] = new_file();
	save(&first, fd[0]);
	for (unsigned i = 0; i < CHAIN; i++) {
		top = fd[i + 1] = new_file();
		world_init(&world);
		assert_int_equal(map(&world, fd[i], fd, i), 0);
		assert_int_equal(mem_add(&world.mem, BASE + LOW, HIGH, world.high, true), 0);
		change(&world, (uint8_t)(1 + i));
		const unsigned runs = save_difference(&world, top, &pages);
		assert_int_equal(pages, 3);
		if (!i)
			assert_int_equal(runs, 5);
		int copy = i % 2 ? without_holes(top) : dup(top);
		world_init(&other);
		assert_int_equal(map(&other, copy, fd, i + 1), 0);
		assert_true(same(&world, &other));
		/* The whole of it, too, is what it is. */
		int whole = new_file();
		save(&other, whole);
		struct world again;
		world_init(&again);
		restore(&again, whole);
		assert_true(same(&world, &again));
		world_fini(&again);
		world_fini(&other);
		world_fini(&world);
		close(whole);
		close(copy);
	}
	for (unsigned i = 0; i <= CHAIN; i++)
		close(fd[i]);
	world_fini(&first);
}

static void comes_back(struct world *world, int whole, int fd)
{
	struct world other;

	world_init(&other);
	assert_int_equal(map(&other, fd, &whole, 1), 0);
	assert_true(same(world, &other));
	world_fini(world);
	world_fini(&other);
	close(whole);
	close(fd);
}

/* More runs than have mappings of their own. */
static void test_many_runs(void **state)
{
	struct world world;
	int whole = new_file(), fd = new_file();
	uint64_t pages;

	world_init(&world);
	memset(world.low, 'w', LOW);
	memset(world.high, 'w', HIGH);
	save(&world, whole);
	restore(&world, whole);
	for (unsigned i = 0; i < HIGH / PAGE; i += 2)
		memset(world.high + i * PAGE, i % 6 ? 'x' : 0, PAGE);
	for (unsigned i = 0; i < LOW / PAGE; i += 2)
		world.low[i * PAGE] = 'y';
	assert_int_equal(save_difference(&world, fd, &pages), ALL / PAGE / 2);
	comes_back(&world, whole, fd);
}

/* Memory that has grown since: the file below is shorter. */
static void test_grown(void **state)
{
	struct world world;
	int whole = new_file(), fd = new_file();
	uint64_t pages;

	world_init(&world);
	world.mem.slot_count = 2;
	world.low[0] = 'a';
	save(&world, whole);
	world.mem.slot_count = 3;
	assert_int_equal(ram_file_size(&world.mem), ALL);
	assert_int_equal(map(&world, whole, NULL, 0), 0);
	world.high[HIGH - 1] = 'z';
	assert_int_equal(save_difference(&world, fd, &pages), 1);
	assert_int_equal(pages, 1);
	comes_back(&world, whole, fd);
}

static void test_no_difference(void **state)
{
	struct world world;
	struct ram_file file;
	int fd = new_file();

	world_init(&world);
	assert_int_equal(ram_file_begin_difference(&file, &world.mem, world.pagemap, fd), -EOPNOTSUPP);
	ram_file_end(&file);
	assert_int_equal(mem_note_file(&world.mem, &(struct mem_file){ .hva = world.low, .len = LOW, .fd = -1 }), 0);
	assert_int_equal(ram_file_begin_difference(&file, &world.mem, world.pagemap, fd), -EOPNOTSUPP);
	ram_file_end(&file);
	world_fini(&world);
	close(fd);
}

static int read_runs(int fd)
{
	struct ram_runs runs;
	uint64_t size;
	int err = ram_runs_read(&runs, fd, &size);

	ram_runs_free(&runs);
	return err;
}

static int runs_in(const struct ram_run *run, unsigned count, uint64_t size)
{
	struct ram_runs runs = { .count = count, .run = (struct ram_run *)run };
	int fd = new_file();

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(ram_runs_write(&runs, fd, size), 0);
	return fd;
}

static void test_hostile_runs(void **state)
{
	struct ram_run over[] = { { 1, 2 }, { 2, 1 } }, beyond[] = { { 7, 2 } }, empty[] = { { 1, 0 } }, wraps[] = { { 1, UINT32_MAX } }, good[] = { { 6, 2 }, { 1, 2 }, { 3, 1 } };
	const struct { struct ram_run *run; unsigned count; int err; } cases[] = { { good, 3, 0 }, { over, 2, -EPROTO }, { beyond, 1, -EPROTO }, { empty, 1, -EPROTO }, { wraps, 1, -EPROTO } };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = runs_in(cases[i].run, cases[i].count, 8 * PAGE);

		assert_int_equal(read_runs(fd), cases[i].err);
		close(fd);
	}
	int fd = runs_in(good, 0, 8 * PAGE + 1); /* no whole pages */
	assert_int_equal(read_runs(fd), -EPROTO);
	close(fd);
	fd = new_file();
	assert_int_equal(read_runs(fd), -EPROTO);
	assert_int_equal(ftruncate(fd, ALL), 0);
	assert_int_equal(read_runs(fd), -EPROTO);
	close(fd);
}

/* Cut anywhere, or with any bit another one. */
static void test_damaged_runs(void **state)
{
	const struct ram_run run[] = { { 1, 2 }, { 6, 2 } };
	struct ram_run sorted[2];
	struct stat st;
	uint8_t byte;

	memcpy(sorted, run, sizeof(run));
	int fd = runs_in(sorted, 2, 8 * PAGE);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 8 * (off_t)PAGE; at < st.st_size; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			assert_int_equal(pread(fd, &byte, 1, at), 1);
			byte ^= 1u << bit;
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
			assert_int_equal(read_runs(fd), -EPROTO);
			byte ^= 1u << bit;
			assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		}
	assert_int_equal(read_runs(fd), 0);
	while (st.st_size-- > 7 * (off_t)PAGE) {
		assert_int_equal(ftruncate(fd, st.st_size), 0);
		assert_int_equal(read_runs(fd), -EPROTO);
	}
	close(fd);
}

static void test_most_runs(void **state)
{
	struct ram_runs runs = { 0 };

	for (uint64_t i = 0; i < RAM_RUNS_MOST; i++)
		assert_int_equal(ram_runs_add(&runs, 2 * i), 0);
	assert_int_equal(ram_runs_add(&runs, 2 * RAM_RUNS_MOST - 1), 0); /* the last one goes on */
	assert_int_equal(ram_runs_add(&runs, 2 * RAM_RUNS_MOST + 1), -E2BIG);
	ram_runs_free(&runs);
	assert_int_equal(ram_runs_add(&runs, UINT32_MAX + 1ull), -E2BIG);
	ram_runs_free(&runs);
}

static void test_what_fails(void **state)
{
	struct world world;
	struct ram_file file;
	int fd = new_file(), sealed = memfd_create("sealed", MFD_ALLOW_SEALING), more;

	world_init(&world);
	use_some(&world, 'a');
	assert_int_equal(ftruncate(sealed, ALL), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(ram_file_begin(&file, &world.mem, world.pagemap, sealed), 0);
	while ((more = ram_file_step(&file)) > 0)
		;
	assert_int_equal(more, -EPERM);
	assert_int_equal(ram_file_begin(&file, &world.mem, fd, fd), 0); /* no page map */
	assert_int_equal(ram_file_step(&file), -EIO);
	assert_int_equal(ram_file_map(world.high, HIGH, -1, 0), -EBADF);
	world_fini(&world);
	close(fd);
	close(sealed);
}

/* ---- the records beside it ---- */

static size_t three_records(uint8_t *bytes, size_t room)
{
	struct stream stream = stream_writer(bytes, room);

	for (unsigned i = 0; i < 3; i++) {
		stream_begin(&stream, STREAM_TAG("TEST") + i, 1);
		for (unsigned n = 0; n < 5 * i; n++)
			stream_put32(&stream, n);
		assert_int_equal(stream_end(&stream), 0);
	}
	return stream.at;
}

static int checked(const uint8_t *bytes, size_t size)
{
	const struct stream stream = stream_reader(bytes, size);

	return stream_check(&stream);
}

/* No prefix but one that ends with a record, and no byte but the right one. */
static void test_every_byte(void **state)
{
	uint8_t bytes[256];
	const size_t size = three_records(bytes, sizeof(bytes)), end[] = { 0, 16, 16 + 36, size };

	for (size_t n = 0; n <= size; n++)
		assert_int_equal(checked(bytes, n), n == end[0] || n == end[1] || n == end[2] || n == end[3] ? 0 : -EPROTO);
	for (size_t at = 0; at < size; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[at] ^= 1u << bit;
			assert_true(checked(bytes, size) < 0);
			bytes[at] ^= 1u << bit;
		}
	assert_int_equal(checked(bytes, size), 0);
}

/* CRC-32C, as RFC 3720, appendix B.4, defines it; worked out by another program. Files of older builds depend on it. */
static void test_checksum(void **state)
{
	uint8_t bytes[64] = { 0 };
	struct stream stream = stream_writer(bytes, sizeof(bytes));

	stream_begin(&stream, 0, 0);
	for (unsigned i = 0; i < 5; i++)
		stream_put32(&stream, 0);
	assert_int_equal(stream_end(&stream), 0);
	for (size_t len = 0; len <= 32; len++)
		assert_int_equal(crc32c_by_table(~0u, bytes, len), crc32c(~0u, bytes, len));
	assert_int_equal(bytes[32] | bytes[33] << 8 | bytes[34] << 16 | (uint32_t)bytes[35] << 24, 0xedddd50b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_its_own), cmocka_unit_test(test_again), cmocka_unit_test(test_many_pieces), cmocka_unit_test(test_unknown_file),
		cmocka_unit_test(test_differences), cmocka_unit_test(test_many_runs), cmocka_unit_test(test_grown),
		cmocka_unit_test(test_no_difference), cmocka_unit_test(test_hostile_runs), cmocka_unit_test(test_damaged_runs), cmocka_unit_test(test_most_runs), cmocka_unit_test(test_what_fails), cmocka_unit_test(test_every_byte), cmocka_unit_test(test_checksum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
