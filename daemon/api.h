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
#include "daemon/caller.h"
#include "daemon/lightvmd.h"

#define API_PARAMS 2
#define API_QUERIES 8
#define API_BODY_MAX (1u << 20) /* of a JSON body */

struct route;

/*
 * An answer that is made while the client reads it, perhaps without an end. An operation that runs in the loop (route.now) sets request->stream, which
 * lives in memory of its own, and is freed with the request: also when the client has gone. Loop thread.
 */
struct api_stream {
	const char *type; /* of what comes; static */
	/* At most room bytes; 0: nothing now, it is asked again after wake(); API_STREAM_END. */
	ssize_t (*read)(struct api_stream *stream, char *to, size_t room);
	void (*free)(struct api_stream *stream);
	/* The transport's, set before the first read. Not to be called from within read. end: the connection is given up. */
	void (*wake)(void *transport, bool end);
	void *transport;
};
#define API_STREAM_END (-1)

struct api_request {
	struct daemon *daemon;
	struct caller caller;
	const struct route *route;
	char *param[API_PARAMS]; /* what stood at {...} in the path, in order */
	struct { char *key, *value; } query[API_QUERIES];
	size_t queries;
	json_t *body; /* an object; NULL: there was none */
	const char *last_event; /* the header Last-Event-ID; NULL: none. Not for tasks */
	struct api_stream *stream; /* the answer, instead of a reply; NULL: none */
	bool began; /* api_begin */
	int progress; /* where it says how far it is (daemon/api_progress.h); 0: nobody looks on */
	uint64_t progress_ns; /* when it last did */
	int input; /* API_TAR, in the task: the body */
	struct text early; /* session: what the client has sent already */
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

enum api_body { API_NO_BODY, API_JSON, API_JSON_OPTIONAL, API_TAR /* of any length: the task reads it from request->input as it comes */ };

struct later;

/*
 * In a process of its own: writes an answer that is long, or has no end, to out. It is begun by api_begin; what fails before becomes an answer like any
 * other, what fails after it breaks the answer off.
 */
typedef int (*api_writer)(struct api_request *request, int out, struct error *error);
/* In a process of its own: has the client's connection from here on, which no longer speaks HTTP. */
typedef void (*api_session)(struct api_request *request, int connection);

struct route_header { /* of the answer */
	const char *name, *value;
};

struct route {
	const char *method, *path; /* "/v1/vms/{id}/start" */
	const char *operation;	   /* operationId */
	enum api_body body;
	const char *const *query;  /* the keys that are known, ended by NULL; NULL: none */
	/* One of them: now runs in the loop, and may neither block nor take long; task in a process of its own. */
	api_operation now, task;
	api_operation worker; /* where a worker serves it: in a process of its own, in place of all others */
	bool starts;  /* task: what it starts gets the caller's control group and limits */
	bool open; /* tells nothing: answered without a token, where one is needed (daemon/page_door.h) */
	const struct route_header *headers; /* ended by an empty one; NULL: none */
	bool lasting; /* task: it may wait for something of a VM for long, and takes no place of the others' */
	api_writer stream; /* as task; beside one: instead of it, where the query `streams` is true */
	const char *streams;
	/* In the loop: 0, and it will answer by what daemon/later.h has, or has answered already; or a negative errno with a message. */
	int (*later)(struct api_request *request, struct later *later, struct error *error);
	/* Where the client asks for "Upgrade: lightvm": after check, which is as now and whose reply is not used. */
	api_session session;
	api_operation check;
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
/* A list of texts; the caller's, also on failure. */
int api_body_list(const json_t *body, const char *key, struct strings *list, struct error *error);
int api_body_bool(const json_t *body, const char *key, bool otherwise, bool *out, struct error *error);

/* HTTP's status and the code of an error: {"error": {"code", "message"}} as text. */
unsigned api_error_status(int err);
void api_error_text(unsigned status, const char *message, struct text *out);
/*
 * Runs the operation: the status, and the body in out with its type. The one place where an operation's result becomes an answer.
 */
unsigned api_run(api_operation operation, struct api_request *request, struct text *out, const char **type);
/* Reply and error as api_run has them, for who has the result already; reply is freed. */
unsigned api_say(int err, struct api_reply *reply, const struct error *error, struct text *out, const char **type);

/* How a process begins what it writes back. The same program: what is static lies at the same address. */
struct api_head {
	unsigned status;
	const char *type;
};
int api_begin(struct api_request *request, int out, const char *type);
void api_request_clear(struct api_request *request);

#endif
