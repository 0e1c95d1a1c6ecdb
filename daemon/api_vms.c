/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/vms: the lives of VMs. Each runs in a process of its own (daemon/task.h), since a monitor may not answer, and a disk be slow. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/number.h"
#include "daemon/api_progress.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/agent_client.h"
#include "node/vm_again.h"
#include "node/vm_end.h"
#include "node/vm_pause.h"
#include "node/vm_policy.h"
#include "node/vm_rename.h"
#include "node/vm_view.h"
#include "node/vm_wish.h"

#define STOP_SECONDS 10
#define STOP_SECONDS_MAX 300

/* ---- one VM ---- */

typedef int (*vm_operation)(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error);

static int with_vm(struct api_request *request, struct api_reply *reply, vm_operation operation, struct error *error)
{
	struct api_vm vm;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = operation(request, &vm.state, &vm.info, reply, error);
	api_vm_close(&vm);
	return err;
}

#define WITH_VM(name, operation) \
	static int name(struct api_request *request, struct api_reply *reply, struct error *error) { return with_vm(request, reply, operation, error); }

/* ---- making and listing ---- */

static int create(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct vm_config config;
	struct state state = STATE_NONE;
	uint64_t start_ns = clock_now();
	const struct pack_watch watch = progress_watch(request);
	bool start = true;
	config_init(&config);
	int err = api_query(request, "start") ? api_query_bool(request, "start", &start, error) : 0;
	if (!err)
		err = wish_config(&config, request->body, &watch, error);
	if (err && api_error_status(err) == 404)
		reply->refused = 400; /* a file that the body names, not what the path does */
	if (!err && !start)
		err = wish_leave(&config, error);
	if (!err && start) {
		progress_say(request, "starting", json_pack("{s:s}", "id", config.id));
		err = wish_start(&config, start_ns, error);
	}
	if (!err)
		err = state_open(&state, false, error);
	if (!err)
		err = api_say_started(&state, config.id, 201, reply, error);
	state_close(&state);
	config_free(&config);
	return err;
}

struct listing {
	const struct state *state;
	json_t *array;
	bool all;
};

static int add_row(void *context, const char *id)
{
	struct listing *listing = context;
	struct vm_info info;
	int err = vm_info_open(listing->state, id, &info);
	if (!err && vm_is_litter(&info))
		vm_info_remove(listing->state, &info, NULL);
	else if (!err && (info.alive || listing->all))
		err = json_array_append_new(listing->array, vm_view_row(&info)) ? -ENOMEM : 0;
	else
		err = 0; /* it went away meanwhile */
	vm_info_close(&info);
	return err;
}

static int list(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct state state;
	struct listing listing = { .state = &state, .array = json_array() };
	int err = api_query_bool(request, "all", &listing.all, error);
	int opened = err ? err : state_open(&state, false, error);
	if (!err && !opened)
		err = state_each(&state, add_row, &listing);
	else if (opened != -ENOENT)
		err = opened;
	if (!opened)
		state_close(&state);
	if (!err)
		return api_say_json(reply, json_pack("{s:o}", "vms", listing.array), error);
	json_decref(listing.array);
	return error->text[0] ? err : error_set(error, err, "listing: %s", strerror(-err));
}

static int get_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	return api_say_json(reply, vm_view_all(info, VM_PATIENCE_MS), error);
}
WITH_VM(get, get_one)

static int ledger_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	vm_info_refresh(info, VM_PATIENCE_MS);
	return api_say_json(reply, vm_view_ledger(info), error);
}
WITH_VM(ledger, ledger_one)

/* ---- what is done to one ---- */

static int start_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	vm_info_settle(info);
	if (!info->alive)
		policy_begin(&info->dir);
	int err = vm_start(info, clock_now(), error);
	return err ? err : api_say_started(state, info->dir.id, 200, reply, error);
}
WITH_VM(start, start_one)

static int pause_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	int err = vm_pause(info, error);
	return err ? err : api_say_vm(state, info->dir.id, 200, reply, error);
}
WITH_VM(pause_vm, pause_one)

static const char *const resume_query[] = { "advance", NULL };
static int resume_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	bool advance;
	int err = api_query_bool(request, "advance", &advance, error);
	if (!err)
		err = vm_resume(info, advance, error);
	return err ? err : api_say_vm(state, info->dir.id, 200, reply, error);
}
WITH_VM(resume, resume_one)

static const char *const stop_keys[] = { "seconds", NULL };
static int stop_ms(const struct api_request *request, int *milliseconds, struct error *error)
{
	uint64_t seconds = STOP_SECONDS;
	int err = api_body_keys(request->body, stop_keys, error);
	if (!err)
		err = api_body_number(request->body, "seconds", 0, STOP_SECONDS_MAX, STOP_SECONDS, &seconds, error);
	*milliseconds = (int)seconds * 1000;
	return err;
}

/* One that was to be removed at its end is gone then, and there is nothing to show. */
static int say_ended(const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	if (!json_is_true(json_object_get(info->config, "remove")))
		return api_say_vm(state, info->dir.id, 200, reply, error);
	vm_info_remove(state, info, NULL);
	return 0;
}

