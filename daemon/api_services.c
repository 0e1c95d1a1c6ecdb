/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/services, and the same over the local socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/api_services.h"
#include "daemon/api_vm.h"
#include "daemon/routes.h"
#include "daemon/service.h"
#include "node/daemon_client.h"

static int say(struct api_reply *reply, struct daemon *daemon, const char *name, unsigned status, struct error *error)
{
	struct services *services = services_of(daemon, error);
	json_t *json = services ? services_json(services, name, error) : NULL;
	if (!json)
		return error->code;
	reply->json = name ? json : json_pack("{s:o}", "services", json);
	reply->status = status;
	return reply->json ? 0 : error_set(error, -ENOMEM, "out of memory");
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
	struct services *services = services_of(request->daemon, error);
	int err = services ? services_add(services, request->body, error) : error->code;
	return err ? err : say(reply, request->daemon, json_string_value(json_object_get(request->body, "name")), 201, error);
}

static int drop(struct api_request *request, struct api_reply *reply, struct error *error)
{
	struct services *services = services_of(request->daemon, error);
	return services ? services_remove(services, request->param[0], error) : error->code;
}

/* ---- in a worker: its user's keeper has them, and is reached as the command line reaches it ---- */

/* *json: what it answers; NULL: nobody wants it. */
static int ask_keeper(enum lv_daemon_op op, const char *body, json_t **json, struct error *error)
{
	struct text said = { 0 };
	int fd = daemon_open(), err = fd < 0 ? error_set(error, fd, "lightvmd's socket: %s", strerror(-fd)) : 0;
	if (!err)
		err = daemon_call(fd, op, body, strlen(body), NULL, 0, &said, NULL, NULL, error);
	if (!err && json && !(*json = json_loadb(said.data, said.size, 0, NULL)))
		err = error_set(error, -EPROTO, "the answer of the process that has the services is no JSON");
	if (fd >= 0)
		close(fd);
	text_free(&said);
	return err;
}

static int keepers_list(struct api_request *request, struct api_reply *reply, struct error *error)
{
	json_t *array = NULL;
	int err = ask_keeper(LV_DMN_SERVICES, "", &array, error);
	return err ? err : api_say_json(reply, json_pack("{s:o}", "services", array), error);
}

static int keepers_one(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return ask_keeper(LV_DMN_SERVICES, request->param[0], &reply->json, error);
}

static int keepers_add(struct api_request *request, struct api_reply *reply, struct error *error)
{
	const char *name = json_string_value(json_object_get(request->body, "name"));
	char *body = json_dumps(request->body, JSON_COMPACT);
	int err = body ? ask_keeper(LV_DMN_SERVICE_ADD, body, NULL, error) : error_set(error, -ENOMEM, "out of memory");
	free(body);
	reply->status = 201;
	return err ? err : ask_keeper(LV_DMN_SERVICES, name ? name : "", &reply->json, error);
}

static int keepers_drop(struct api_request *request, struct api_reply *reply, struct error *error)
{
	return ask_keeper(LV_DMN_SERVICE_REMOVE, request->param[0], NULL, error);
}

const struct route routes_services[] = {
	{ .method = "GET", .path = "/v1/services", .operation = "listServices", .now = list, .worker = keepers_list },
	{ .method = "POST", .path = "/v1/services", .operation = "addService", .body = API_JSON, .now = add, .worker = keepers_add },
	{ .method = "GET", .path = "/v1/services/{name}", .operation = "getService", .now = get, .worker = keepers_one },
	{ .method = "DELETE", .path = "/v1/services/{name}", .operation = "removeService", .now = drop, .worker = keepers_drop },
	{ 0 },
};

/* ---- the local socket ---- */

static int local_add(struct local_call *call, struct local_reply *reply, struct error *error)
{
	struct services *services = services_of(call->daemon, error);
	json_error_t where;
	json_t *json = services ? json_loadb(call->body, call->head.size, JSON_REJECT_DUPLICATES, &where) : NULL;
	int err = !services ? error->code : json ? services_add(services, json, error) : error_set(error, -EINVAL, "no JSON: %s", where.text);
	json_decref(json);
	return err;
}

static int name_of(const struct local_call *call, char name[STATE_NAME + 1], struct error *error)
{
	if (call->head.size > STATE_NAME)
		return error_set(error, -EINVAL, "a name of %u bytes; %d is the most", call->head.size, STATE_NAME);
	memcpy(name, call->body, call->head.size);
	name[call->head.size] = 0;
	return 0;
}

static int local_get(struct local_call *call, struct local_reply *reply, struct error *error)
{
	char name[STATE_NAME + 1];
	struct services *services = services_of(call->daemon, error);
	int err = services ? name_of(call, name, error) : error->code;
	json_t *json = err ? NULL : services_json(services, *name ? name : NULL, error);
	return json ? local_say_json(reply, json, error) : error->code;
}

static int local_remove(struct local_call *call, struct local_reply *reply, struct error *error)
{
	char name[STATE_NAME + 1];
	struct services *services = services_of(call->daemon, error);
	int err = services ? name_of(call, name, error) : error->code;
	return err ? err : services_remove(services, name, error);
}

const struct local_op services_local_ops[] = {
	{ LV_DMN_SERVICE_ADD, local_add, .keeper = true },
	{ LV_DMN_SERVICES, local_get, .keeper = true },
	{ LV_DMN_SERVICE_REMOVE, local_remove, .keeper = true },
	{ 0 },
};
