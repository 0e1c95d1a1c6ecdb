/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/ram_track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/userfaultfd.h of Debian 12 does not know them yet. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define WP_UNPOPULATED (1ull << 13)
#define WP_ASYNC (1ull << 15)

/* With these flags anybody may have one: it never has the kernel wait for us. */
int ram_track_open(struct ram_track *track)
{
	struct uffdio_api api = { .api = UFFD_API, .features = WP_ASYNC | WP_UNPOPULATED };

	*track = RAM_TRACK_NONE;
	track->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (track->fd < 0 || ioctl(track->fd, UFFDIO_API, &api) < 0)
		return -EOPNOTSUPP;
	return 0;
}

void ram_track_close(struct ram_track *track)
{
	if (track->fd >= 0)
		close(track->fd);
	free(track->sent);
	*track = RAM_TRACK_NONE;
}

int ram_track_cover(const struct ram_track *track, uint8_t *hva, uint64_t len)
{
	struct uffdio_register all = { .range = { .start = (uintptr_t)hva, .len = len }, .mode = UFFDIO_REGISTER_MODE_WP };

	return ioctl(track->fd, UFFDIO_REGISTER, &all) < 0 ? -errno : 0;
}

int ram_track_protect(const struct ram_track *track, uint8_t *hva, uint64_t len)
{
	struct uffdio_writeprotect range = { .range = { .start = (uintptr_t)hva, .len = len }, .mode = UFFDIO_WRITEPROTECT_MODE_WP };
	int err;

	/* EAGAIN: the mappings change just now. */
	while ((err = ioctl(track->fd, UFFDIO_WRITEPROTECT, &range) < 0 ? -errno : 0) == -EAGAIN)
		;
	return err;
}

int ram_track_extend(struct ram_track *track, uint64_t pages)
{
	const uint64_t had = (track->pages + 63) / 64, needs = (pages + 63) / 64;
	uint64_t *more = needs > had ? realloc(track->sent, needs * sizeof(*more)) : track->sent;

	if (needs > had && !more)
		return -ENOMEM;
	if (needs > had)
		memset(more + had, 0, (needs - had) * sizeof(*more));
	track->sent = more;
	track->pages = pages > track->pages ? pages : track->pages;
	return 0;
}
