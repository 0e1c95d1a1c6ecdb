/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_pieces.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define TELL_NS (50 * NS_PER_MS)

bool bytes_zero(const void *data, size_t size)
{
	const uint64_t *word = data;
	for (size_t i = 0; i < size / sizeof(*word); i += 8)
		if (word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] | word[i + 6] | word[i + 7])
			return false;
	return true;
}

bool bytes_equal(const void *a, const void *b, size_t size)
{
	const uint64_t *p = a, *q = b;
	for (size_t i = 0; i < size / sizeof(*p); i += 8)
		if ((p[i] ^ q[i]) | (p[i + 1] ^ q[i + 1]) | (p[i + 2] ^ q[i + 2]) | (p[i + 3] ^ q[i + 3]) | (p[i + 4] ^ q[i + 4]) | (p[i + 5] ^ q[i + 5]) |
		    (p[i + 6] ^ q[i + 6]) | (p[i + 7] ^ q[i + 7]))
			return false;
	return true;
}

/* Not faster than told: what is ahead of its time waits. */
static void keep_pace(const struct pieces *pieces)
{
	uint64_t now = clock_now(), due = pieces->bandwidth ? (uint64_t)((unsigned __int128)pieces->sent * NS_PER_S / pieces->bandwidth) : 0;
	if (due > now - pieces->begun_ns)
		poll(NULL, 0, (int)((due - (now - pieces->begun_ns)) / NS_PER_MS));
}

int pieces_send(struct pieces *pieces, const void *data, uint64_t offset, uint64_t size, uint64_t total, struct error *error)
{
	if (!pieces->begun_ns)
		pieces->begun_ns = clock_now();
	const struct lv_migrate_piece piece = { .offset = offset, .total = total };
	/* Who has something to say now says that it gives up. After the last piece it may be the answer, which is another's to read. */
	int err = !pieces->asked && wire_has(pieces->wire) ? wire_receive(pieces->wire, error) : 0;
	if (!err)
		err = wire_send(pieces->wire, pieces->type, &piece, sizeof(piece), data, size, error);
	pieces->sent += err ? 0 : size;
	if (err)
		return err;
	uint64_t now = clock_now();
	if (pieces->told && now - pieces->told_ns > TELL_NS) {
		pieces->told_ns = now;
		pieces->told(pieces->context, pieces->step, pieces->of ? pieces->sent : offset + size, pieces->of ? pieces->of : total);
	}
	keep_pace(pieces);
	return 0;
}

/* A file that its owner makes shorter meanwhile must not end us: it is read, and not mapped. */
static int read_exactly(int fd, uint8_t *data, uint64_t offset, uint64_t size, struct error *error)
{
	for (uint64_t at = 0; at < size;) {
		ssize_t n = pread(fd, data + at, size - at, (off_t)(offset + at));
		if (n <= 0 && errno != EINTR)
			return error_set(error, n ? -errno : -ESTALE, "what is to be sent: %s", n ? strerror(errno) : "it is shorter than it was");
		at += n > 0 ? (uint64_t)n : 0;
	}
	return 0;
}

int pieces_send_all(struct pieces *pieces, int fd, uint64_t size, struct error *error)
{
	uint8_t *buffer = wire_buffer(pieces->wire);
	int err = buffer ? 0 : error_set(error, -ENOMEM, "out of memory");
	for (uint64_t at = 0; at < size && !err;) {
		uint64_t n = size - at < LV_MIGRATE_DATA ? size - at : LV_MIGRATE_DATA;
		err = read_exactly(fd, buffer, at, n, error);
		if (!err)
			err = pieces_send(pieces, buffer, at, n, size, error);
		at += n;
	}
	return err;
}
