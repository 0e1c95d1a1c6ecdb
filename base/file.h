/* SPDX-License-Identifier: Apache-2.0 */
/* Files: whole reads with a limit, atomic writes, directories. Negative errno on failure; messages are the caller's. */
#ifndef LV_BASE_FILE_H
#define LV_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Appends a terminating zero byte that is not counted. *data is the caller's. -EFBIG: longer than limit. */
int file_read(int dir, const char *path, size_t limit, char **data, size_t *size);
/*
 * Opens a file that somebody names, for reading: a regular one, also behind symbolic links. A pipe would hold us, and the opening of a device may do something: neither is
 * opened. A descriptor; -EISDIR; -EINVAL: it is something else; or another negative errno.
 */
int file_open_regular(const char *path);
/* Writes to a new file beside path and renames it over path. */
int file_write(int dir, const char *path, const void *data, size_t size, mode_t mode);
/* All bytes, or a negative errno. */
int fd_write(int fd, const void *data, size_t size);
/* The same at that offset of a file. */
int fd_write_at(int fd, const void *data, size_t size, uint64_t offset);
/* What one read of from gives is written to to. False when from has ended or to is gone. */
bool fd_copy_piece(int from, int to);
/* Creates every missing directory of path. */
int dir_make(const char *path, mode_t mode);
/*
 * Removes path and what is below it, however deep; what is not there is no error, nor is NULL. Follows no symbolic link. Directories that their owner
 * may not look into are opened to him.
 */
int tree_remove(int dir, const char *path);
/* Lower-case hexadecimal; out has 2 * size + 1 bytes. */
void hex_print(const void *data, size_t size, char *out);

#endif
