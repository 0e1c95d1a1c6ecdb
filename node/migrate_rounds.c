/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/vm_save.h"

#define PAGE LV_MIGRATE_PAGE
#define ROOM_MOST (1ll << 30) /* of a file: whoever waits for a save sees by its growth that it goes on */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* linux/mman.h; musl does not know it */
#endif

/* ---- taking ---- */

/* Nobody makes them shorter while we look at them, the monitor neither. */
static int close_file(int fd, uint64_t *size)
{
	struct stat st;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) || fstat(fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int look_at(struct moment *moment)
{
	int err = close_file(moment->state, &moment->state_size);
	if (!err)
		err = close_file(moment->memory, &moment->size);
	if (err || !moment->size)
		return err;
	void *map = mmap(NULL, moment->size, PROT_READ, MAP_SHARED, moment->memory, 0);
	if (map == MAP_FAILED)
		return -errno;
	moment->map = map;
	return 0;
}

/* Taking pages from the kernel is half of what writing them takes. The file stays empty, and what is not written a hole. Where there is no room, the save will say so. */
static void make_room(const struct moment *before, int memory)
{
	for (off_t from = 0, to; before->map && from < ROOM_MOST && (from = lseek(before->memory, from, SEEK_DATA)) >= 0; from = to) {
		to = lseek(before->memory, from, SEEK_HOLE);
		if (to > ROOM_MOST)
			to = ROOM_MOST;
		if (to < 0 || fallocate(memory, FALLOC_FL_KEEP_SIZE, from, to - from))
			return;
	}
}

int moment_prepare(const struct moment *before, struct moment *moment, struct error *error)
{
	*moment = MOMENT_NONE;
	moment->state = memfd_create("state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	moment->memory = memfd_create("memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (moment->state < 0 || moment->memory < 0)
		return error_set(error, -errno, "memory for the state: %s", strerror(errno));
	make_room(before, moment->memory);
	return 0;
}

int moment_take(const struct vm_info *info, struct moment *moment, struct error *error)
{
	int connection = vm_save_to(info, moment->state, moment->memory, -1, error), err = connection < 0 ? connection : look_at(moment);
	if (connection < 0 || !err)
		return connection;
	close(connection);
	return error_set(error, err, "the state: %s", strerror(-err));
}

int moment_ask(const struct vm_info *info, int *connection, const struct moment *moment, bool last, unsigned throttle, struct error *error)
{
	return vm_save_ask(info, connection, moment->state, moment->memory, last ? LV_LOOK_LAST : LV_LOOK_THROTTLE(throttle), error);
}

int moment_look(const struct vm_info *info, int *connection, struct moment *moment, struct error *error)
{
	int err = vm_save_look(info, connection, moment->state, moment->memory, error);
	if (!err && (err = look_at(moment)))
		error_set(error, err, "the state: %s", strerror(-err));
	return err;
}

void moment_drop(struct moment *moment)
{
	if (moment->map)
		munmap((void *)moment->map, moment->size);
	if (moment->state >= 0)
		close(moment->state);
	if (moment->memory >= 0)
		close(moment->memory);
	*moment = MOMENT_NONE;
}

/* ---- comparing ---- */

struct data { /* where the file has any, from what was asked last on */
	const struct moment *moment;
	uint64_t from, to; /* from UINT64_MAX: nowhere */
};

/* Is there data at this page? Otherwise data->from is where the next is. */
static bool data_at(struct data *data, uint64_t at)
{
	if (at >= data->to && data->from != UINT64_MAX) {
		off_t from = data->moment->map && at < data->moment->size ? lseek(data->moment->memory, (off_t)at, SEEK_DATA) : -1;
		off_t to = from < 0 ? -1 : lseek(data->moment->memory, from, SEEK_HOLE);
		data->from = to < 0 ? UINT64_MAX : (uint64_t)from;
		data->to = to < 0 ? UINT64_MAX : (uint64_t)to;
	}
	return at >= data->from;
}

struct walk {
	struct data before, now;
	uint64_t at;
};

static struct walk walk_begin(const struct moment *before, const struct moment *now)
{
	return (struct walk){ .before = { .moment = before }, .now = { .moment = now } };
}

static bool differs(const uint8_t *before, const uint8_t *now)
{
	if (before && now)
		return !bytes_equal(before, now, PAGE);
	return !bytes_zero(before ? before : now, PAGE);
}

/* Goes on to the next page that differs, and says where. False: there is none. */
static bool walk_next(struct walk *walk, uint64_t *found)
{
	const struct moment *before = walk->before.moment, *now = walk->now.moment;
	while (walk->at < now->size) {
		uint64_t at = walk->at;
		bool was = data_at(&walk->before, at), is = data_at(&walk->now, at);
		if (!was && !is) {
			walk->at = walk->before.from < walk->now.from ? walk->before.from : walk->now.from;
			continue;
		}
		walk->at += PAGE;
		if (differs(was ? before->map + at : NULL, is ? now->map + at : NULL)) {
			*found = at;
			return true;
		}
	}
	return false;
}

static int add_page(struct changes *changes, uint64_t at)
{
	struct change *last = changes->count ? &changes->run[changes->count - 1] : NULL;
	changes->bytes += PAGE;
	if (last && last->at + last->size == at && last->size < LV_MIGRATE_DATA) {
		last->size += PAGE;
		return 0;
	}
	if (changes->count == changes->room) {
		size_t room = changes->room ? 2 * changes->room : 64;
		struct change *more = realloc(changes->run, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		changes->run = more;
		changes->room = room;
	}
	changes->run[changes->count++] = (struct change){ .at = at, .size = PAGE };
	return 0;
}

/* All of its data is about to be read: one fault for each stretch of it. Where the kernel does not know that (before 5.14), they come as they are touched. */
static void populate(const struct moment *moment)
{
	for (off_t from = 0, to; moment->map && (from = lseek(moment->memory, from, SEEK_DATA)) >= 0; from = to) {
		to = lseek(moment->memory, from, SEEK_HOLE);
		if (to < 0)
			return;
		madvise((void *)(moment->map + from), (size_t)(to - from), MADV_POPULATE_READ);
	}
}

int moment_compare(const struct moment *before, const struct moment *now, struct changes *changes, struct error *error)
{
	struct walk walk = walk_begin(before, now);
	uint64_t at;
	int err = 0;
	*changes = (struct changes){ 0 };
	populate(now);
	while (!err && walk_next(&walk, &at))
		err = add_page(changes, at);
	return err ? error_set(error, err, "out of memory") : 0;
}

bool moment_has(const struct moment *moment, uint64_t at)
{
	return at < moment->size && lseek(moment->memory, (off_t)at, SEEK_DATA) == (off_t)at;
}

int moment_data(const struct moment *now, struct changes *changes, struct error *error)
{
	int err = 0;
	*changes = (struct changes){ 0 };
	populate(now);
	for (off_t from = 0, to; now->map && !err && (from = lseek(now->memory, from, SEEK_DATA)) >= 0; from = to) {
		to = lseek(now->memory, from, SEEK_HOLE);
		if (to < from)
			break;
		for (off_t at = from; at < to && !err; at += PAGE)
			err = add_page(changes, (uint64_t)at);
	}
	return err ? error_set(error, err, "out of memory") : 0;
}

int moment_send(struct pieces *pieces, const struct moment *now, const struct changes *changes, struct error *error)
{
	int err = 0;
	for (size_t i = 0; i < changes->count && !err; i++)
		err = pieces_send(pieces, now->map + changes->run[i].at, changes->run[i].at, changes->run[i].size, now->size, error);
	return err;
}

void changes_free(struct changes *changes)
{
	free(changes->run);
	*changes = (struct changes){ 0 };
}
