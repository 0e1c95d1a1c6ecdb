/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operation of the API sees: a request that has been checked against its route (daemon/routes.h), and the reply that it fills. It knows
 * nothing of HTTP's transport. docs/openapi.json says which operations there are; a test holds it and the routes together.
 */
#ifndef LV_DAEMON_API_H
#define LV_DAEMON_API_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "daemon/lightvmd.h"

#define API_PARAMS 2
#define API_QUERIES 8
#define API_BODY_MAX (1u << 20) /* of a JSON body */

struct route;

struct api_request {
	struct daemon *daemon;
	const struct route *route;
	char *param[API_PARAMS]; /* what stood at {...} in the path, in order */
	struct { char *key, *value; } query[API_QUERIES];
	size_t queries;
	json_t *body; /* an object; NULL: there was none */
};

struct api_reply { /* zero: 204, nothing to say */
	unsigned status;   /* 0: 200 with a body, 204 without */
	unsigned refused;  /* the status of a failure, where that of the errno would mislead; 0: that of the errno */
	json_t *json;      /* owned */
	struct text text;  /* instead of it */
	const char *type;  /* of text; static */
};

/* Fills reply: 0, or a negative errno with a message. */
typedef int (*api_operation)(struct api_request *request, struct api_reply *reply, struct error *error);

enum api_body { API_NO_BODY, API_JSON, API_JSON_OPTIONAL };

struct route {
	const char *method, *path; /* "/v1/vms/{id}/start" */
	const char *operation;	   /* operationId */
	enum api_body body;
	const char *const *query;  /* the keys that are known, ended by NULL; NULL: none */
	/* One of them: now runs in the loop, and may neither block nor take long; task in a process of its own. */
	api_operation now, task;
};

/* The value of a query, or NULL. */
const char *api_query(const struct api_request *request, const char *key);
/* 0 and *out (otherwise when it is not there), or -EINVAL, -ERANGE with a message. */
int api_query_number(const struct api_request *request, const char *key, uint64_t low, uint64_t high, uint64_t otherwise, uint64_t *out, struct error *error);
/* "true", "1", "" / "false", "0". */
int api_query_bool(const struct api_request *request, const char *key, bool *out, struct error *error);
/* A body in which only these keys may be (ended by NULL); no body is none of them. */
int api_body_keys(const json_t *body, const char *const *keys, struct error *error);
int api_body_number(const json_t *body, const char *key, uint64_t low, uint64_t high, uint64_t otherwise, uint64_t *out, struct error *error);
/* NULL: not there. */
int api_body_string(const json_t *body, const char *key, const char **out, struct error *error);
int api_body_bool(const json_t *body, const char *key, bool otherwise, bool *out, struct error *error);

/* HTTP's status and the code of an error: {"error": {"code", "message"}} as text. */
unsigned api_error_status(int err);
void api_error_text(unsigned status, const char *message, struct text *out);
/*
 * Runs the operation: the status, and the body in out with its type. The one place where an operation's result becomes an answer.
 */
unsigned api_run(api_operation operation, struct api_request *request, struct text *out, const char **type);
void api_request_clear(struct api_request *request);

#endif
