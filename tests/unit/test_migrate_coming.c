/* SPDX-License-Identifier: Apache-2.0 */
/* Who brings memory to a VM that waits for it (node/migrate_coming.h): the VM of its own migration and no other, and what a monitor may say. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "abi/memory_later.h"
#include "node/migrate_coming.h"

#define PAGES 4
#define SIZE (PAGES * (uint64_t)LV_MIGRATE_PAGE)

struct place { /* a VM's directory, and the monitor's end of its first conversation */
	char path[64];
	int dir, memory, listener, monitor;
	struct wire wire;
	struct coming coming;
};

static void begin(struct place *place, uint8_t first)
{
	const uint8_t uuid[LV_MIGRATE_UUID] = { first, 2, 3 };
	struct error error;
	*place = (struct place){ .path = "/tmp/lightvm-coming-XXXXXX", .wire = WIRE_NONE, .coming = COMING_NONE };
	assert_non_null(mkdtemp(place->path));
	place->dir = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	place->memory = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(place->memory, (off_t)SIZE), 0);
	migrate_begin(&place->wire.migration, MIGRATE_DESTINATION, uuid);
	place->listener = coming_begin(&place->coming, &place->wire, place->dir, place->memory, SIZE, &error);
	assert_true(place->listener >= 0);
	place->monitor = accept(place->listener, NULL, NULL);
	assert_true(place->monitor >= 0);
}

static void end(struct place *place)
{
	char command[96];
	coming_free(&place->coming);
	wire_close(&place->wire);
	const int fds[] = { place->dir, place->memory, place->listener, place->monitor };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	snprintf(command, sizeof(command), "rm -r %s", place->path);
	assert_int_equal(system(command), 0);
}

/* ---- what the monitor does with the next one who connects ---- */

struct greeting {
	struct place *place;
	uint32_t magic;
	bool with_file;
	int *stays; /* the connection's, where it does not end at once */
	pthread_t thread;
};

static void *greet(void *context)
{
	const struct greeting *greeting = context;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} room = { 0 };
	struct lv_pager_hello hello = { .magic = greeting->magic, .size = SIZE };
	struct iovec iov = { &hello, sizeof(hello) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (greeting->with_file) {
		message.msg_control = room.bytes;
		message.msg_controllen = sizeof(room.bytes);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &greeting->place->memory, sizeof(int));
	}
	int fd = accept(greeting->place->listener, NULL, NULL);
	if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		abort();
	if (greeting->stays)
		*greeting->stays = fd;
	else
		close(fd);
	return NULL;
}

static int join_greeted(struct place *place, uint32_t magic, bool with_file, int *stays, struct coming *coming, struct error *error)
{
	struct greeting greeting = { .place = place, .magic = magic, .with_file = with_file, .stays = stays };
	assert_int_equal(pthread_create(&greeting.thread, NULL, greet, &greeting), 0);
	int err = coming_join(coming, &place->wire, place->dir, error);
	pthread_join(greeting.thread, NULL);
	return err;
}

static void test_own_migration(void **state)
{
	struct place place;
	struct coming other = COMING_NONE, own = COMING_NONE;
	struct wire wire = WIRE_NONE;
	struct error error;
	begin(&place, 1);
	const uint8_t uuid[LV_MIGRATE_UUID] = { 9, 2, 3 };
	migrate_begin(&wire.migration, MIGRATE_DESTINATION, uuid);
	assert_int_equal(coming_join(&other, &wire, place.dir, &error), -ENOENT);
	coming_free(&other);
	assert_int_equal(join_greeted(&place, LV_PAGER_MAGIC, true, NULL, &own, &error), 0);
	assert_int_equal(own.pages, PAGES);
	coming_free(&own);
	close(place.listener); /* it waits for nothing more, or has ended */
	place.listener = -1;
	assert_int_equal(coming_join(&own, &place.wire, place.dir, &error), -ECONNREFUSED);
	coming_free(&own);
	end(&place);
}

static void test_wrong_greeting(void **state)
{
	struct place place;
	struct coming coming = COMING_NONE;
	struct error error;
	begin(&place, 1);
	assert_int_equal(join_greeted(&place, LV_PAGER_MAGIC + 1, true, NULL, &coming, &error), -EPROTO);
	coming_free(&coming);
	assert_int_equal(join_greeted(&place, LV_PAGER_MAGIC, false, NULL, &coming, &error), -EPROTO);
	coming_free(&coming);
	end(&place);
}

