/* SPDX-License-Identifier: Apache-2.0 */
/* Which VMs can be moved: said by the source before anything is done, and by the destination of what it is offered, since a source need not be honest. */
#ifndef LV_NODE_MIGRATE_MOVABLE_H
#define LV_NODE_MIGRATE_MOVABLE_H

#include <jansson.h>

#include "base/error.h"

/* Of the configuration (config.json) of VM id. 0, or -EOPNOTSUPP with a message. */
int migrate_movable(const json_t *config, const char *id, struct error *error);
/* Takes out of it what is the source's alone: a path there means another file here. */
void migrate_localize(json_t *config);

#endif
