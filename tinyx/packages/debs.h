/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Debian packages with what they depend on, from the package sources that are configured here: apt decides which, with a package database of our own
 * in place of the host's, and fetches them. They are kept in the image cache, packages/SHA256.deb.
 */
#ifndef LV_TINYX_DEBS_H
#define LV_TINYX_DEBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

#define DEB_HEX 64

struct deb {
	char *name, *version;
	char *file, *uri;         /* as apt calls the file, and where it comes from */
	char sha256[DEB_HEX + 1]; /* as the package lists say */
	uint64_t size;
	bool asked;               /* by name; else it is what another one depends on */
	char *path;               /* in the cache; NULL: not fetched yet */
};

struct debs { /* zero-initialised: empty */
	struct deb *item;
	size_t count;
	char *lists; /* the directory of the package lists that were read */
};

struct debs_watch { /* before something that takes its time; NULL: nobody looks on */
	void (*report)(void *context, const char *what);
	void *context;
};

/* "redis-server", "redis-server=5:7.0.15-1": -EINVAL with a message otherwise. */
int debs_check_name(const char *name, struct error *error);
/*
 * Which packages make these (names, or NAME=VERSION) and what they depend on; beside: further ones, if the sources have them; assumed: packages that are taken to be installed, since
 * only maintainer scripts or people want them, unless they are asked for. -ENOENT: there is no such package; -EINVAL: they do not go together, or cannot be had.
 */
int debs_find(struct debs *debs, const struct strings *names, const struct strings *beside, const struct strings *assumed, const struct debs_watch *watch, struct error *error);
/*
 * Brings those that the cache does not have, and compares each of them with its digest; one in the cache that differs is fetched again. -EBADMSG: what was fetched is not what the package
 * lists say; -EHOSTUNREACH: it cannot be fetched, as without a network.
 */
int debs_fetch(struct debs *debs, const struct debs_watch *watch, struct error *error);
/* Fetches the package lists into the cache, where debs_find finds them to be the newest. -EHOSTUNREACH as above. */
int debs_update(const struct debs_watch *watch, struct error *error);
void debs_free(struct debs *debs);

#endif
