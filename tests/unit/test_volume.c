/* SPDX-License-Identifier: Apache-2.0 */
/* The server of a live volume: what it answers, message by message, in a directory of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/fuse_more.h"
#include "tests/unit/scratch.h"
#include "volume/volume.h"

static struct volume volume;
static char reply[VOLUME_MESSAGE_MAX] __attribute__((aligned(8)));
static uint64_t unique;

/* Sends a message whose body is that of in and behind it rest; the error of the answer, whose body lies behind reply's header. */
static int ask(uint32_t opcode, uint64_t node, const void *in, size_t in_size, const void *rest, size_t rest_size)
{
	char *message = malloc(sizeof(struct fuse_in_header) + in_size + rest_size);
	const size_t size = sizeof(struct fuse_in_header) + in_size + rest_size;
	const struct fuse_in_header header = { .len = (uint32_t)size, .opcode = opcode, .unique = ++unique, .nodeid = node };
	memcpy(message, &header, sizeof(header));
	if (in_size)
		memcpy(message + sizeof(header), in, in_size);
	if (rest_size)
		memcpy(message + sizeof(header) + in_size, rest, rest_size);
	size_t n = volume_answer(&volume, message, size, reply);
	const struct fuse_out_header *out = (const struct fuse_out_header *)reply;
	free(message);
	if (!n)
		return 1;
	assert_int_equal(out->len, n);
	assert_int_equal(out->unique, unique);
	return out->error;
}
#define body(type) ((const type *)(reply + sizeof(struct fuse_out_header)))

static int look_up(uint64_t dir, const char *name, uint64_t *node)
{
	int err = ask(FUSE_LOOKUP, dir, NULL, 0, name, strlen(name) + 1);
	*node = err ? 0 : body(struct fuse_entry_out)->nodeid;
	return err;
}

static int create(const char *name, uint64_t *node, uint64_t *fh)
{
	const struct fuse_create_in in = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0640 };
	int err = ask(FUSE_CREATE, FUSE_ROOT_ID, &in, sizeof(in), name, strlen(name) + 1);
	*node = err ? 0 : body(struct fuse_entry_out)->nodeid;
	*fh = err ? 0 : ((const struct fuse_open_out *)(body(struct fuse_entry_out) + 1))->fh;
	return err;
}

static int write_text(uint64_t node, uint64_t fh, const char *text, uint32_t claimed)
{
	const struct fuse_write_in in = { .fh = fh, .size = claimed };
	return ask(FUSE_WRITE, node, &in, sizeof(in), text, strlen(text));
}

static void files(void **state)
{
	uint64_t node, fh, other;
	const struct fuse_getattr_in getattr = { 0 };
	assert_int_equal(create("file", &node, &fh), 0);
	assert_int_equal(write_text(node, fh, "hello", 5), 0);
	assert_int_equal(body(struct fuse_write_out)->size, 5);
	assert_int_equal(ask(FUSE_GETATTR, node, &getattr, sizeof(getattr), NULL, 0), 0);
	assert_int_equal(body(struct fuse_attr_out)->attr.size, 5);
	assert_int_equal(body(struct fuse_attr_out)->attr.mode, S_IFREG | 0640);
	const struct fuse_read_in read = { .fh = fh, .offset = 1, .size = 4096 };
	assert_int_equal(ask(FUSE_READ, node, &read, sizeof(read), NULL, 0), 0);
	assert_memory_equal(body(char), "ello", 4);
	assert_int_equal(look_up(FUSE_ROOT_ID, "file", &other), 0);
	assert_true(other == node); /* one file, one number */
	const struct fuse_rename2_in rename = { .newdir = FUSE_ROOT_ID };
	assert_int_equal(ask(FUSE_RENAME2, FUSE_ROOT_ID, &rename, sizeof(rename), "file\0moved", 11), 0);
	assert_int_equal(look_up(FUSE_ROOT_ID, "file", &other), -ENOENT);
	assert_int_equal(ask(FUSE_READ, node, &read, sizeof(read), NULL, 0), 0); /* the number stays the file's */
	assert_int_equal(ask(FUSE_UNLINK, FUSE_ROOT_ID, NULL, 0, "moved", 6), 0);
	const struct fuse_release_in release = { .fh = fh };
	assert_int_equal(ask(FUSE_RELEASE, node, &release, sizeof(release), NULL, 0), 0);
	assert_int_equal(ask(FUSE_RELEASE, node, &release, sizeof(release), NULL, 0), -EBADF);
}

