/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM's file system has besides its image, one word a part, as configurations carry them to the library OS and to PID 1 of Linux
 * guests: "ro PATH" (nothing there can be changed), "rw PATH" (it can, below one that is "ro"), "tmpfs:SIZE:MODE PATH" (an empty directory in
 * memory; SIZE: bytes, decimal, 0: no bound of its own; MODE: octal). Freestanding.
 */
#ifndef LV_PARSE_MOUNT_WORD_H
#define LV_PARSE_MOUNT_WORD_H

#include <stdint.h>

#define MOUNT_PATH_MAX 255 /* bytes */

enum mount_kind { MOUNT_READ_ONLY, MOUNT_WRITABLE, MOUNT_TMPFS };

struct mount_word {
	enum mount_kind kind;
	uint64_t size; /* of MOUNT_TMPFS */
	uint32_t mode;
	const char *path; /* absolute, without "." and ".." and empty names; "/" itself not for MOUNT_TMPFS. Into the word */
};

/* 0, or -1: it is none. */
int mount_word_read(const char *word, struct mount_word *mount);
/* Whether a path is one that a mount may have: absolute, clean, at most MOUNT_PATH_MAX bytes. */
int mount_path_is_clean(const char *path);

#endif
