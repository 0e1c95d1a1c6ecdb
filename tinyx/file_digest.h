/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA-256 of a file, and of bytes. */
#ifndef LV_TINYX_FILE_DIGEST_H
#define LV_TINYX_FILE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define FILE_DIGEST_HEX 64
/* In hexadecimal digits, FILE_DIGEST_HEX + 1 bytes. 0 or a negative errno with a message; -EISDIR, -EINVAL: it is no regular file, and was not opened. */
int file_digest(const char *path, char *hex, struct error *error);
/* The same of what is open, from its beginning on; path is for messages. */
int file_digest_of(int fd, const char *path, char *hex, struct error *error);

struct file_known { /* by what is in it */
	const char *sha256; /* FILE_DIGEST_HEX digits */
	uint64_t size;
};
/* The descriptor of path, a regular file, if it is the one; -ENOENT: it is another one, or another negative errno. Only files of that size are read. */
int file_open_known(const char *path, const struct file_known *known);
void data_digest(const void *data, size_t size, char *hex);

#endif
