/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/pools, and the same over the local socket. */
#include "daemon/api_pools.h"

#include <errno.h>
#include <string.h>

#include "daemon/pools.h"
#include "daemon/routes.h"

static int say(struct api_reply *reply, struct daemon *daemon, const char *name, unsigned status, struct error *error)
{
	reply->json = pools_json(pools_of(daemon), name, error);
	reply->status = status;
	return reply->json ? 0 : error->code;
}

static int list(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return say(reply, request->daemon, NULL, 200, error);
}

static int get(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return say(reply, request->daemon, request->param[0], 200, error);
}

static int add(struct api_request *request, struct api_reply *reply, struct error *error)
{
	int err = pools_add(pools_of(request->daemon), request->body, error);
	return err ? err : say(reply, request->daemon, json_string_value(json_object_get(request->body, "name")), 201, error);
}

static const char *const bounds[] = { "least", "most", NULL };
static int set(struct api_request *request, struct api_reply *reply, struct error *error)
{
	int err = api_body_keys(request->body, bounds, error);
	if (!err)
		err = pools_set(pools_of(request->daemon), request->param[0], request->body, error);
	return err ? err : say(reply, request->daemon, request->param[0], 200, error);
}

static int drop(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return pools_remove(pools_of(request->daemon), request->param[0], error);
}

const struct route routes_pools[] = {
	{ .method = "GET", .path = "/v1/pools", .operation = "listPools", .now = list },
	{ .method = "POST", .path = "/v1/pools", .operation = "addPool", .body = API_JSON, .now = add },
	{ .method = "GET", .path = "/v1/pools/{name}", .operation = "getPool", .now = get },
	{ .method = "PATCH", .path = "/v1/pools/{name}", .operation = "setPool", .body = API_JSON, .now = set },
	{ .method = "DELETE", .path = "/v1/pools/{name}", .operation = "removePool", .now = drop },
	{ 0 },
};

/* ---- the local socket: {"do": "add", "pool": {...}}, or nothing; the answer is the list ---- */

static int obey(struct pools *pools, const json_t *order, struct error *error)
{
	const char *what = json_string_value(json_object_get(order, "do"));
	const json_t *pool = json_object_get(order, "pool");
	const char *name = json_string_value(json_object_get(pool, "name"));
	if (what && !strcmp(what, "add"))
		return pools_add(pools, pool, error);
	if (what && !strcmp(what, "set"))
		return pools_set(pools, name, pool, error);
	if (what && !strcmp(what, "rm"))
		return pools_remove(pools, name, error);
	return error_set(error, -EINVAL, "do: %.40s is none of add, set, rm", what ? what : "nothing");
}

static int order(struct local_call *call, struct local_reply *reply, struct error *error)
{
	struct pools *pools = pools_of(call->daemon);
	json_error_t why;
	json_t *said = call->head.size ? json_loadb(call->body, call->head.size, JSON_REJECT_DUPLICATES, &why) : NULL;
	int err = 0;
	if (said)
		err = obey(pools, said, error);
	else if (call->head.size)
		err = error_set(error, -EINVAL, "the order is no JSON: %s", why.text);
	json_decref(said);
	return err ? err : local_say_json(reply, pools_json(pools, NULL, error), error);
}

const struct local_op pools_local_ops[] = { { LV_DMN_POOLS, order }, { 0 } };
