/* SPDX-License-Identifier: Apache-2.0 */
/* The block device on a file, through io_uring and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "base/disk_claim.h"

#define SECTORS 128u

struct fixture {
	struct guest guest;
	struct device *block;
	struct driver queue;
	int disk;
	gpa_t header, data, status;
};

/* reader: the host cannot write to what the guest can. */
static int setup_with(void **state, bool read_only, bool reader)
{
	char path[32];
	struct fixture *f = calloc(1, sizeof(*f));
	struct device_config config = { .type = LV_DEV_BLOCK, .block = { .read_only = read_only, .serial = "disk-0" } };

	f->disk = memfd_create("disk", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->disk, SECTORS * 512 + 100), 0); /* the odd end is not part of the disk */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->disk);
	config.block.fd = open(path, (reader ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	guest_init(&f->guest);
	f->block = guest_add_device(&f->guest, &config);
	assert_non_null(f->block);
	driver_of(&f->queue, &f->guest, f->block, 0);
	f->header = guest_alloc(&f->guest, 64 * 16, 64);
	f->data = guest_alloc(&f->guest, 1 << 20, 4096);
	f->status = guest_alloc(&f->guest, 64, 64);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false, false);
}

static int setup_read_only(void **state)
{
	return setup_with(state, true, false);
}

static int setup_reader(void **state)
{
	return setup_with(state, false, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	guest_fini(&f->guest);
	close(f->disk);
	free(f);
	return 0;
}

/* Lets the loop run until the next request is done; a second without is a failure. */
static void await_used(struct fixture *f, uint32_t *head, uint32_t *len)
{
	for (unsigned i = 0; !driver_used(&f->queue, head, len); i++) {
		struct pollfd ring = { .fd = f->guest.loop.epoll_fd, .events = POLLIN };

		assert_true(i < 100);
		poll(&ring, 1, 10);
		loop_once(&f->guest.loop, 0);
	}
}

static void post(struct fixture *f, unsigned slot, uint32_t type, uint64_t sector, gpa_t data, uint32_t len, bool write)
{
	struct virtio_blk_outhdr *header = guest_ptr(&f->guest, f->header + 16 * slot);
	struct part part[] = { { f->header + 16 * slot, 16, false }, { data, len, write }, { f->status + slot, 1, true } };

	*header = (struct virtio_blk_outhdr){ .type = type, .sector = sector };
	*(uint8_t *)guest_ptr(&f->guest, f->status + slot) = 0xee;
	if (!len)
		part[1] = part[2];
	driver_post(&f->queue, part, len ? 3 : 2);
}

static uint8_t request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len, uint32_t *used)
{
	uint32_t head;

	post(f, 0, type, sector, f->data, len, type != VIRTIO_BLK_T_OUT);
	guest_ring(&f->guest, f->block);
	await_used(f, &head, used);
	return *(uint8_t *)guest_ptr(&f->guest, f->status);
}

static void test_config(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(f->guest.page.device[0].config.block.sectors, SECTORS);
	assert_string_equal(f->guest.page.device[0].config.block.serial, "disk-0");
}

static void test_write_read(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = guest_ptr(&f->guest, f->data), disk[1024];
	uint32_t used;

	memset(data, 'w', 1024);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 5, 1024, &used), VIRTIO_BLK_S_OK);
	assert_int_equal(used, 1);
	assert_int_equal(pread(f->disk, disk, 1024, 5 * 512), 1024);
	assert_memory_equal(disk, data, 1024);
	memset(disk, 'r', 512);
	assert_int_equal(pwrite(f->disk, disk, 512, (SECTORS - 1) * 512), 512);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS - 1, 512, &used), VIRTIO_BLK_S_OK);
	assert_int_equal(used, 513);
	assert_memory_equal(data, disk, 512);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, &used), VIRTIO_BLK_S_OK);
}

static void test_range(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS - 1, 1024, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, ~0ull, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, ~0ull - 1, 1024, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 511, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 0, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(f->block->stats.needs_reset, 0);
}

static void test_unknown(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	assert_int_equal(request(f, 77, 0, 512, &used), VIRTIO_BLK_S_UNSUPP);
}

static void test_id(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 20, &used), VIRTIO_BLK_S_OK);
	assert_int_equal(used, 21);
	assert_string_equal(guest_ptr(&f->guest, f->data), "disk-0");
	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 8, &used), VIRTIO_BLK_S_IOERR);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	assert_int_equal(f->guest.page.device[0].config.block.read_only, 1);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &used), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0, &used), VIRTIO_BLK_S_OK);
}

