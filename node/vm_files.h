/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of its image a VM of the library OS has used, and which names it looked for in vain: the file "files" in its directory (abi/used_files.h). It is there while
 * the VM runs, and afterwards. What is in it, the guest has said: it may be anything.
 */
#ifndef LV_NODE_VM_FILES_H
#define LV_NODE_VM_FILES_H

#include "node/state.h"
#include "tinyx/image_file.h"

/* A new one, for an image of so many bytes; record: LV_RECORD_*. The descriptor, the caller's, or a negative errno with a message. */
int vm_files_make(const struct vm_dir *vm, uint32_t record, uint64_t image_size, struct error *error);

/*
 * zero-initialised: closed. The monitor has the file, and may change it, or make it shorter, at any time: nothing of it is mapped here.
 */
struct vm_files {
	char *names; /* as they were when it was opened, with a zero byte behind them; NULL: it was not */
	int fd;      /* only if there are names */
};

/* -ENOENT, without a message: nothing was asked for. Close in any case. */
int vm_files_open(struct vm_files *files, const struct vm_dir *vm);
/* LV_USED_* of the inode of this number. */
unsigned vm_files_mark(const struct vm_files *files, uint64_t nid);
/* The first name that was looked for in vain (with a slash at its end: a directory that was listed), or the one behind the one that was answered; NULL: that was the last. */
const char *vm_files_lack(const struct vm_files *files, const char *last);
/*
 * A line for each of the first of those that the image lacks since it was trimmed, with the command that brings it back; fit for a terminal. listed: and for each directory that was
 * listed and lacks some of its names: a program that has seen that may look for none of them.
 */
void vm_files_left(const struct vm_files *files, const struct image *image, bool listed, struct text *out);
void vm_files_close(struct vm_files *files);

#endif
