/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that have a name: directories in the user's own place (node/kept.h), which outlive VMs and the machine's run. */
#ifndef LV_NODE_NAMED_VOLUMES_H
#define LV_NODE_NAMED_VOLUMES_H

#include <jansson.h>

#include "base/error.h"
#include "base/text.h"

/* Could a word of -v be a name? Else it is a path. */
bool named_volume_is(const char *word);
/* Makes it, if create is set and it is not there: its directory, the caller's. NULL with a message. *made: it is new. NULL: not asked. */
char *named_volume_path(const char *name, bool create, bool *made, struct error *error);
/* The names of all, sorted. 0 or a negative errno with a message. */
int named_volumes(struct strings *names, struct error *error);
/* Name, directory, when it was made, and the ids of the VMs that have it. A new reference; NULL with a message. */
json_t *named_volume_view(const char *name, struct error *error);
/* With all that is in it. -EBUSY: a VM has it. */
int named_volume_remove(const char *name, struct error *error);

#endif
