/* SPDX-License-Identifier: Apache-2.0 */
/* Files as the pieces that a migration sends (abi/migrate.h). */
#ifndef LV_NODE_MIGRATE_PIECES_H
#define LV_NODE_MIGRATE_PIECES_H

#include "node/migrate_wire.h"

struct pieces {
	struct wire *wire;
	enum lv_migrate_type type;
	const char *step;   /* for who is told; a static text */
	void (*told)(void *context, const char *step, uint64_t done, uint64_t total); /* now and then; NULL: nobody */
	void *context;
	uint64_t bandwidth; /* bytes a second, at most; 0: all there is */
	bool asked;         /* what the other side says meanwhile is not that it gives up; who sends hears it */
	uint64_t of;        /* bytes that there will be, for who is told; 0: up to the total */
	uint64_t sent;      /* bytes, so far */
	uint64_t begun_ns, told_ns;
};

/* So many bytes, at most LV_MIGRATE_DATA, that belong at offset. */
int pieces_send(struct pieces *pieces, const void *data, uint64_t offset, uint64_t size, uint64_t total, struct error *error);
/* Every byte of the file, which has size of them. */
int pieces_send_all(struct pieces *pieces, int fd, uint64_t size, struct error *error);
/* Whether all of it is zero; size: a multiple of 64, data aligned to 8. */
bool bytes_zero(const void *data, size_t size);
/* Whether they are the same; likewise. A word at a time: memcmp of the C library that we are linked with goes byte by byte, which takes five times as long. */
bool bytes_equal(const void *a, const void *b, size_t size);

#endif