/* Many at once, over and over; each answer belongs to its request. */
static void test_batches(void **state)
{
	struct fixture *f = *state;
	uint32_t head, len;

	for (unsigned i = 0; i < SECTORS; i++)
		assert_int_equal(pwrite(f->disk, (char[]){ i }, 1, i * 512), 1);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 20; i++)
			post(f, i, VIRTIO_BLK_T_IN, (round + i) % SECTORS, f->data + i * 512, 512, true);
		guest_ring(&f->guest, f->block);
		for (unsigned i = 0; i < 20; i++)
			await_used(f, &head, &len);
		for (unsigned i = 0; i < 20; i++) {
			assert_int_equal(*(uint8_t *)guest_ptr(&f->guest, f->status + i), VIRTIO_BLK_S_OK);
			assert_int_equal(*(uint8_t *)guest_ptr(&f->guest, f->data + i * 512), (round + i) % SECTORS);
		}
	}
}

static void test_drain(void **state)
{
	struct fixture *f = *state;
	uint8_t disk[512];

	memset(guest_ptr(&f->guest, f->data), 'x', 512);
	post(f, 0, VIRTIO_BLK_T_OUT, 9, f->data, 512, false);
	devices_finish(&f->guest.devices);
	assert_int_equal(pread(f->disk, disk, 512, 9 * 512), 512);
	assert_int_equal(disk[511], 'x');
}

static void test_no_status(void **state)
{
	struct fixture *f = *state;
	struct part part = { f->header, 16, false };

	driver_post(&f->queue, &part, 1);
	guest_ring(&f->guest, f->block);
	assert_int_equal(f->block->stats.needs_reset, 1);
	assert_string_equal(f->block->stats.error, "a block request without room for its status");
}

static void test_no_header(void **state)
{
	struct fixture *f = *state;
	struct part part[] = { { f->header, 15, false }, { f->status, 1, true } };

	driver_post(&f->queue, part, 2);
	guest_ring(&f->guest, f->block);
	assert_string_equal(f->block->stats.error, "a block request without its header");
}

static void test_truncated_file(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	assert_int_equal(ftruncate(f->disk, 1000), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 1, 512, &used), VIRTIO_BLK_S_IOERR);
}

/* ---- what only Linux asks for ---- */

static void test_offer(void **state)
{
	struct fixture *f = *state;
	struct virtio_blk_config config;
	uint8_t space[DEVICE_CONFIG_MAX] = { 0 };
	uint64_t offer = f->block->ops->offer(f->block);

	assert_int_equal(f->block->ops->configuration(f->block, space), sizeof(config));
	memcpy(&config, space, sizeof(config));
	assert_int_equal(config.capacity, SECTORS);
	assert_true(config.seg_max && config.seg_max + 2 <= f->block->queue_size[0]);
	assert_true((uint64_t)config.seg_max * config.size_max < QUEUE_CHAIN_BYTES);
	assert_true(offer >> VIRTIO_BLK_F_FLUSH & 1);
	assert_true(offer >> VIRTIO_BLK_F_DISCARD & 1);
	assert_false(offer >> VIRTIO_BLK_F_RO & 1);
}

static void test_offer_read_only(void **state)
{
	struct fixture *f = *state;
	uint64_t offer = f->block->ops->offer(f->block);

	assert_true(offer >> VIRTIO_BLK_F_RO & 1);
	assert_false(offer >> VIRTIO_BLK_F_DISCARD & 1);
}

/* Sends ranges; the answer. */
static uint8_t discard(struct fixture *f, uint32_t type, const struct virtio_blk_discard_write_zeroes *range, unsigned count)
{
	uint32_t head, used;

	memcpy(guest_ptr(&f->guest, f->data), range, count * sizeof(*range));
	post(f, 0, type, 0, f->data, count * sizeof(*range), false);
	guest_ring(&f->guest, f->block);
	await_used(f, &head, &used);
	assert_int_equal(used, 1);
	return *(uint8_t *)guest_ptr(&f->guest, f->status);
}

static void fill_disk(struct fixture *f)
{
	uint8_t full[SECTORS * 512];

	memset(full, 'x', sizeof(full));
	assert_int_equal(pwrite(f->disk, full, sizeof(full), 0), sizeof(full));
}