/* A driver that has gone, by its word or since another one starts, leaves nothing open. */
static void driver_goes(void **state)
{
	const struct fuse_init_in init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION };
	const struct fuse_getattr_in getattr = { 0 };
	uint64_t node, fh;
	for (int way = 0; way < 2; way++) {
		const uint32_t known = volume.known;
		assert_int_equal(create(way ? "second" : "first", &node, &fh), 0);
		const struct fuse_lk_in lock = { .fh = fh, .owner = 1, .lk = { .end = 9, .type = F_WRLCK } }, wait = { .fh = fh, .owner = 2, .lk = lock.lk };
		assert_int_equal(ask(FUSE_SETLK, node, &lock, sizeof(lock), NULL, 0), 0);
		assert_int_equal(ask(FUSE_SETLKW, node, &wait, sizeof(wait), NULL, 0), 1);
		assert_true(volume.known > known);
		assert_int_equal(way ? ask(FUSE_INIT, 0, &init, sizeof(init), NULL, 0) : ask(FUSE_DESTROY, 0, NULL, 0, NULL, 0), 0);
		assert_int_equal(volume.known, 0);
		assert_int_equal(volume.ranges, 0);
		assert_int_equal(ask(FUSE_GETATTR, node, &getattr, sizeof(getattr), NULL, 0), -ESTALE);
		assert_int_equal(volume_retry(&volume, reply), sizeof(struct fuse_out_header));
		assert_int_equal(((struct fuse_out_header *)reply)->error, -EINTR);
		assert_int_equal(look_up(FUSE_ROOT_ID, way ? "second" : "first", &node), 0);
	}
}

static void bad_names(void **state)
{
	static const char *const bad[] = { "", ".", "..", "/", "a/b", "../x", "/etc" };
	uint64_t node;
	char longest[257];
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(look_up(FUSE_ROOT_ID, bad[i], &node), -EINVAL);
	memset(longest, 'x', 256);
	longest[256] = 0;
	assert_int_equal(look_up(FUSE_ROOT_ID, longest, &node), -ENAMETOOLONG);
	assert_int_equal(look_up(FUSE_ROOT_ID, longest + 1, &node), -ENOENT);
	assert_int_equal(ask(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, "unended", 7), -EINVAL);
	assert_int_equal(ask(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, "a\0b", 4), -EINVAL);
	assert_int_equal(ask(FUSE_LOOKUP, FUSE_ROOT_ID, NULL, 0, NULL, 0), -EINVAL);
}

static void bad_numbers(void **state)
{
	const struct fuse_getattr_in getattr = { 0 };
	const struct fuse_forget_in forget = { .nlookup = UINT64_MAX };
	uint64_t node, fh, again;
	assert_int_equal(create("number", &node, &fh), 0);
	assert_int_equal(ask(FUSE_GETATTR, node ^ 1ull << 32, &getattr, sizeof(getattr), NULL, 0), -ESTALE);
	assert_int_equal(ask(FUSE_GETATTR, 0, &getattr, sizeof(getattr), NULL, 0), -ESTALE);
	assert_int_equal(ask(FUSE_FORGET, node, &forget, sizeof(forget), NULL, 0), 1);
	assert_int_equal(ask(FUSE_GETATTR, node, &getattr, sizeof(getattr), NULL, 0), -ESTALE);
	assert_int_equal(look_up(FUSE_ROOT_ID, "number", &again), 0);
	assert_true(again != node && (uint32_t)again == (uint32_t)node); /* the place is used again, the number is not */
	assert_int_equal(ask(FUSE_FORGET, FUSE_ROOT_ID, &forget, sizeof(forget), NULL, 0), 1);
	assert_int_equal(ask(FUSE_GETATTR, FUSE_ROOT_ID, &getattr, sizeof(getattr), NULL, 0), 0);
	assert_int_equal(write_text(node, fh, "x", 1), -ESTALE);
	assert_int_equal(write_text(again, fh, "x", 1), -EBADF);
}