static int stop_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	int milliseconds, err = stop_ms(request, &milliseconds, error);
	if (!err)
		err = policy_stop(info->dir.id, error);
	if (!err) {
		progress_say(request, "stopping", json_pack("{s:i}", "seconds", milliseconds / 1000));
		err = vm_end(info, milliseconds, error);
	}
	return err ? err : say_ended(state, info, reply, error);
}
WITH_VM(stop, stop_one)

static int restart_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	int milliseconds, err = stop_ms(request, &milliseconds, error);
	if (!err) {
		progress_say(request, "restarting", json_pack("{s:i}", "seconds", milliseconds / 1000));
		err = vm_restart(info, milliseconds, clock_now(), NULL, error);
	}
	return err ? err : api_say_started(state, info->dir.id, 200, reply, error);
}
WITH_VM(restart, restart_one)

static const char *const kill_keys[] = { "signal", NULL };
static int kill_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	const char *word = NULL;
	int number = SIGKILL, err = api_body_keys(request->body, kill_keys, error);
	if (!err)
		err = api_body_string(request->body, "signal", &word, error);
	if (!err && word && signal_parse(word, &number))
		err = error_set(error, -EINVAL, "signal: \"%.40s\" is not a signal (examples: TERM, HUP, 10)", word);
	if (!err && !info->alive)
		err = error_set(error, -ESRCH, "VM %s has ended already", info->dir.id);
	if (!err && (number == SIGKILL || number == SIGTERM))
		err = policy_stop(info->dir.id, error);
	if (err)
		return err;
	if (number == SIGKILL) {
		err = vm_end(info, 0, error);
		return err ? err : say_ended(state, info, reply, error);
	}
	err = vm_signal(info->dir.dir, number, deadline_in(AGENT_ANSWER_MS));
	if (err)
		return error_set(error, err, "VM %s: %s: %s", info->dir.id, signal_name(number), strerror(-err));
	return api_say_vm(state, info->dir.id, 200, reply, error);
}
WITH_VM(kill_vm, kill_one)

static const char *const rename_keys[] = { "name", NULL };
static int rename_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	const char *name = NULL;
	int err = api_body_keys(request->body, rename_keys, error);
	if (!err)
		err = api_body_string(request->body, "name", &name, error);
	if (!err && !name)
		err = error_set(error, -EINVAL, "name: missing");
	if (!err)
		err = vm_rename(state, info, name, error);
	return err ? err : api_say_vm(state, info->dir.id, 200, reply, error);
}
WITH_VM(rename_vm, rename_one)

static const char *const delete_query[] = { "force", NULL };
static int delete_one(struct api_request *request, const struct state *state, struct vm_info *info, struct api_reply *reply, struct error *error)
{
	bool force;
	int err = api_query_bool(request, "force", &force, error);
	if (!err && info->alive && !force)
		err = error_set(error, -EBUSY, "VM %s still runs; stop it first, or say force=true", info->dir.id);
	if (!err)
		err = policy_stop(info->dir.id, error);
	if (!err)
		err = vm_end(info, 0, error);
	return err ? err : vm_info_remove(state, info, error);
}
WITH_VM(delete_vm, delete_one)

#define WITH_PROGRESS .query = progress_query, .stream = progress_stream, .streams = PROGRESS_QUERY
static const char *const progress_query[] = { PROGRESS_QUERY, NULL };
static const char *const create_query[] = { "start", PROGRESS_QUERY, NULL };
static const char *const list_query[] = { "all", NULL };
const struct route routes_vms[] = {
	{ .method = "GET", .path = "/v1/vms", .operation = "listVms", .query = list_query, .task = list },
	{ .method = "POST", .path = "/v1/vms", .operation = "createVm", .body = API_JSON, .task = create, .starts = true, .query = create_query, .stream = progress_stream,
	  .streams = PROGRESS_QUERY },
	{ .method = "GET", .path = "/v1/vms/{id}", .operation = "getVm", .task = get },
	{ .method = "DELETE", .path = "/v1/vms/{id}", .operation = "deleteVm", .query = delete_query, .task = delete_vm },
	{ .method = "GET", .path = "/v1/vms/{id}/ledger", .operation = "getVmLedger", .task = ledger },
	{ .method = "POST", .path = "/v1/vms/{id}/start", .operation = "startVm", .task = start, .starts = true },
	{ .method = "POST", .path = "/v1/vms/{id}/pause", .operation = "pauseVm", .task = pause_vm },
	{ .method = "POST", .path = "/v1/vms/{id}/resume", .operation = "resumeVm", .query = resume_query, .task = resume },
	{ .method = "POST", .path = "/v1/vms/{id}/stop", .operation = "stopVm", .body = API_JSON_OPTIONAL, .task = stop, .lasting = true, WITH_PROGRESS },
	{ .method = "POST", .path = "/v1/vms/{id}/kill", .operation = "killVm", .body = API_JSON_OPTIONAL, .task = kill_vm },
	{ .method = "POST", .path = "/v1/vms/{id}/restart", .operation = "restartVm", .body = API_JSON_OPTIONAL, .task = restart, .starts = true, .lasting = true, WITH_PROGRESS },
	{ .method = "POST", .path = "/v1/vms/{id}/rename", .operation = "renameVm", .body = API_JSON, .task = rename_vm },
	{ 0 },
};
