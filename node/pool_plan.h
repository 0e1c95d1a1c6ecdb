/* SPDX-License-Identifier: Apache-2.0 */
/* Pools as JSON: what a user sets, and what one is shown. */
#ifndef LV_NODE_POOL_PLAN_H
#define LV_NODE_POOL_PLAN_H

#include <jansson.h>

#include "base/error.h"
#include "node/pool.h"

#define POOL_PLAN_DEFAULT { .name = "default", .memory = 1ull << 30, .room = 8ull << 20, .ram = 6ull << 20, .least = 2, .most = 64 }

/* New references; NULL: out of memory. */
json_t *pool_plan_to_json(const struct pool_plan *plan);
json_t *pool_to_json(const struct pool *pool);
/* What is missing is as in POOL_PLAN_DEFAULT, but for the name, which has to be there. 0; -EINVAL, -ERANGE with a message. */
int pool_plan_from_json(struct pool_plan *plan, const json_t *json, struct error *error);
/* The bounds alone, those that are there. */
int pool_plan_change(struct pool_plan *plan, const json_t *json, struct error *error);

#endif