static void bad_lengths(void **state)
{
	uint64_t node, fh;
	assert_int_equal(create("length", &node, &fh), 0);
	assert_int_equal(write_text(node, fh, "four", 5), -EINVAL);
	assert_int_equal(write_text(node, fh, "four", 3), -EINVAL);
	assert_int_equal(ask(FUSE_OPEN, node, "xxx", 3, NULL, 0), -EINVAL);
	assert_int_equal(ask(FUSE_OPEN, node, "12345678", 8, "more", 4), -EINVAL);
	assert_int_equal(ask(999, FUSE_ROOT_ID, NULL, 0, NULL, 0), -ENOSYS);
	assert_int_equal(volume_answer(&volume, "short", 5, reply), 0);
}

static void not_followed(void **state)
{
	uint64_t node, inner;
	const struct fuse_open_in open = { 0 };
	const struct fuse_mknod_in device = { .mode = S_IFCHR | 0666, .rdev = 0x103 }, fifo = { .mode = S_IFIFO | 0666 };
	assert_int_equal(ask(FUSE_SYMLINK, FUSE_ROOT_ID, NULL, 0, "link\0..", 8), 0);
	assert_int_equal(look_up(FUSE_ROOT_ID, "link", &node), 0);
	assert_int_equal(look_up(node, "passwd", &inner), -ENOTDIR);
	assert_int_equal(ask(FUSE_OPEN, node, &open, sizeof(open), NULL, 0), -ENXIO);
	assert_int_equal(ask(FUSE_OPENDIR, node, &open, sizeof(open), NULL, 0), -ENOTDIR);
	assert_int_equal(ask(FUSE_MKNOD, FUSE_ROOT_ID, &device, sizeof(device), "device", 7), -EPERM);
	assert_int_equal(ask(FUSE_MKNOD, FUSE_ROOT_ID, &fifo, sizeof(fifo), "fifo", 5), 0);
	assert_int_equal(ask(FUSE_OPEN, body(struct fuse_entry_out)->nodeid, &open, sizeof(open), NULL, 0), -ENXIO);
}

static void read_only(void **state)
{
	uint64_t node, fh;
	const struct fuse_open_in open = { .flags = O_RDWR };
	assert_int_equal(create("kept", &node, &fh), 0);
	volume.read_only = true;
	assert_int_equal(write_text(node, fh, "x", 1), -EROFS);
	assert_int_equal(ask(FUSE_UNLINK, FUSE_ROOT_ID, NULL, 0, "kept", 5), -EROFS);
	assert_int_equal(ask(FUSE_OPEN, node, &open, sizeof(open), NULL, 0), -EROFS);
	volume.read_only = false;
}

