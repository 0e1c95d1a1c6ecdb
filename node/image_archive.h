/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images as one stream: what "lightvm image save" writes (docs/image.md), and that, or what engines save, back into the cache. What is read is hostile.
 */
#ifndef LV_NODE_IMAGE_ARCHIVE_H
#define LV_NODE_IMAGE_ARCHIVE_H

#include "base/error.h"
#include "base/text.h"

/* A tar of the images that the words name (image_path), each compared with its digest first, with the names that were given. 0 or a negative errno with a message. */
int images_save(const struct strings *words, int fd, const char *shown, struct error *error);

struct image_loaded { /* of each image that is in the cache now */
	void (*tell)(void *context, const char *name, const char *sha256); /* name NULL: it has none */
	void *context;
};
/*
 * Takes the images of the file or pipe fd into the cache: one of ours, of "docker save" and "podman save" (also compressed), or an archive of an OCI layout with one image in it. Each image is there whole, or not at
 * all. shown: what messages call it. -EINVAL, -EBADMSG, ... with a message.
 */
int images_load(int fd, const char *shown, const struct image_loaded *loaded, struct error *error);

#endif
