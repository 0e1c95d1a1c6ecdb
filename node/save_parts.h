/* SPDX-License-Identifier: Apache-2.0 */
/* A saved VM while it is open, or made, whether it is a directory (node/save_dir.h) or one file (node/save_file.h), and what both do alike. */
#ifndef LV_NODE_SAVE_PARTS_H
#define LV_NODE_SAVE_PARTS_H

#include "node/save_manifest.h"

struct save { /* open; SAVE_NONE */
	char *path; /* absolute */
	int dir;
	int state; /* -1: it lies in the one file; save_open_state() */
	int memory; /* -1: it is compressed; save_open_memory() */
	int packed; /* that; -1: it is not */
	uint64_t packed_at; /* where it begins in that */
	uint64_t state_at; /* where the state begins in the one file, of which this is the CRC-32C */
	uint32_t state_crc;
	bool one; /* all of it is one file, of which packed is the end (node/save_file.h); dir is the directory around that, or -1 */
	int pages; /* which pages one that goes on writes first; -1: nobody has seen that yet */
	struct save_manifest manifest;
};
#define SAVE_NONE ((struct save){ .dir = -1, .state = -1, .memory = -1, .packed = -1, .pages = -1 })

struct save_draft { /* SAVE_DRAFT_NONE */
	char *path;     /* that it will have: absolute */
	char *name, *hidden; /* in the directory around it: that one, and where it is made */
	int around, dir, state, memory; /* dir holds a lock: whoever finds it without one finds a leftover */
};
#define SAVE_DRAFT_NONE ((struct save_draft){ .around = -1, .dir = -1, .state = -1, .memory = -1 })

/* The manifest, as text that was found in it. 0, or a negative errno with a message that names the path. */
int save_read_manifest(struct save *save, const char *text, size_t size, struct error *error);
/* The same file for one who shall not be able to write to it. A descriptor, or -1 and errno. */
int save_reopen_for_reading(int fd);

#endif
