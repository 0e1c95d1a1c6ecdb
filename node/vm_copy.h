/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories between us and a VM that runs, by its agent. The guest is hostile: see base/tree.h. */
#ifndef LV_NODE_VM_COPY_H
#define LV_NODE_VM_COPY_H

#include "base/text.h"
#include "node/vm_info.h"

/*
 * Connections on which a tree comes, or goes; the caller's. path is absolute. Each waits a minute at most for the guest, at any time. A negative errno with a message: also that the guest has no such path.
 * name: what the tree's top is called if path is a directory; "": the top is path itself.
 */
int vm_copy_pull(const struct vm_info *info, const char *path, struct error *error);
int vm_copy_push(const struct vm_info *info, const char *path, const char *name, struct error *error);
/* What the guest says when all is sent. err, why: how that ended here, and is what counts unless the guest says why it could not go on. */
int vm_copy_pushed(int fd, int err, const char *why, struct error *error);

/* What a copy of path is called: its last component, or "" where that is none. The caller's. */
char *vm_copy_name(const char *path);

struct vm_copied {
	uint64_t files, bytes;
	struct strings left_out; /* and why, each; printable; at most VM_COPY_NOTES of them */
	uint64_t notes;		 /* how many were left out */
};
#define VM_COPY_NOTES 100
struct vm_copy_limits { /* a guest that is not asked for more may send for ever */
	uint64_t bytes, files; /* of contents; of files, directories, links and notes */
};
void vm_copied_free(struct vm_copied *copied);
/*
 * The same as a tar archive, by lightvm-tar: what comes on the connection `from` to out, with its top called name; and the archive that comes on `in`, to the connection `to`, ended by vm_copy_pushed.
 * -EFBIG, -E2BIG: the guest sends more than is allowed. copied in every case; vm_copied_free.
 */
int vm_copy_to_tar(int from, const char *name, struct vm_copy_limits limits, int out, struct vm_copied *copied, struct error *error);
int vm_copy_from_tar(int in, int to, struct vm_copied *copied, struct error *error);

#endif