static void expect_sectors(struct fixture *f, unsigned first, unsigned count, uint8_t byte)
{
	uint8_t got;

	for (unsigned at = first * 512; at < (first + count) * 512; at++) {
		assert_int_equal(pread(f->disk, &got, 1, at), 1);
		assert_int_equal(got, byte);
	}
}

static void test_discard(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_discard_write_zeroes two[] = { { 8, 16, 0 }, { 64, 8, 0 } };
	struct stat before, after;

	fill_disk(f);
	assert_int_equal(fstat(f->disk, &before), 0);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, two, 2), VIRTIO_BLK_S_OK);
	assert_int_equal(fstat(f->disk, &after), 0);
	assert_int_equal(before.st_blocks - after.st_blocks, 24);
	assert_int_equal(before.st_size, after.st_size);
	expect_sectors(f, 7, 1, 'x');
	expect_sectors(f, 8, 16, 0);
	expect_sectors(f, 24, 40, 'x');
	expect_sectors(f, 64, 8, 0);
}

static void test_write_zeroes(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_discard_write_zeroes unmap = { 1, 3, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP }, keep = { 100, 8, 0 };
	uint8_t verdict;

	fill_disk(f);
	assert_int_equal(discard(f, VIRTIO_BLK_T_WRITE_ZEROES, &unmap, 1), VIRTIO_BLK_S_OK);
	expect_sectors(f, 1, 3, 0);
	/* Some file systems cannot; then the driver hears just that, and writes zeroes itself. */
	verdict = discard(f, VIRTIO_BLK_T_WRITE_ZEROES, &keep, 1);
	assert_true(verdict == VIRTIO_BLK_S_OK || verdict == VIRTIO_BLK_S_UNSUPP);
	expect_sectors(f, 100, 8, verdict == VIRTIO_BLK_S_OK ? 0 : 'x');
}

static void test_bad_discards(void **state)
{
	struct fixture *f = *state;
	struct virtio_blk_discard_write_zeroes many[33] = { 0 };
	const struct virtio_blk_discard_write_zeroes bad[] = {
		{ SECTORS, 1, 0 }, { SECTORS - 1, 2, 0 }, { ~0ull, 1, 0 }, { 1, ~0u, 0 }, { ~0ull - 3, ~0u, 0 },
	};
	const struct virtio_blk_discard_write_zeroes flag = { 0, 1, 1 }, strange = { 0, 1, 2 }, nothing = { 5, 0, 0 };

	fill_disk(f);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, &bad[i], 1), VIRTIO_BLK_S_IOERR);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, many, 33), VIRTIO_BLK_S_IOERR);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, many, 32), VIRTIO_BLK_S_OK);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, many, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, &flag, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(discard(f, VIRTIO_BLK_T_WRITE_ZEROES, &strange, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, &nothing, 1), VIRTIO_BLK_S_OK);
	expect_sectors(f, 0, SECTORS, 'x');
	assert_int_equal(f->block->stats.needs_reset, 0);
}

static void test_discard_read_only(void **state)
{
	struct fixture *f = *state;
	const struct virtio_blk_discard_write_zeroes range = { 0, 8, 0 };

	fill_disk(f);
	assert_int_equal(discard(f, VIRTIO_BLK_T_DISCARD, &range, 1), VIRTIO_BLK_S_UNSUPP);
	expect_sectors(f, 0, 8, 'x');
}

/* ---- the file ---- */

/* The descriptor that holds the lock. */
static int expect_claim(int fd, bool read_only, int result, const char *text)
{
	char message[512] = "";
	int lock;

	assert_int_equal(disk_claim(fd, "a.img", read_only, &lock, message, sizeof(message)), result);
	assert_string_equal(message, text);
	assert_int_equal(lock >= 0, result == 0);
	return lock;
}

