/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request to lightvmd, as libmicrohttpd gives it to us: lines of method, path and query, then the body. What is refused has a message, and what is
 * answered is JSON. And the same bytes as a message of the local socket.
 * fuzz-sources: daemon/api.c daemon/routes.c daemon/local_decode.c base/text.c base/error.c base/file.c base/number.c
 * fuzz-libs: -ljansson
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/local.h"
#include "daemon/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

/* Looks at what each kind of value may be. */
static int act(struct api_request *request, struct api_reply *reply, struct error *error)
{
	static const char *const keys[] = { "n", "s", "b", NULL };
	uint64_t number;
	const char *word;
	bool yes;
	int err = api_body_keys(request->body, keys, error);
	if (!err)
		err = api_body_number(request->body, "n", 1, 100, 5, &number, error);
	if (!err)
		err = api_body_string(request->body, "s", &word, error);
	if (!err)
		err = api_body_bool(request->body, "b", false, &yes, error);
	if (!err)
		err = api_query_bool(request, "b", &yes, error);
	if (!err)
		err = api_query_number(request, "n", 1, 100, 5, &number, error);
	if (err)
		return err;
	MUST(number >= 1 && number <= 100);
	reply->json = json_pack("{s:s?, s:s?}", "one", request->param[0], "two", request->param[1]); /* NULL for a path that is no UTF-8 */
	return reply->json ? 0 : error_set(error, -22, "%s", request->param[0]);
}

static const char *const queries[] = { "n", "b", NULL };
static const struct route routes[] = {
	{ .method = "GET", .path = "/v1/vms", .operation = "list", .query = queries, .now = act },
	{ .method = "POST", .path = "/v1/vms", .operation = "create", .body = API_JSON, .now = act },
	{ .method = "GET", .path = "/v1/vms/{id}", .operation = "get", .query = queries, .now = act },
	{ .method = "POST", .path = "/v1/vms/{id}/parts/{part}", .operation = "part", .body = API_JSON_OPTIONAL, .query = queries, .now = act },
	{ 0 },
};
const struct route *const route_tables[] = { routes, NULL };

/* The next line of the input, which is cut there; "" at its end. */
static char *line(char **at)
{
	char *begin = *at, *end = strchr(begin, '\n');
	*at = end ? end + 1 : begin + strlen(begin);
	if (end)
		*end = 0;
	return begin;
}

static unsigned read_queries(struct api_request *request, char *words, struct error *error)
{
	unsigned status = 0;
	char *rest = words, *word;
	while (!status && *words && (word = strsep(&rest, "&"))) {
		char *value = strchr(word, '=');
		if (value)
			*value++ = 0;
		status = route_query(request, word, value, error);
	}
	return status;
}

static void request_of(char *text)
{
	struct api_request request = { 0 };
	struct text allow = { 0 }, out = { 0 };
	struct error error = { 0 };
	const char *type = NULL;
	char *method = line(&text), *path = line(&text), *query = line(&text);
	unsigned status = route_find(&request, method, path, &allow, &error);
	MUST((status == 405) == (allow.size > 0));
	if (!status)
		status = read_queries(&request, query, &error);
	if (!status)
		status = route_body(&request, NULL, text, strlen(text), &error);
	if (status) {
		MUST(status >= 400 && error.text[0]);
		api_error_text(status, error.text, &out);
	} else {
		status = api_run(request.route->now, &request, &out, &type);
	}
	json_t *json = json_loadb(out.data, out.size, 0, NULL);
	MUST(json && (json_object_get(json, "error") != NULL) == (status >= 400));
	json_decref(json);
	text_free(&allow);
	text_free(&out);
	api_request_clear(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lv_daemon_request head;
	struct error error = { 0 };
	if (local_decode(data, size, &head, &error))
		MUST(error.code < 0 && error.text[0]);
	else
		MUST(head.size == size - sizeof(head) && head.version <= LV_DAEMON_VERSION);
	char *text = malloc(size + 1);
	memcpy(text, data, size);
	text[size] = 0;
	request_of(text);
	free(text);
	return 0;
}
