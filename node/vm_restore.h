/* SPDX-License-Identifier: Apache-2.0 */
/* A saved VM goes on (docs/saved-vms.md). */
#ifndef LV_NODE_VM_RESTORE_H
#define LV_NODE_VM_RESTORE_H

#include "node/save_dir.h"

struct restore_wish { /* what is not as it was; zeroes and NULL: all is */
	const char *name, *hostname;
	struct net_request net; /* its id is not looked at */
	bool attached; /* in the foreground */
	bool keeps_stdin, remove;
	bool advance; /* the time since the save has passed for its monotonic clock */
	bool paused;
	bool whole;  /* its memory is copied before it runs */
	bool disks_later; /* of restore_config: the disks are neither opened nor looked at */
	bool image_later; /* of restore_config: its image is still to come: neither it nor kernel and disks are looked for */
};

/* Starts what vm and config say, as a vm_run does: an exit status or a negative errno, with *failed where the program never ran. */
typedef int restore_run(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error);

/*
 * Has the saved VM go on by run (NULL: in the background, quietly): under its id and in its directory where that VM has ended or is gone; where it
 * still runs, as another VM, which needs a name of its own: with a new id, hardware address and connections that are reset. id, STATE_ID + 1
 * bytes, is which VM it became. All that differs from where it was saved is found before anything is started: image, library OS, kernel and processor. *status is what run
 * answered. -EBUSY: it runs; -ESTALE: an image, a kernel or a library OS is not the one that it had; -ENOTSUP: what the processor lacks.
 */
int vm_restore(const struct state *state, const struct save *save, const struct restore_wish *wish, uint64_t start_ns, restore_run *run, char *id, int *status,
	       struct error *error);

/*
 * The first half alone, for who makes many: a configuration with the saved state in it, whose files are open and are the ones that it had.
 * config is as config_init left it; free in both cases.
 */
int restore_config(const struct save *save, const struct restore_wish *wish, struct vm_config *config, struct error *error);

#endif
