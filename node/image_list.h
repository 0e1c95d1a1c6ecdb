/* SPDX-License-Identifier: Apache-2.0 */
/* The images of the user's cache, and kernels, as JSON and by what users call them. Paths are opened with the caller's rights. */
#ifndef LV_NODE_IMAGE_LIST_H
#define LV_NODE_IMAGE_LIST_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "tinyx/kernel.h"

/* An array with an object each: sha256, size, created, used, name, program, names (as they were given); NULL with a message. */
json_t *images_list(struct error *error);
/* A file, or the digest (or its beginning) of a cached image; the caller's. NULL with a message: -ENOENT, -EEXIST. */
char *image_path(const char *word, struct error *error);
/* The one that has this name ("app", "app:1"); the caller's. NULL, without a message: there is none. */
char *image_named_path(const char *name);
/* A name or digest (or its beginning), of cached ones only. */
char *image_cached_path(const char *word, struct error *error);
/* path, size, sha256, manifest; NULL with a message. */
json_t *image_view(const char *path, struct error *error);
/* word, as image_path takes it, gets one name more. */
int image_tag(const char *word, const char *name, struct error *error);
/* A name goes, and with its last one the image; or an image with all its names, by its digest. */
int image_untag(const char *word, struct error *error);
/* Out of the cache. -EINVAL: it is a file elsewhere. */
int image_remove(const char *word, struct error *error);
int images_remove_all(struct error *error);
/* All that have no name and that no saved VM needs: so many, of so many bytes. */
int images_prune(size_t *count, uint64_t *bytes, struct error *error);

/* A built kernel. NULL: out of memory. */
json_t *kernel_view(const struct kernel *kernel);
/* All of them, an array; NULL with a message. */
json_t *kernels_list(struct error *error);

#endif
