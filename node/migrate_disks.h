/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a VM that moves, which both hosts reach under the same path. That it is the same file, and not one of the same name, the destination knows by its number and
 * size, and by the lock: the source's monitor holds it until the VM stands still for the last time; then the destination takes it.
 */
#ifndef LV_NODE_MIGRATE_DISKS_H
#define LV_NODE_MIGRATE_DISKS_H

#include <jansson.h>

#include "base/error.h"
#include "node/vm_config.h"

/* The source: a list of which files they are, the caller's. NULL: a message, which names the disk that cannot be moved. */
json_t *migrate_disks_tell(const json_t *config, struct error *error);
/*
 * The destination: what was told of config's disks is true here, and somebody holds them. place: the directory below which they have to be; no link and no ".." leads
 * out of it; NULL: none may be anywhere. Nothing but a regular file is opened. 0, or a negative errno with a message.
 */
int migrate_disks_check(const struct vm_config *config, const json_t *told, const char *place, struct error *error);
/* Opens and locks the same files: the source has let go of them by now. */
int migrate_disks_open(struct vm_config *config, const json_t *told, const char *place, struct error *error);

#endif
