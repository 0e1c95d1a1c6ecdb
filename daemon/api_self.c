/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/version, /v1/health. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/daemon.h"
#include "abi/libos_header.h"
#include "daemon/local.h"
#include "daemon/http.h"
#include "daemon/routes.h"
#include "daemon/api_self.h"
#include "daemon/task.h"
#include "daemon/worker.h"

static json_t *health_json(struct daemon *daemon)
{
	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "status", daemon->ending ? "ending" : "ok", "version", LIGHTVM_VERSION, "pid",
			 (int)getpid(), "uid", (json_int_t)daemon->uid, "started_ns", (json_int_t)daemon->started_ns, "system", daemon->system, "connections",
			 (json_int_t)(http_connections(daemon->http) + local_connections(daemon->local)), "requests",
			 (json_int_t)http_requests(daemon->http), "tasks", (json_int_t)tasks_count(daemon->tasks), "workers", (json_int_t)workers_count(daemon->workers));
}

static int version(struct api_request *request, struct api_reply *reply, struct error *error)
{
	reply->json = json_pack("{s:s, s:i, s:s, s:i}", "version", LIGHTVM_VERSION, "abi", LV_LIBOS_ABI, "api", "v1", "protocol", LV_DAEMON_VERSION);
	return reply->json ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static int health(struct api_request *request, struct api_reply *reply, struct error *error)
{
	reply->json = health_json(request->daemon);
	return reply->json ? 0 : error_set(error, -ENOMEM, "out of memory");
}

const struct route routes_self[] = {
	{ .method = "GET", .path = "/v1/version", .operation = "version", .now = version },
	{ .method = "GET", .path = "/v1/health", .operation = "health", .now = health },
	{ 0 },
};

static int status(struct local_call *call, struct local_reply *reply, struct error *error)
{
	return local_say_json(reply, health_json(call->daemon), error);
}

const struct local_op self_local_ops[] = { { LV_DMN_STATUS, status }, { 0 } };
