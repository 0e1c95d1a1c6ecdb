/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of cached images, as container users give them: "[REGISTRY/]NAME[:TAG]". In the cache's directory "names" a link for each, whose text is the
 * image's SHA-256; an image that has one is not removed to make room.
 */
#ifndef LV_TINYX_IMAGE_NAMES_H
#define LV_TINYX_IMAGE_NAMES_H

#include "base/error.h"
#include "tinyx/cache.h"

#define IMAGE_NAMES "names"

/* The whole name, with ":latest" where there is no tag; the caller's. NULL with a message: it cannot be one. */
char *image_name_whole(const char *word, struct error *error);
/* name: a whole one; it means that image from now on. 0 or a negative errno with a message. */
int image_name_set(const struct cache *cache, const char *name, const char *sha256, struct error *error);
/* sha256 has IMAGE_HEX + 1 bytes. -ENOENT. */
int image_name_get(const struct cache *cache, const char *name, char *sha256);
/* -ENOENT, without a message. */
int image_name_remove(const struct cache *cache, const char *name);
/* Calls each for every name. */
void image_names_each(const struct cache *cache, void (*each)(void *context, const char *name, const char *sha256), void *context);

#endif