static int temp_disk(char *name, off_t size)
{
	int fd = mkstemp(strcpy(name, "/tmp/lv-disk-XXXXXX"));

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void test_claim(void **state)
{
	char name[32];
	int disk = temp_disk(name, 4096), reader = open(name, O_RDONLY | O_CLOEXEC), lock = expect_claim(disk, false, 0, "");

	expect_claim(disk, false, -EBUSY,
		     "a.img is in use by another VM; a disk that is written to has one user (readers can share it: ,ro for all)");
	expect_claim(reader, true, -EBUSY, "a.img is in use by a VM that writes to it");
	close(lock);
	lock = expect_claim(reader, true, 0, "");
	close(expect_claim(disk, true, 0, "")); /* readers share */
	expect_claim(reader, false, -EACCES, "a.img is open for reading only; a disk that cannot be written to wants ,ro");
	close(lock);
	close(disk);
	close(reader);
	unlink(name);
}

/* Two VMs could write to a disk without a lock. */
static void test_claim_without_lock(void **state)
{
	char name[32];
	int fd = temp_disk(name, 4096);
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ 0, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	expect_claim(fd, false, -EMFILE, "a.img cannot be locked against other users: Too many open files");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(expect_claim(fd, false, 0, ""));
	close(fd);
	unlink(name);
}

/* What the host does not do is counted, with its reason, where the VM's user finds it. */
static void test_host_fails(void **state)
{
	struct fixture *f = *state;
	uint32_t used;

	assert_string_equal(f->block->stats.error, "");
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_string_equal(f->block->stats.error, "the host failed 2 requests, the last one with: Bad file descriptor");
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512, &used), VIRTIO_BLK_S_OK);
	assert_int_equal(ftruncate(f->disk, 512), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 4, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_string_equal(f->block->stats.error, "the host failed 3 requests, the last one with: Input/output error");
	assert_int_equal(f->block->stats.needs_reset, 0);
	/* What the guest asks for in vain is its own fault. */
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, SECTORS, 512, &used), VIRTIO_BLK_S_IOERR);
	assert_string_equal(f->block->stats.error, "the host failed 3 requests, the last one with: Input/output error");
}

static bool locked(int fd)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	assert_int_equal(fcntl(fd, F_OFD_GETLK, &whole), 0);
	return whole.l_type != F_UNLCK;
}

/* All disks are lent or none; what others have meanwhile does not come back before they are done. */
static void test_lend(void **state)
{
	struct guest guest;
	struct device_config config[2];
	char name[2][32];
	const char *why;
	int other[2], taken;

	guest_init(&guest);
	for (unsigned i = 0; i < 2; i++) {
		const int fd = temp_disk(name[i], 4096);

		config[i] = (struct device_config){ .type = LV_DEV_BLOCK, .block = { .fd = fd, .lock = expect_claim(fd, false, 0, "") } };
		other[i] = open(name[i], O_RDWR | O_CLOEXEC);
		assert_int_equal(devices_add(&guest.devices, &config[i], &why), 0);
	}
	assert_true(locked(other[0]) && locked(other[1]));
	assert_int_equal(devices_lend(&guest.devices, true), 0);
	assert_false(locked(other[0]) || locked(other[1]));
	taken = expect_claim(other[1], false, 0, "");
	assert_int_equal(devices_lend(&guest.devices, false), -EBUSY);
	assert_false(locked(other[0])); /* it was there, and was let go of again */
	close(taken);
	assert_int_equal(devices_lend(&guest.devices, false), 0);
	assert_true(locked(other[0]) && locked(other[1]));
	guest_fini(&guest);
	for (unsigned i = 0; i < 2; i++) {
		close(config[i].block.lock);
		close(other[i]);
		unlink(name[i]);
	}
}

static void test_claim_size(void **state)
{
	char name[32];
	int fd = temp_disk(name, 1000), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	expect_claim(fd, false, -EINVAL,
		     "a.img is 1000 bytes long, which is not a multiple of 512: its last block is not whole (cut short? truncate -s %512 makes it whole)");
	assert_int_equal(ftruncate(fd, 0), 0);
	expect_claim(fd, false, -EINVAL, "a.img is empty");
	expect_claim(null, false, -ENOTBLK, "a.img is neither a regular file nor a block device");
	close(null);
	close(fd);
	unlink(name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_config), TEST(test_write_read), TEST(test_range), TEST(test_unknown), TEST(test_id),
		cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown), TEST(test_batches), TEST(test_drain),
		TEST(test_offer), TEST(test_discard),
		TEST(test_write_zeroes), TEST(test_bad_discards), cmocka_unit_test(test_claim), cmocka_unit_test(test_claim_without_lock), cmocka_unit_test(test_claim_size), cmocka_unit_test(test_lend),
		cmocka_unit_test_setup_teardown(test_offer_read_only, setup_read_only, teardown),
		cmocka_unit_test_setup_teardown(test_discard_read_only, setup_read_only, teardown), TEST(test_no_status), TEST(test_no_header), TEST(test_truncated_file), cmocka_unit_test_setup_teardown(test_host_fails, setup_reader, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
