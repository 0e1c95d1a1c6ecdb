/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: programs that have started once, saved in the user's place under a name that follows from all that went into them, of which each VM that is asked for is a copy
 * (docs/saved-vms.md). What else there is of a saved VM holds of them, too.
 */
#ifndef LV_NODE_VM_TEMPLATE_H
#define LV_NODE_VM_TEMPLATE_H

#include "node/shell.h"
#include "node/template_wish.h"
#include "node/vm_config.h"

#define TEMPLATE_PREFIX "template-" /* of the names of those in the user's place */
#define TEMPLATES_MOST 32           /* the one whose last use is longest ago goes */

/*
 * Has the VM of config, which is validated and open, go on from the template that it says, in place of its program's start; one that is not there is made before, which takes as long
 * as that start. Nothing with TEMPLATE_NONE. start_ns: CLOCK_MONOTONIC of the request. 0 or a negative errno with a message: -EOPNOTSUPP: a Linux guest, or one with disks;
 * -ESRCH: the program ended before it was to be copied; -ETIMEDOUT: it does not come so far; -EPERM: copies would share their random numbers; -ENOENT: the image lacks the start file.
 */
int template_use(struct vm_config *config, const struct template_wish *wish, uint64_t start_ns, struct error *error);

/* One that there is, by its name in the user's place: what a monitor needs that is made before anybody asks for a copy. */
struct template_files { /* TEMPLATE_FILES_NONE */
	struct shell_ahead fd; /* owned */
	uint64_t memory, room, ram; /* bytes: what a copy may have; of its image; of RAM that it has at once */
	uint64_t id[2];        /* of the memory file: device and inode */
};
#define TEMPLATE_FILES_NONE ((struct template_files){ .fd = { -1, -1, -1 } })
/* Close in both cases. -ENOENT, -ESTALE (its image is another one), ..., with a message. */
int template_files_open(struct template_files *files, const char *name, struct error *error);
void template_files_close(struct template_files *files);
/* Is it still the one that lies there? */
bool template_files_current(const struct template_files *files, const char *name);

/* The name of a saved VM that is one. */
bool template_is_name(const char *name);
/* -EINVAL with a message, if it is none. */
int template_check_name(const char *name, struct error *error);

#endif
