/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA-256 of a file, and of bytes. */
#ifndef LV_TINYX_FILE_DIGEST_H
#define LV_TINYX_FILE_DIGEST_H

#include <stddef.h>

#include "base/error.h"

#define FILE_DIGEST_HEX 64
/* In hexadecimal digits, FILE_DIGEST_HEX + 1 bytes. 0 or a negative errno with a message; -EISDIR, -EINVAL: it is no regular file, and was not opened. */
int file_digest(const char *path, char *hex, struct error *error);
void data_digest(const void *data, size_t size, char *hex);

#endif
