/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM's file system has besides its image, one word a part, as configurations carry them to the library OS and to PID 1 of Linux
 * guests: "ro PATH" (nothing there can be changed), "rw PATH" (it can, below one that is "ro"), "tmpfs:SIZE:MODE PATH" (an empty directory in
 * memory; SIZE: bytes, decimal, 0: no bound of its own; MODE: octal), "volume:N:ro PATH" and "volume:N:rw PATH" (a
 * directory of the host, by the device that has the tag volumeN). Freestanding.
 */
#ifndef LV_PARSE_MOUNT_WORD_H
#define LV_PARSE_MOUNT_WORD_H

#include <stdint.h>

#define MOUNT_PATH_MAX 255 /* bytes */

#define MOUNT_VOLUMES 100  /* N is less */
#define MOUNT_TAG "volume%u" /* of 16 bytes at most, with its end */

enum mount_kind { MOUNT_READ_ONLY, MOUNT_WRITABLE, MOUNT_TMPFS, MOUNT_VOLUME };

struct mount_word {
	enum mount_kind kind;
	uint64_t size; /* of MOUNT_TMPFS, bytes; of MOUNT_VOLUME, N */
	uint32_t mode;
	const char *path; /* absolute, without "." and ".." and empty names; "/" itself for MOUNT_READ_ONLY alone. Into the word */
	uint32_t read_only; /* of MOUNT_VOLUME */
};

/* 0, or -1: it is none. */
int mount_word_read(const char *word, struct mount_word *mount);
/* Whether a path is one that a mount may have: absolute, clean, at most MOUNT_PATH_MAX bytes. */
int mount_path_is_clean(const char *path);

#endif