/* A server that is root could leave them: who has such a program in his volume would have one of the guest's. */
static void rights_go(void **state)
{
	uint64_t node, fh;
	const struct fuse_setattr_in cut = { .valid = FATTR_SIZE, .size = 1 };
	const struct fuse_getattr_in getattr = { 0 };
	if (geteuid())
		skip();
	volume.any_owner = true;
	int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(create("program", &node, &fh), 0);
	const struct fuse_fallocate_in room = { .fh = fh, .length = 4096 };
	const struct fuse_open_in again = { .flags = O_WRONLY | O_TRUNC };
	const struct fuse_create_in over = { .flags = O_WRONLY | O_TRUNC, .mode = 0755 };
	for (int way = 0; way < 5; way++) {
		assert_int_equal(fchmodat(dir, "program", 06755, 0), 0);
		int err = way == 3 ? ask(FUSE_OPEN, node, &again, sizeof(again), NULL, 0) : way == 4 ? ask(FUSE_CREATE, FUSE_ROOT_ID, &over, sizeof(over), "program", 8) :
			  way == 0 ? write_text(node, fh, "mine", 4) : way == 1 ? ask(FUSE_SETATTR, node, &cut, sizeof(cut), NULL, 0) : ask(FUSE_FALLOCATE, node, &room, sizeof(room), NULL, 0);
		assert_int_equal(err, 0);
		assert_int_equal(ask(FUSE_GETATTR, node, &getattr, sizeof(getattr), NULL, 0), 0);
		assert_int_equal(body(struct fuse_attr_out)->attr.mode, S_IFREG | 0755);
	}
	close(dir);
}

static void bounded(void **state)
{
	uint64_t node;
	char name[16];
	int err = 0, made = 0;
	const struct fuse_mkdir_in in = { .mode = 0700 };
	for (; !err && made < 200; made++) {
		snprintf(name, sizeof(name), "d%d", made);
		err = ask(FUSE_MKDIR, FUSE_ROOT_ID, &in, sizeof(in), name, strlen(name) + 1);
	}
	assert_int_equal(err, -ENFILE);
	assert_in_range(made, 60, 140);
	assert_int_equal(look_up(FUSE_ROOT_ID, "d0", &node), 0); /* known ones stay */
}

static void locks(void **state)
{
	uint64_t node, fh;
	struct fuse_lk_in in = { .owner = 1, .lk = { .start = 0, .end = 9, .type = F_WRLCK } };
	assert_int_equal(create("lock", &node, &fh), 0);
	in.fh = fh;
	assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), 0);
	in.owner = 2;
	assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), -EAGAIN);
	assert_int_equal(ask(FUSE_GETLK, node, &in, sizeof(in), NULL, 0), 0);
	assert_int_equal(body(struct fuse_lk_out)->lk.type, F_WRLCK);
	assert_int_equal(ask(FUSE_SETLKW, node, &in, sizeof(in), NULL, 0), 1); /* later */
	assert_int_equal(volume.waits, 1);
	assert_int_equal(volume_retry(&volume, reply), 0);
	const struct fuse_flush_in flush = { .fh = fh, .lock_owner = 1 };
	assert_int_equal(ask(FUSE_FLUSH, node, &flush, sizeof(flush), NULL, 0), 0);
	assert_int_equal(volume_retry(&volume, reply), sizeof(struct fuse_out_header));
	assert_int_equal(((struct fuse_out_header *)reply)->error, 0);
	in.owner = 3;
	assert_int_equal(ask(FUSE_SETLKW, node, &in, sizeof(in), NULL, 0), 1);
	const struct fuse_interrupt_in interrupt = { .unique = unique };
	assert_int_equal(ask(FUSE_INTERRUPT, 0, &interrupt, sizeof(interrupt), NULL, 0), 1);
	assert_int_equal(volume_retry(&volume, reply), sizeof(struct fuse_out_header));
	assert_int_equal(((struct fuse_out_header *)reply)->error, -EINTR);
}

