/* SPDX-License-Identifier: Apache-2.0 */
/* Where a plan's image goes: into the cache, beside it for one start alone, or to a file of the user's. It appears there whole or not at all. */
#ifndef LV_TINYX_IMAGE_PUT_H
#define LV_TINYX_IMAGE_PUT_H

#include "base/error.h"
#include "tinyx/cache.h"
#include "tinyx/plan.h"
#include "tinyx/stage.h"

#define IMAGE_ASIDE "/var/tmp" /* images that are not kept: on a disk, where there is one */

/*
 * A sealed image of this digest gets its place in the cache; path and fd of packed are filled. One that is there already stays, and the stage with its caller: index entries of other
 * programs and options know it by its identity, and would have to be made anew.
 */
int image_publish(const struct cache *cache, struct stage *stage, const char *sha256, struct packed *packed, struct error *error);
/* Fills path and fd of packed; the cache knows it by key from then on, with the program and args that are in packed. */
int image_put_cached(const struct cache *cache, const char *key, const struct plan *plan, const struct pack_watch *watch, struct packed *packed, struct error *error);
/* For this start alone: a file without a name. */
int image_put_aside(const struct plan *plan, const struct pack_watch *watch, struct packed *packed, struct error *error);

struct image_target { /* a file that will be replaced; open before there is a plan, so that a wrong name is told of at once */
	int dir;
	char *path; /* of dir, for messages */
	const char *output; /* the caller's */
};
#define IMAGE_TARGET_CLOSED ((struct image_target){ .dir = -1 })

/* Close in any case. */
int image_target_open(struct image_target *target, const char *output, struct error *error);
int image_target_put(const struct image_target *target, const struct plan *plan, const struct pack_watch *watch, struct error *error);
void image_target_close(struct image_target *target);

#endif
