/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/prune, /v1/vms/{id}/top, another limit of memory: what is done with VMs beside their lives. */
#include <errno.h>

#include "daemon/api_progress.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/vm_config.h"
#include "node/vm_filter.h"
#include "node/vm_limit.h"
#include "node/vm_prune.h"
#include "node/vm_top.h"

#define FILTERS_MAX 64

/* ---- prune ---- */

struct pruning {
	struct api_request *request;
	struct strings filter;
	json_t *removed;
	bool dry;
};

static void tell(struct pruning *pruning, const struct vm_info *info)
{
	json_array_append_new(pruning->removed, json_string(info->dir.id));
	if (!pruning->dry)
		progress_say(pruning->request, "removing", json_pack("{s:s}", "id", info->dir.id));
}

static bool passes(void *context, const struct vm_info *info)
{
	struct pruning *pruning = context;
	struct vm_row row;
	vm_row_from_json(info->config, &row);
	bool taken = vm_filter_passes(&pruning->filter, info, &row);
	if (taken && pruning->dry)
		tell(pruning, info);
	return taken;
}

static void removed(void *context, const struct vm_info *info)
{
	tell(context, info);
}

static int read_wish(const json_t *body, struct pruning *pruning, struct error *error)
{
	static const char *const keys[] = { "dry", "filter", NULL };
	bool deep;
	int err = api_body_keys(body, keys, error);
	if (!err)
		err = api_body_bool(body, "dry", false, &pruning->dry, error);
	if (!err)
		err = api_body_list(body, "filter", &pruning->filter, error);
	if (!err && pruning->filter.count > FILTERS_MAX)
		err = error_set(error, -E2BIG, "filter: more than %d", FILTERS_MAX);
	return err ? err : vm_filter_check(&pruning->filter, "filter", &deep, error);
}

static int prune(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct pruning pruning = { .request = request, .removed = json_array() };
	struct vm_pruned found = { 0 };
	struct state state = STATE_NONE;
	int err = read_wish(request->body, &pruning, error);
	if (!err)
		err = state_open(&state, true, error);
	if (!err)
		err = vm_prune(&state, pruning.dry, passes, removed, &pruning, &found, error);
	if (!err)
		err = api_say_json(reply, json_pack("{s:O, s:i, s:I}", "vms", pruning.removed, "names", (int)found.names, "bytes", (json_int_t)found.bytes), error);
	state_close(&state);
	strings_free(&pruning.filter);
	json_decref(pruning.removed);
	return err;
}

/* ---- one VM ---- */

static int top(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	uint32_t total = 0;
	int err = api_vm_open(request, &vm, error);
	json_t *rows = err ? NULL : vm_top(&vm.info, &total, error);
	if (!err)
		err = rows ? api_say_json(reply, json_pack("{s:I, s:o}", "total", (json_int_t)total, "rows", rows), error) : error->code;
	if (err == -EAGAIN)
		reply->refused = 409; /* it is paused */
	api_vm_close(&vm);
	return err;
}

static int update(struct api_request *request, struct api_reply *reply, struct error *error)
{
	static const char *const keys[] = { "memory", NULL };
	struct api_vm vm;
	uint64_t memory = 0;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = api_body_keys(request->body, keys, error);
	if (!err)
		err = api_body_number(request->body, "memory", CONFIG_MEMORY_LEAST, CONFIG_MEMORY_MOST, 0, &memory, error);
	if (!err && !memory)
		err = error_set(error, -EINVAL, "memory: missing");
	if (!err)
		err = vm_limit_memory(&vm.info, memory, error);
	if (!err)
		err = api_say_vm(&vm.state, vm.info.dir.id, 200, reply, error);
	api_vm_close(&vm);
	return err;
}

static const char *const prune_query[] = { PROGRESS_QUERY, NULL };
const struct route routes_upkeep[] = {
	{ .method = "POST", .path = "/v1/prune", .operation = "pruneVms", .body = API_JSON_OPTIONAL, .task = prune, .lasting = true, .query = prune_query, .stream = progress_stream,
	  .streams = PROGRESS_QUERY },
	{ .method = "GET", .path = "/v1/vms/{id}/top", .operation = "topVm", .task = top },
	{ .method = "PATCH", .path = "/v1/vms/{id}", .operation = "updateVm", .body = API_JSON, .task = update },
	{ 0 },
};