/* Locks of a file have so many owners at once, but not so many ever. */
static void owners(void **state)
{
	uint64_t node, fh;
	struct fuse_lk_in in = { .lk = { .start = 0, .end = 9 } };
	assert_int_equal(create("owners", &node, &fh), 0);
	in.fh = fh;
	for (in.owner = 1; in.owner < 200; in.owner++) {
		in.lk.type = F_UNLCK;
		assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), 0);
	}
	for (; in.owner < 400; in.owner++) {
		in.lk = (struct fuse_file_lock){ .end = 9, .type = F_WRLCK };
		assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), 0);
		in.lk = (struct fuse_file_lock){ .end = in.owner % 2 ? INT64_MAX : 9, .type = F_UNLCK };
		assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), 0);
	}
	in.lk = (struct fuse_file_lock){ .end = 9, .type = F_RDLCK };
	int err = 0;
	for (in.owner = 1; !err && in.owner < 200; in.owner++)
		err = ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0);
	assert_int_equal(err, -ENOLCK);
	/* Who only asks takes no place, and is answered where there is none. */
	for (in.owner = 1000; in.owner < 1200; in.owner++) {
		in.lk = (struct fuse_file_lock){ .end = 9, .type = F_WRLCK };
		assert_int_equal(ask(FUSE_GETLK, node, &in, sizeof(in), NULL, 0), 0);
		assert_int_equal(body(struct fuse_lk_out)->lk.type, F_RDLCK);
	}
	in = (struct fuse_lk_in){ .fh = fh, .owner = 1, .lk = { .end = INT64_MAX, .type = F_UNLCK } };
	assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), 0);
	in = (struct fuse_lk_in){ .fh = fh, .owner = 1200, .lk = { .end = 9, .type = F_RDLCK } };
	assert_int_equal(ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0), 0);
}

static int lock_one(uint64_t node, uint64_t fh, uint64_t owner, uint64_t start, uint64_t end, uint32_t type)
{
	const struct fuse_lk_in in = { .fh = fh, .owner = owner, .lk = { .start = start, .end = end, .type = type } };
	return ask(FUSE_SETLK, node, &in, sizeof(in), NULL, 0);
}

/* The kernel keeps something for each range: as many as are counted. */
static void ranges(void **state)
{
	uint32_t byte[65] = { 0 }, runs = 0;
	uint64_t node, fh;
	assert_int_equal(create("ranges", &node, &fh), 0);
	for (size_t i = 0; i < 65; i++)
		byte[i] = F_UNLCK;
	for (unsigned step = 0; step < 2000; step++, runs = 0) {
		static const uint32_t types[] = { F_RDLCK, F_WRLCK, F_UNLCK };
		uint64_t start = (unsigned)rand() % 64, end = start + (unsigned)rand() % (64 - start);
		uint32_t type = types[(unsigned)rand() % 3];
		assert_int_equal(lock_one(node, fh, 1, start, end, type), 0);
		for (uint64_t i = start; i <= end; i++)
			byte[i] = type;
		for (size_t i = 0; i < 64; i++)
			runs += byte[i] != F_UNLCK && byte[i] != byte[i + 1];
		assert_int_equal(volume.ranges, runs);
	}
	assert_int_equal(lock_one(node, fh, 1, 0, INT64_MAX, F_UNLCK), 0);
	assert_int_equal(volume.ranges, 0);
	for (uint64_t i = 0; i < 2 * VOLUME_RANGES; i++) /* one behind the other they are one */
		assert_int_equal(lock_one(node, fh, 2, i, i, F_WRLCK), 0);
	assert_int_equal(volume.ranges, 1);
	assert_int_equal(lock_one(node, fh, 2, 5, INT64_MAX, F_WRLCK), 0);
	assert_int_equal(lock_one(node, fh, 2, 0, INT64_MAX, F_UNLCK), 0);
}

static void too_many_ranges(void **state)
{
	uint64_t node, fh, i = 0;
	assert_int_equal(create("ranges", &node, &fh), 0);
	while (i <= VOLUME_RANGES && !lock_one(node, fh, i % 2, 2 * i, 2 * i, F_RDLCK))
		i++;
	assert_int_equal(i, VOLUME_RANGES);
	assert_int_equal(lock_one(node, fh, 0, 2 * i, 2 * i, F_RDLCK), -ENOLCK);
	assert_int_equal(lock_one(node, fh, 0, 1, 1, F_RDLCK), 0); /* beside one that is there */
	assert_int_equal(lock_one(node, fh, 0, 0, 0, F_UNLCK), 0);
	assert_int_equal(lock_one(node, fh, 0, 2 * i - 4, 2 * i - 4, F_UNLCK), 0);
	assert_int_equal(lock_one(node, fh, 0, 2 * i, 2 * i, F_RDLCK), 0);
	const struct fuse_flush_in flush = { .fh = fh, .lock_owner = 1 };
	assert_int_equal(ask(FUSE_FLUSH, node, &flush, sizeof(flush), NULL, 0), 0);
	assert_int_equal(volume.ranges, VOLUME_RANGES / 2);
}

