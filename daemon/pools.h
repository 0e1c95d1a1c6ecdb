/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's pools of shells: claims over the local socket, and what users set. Loop thread. */
#ifndef LV_DAEMON_POOLS_H
#define LV_DAEMON_POOLS_H

#include <jansson.h>

#include "daemon/lightvmd.h"
#include "daemon/local.h"

struct pools;

extern const struct daemon_part pools_part;
extern const struct local_op pools_claim_ops[];

struct pools *pools_of(struct daemon *daemon);
/* What these do is on disk when they return 0; otherwise all is as it was. Messages name pool and value. */
/* -EINVAL, -ERANGE, -EEXIST, -EBUSY: there are as many as there may be. */
int pools_add(struct pools *pools, const json_t *plan, struct error *error);
/* "least" and "most", those that are there. -ENOENT, -EINVAL, -ERANGE. */
int pools_set(struct pools *pools, const char *name, const json_t *bounds, struct error *error);
int pools_remove(struct pools *pools, const char *name, struct error *error);
/* A new reference, NULL with a message: -ENOENT, -ENOMEM. name NULL: all, and how many claims none of them fits. */
json_t *pools_json(const struct pools *pools, const char *name, struct error *error);

#endif
