/* SPDX-License-Identifier: Apache-2.0 */
/* An image file on the host: opening, checking, reading its manifest. The file is hostile. */
#ifndef LV_TINYX_IMAGE_FILE_H
#define LV_TINYX_IMAGE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "parse/erofs.h"
#include "tinyx/manifest.h"

#define IMAGE_HEX 64

struct image { /* fd -1, map NULL: closed */
	int fd;
	const uint8_t *map; /* the whole file, read-only */
	size_t size;
	struct erofs fs;
	bool has_trailer;
	char sha256[IMAGE_HEX + 1]; /* as the trailer says; empty without one */
	struct manifest manifest;
};
#define IMAGE_CLOSED ((struct image){ .fd = -1 })

/* True when the file begins like an image (magic only). fd is not moved. */
bool image_is(int fd);
/*
 * Opens and checks superblock (with its checksum), size, trailer and manifest: constant cost. 0 or a negative errno; message
 * "...: image damaged: ..." for a file that is an image but not whole. Close in both cases.
 */
int image_open(struct image *image, const char *path, struct error *error);
/* Compares every byte with the trailer's digest. -ENODATA: there is no trailer. */
int image_verify(const struct image *image, const char *path, struct error *error);
void image_close(struct image *image);
/*
 * The first of the words (or what is behind their "=") that names a file of the host, as seen from here, which the image does not
 * have under that name as seen from cwd: NULL: none. It points into words. What lies below the directories of volumes is not the image's.
 */
const char *image_lacks(const struct image *image, const struct strings *volumes, char *const *words, size_t count, const char *cwd);
/* Appends the trailer to the bare file system in fd, which is at least one block long; hex gets its digest, IMAGE_HEX + 1 bytes. */
int image_seal(int fd, char *hex, struct error *error);
/* A word that changes whenever the file is replaced or written to: identity, size, mode, both times. Never 0. */
uint64_t file_fingerprint(const struct stat *st);

#endif
