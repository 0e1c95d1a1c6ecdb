/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of saved VMs as JSON. The same for the command line and the API. */
#ifndef LV_NODE_SAVE_VIEW_H
#define LV_NODE_SAVE_VIEW_H

#include "node/save_dir.h"

/*
 * Those in the user's place, the newest first: an array with an object each: name, path, vm, vm_name, program, saved_ns, guest, size (bytes on disk), parent (path of what it is a difference from, or null), or name, path and error. NULL with
 * a message.
 */
json_t *saves_list(struct error *error);
/* The whole manifest, and path. NULL with a message. */
json_t *save_view(const char *path, struct error *error);
/* save_find, for who has not opened the VMs: where there are none, among what was saved alone. */
char *save_find_kept(const char *word, struct error *error);

#endif
