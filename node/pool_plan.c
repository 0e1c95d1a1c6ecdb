/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pool_plan.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "abi/layout.h"
#include "node/json_rows.h"
#include "node/vm_template.h"

#define LEAST_MEMORY (4ull << 20)
#define MOST_MEMORY (64ull << 30)
#define MOST_ROOM (1ull << 30)

static const struct json_row rows[] = {
	JSON_ROW(struct pool_plan, "name", ROW_NAME, name, .high = POOL_NAME),
	JSON_ROW(struct pool_plan, "template", ROW_NAME, template, .high = POOL_TEMPLATE),
	JSON_ROW(struct pool_plan, "memory", ROW_U64, memory, .low = LEAST_MEMORY, .high = MOST_MEMORY),
	JSON_ROW(struct pool_plan, "room", ROW_U64, room, .low = 0, .high = MOST_ROOM),
	JSON_ROW(struct pool_plan, "ram", ROW_U64, ram, .low = LV_RAM_SMALL, .high = LV_RAM_MAX),
	JSON_ROW(struct pool_plan, "least", ROW_U32, least, .low = 0, .high = POOL_MOST),
	JSON_ROW(struct pool_plan, "most", ROW_U32, most, .low = 0, .high = POOL_MOST),
	{ 0 },
};
static_assert(sizeof(((struct pool_plan *)0)->least) == 4, "a row of 32 bits");

json_t *pool_plan_to_json(const struct pool_plan *plan)
{
	return rows_write(rows, plan);
}

static int check(const struct pool_plan *plan, struct error *error)
{
	if (!plan->name[0])
		return error_set(error, -EINVAL, "pool: it has no name");
	for (const char *c = plan->name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_.", *c))
			return error_set(error, -EINVAL, "pool: \"%s\" is not of letters, digits, \".\", \"-\" and \"_\"", plan->name);
	if (plan->template[0] && template_check_name(plan->template, error))
		return error_prefix(error, "pool %s", plan->name);
	if (plan->least > plan->most)
		return error_set(error, -EINVAL, "pool %s: at least %u and at most %u is impossible", plan->name, plan->least, plan->most);
	return 0;
}

int pool_plan_from_json(struct pool_plan *plan, const json_t *json, struct error *error)
{
	*plan = (struct pool_plan)POOL_PLAN_DEFAULT;
	plan->name[0] = 0;
	if (!json_is_object(json))
		return error_set(error, -EINVAL, "pool: not an object");
	int err = rows_read(rows, NULL, plan, json, "pool", error);
	return err ? err : check(plan, error);
}

int pool_plan_change(struct pool_plan *plan, const json_t *json, struct error *error)
{
	struct pool_plan changed = *plan;
	int err = rows_read(rows, NULL, &changed, json, "pool", error);
	if (!err && (strcmp(changed.template, plan->template) || changed.memory != plan->memory || changed.room != plan->room || changed.ram != plan->ram))
		err = error_set(error, -EINVAL, "pool %s: what its shells are is fixed; make another one", plan->name);
	if (!err)
		err = check(&changed, error);
	if (!err)
		*plan = changed;
	return err;
}

json_t *pool_to_json(const struct pool *pool)
{
	struct pool_state state;
	pool_look(pool, &state);
	json_t *json = pool_plan_to_json(pool_plan(pool));
	if (!json)
		return NULL;
	json_t *now = json_pack("{s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "ready", (int)state.ready, "making", (int)state.making,
		"wanted", (int)state.wanted, "hits", (json_int_t)state.claims[LV_CLAIM_HIT], "empty", (json_int_t)state.claims[LV_CLAIM_EMPTY], "stale",
		(json_int_t)state.claims[LV_CLAIM_STALE], "made", (json_int_t)state.made, "failed", (json_int_t)state.failed, "ended", (json_int_t)state.ended,
		"make_ns", (json_int_t)state.make_ns, "saved_ns", (json_int_t)state.saved_ns, "memory_held", (json_int_t)pool_memory(pool), "pressed",
		(int)state.pressed, "error", state.error);
	if (json_object_update(json, now)) {
		json_decref(json);
		json = NULL;
	}
	json_decref(now);
	return json;
}
