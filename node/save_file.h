/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved VM in one file, or in what comes through a pipe: a head, then its manifest, its state, and its memory, compressed (node/save_zstd.h), to the end. What the head says of
 * lengths is all there is; manifest and state have a CRC-32C there, the memory has its own checksums. The file is hostile.
 */
#ifndef LV_NODE_SAVE_FILE_H
#define LV_NODE_SAVE_FILE_H

#include <stdbool.h>

#include "node/save_parts.h"

/* Writes a draft whose memory is compressed to out, from where that stands; shown: its name, for messages. */
int save_file_write(int out, const struct save_draft *draft, const struct save_manifest *manifest, const char *shown, struct error *error);
/* The same, as the file that the draft was begun for (save_begin_file), in the place of what was there; on the disk when it returns. */
int save_file_publish(const struct save_draft *draft, const struct save_manifest *manifest, struct error *error);
/* Does it begin like one? False also for what cannot be read. */
bool save_file_is(int fd);
/*
 * What fd, a regular file, holds becomes *save, whose path is set; it keeps fd. -EBADMSG: damaged, or not whole; -EPROTONOSUPPORT: of a later version; -EINVAL: no saved VM, or only what changed since another one. With a message
 * that names the path. Whose it is, is not looked at; nor are its state and memory, which only who goes on from it reads.
 */
int save_file_open(struct save *save, int fd, struct error *error);
/* save_open_state (node/save_dir.h) of such a one. */
int save_file_open_state(const struct save *save, struct error *error);
/* All that comes from a pipe, up to its end, as a file without a name, which the caller closes. A negative errno with a message. */
int save_file_receive(int from, struct error *error);

#endif