/* Without a handle the directory is open for one answer; what an answer with room to spare does not tell is not there. */
static void listings(void **state)
{
	const struct fuse_read_in in = { .size = 65536 }, small = { .size = 64 };
	uint64_t node, fh;
	int names = 0;
	assert_int_equal(create("a", &node, &fh), 0);
	assert_int_equal(create("b", &node, &fh), 0);
	assert_int_equal(ask(FUSE_READDIR, node, &in, sizeof(in), NULL, 0), -ENOTDIR);
	uint32_t handles = volume.handles;
	assert_int_equal(ask(FUSE_READDIR, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0), 0);
	size_t size = ((const struct fuse_out_header *)reply)->len - sizeof(struct fuse_out_header);
	for (size_t at = 0; at < size; at += FUSE_DIRENT_SIZE((const struct fuse_dirent *)(body(char) + at)))
		names += ((const struct fuse_dirent *)(body(char) + at))->name[0] != '.';
	assert_int_equal(names, 2);
	assert_int_equal(volume.handles, handles);
	assert_int_equal(ask(FUSE_READDIRPLUS, FUSE_ROOT_ID, &in, sizeof(in), NULL, 0), 0);
	assert_int_equal(ask(FUSE_READDIR, FUSE_ROOT_ID, &small, sizeof(small), NULL, 0), 0); /* as many as fit */
	const struct { struct fuse_batch_forget_in in; struct fuse_forget_one one[1]; } forget = { .in.count = 1, .one[0] = { .nodeid = node, .nlookup = 2 } };
	const struct fuse_getattr_in getattr = { 0 };
	assert_int_equal(ask(FUSE_BATCH_FORGET, 0, &forget, sizeof(forget), NULL, 0), 1);
	assert_int_equal(ask(FUSE_GETATTR, node, &getattr, sizeof(getattr), NULL, 0), -ESTALE);
}

/* Who opens a file to read it may have its first bytes with the same answer. */
static void opened_and_read(void **state)
{
	const struct fuse_open_in open = { .flags = O_RDONLY, .open_flags = LV_FUSE_OPEN_READ }, plain = { .flags = O_RDONLY }, write = { .flags = O_WRONLY, .open_flags = LV_FUSE_OPEN_READ };
	const size_t empty = sizeof(struct fuse_out_header) + sizeof(struct fuse_open_out);
	char *large = calloc(1, LV_FUSE_OPEN_BYTES + 2);
	uint64_t node, fh;
	memset(large, 'x', LV_FUSE_OPEN_BYTES + 1);
	assert_int_equal(create("first", &node, &fh), 0);
	assert_int_equal(ask(FUSE_OPEN, node, &open, sizeof(open), NULL, 0), 0);
	assert_int_equal(((struct fuse_out_header *)reply)->len, empty);
	assert_int_equal(write_text(node, fh, "hello", 5), 0);
	assert_int_equal(ask(FUSE_OPEN, node, &plain, sizeof(plain), NULL, 0), 0);
	assert_int_equal(((struct fuse_out_header *)reply)->len, empty);
	assert_int_equal(ask(FUSE_OPEN, node, &write, sizeof(write), NULL, 0), 0); /* which cannot be read */
	assert_int_equal(((struct fuse_out_header *)reply)->len, empty);
	assert_int_equal(ask(FUSE_OPEN, node, &open, sizeof(open), NULL, 0), 0);
	assert_int_equal(((struct fuse_out_header *)reply)->len, empty + 5);
	assert_memory_equal(body(struct fuse_open_out) + 1, "hello", 5);
	const struct fuse_read_in read = { .fh = body(struct fuse_open_out)->fh, .size = 4096 };
	assert_int_equal(ask(FUSE_READ, node, &read, sizeof(read), NULL, 0), 0);
	assert_memory_equal(body(char), "hello", 5);
	assert_int_equal(write_text(node, fh, large, LV_FUSE_OPEN_BYTES + 1), 0);
	assert_int_equal(ask(FUSE_OPEN, node, &open, sizeof(open), NULL, 0), 0);
	assert_int_equal(((struct fuse_out_header *)reply)->len, empty + LV_FUSE_OPEN_BYTES);
	free(large);
}

