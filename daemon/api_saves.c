/* SPDX-License-Identifier: Apache-2.0 */
/* Saving, restoring and cloning VMs, and /v1/checkpoints. Each runs in a process of its own with the caller's rights: a directory is opened as his. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "node/save_chain.h"
#include "node/save_view.h"
#include "node/vm_clone.h"
#include "node/vm_restore.h"
#include "node/vm_save.h"

#define CLONES_AT_ONCE 1000

/* Where the daemon stands is nothing to who calls. */
static int body_directory(const json_t *body, const char *key, const char **out, struct error *error)
{
	int err = api_body_string(body, key, out, error);
	if (!err && *out && (*out)[0] != '/')
		err = error_set(error, -EINVAL, "%s: \"%.100s\" is not an absolute path", key, *out);
	return err;
}

/* ---- save ---- */

/* A name in the caller's place, or an absolute path; the caller's to free. */
static int find_base(const json_t *body, char **base, struct error *error)
{
	const char *word;
	int err = api_body_string(body, "base", &word, error);
	if (!err && word && strchr(word, '/') && *word != '/')
		err = error_set(error, -EINVAL, "base: \"%.100s\" is neither a name nor an absolute path", word);
	*base = !err && word ? save_find_kept(word, error) : NULL;
	return err || !word || *base ? err : error->code;
}

static const char *const save_keys[] = { "name", "directory", "base", "leave_running", "compress", NULL };
static int save(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	struct save_wish wish = { 0 };
	char *path = NULL, *base = NULL;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = api_body_keys(request->body, save_keys, error);
	if (!err)
		err = api_body_string(request->body, "name", &wish.name, error);
	if (!err)
		err = body_directory(request->body, "directory", &wish.path, error);
	if (!err)
		err = api_body_bool(request->body, "leave_running", false, &wish.leave_running, error);
	if (!err)
		err = api_body_bool(request->body, "compress", false, &wish.compress, error);
	if (!err && (err = find_base(request->body, &base, error)) && api_error_status(err) == 404)
		reply->refused = 400;
	wish.base = base;
	if (!err && wish.name && wish.path)
		err = error_set(error, -EINVAL, "name: goes without directory, which is its own name");
	if (!err && (err = vm_save(&vm.info, &wish, &path, error)) && api_error_status(err) == 404)
		reply->refused = 400; /* the directory around it */
	json_t *view = err ? NULL : save_view(path, error);
	if (!err)
		err = view ? api_say_json(reply, view, error) : error->code;
	free(path);
	free(base);
	api_vm_close(&vm);
	return err;
}

/* ---- restore, clone: what the host's side is to be ---- */

static int read_ports(const json_t *body, struct strings *ports, struct error *error)
{
	const json_t *list = json_object_get(body, "ports"), *port;
	size_t i;
	if (list && !json_is_array(list))
		return error_set(error, -EINVAL, "ports: not a list");
	json_array_foreach(list, i, port) {
		if (!json_is_string(port))
			return error_set(error, -EINVAL, "ports: not a list of texts like \"8080:80\"");
		strings_add(ports, json_string_value(port));
	}
	return strings_error(ports) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

static int read_net(const json_t *body, struct net_request *net, struct strings *ports, struct error *error)
{
	const struct { const char *key, **out; } words[] = { { "net", &net->net }, { "ip", &net->ip }, { "ip6", &net->ip6 }, { "gateway", &net->gateway }, { "gateway6", &net->gateway6 }, { "dns", &net->dns }, { "mac", &net->mac } };
	int err = read_ports(body, ports, error);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words) && !err; i++)
		err = api_body_string(body, words[i].key, words[i].out, error);
	net->ports = ports;
	return err;
}

static int read_restore(const json_t *body, struct restore_wish *wish, struct strings *ports, struct error *error)
{
	int err = read_net(body, &wish->net, ports, error);
	if (!err)
		err = api_body_string(body, "name", &wish->name, error);
	if (!err && wish->name && !vm_name_valid(wish->name))
		err = error_set(error, -EINVAL, "name: \"%.80s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", wish->name);
	if (!err)
		err = api_body_string(body, "hostname", &wish->hostname, error);
	if (!err)
		err = api_body_bool(body, "remove", false, &wish->remove, error);
	if (!err)
		err = api_body_bool(body, "advance", false, &wish->advance, error);
	if (!err)
		err = api_body_bool(body, "prefetch_all", false, &wish->whole, error);
	return err ? err : api_body_bool(body, "paused", false, &wish->paused, error);
}

static int restore_from(const char *word, const json_t *body, struct api_reply *reply, struct error *error)
{
	struct state state = STATE_NONE;
	struct save save = SAVE_NONE;
	struct restore_wish wish = { 0 };
	struct strings ports = { 0 };
	char id[STATE_ID + 1], *path = NULL;
	int status, err = read_restore(body, &wish, &ports, error);
	if (!err)
		err = state_open(&state, true, error);
	if (!err && !(path = save_find(&state, word, error)))
		err = error->code;
	if (!err)
		err = save_open(&save, path, error);
	if (!err)
		err = vm_restore(&state, &save, &wish, clock_now(), NULL, id, &status, error);
	if (!err)
		err = api_say_started(&state, id, 200, reply, error);
	free(path);
	strings_free(&ports);
	save_close(&save);
	state_close(&state);
	return err;
}

#define RESTORE_KEYS "name", "hostname", "net", "ip", "ip6", "gateway", "gateway6", "dns", "mac", "ports", "remove", "advance", "paused", "prefetch_all", NULL
static const char *const restore_keys[] = { RESTORE_KEYS }, *const restore_from_keys[] = { "from", RESTORE_KEYS };

