/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of guest memory is written from some time on, whoever writes it: the guest, or this process for it. The host's kernel tells, by pages that are
 * write-protected and are not any more after the first write (userfaultfd, UFFD_FEATURE_WP_ASYNC, since Linux 6.7; nobody waits for anybody). Pages that go back to the host, it tells not: that a page
 * is noted as being at the other side, and is not here any more, says so.
 */
#ifndef LV_VMM_RAM_TRACK_H
#define LV_VMM_RAM_TRACK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem.h"

struct ram_track { /* RAM_TRACK_NONE */
	int fd;
	uint64_t *sent;  /* a bit for each page of the file: what was written of it last is not zero */
	uint64_t pages;  /* that there are bits for */
};
#define RAM_TRACK_NONE ((struct ram_track){ .fd = -1 })

/* -EOPNOTSUPP: this kernel cannot. Close in every case. */
int ram_track_open(struct ram_track *track);
/* From here on pages are as they were, and nothing is known. */
void ram_track_close(struct ram_track *track);
/* All that is mapped in [hva, hva + len) can be protected; once more is no harm. 0 or a negative errno. */
int ram_track_cover(const struct ram_track *track, uint8_t *hva, uint64_t len);
/* Whole pages: the next write to each is seen. 0 or a negative errno. */
int ram_track_protect(const struct ram_track *track, uint8_t *hva, uint64_t len);
/* Room for so many pages of the file. 0 or -ENOMEM. */
int ram_track_extend(struct ram_track *track, uint64_t pages);

static inline bool ram_track_sent(const struct ram_track *track, uint64_t page)
{
	return track->sent[page / 64] >> page % 64 & 1;
}
static inline void ram_track_note(struct ram_track *track, uint64_t page, bool sent)
{
	const uint64_t bit = 1ull << page % 64;

	track->sent[page / 64] = sent ? track->sent[page / 64] | bit : track->sent[page / 64] & ~bit;
}

#endif
