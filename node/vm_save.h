/* SPDX-License-Identifier: Apache-2.0 */
/* A VM that runs becomes files, from which it goes on some other time (docs/saved-vms.md). */
#ifndef LV_NODE_VM_SAVE_H
#define LV_NODE_VM_SAVE_H

#include "node/save_dir.h"
#include "node/vm_info.h"

struct save_wish {
	const char *path; /* absolute; NULL: in the user's place, under name */
	const char *name; /* NULL: the VM's, or its id */
	const char *base; /* only what changed since this saved VM, an absolute path, from which it was restored; NULL: all of it */
	bool leave_running;
	bool one; /* path is a file, which holds all of it; compressed */
	bool stream; /* it goes to out, in the form of that file: compressed, and the VM goes on; path NULL, and answered NULL */
	int out;
	bool compress; /* its memory by zstd, when it is written: until then it takes both on disk */
};

/*
 * Saves it, and ends it unless it is to go on: it stands still meanwhile. *path, the caller's, is where. Whatever fails, and where this process is killed at any
 * point: the VM goes on, and what was at path before is still there. info is as it was looked at, and refreshed. -ESRCH: it has ended; -EAGAIN: it is still starting;
 * -EEXIST: what is at path is no saved VM, or another VM's under this name; -EBUSY: it is being saved; -EOPNOTSUPP: not by this monitor, or with a base, and not
 * restored; -ESTALE: restored from another one than base; -ELOOP: base is the last of too many; -ENOSPC.
 */
int vm_save(struct vm_info *info, const struct save_wish *wish, char **path, struct error *error);

/* What will not be as it was after a restore of this VM, for a person; NULL: nothing. A static text. */
const char *vm_save_note(const struct vm_info *info);

/* Whether it can be, and the record as its monitor has it now. */
int vm_save_check(struct vm_info *info, struct error *error);
/*
 * The first half, for who has files of another kind: has the monitor write both, and the VM stand still until the connection that is answered, the caller's, ends; or goes
 * its own way (LV_CTL_KILL on it). base: memory that it was restored from: only what changed since is written; -1: all. A negative errno with a message: the VM is as it was.
 */
int vm_save_to(const struct vm_info *info, int state, int memory, int base, struct error *error);
/*
 * A look at memory while it runs (LV_CTL_LOOK), on the connection of the looks before, or the first, which opens it (*connection -1): the caller's. what: LV_LOOK_*. Asked
 * for, and waited for, with the same files. A negative errno with a message: the VM runs, and the connection is closed; -EOPNOTSUPP: this monitor, or its host, cannot.
 */
int vm_save_ask(const struct vm_info *info, int *connection, int state, int memory, int64_t what, struct error *error);
int vm_save_look(const struct vm_info *info, int *connection, int state, int memory, struct error *error);
/* What the manifest says of it, but for the sizes of the files and the time. -ESTALE: its image is another one by now. Free in both cases. */
int vm_save_describe(const struct vm_info *info, struct save_manifest *manifest, struct error *error);

#endif