/* A file without a name, until it is given one. */
static void unnamed(void **state)
{
	const struct fuse_create_in in = { .flags = O_RDWR, .mode = S_IFREG | 06640 }, never = { .flags = O_WRONLY | O_EXCL, .mode = S_IFREG | 0600 }, read = { .flags = O_RDONLY, .mode = S_IFREG | 0600 };
	uint64_t node, fh, other;
	assert_int_equal(ask(FUSE_TMPFILE, FUSE_ROOT_ID, &in, sizeof(in), "/", 2), 0);
	assert_int_equal(body(struct fuse_entry_out)->attr.nlink, 0);
	assert_int_equal(body(struct fuse_entry_out)->attr.mode, S_IFREG | 0640); /* it gives nobody's rights */
	node = body(struct fuse_entry_out)->nodeid;
	fh = ((const struct fuse_open_out *)(body(struct fuse_entry_out) + 1))->fh;
	assert_int_equal(write_text(node, fh, "hello", 5), 0);
	const struct fuse_link_in link = { .oldnodeid = node };
	assert_int_equal(ask(FUSE_LINK, FUSE_ROOT_ID, &link, sizeof(link), "named", 6), 0);
	assert_true(body(struct fuse_entry_out)->nodeid == node);
	assert_int_equal(body(struct fuse_entry_out)->attr.nlink, 1);
	assert_int_equal(look_up(FUSE_ROOT_ID, "named", &other), 0);
	assert_true(other == node);
	assert_int_equal(ask(FUSE_TMPFILE, node, &in, sizeof(in), "/", 2), -ENOTDIR);
	assert_int_equal(ask(FUSE_TMPFILE, FUSE_ROOT_ID, &read, sizeof(read), "/", 2), -EINVAL);
	assert_int_equal(ask(FUSE_TMPFILE, FUSE_ROOT_ID, &never, sizeof(never), "/", 2), 0);
	const struct fuse_link_in wrong = { .oldnodeid = body(struct fuse_entry_out)->nodeid };
	assert_int_equal(ask(FUSE_LINK, FUSE_ROOT_ID, &wrong, sizeof(wrong), "never", 6), -ENOENT);
	volume.read_only = true;
	assert_int_equal(ask(FUSE_TMPFILE, FUSE_ROOT_ID, &in, sizeof(in), "/", 2), -EROFS);
}

static int set_up(void **state)
{
	char *dir = scratch();
	volume = (struct volume){ .root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), .proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), .descriptors = 256 };
	*state = dir;
	return volume_init(&volume);
}

static int tear_down(void **state)
{
	char command[256];
	volume_fini(&volume);
	snprintf(command, sizeof(command), "rm -rf -- %s", (char *)*state);
	free(*state);
	return system(command);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = { TEST(files), TEST(driver_goes), TEST(bad_names), TEST(bad_numbers), TEST(bad_lengths), TEST(not_followed), TEST(read_only), TEST(rights_go), TEST(bounded), TEST(locks), TEST(owners),
		TEST(ranges), TEST(too_many_ranges), TEST(listings), TEST(opened_and_read), TEST(unnamed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