static int restore(struct api_request *request, struct api_reply *reply, struct error *error)
{
	int err = api_body_keys(request->body, restore_keys, error);
	return err ? err : restore_from(request->param[0], request->body, reply, error);
}

static int restore_any(struct api_request *request, struct api_reply *reply, struct error *error)
{
	const char *from = NULL;
	int err = api_body_keys(request->body, restore_from_keys, error);
	if (!err)
		err = api_body_string(request->body, "from", &from, error);
	if (!err && (!from || (from[0] != '/' && strchr(from, '/'))))
		err = error_set(error, -EINVAL, "from: %s", from ? "neither a name nor an absolute path" : "missing");
	if (!err)
		err = restore_from(from, request->body, reply, error);
	if (err && api_error_status(err) == 404)
		reply->refused = 400; /* what the body names, not what the path does */
	return err;
}

static json_t *clones_json(const struct clone *clones, unsigned count)
{
	json_t *array = json_array();
	for (unsigned i = 0; i < count; i++) {
		const struct clone *clone = &clones[i];
		json_array_append_new(array, json_pack("{s:s, s:o, s:o}", "id", clone->id, "name", clone->name[0] ? json_string(clone->name) : json_null(), "error",
						       clone->error.code ? json_string(clone->error.text) : json_null()));
	}
	return json_pack("{s:o}", "clones", array);
}

static const char *const clone_keys[] = { "count", "name", "net", "ip", "ip6", "gateway", "gateway6", "dns", "mac", "ports", "remove", "paused", "prefetch_all", "accept_shared_random", NULL };
static int read_clone(const json_t *body, struct clone_wish *wish, struct strings *ports, struct error *error)
{
	uint64_t count = 1;
	int err = api_body_keys(body, clone_keys, error);
	if (!err)
		err = api_body_number(body, "count", 1, CLONES_AT_ONCE, 1, &count, error);
	wish->count = (unsigned)count;
	if (!err)
		err = read_net(body, &wish->net, ports, error);
	if (!err)
		err = api_body_string(body, "name", &wish->name, error);
	if (!err)
		err = api_body_bool(body, "remove", false, &wish->remove, error);
	if (!err)
		err = api_body_bool(body, "paused", false, &wish->paused, error);
	if (!err)
		err = api_body_bool(body, "prefetch_all", false, &wish->whole, error);
	return err ? err : api_body_bool(body, "accept_shared_random", false, &wish->accept_shared_random, error);
}

/* Each answers for itself, once any was made: then the reply has them all. */
static int clone_vm(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct api_vm vm;
	struct clone_wish wish = { 0 };
	struct strings ports = { 0 };
	struct clone *clones = NULL;
	int err = api_vm_open(request, &vm, error);
	if (!err)
		err = read_clone(request->body, &wish, &ports, error);
	if (!err && !(clones = alloc_zero(wish.count * sizeof(*clones))))
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = vm_clone(&vm.state, &vm.info, &wish, clock_now(), clones, error);
	for (unsigned i = 0; clones && i < wish.count; i++)
		if (clones[i].id[0] && !clones[i].error.code)
			api_adopt(&vm.state, clones[i].id);
	if (clones && clones[0].id[0])
		err = api_say_json(reply, clones_json(clones, wish.count), error);
	free(clones);
	strings_free(&ports);
	api_vm_close(&vm);
	return err;
}

/* ---- checkpoints ---- */

static int list(struct api_request *request, struct api_reply *reply, struct error *error)
{
	json_t *all = saves_list(error);
	return all ? api_say_json(reply, json_pack("{s:o}", "checkpoints", all), error) : error->code;
}

static char *kept_path(struct api_request *request, struct error *error)
{
	if (vm_name_valid(request->param[0]))
		return save_place(request->param[0], false, error);
	error_set(error, -ENOENT, "there is no saved VM \"%.80s\"", request->param[0]);
	return NULL;
}

/* In the user's place; what lies elsewhere is the user's own to look after. */
static int on_kept(struct api_request *request, struct api_reply *reply, int (*what)(const char *path, struct api_reply *reply, struct error *error), struct error *error)
{
	char *path = kept_path(request, error);
	int err = path ? what(path, reply, error) : error->code ? error->code : error_set(error, -ENOENT, "there is no saved VM \"%s\"", request->param[0]);
	free(path);
	return err;
}

static int view_it(const char *path, struct api_reply *reply, struct error *error)
{
	json_t *view = save_view(path, error);
	return view ? api_say_json(reply, view, error) : error->code;
}

static int get(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return on_kept(request, reply, view_it, error);
}

static int remove_it(const char *path, struct api_reply *reply, struct error *error)
{
	return save_give_up(path, error);
}

static int drop(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return on_kept(request, reply, remove_it, error);
}

const struct route routes_saves[] = {
	{ .method = "POST", .path = "/v1/vms/{id}/save", .operation = "saveVm", .body = API_JSON_OPTIONAL, .task = save, .lasting = true },
	{ .method = "POST", .path = "/v1/vms/{id}/restore", .operation = "restoreVm", .body = API_JSON_OPTIONAL, .task = restore, .starts = true },
	{ .method = "POST", .path = "/v1/vms/{id}/clone", .operation = "cloneVm", .body = API_JSON_OPTIONAL, .task = clone_vm, .starts = true },
	{ .method = "GET", .path = "/v1/checkpoints", .operation = "listCheckpoints", .task = list },
	{ .method = "POST", .path = "/v1/restore", .operation = "restoreAny", .body = API_JSON, .task = restore_any, .starts = true },
	{ .method = "GET", .path = "/v1/checkpoints/{name}", .operation = "getCheckpoint", .task = get },
	{ .method = "DELETE", .path = "/v1/checkpoints/{name}", .operation = "deleteCheckpoint", .task = drop },
	{ 0 },
};