static void test_wrong_page(void **state)
{
	struct place place;
	struct error error;
	const struct lv_pager_range wanted = { .offset = SIZE, .size = LV_MIGRATE_PAGE };
	begin(&place, 1);
	assert_int_equal(coming_hear(&place.coming, &error), 0);
	assert_int_equal(send(place.monitor, &wanted, sizeof(wanted), 0), sizeof(wanted));
	assert_int_equal(coming_hear(&place.coming, &error), -EPROTO);
	assert_string_equal(error.text, "the monitor waits for a page that there is not");
	assert_int_equal(send(place.monitor, &wanted, 3, 0), 3);
	assert_int_equal(coming_hear(&place.coming, &error), -EPROTO);
	close(place.monitor);
	place.monitor = -1;
	assert_int_equal(coming_hear(&place.coming, &error), -ESRCH);
	end(&place);
}

/* What it has of a page that is lacking is forgotten, of the others it stays. */
static void test_lacking(void **state)
{
	struct place place;
	struct coming coming = COMING_NONE;
	struct error error;
	const struct lv_migrate_piece piece = { .total = SIZE };
	const uint8_t bits = 0x6;
	char byte;
	begin(&place, 1);
	for (off_t page = 0; page < PAGES; page++)
		assert_int_equal(pwrite(place.memory, "x", 1, page * LV_MIGRATE_PAGE), 1);
	assert_int_equal(coming_lacking(&coming, &piece, &bits, 1, &error), 0);
	place.wire.migration.uuid[0] = 7;
	int listener = coming_begin(&coming, &place.wire, place.dir, place.memory, SIZE, &error);
	assert_true(listener >= 0);
	for (off_t page = 0; page < PAGES; page++) {
		assert_int_equal(pread(place.memory, &byte, 1, page * LV_MIGRATE_PAGE), 1);
		assert_int_equal(byte, bits >> page & 1 ? 0 : 'x');
	}
	close(listener);
	coming_free(&coming);
	end(&place);
}

/* After the connection was lost the size of memory is known with the first page: what the monitor waits for before is asked for then, once. */
static void test_early(void **state)
{
	struct place place;
	struct coming coming = COMING_NONE;
	struct error error;
	struct { struct lv_migrate_frame frame; struct lv_migrate_want want; } asked;
	const struct lv_pager_range wanted[] = { { .offset = 2 * LV_MIGRATE_PAGE, .size = LV_MIGRATE_PAGE }, { .offset = 0, .size = LV_MIGRATE_PAGE } };
	const struct lv_migrate_piece piece = { .offset = 0, .total = SIZE };
	static const uint8_t page[LV_MIGRATE_PAGE] = { 'x' };
	int monitor, wire[2];
	begin(&place, 1);
	assert_int_equal(join_greeted(&place, LV_PAGER_MAGIC, true, &monitor, &coming, &error), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire), 0);
	place.wire.link.out = wire[0];
	place.wire.migration.phase = MIGRATE_PUSHING;
	place.wire.migration.version = 2;
	place.wire.migration.post = place.wire.migration.recovers = true;
	for (int times = 0; times < 2; times++)
		for (int i = 0; i < 2; i++) {
			assert_int_equal(send(monitor, &wanted[i], sizeof(wanted[i]), 0), sizeof(wanted[i]));
			assert_int_equal(coming_hear(&coming, &error), 0);
		}
	assert_int_equal(recv(wire[1], &asked, sizeof(asked), MSG_DONTWAIT), -1);
	place.wire.migration.memory_size = SIZE; /* as the judge notes of MEMORY */
	assert_int_equal(coming_take(&coming, &piece, page, sizeof(page), &error), 0);
	assert_int_equal(recv(wire[1], &asked, sizeof(asked), MSG_DONTWAIT), sizeof(asked));
	assert_true(asked.frame.type == LV_MIG_WANT && asked.want.offset == wanted[0].offset && asked.want.size == LV_MIGRATE_PAGE);
	assert_int_equal(send(monitor, &wanted[0], sizeof(wanted[0]), 0), sizeof(wanted[0]));
	assert_int_equal(coming_hear(&coming, &error), 0);
	assert_int_equal(coming_take(&coming, &piece, page, sizeof(page), &error), 0);
	assert_int_equal(recv(wire[1], &asked, sizeof(asked), MSG_DONTWAIT), -1);
	close(wire[1]);
	close(monitor);
	coming_free(&coming);
	end(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_own_migration), cmocka_unit_test(test_wrong_greeting), cmocka_unit_test(test_wrong_page), cmocka_unit_test(test_lacking), cmocka_unit_test(test_early) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
