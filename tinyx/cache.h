/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image cache of one user: images/SHA256.lvm, and index/ with one small file for each program that was packed: the
 * files it was made of with their fingerprints, so that an unchanged program starts without packing or parsing anything.
 */
#ifndef LV_TINYX_CACHE_H
#define LV_TINYX_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "tinyx/image_file.h"
#include "tinyx/plan.h"

struct packed { /* what a start needs to know of a packed program; fd -1: none */
	int fd;          /* the image */
	char *path;      /* of the image */
	char *program;   /* path in the image */
	struct strings args; /* in front of the user's arguments; empty: argv[0] as the user typed it */
	uint64_t need;   /* bytes of memory that its writable segments take */
};
#define PACKED_NONE ((struct packed){ .fd = -1 })

struct cache { /* open: dir >= 0. What is in it is only reached by these descriptors */
	char *path; /* for messages */
	int dir, images, index;
};
#define CACHE_NONE ((struct cache){ .dir = -1, .images = -1, .index = -1 })

/*
 * $LIGHTVM_CACHE, or "${XDG_CACHE_HOME:-~/.cache}/lightvm"; without HOME /var/cache/lightvm for root, /var/tmp/lightvm-UID for
 * others; the caller's. Nothing is created.
 */
char *cache_dir(void);
/*
 * Opens the user's cache, made (and images, index set) if create. -ENOENT: there is none; other errors have a message: an image from a
 * cache that another user can write to would run with this user's disks and network, so such a cache is not used at all
 * (base/owned_dir.h). Close in any case.
 */
int cache_open(struct cache *cache, bool create, struct error *error);
/* The same, to be filled. A cache that cannot be trusted or made keeps no program from starting: it costs a packing each time, and that is said; it is CACHE_NONE then. */
void cache_open_or_warn(struct cache *cache);
void cache_close(struct cache *cache);
/* 0: found and unchanged, image open; -ENOENT: not there or stale. Costs one lstat a packed file. */
int cache_find(const struct cache *cache, const char *key, struct packed *packed);
/* Records that key was packed from plan as the image packed->path. */
int cache_store(const struct cache *cache, const char *key, const struct packed *packed, const struct plan *plan, struct error *error);
/*
 * Whether the image of this identity was verified before (image_verify), and noting that it was: a big image is read in
 * full once, not at every start.
 */
int cache_verified(const struct cache *cache, const struct image *image);
void cache_note_verified(const struct cache *cache, const struct image *image);
/* Removes index entries and verification notes whose image is gone; those of image sha256 if not NULL. */
void cache_forget(const struct cache *cache, const char *sha256);
/*
 * Notes that the file path, an absolute one, needs the image sha256: as long as that is there the image is not trimmed. A path needs one image, the last that was noted. Nothing
 * for an image that the cache does not have. 0 or a negative errno.
 */
int cache_keep_for(const struct cache *cache, const char *sha256, const char *path);
/*
 * The list of the pages that starts of the image touch (docs/prefault.md), open for reading and writing; empty if there was none, or one of before yesterday: it is made anew then. path, fd: of the
 * image, which may lie elsewhere, too. A negative errno, without a message.
 */
int cache_pages_open(const struct cache *cache, const char *path, int fd);
/*
 * Removes the images whose last use is longest ago (to the hour), with what the index says of them, until those left have at most
 * limit bytes. keep, a name in images/, stays, and so does what cache_keep_for was told of. VMs that run from a removed image are not disturbed.
 */
void cache_trim(const struct cache *cache, const char *keep, uint64_t limit);
/* LIGHTVM_CACHE_SIZE ("20G"), or 8 GiB. */
uint64_t cache_limit(void);
void packed_free(struct packed *packed);

#endif
