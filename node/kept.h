/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives the machine's run: the configurations of VMs that are to come back after it, and the definitions of services, a file each.
 * Of root's lightvmd also which users have such. $LIGHTVM_KEPT; else /var/lib/lightvm for root; else ${XDG_STATE_HOME:-~/.local/state}/lightvm. In it, "restart",
 * "services" and "users", and "saved", a directory for each saved VM (node/save_dir.h); "hosts": this one's key, and those
 * that it knows (node/host_store.h); "volumes", a directory for each one that has a name (node/named_volumes.h).
 */
#ifndef LV_NODE_KEPT_H
#define LV_NODE_KEPT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"

enum kept_kind { KEPT_VM, KEPT_SERVICE, KEPT_USER, KEPT_SAVED, KEPT_HOST, KEPT_VOLUME };

/* The directory, a descriptor that is the caller's. -ENOENT without a message: it is not there, and create is not set. */
int kept_open(enum kept_kind kind, bool create, struct error *error);
/* Its path, the caller's, whether it is there or not. NULL with a message. */
char *kept_place(enum kept_kind kind, struct error *error);
/* NAME.json, replaced as a whole and on disk when this returns. dir: of kept_open. */
int kept_write(int dir, const char *name, const json_t *json, struct error *error);
/* A new reference. NULL: not there, or damaged, which a message says. */
json_t *kept_read(int dir, const char *name, struct error *error);
/* Takes it for this process alone, which flock(2) releases with the last copy of dir; waits so long for it. 0 or a negative errno. */
int kept_lock(int dir, int milliseconds);
bool kept_any(int dir);
bool kept_has(int dir, const char *name);
/* The file, and its mark. */
void kept_remove(int dir, const char *name);
/* A mark beside it, NAME.stopped: a user has stopped it. 0 or a negative errno. */
int kept_mark(int dir, const char *name, bool stopped);
bool kept_marked(int dir, const char *name);
/* Calls each(context, name) for every file; 0 or what each answered. */
int kept_each(int dir, int (*each)(void *context, const char *name), void *context);

#endif
