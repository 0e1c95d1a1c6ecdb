/* SPDX-License-Identifier: Apache-2.0 */
/* lightvmd without a socket: paths and bodies against the routes, errors as JSON, messages of the local socket. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/local.h"
#include "daemon/routes.h"

/* ---- routes of this test's own ---- */

static int fails_with;
static int act(struct api_request *request, struct api_reply *reply, struct error *error)
{
	if (fails_with)
		return error_set(error, fails_with, "\"%s\" \xff", request->param[0] ? request->param[0] : "");
	reply->json = json_pack("{s:s}", "id", request->param[0]);
	return 0;
}

static const char *const keys[] = { "all", NULL };
static const struct route routes_one[] = { { .method = "GET", .path = "/v1/things", .operation = "list", .query = keys, .now = act }, { 0 } };
static const struct route routes_two[] = {
	{ .method = "GET", .path = "/v1/things/{id}", .operation = "get", .now = act },
	{ .method = "DELETE", .path = "/v1/things/{id}", .operation = "delete", .now = act },
	{ .method = "POST", .path = "/v1/things/{id}/parts/{part}", .operation = "post", .body = API_JSON, .now = act },
	{ 0 },
};

const struct route *const route_tables[] = { routes_one, routes_two, NULL };

static struct api_request request;
static struct error error;
static struct text allow;

static unsigned find(const char *method, const char *path)
{
	api_request_clear(&request);
	text_free(&allow);
	allow = (struct text){ 0 };
	return route_find(&request, method, path, &allow, &error);
}

static void paths(void **state)
{
	static const char *const nowhere[] = { "", "/", "/v1", "/v1/", "/v1/thing", "/v1/thingss", "/v1/things/", "/v1/things//", "/v1/things/a/", "/v1/things/a/parts",
		"/v1/things/a/parts/", "/v1/things/a/parts/b/c", "v1/things", "//v1/things", "/v1/things/a/b", "/V1/things", "*" };
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++)
		assert_int_equal(find("GET", nowhere[i]), 404);
	assert_int_equal(find("GET", "/v1/things"), 0);
	assert_string_equal(request.route->operation, "list");
	assert_int_equal(find("GET", "/v1/things/.."), 0);
	assert_string_equal(request.param[0], "..");
	assert_int_equal(find("POST", "/v1/things/one/parts/two"), 0);
	assert_string_equal(request.param[0], "one");
	assert_string_equal(request.param[1], "two");
	assert_int_equal(find("PATCH", "/v1/things/a"), 405);
	assert_string_equal(allow.data, "GET, DELETE");
	assert_string_equal(error.text, "/v1/things/a: PATCH is not one of its methods: GET, DELETE");
	find("GET", "/");
}

static void queries(void **state)
{
	uint64_t number;
	bool yes;
	assert_int_equal(find("GET", "/v1/things"), 0);
	assert_int_equal(route_query(&request, "al", "1", &error), 400);
	assert_string_equal(error.text, "query \"al\": not known");
	assert_int_equal(route_query(&request, "all", NULL, &error), 0);
	assert_int_equal(route_query(&request, "all", "1", &error), 400);
	assert_int_equal(api_query_bool(&request, "all", &yes, &error), 0);
	assert_true(yes);
	assert_int_equal(api_query_number(&request, "all", 1, 9, 3, &number, &error), -EINVAL);
	assert_int_equal(api_query_number(&request, "other", 1, 9, 3, &number, &error), 0);
	assert_int_equal(number, 3);
	assert_int_equal(find("GET", "/v1/things/x"), 0);
	assert_int_equal(route_query(&request, "all", "1", &error), 400);
	find("GET", "/");
}

static unsigned body(const char *type, const char *text)
{
	assert_int_equal(find("POST", "/v1/things/a/parts/b"), 0);
	return route_body(&request, type, text, strlen(text), &error);
}

static void bodies(void **state)
{
	static const char *const wrong[] = { "", "{", "[]", "1", "null", "{\"a\":1,\"a\":2}", "{} {}", "{\"a\":\"\xff\"}", "{\"a\":\"\\u0000\"}" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(body(NULL, wrong[i]), 400);
	assert_int_equal(body("text/plain", "{}"), 415);
	assert_int_equal(body("application/jsonp", "{}"), 415);
	assert_int_equal(body("Application/JSON; charset=utf-8", "{}"), 0);
	assert_int_equal(find("GET", "/v1/things/a"), 0);
	assert_int_equal(route_body(&request, NULL, "{}", 2, &error), 400);
	assert_string_equal(error.text, "get takes no body");
	find("GET", "/");
}

static void fields(void **state)
{
	uint64_t number;
	const char *word;
	bool yes;
	static const char *const known[] = { "n", "s", "b", NULL };
	assert_int_equal(body(NULL, "{\"n\": 11, \"s\": \"a\", \"b\": 1}"), 0);
	assert_int_equal(api_body_keys(request.body, known, &error), 0);
	assert_int_equal(api_body_keys(request.body, known + 1, &error), -EINVAL);
	assert_string_equal(error.text, "n: not known");
	assert_int_equal(api_body_number(request.body, "n", 1, 10, 5, &number, &error), -ERANGE);
	assert_string_equal(error.text, "n: 11 is not from 1 to 10");
	assert_int_equal(api_body_number(request.body, "s", 1, 10, 5, &number, &error), -EINVAL);
	assert_int_equal(api_body_number(request.body, "none", 1, 10, 5, &number, &error), 0);
	assert_int_equal(number, 5);
	assert_int_equal(api_body_string(request.body, "b", &word, &error), -EINVAL);
	assert_int_equal(api_body_string(request.body, "s", &word, &error), 0);
	assert_string_equal(word, "a");
	assert_int_equal(api_body_bool(request.body, "b", false, &yes, &error), -EINVAL);
	find("GET", "/");
}

static void answers(void **state)
{
	static const struct { int err; unsigned status; const char *code; } cases[] = { { -EINVAL, 400, "invalid" }, { -ENOENT, 404, "not_found" },
		{ -EACCES, 403, "forbidden" }, { -EBUSY, 409, "conflict" }, { -ENOMEM, 503, "unavailable" }, { -ETIMEDOUT, 504, "timeout" }, { -EIO, 500, "internal" } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct text out = { 0 };
		const char *type = NULL;
		assert_int_equal(find("GET", "/v1/things/a"), 0);
		fails_with = cases[i].err;
		assert_int_equal(api_run(act, &request, &out, &type), cases[i].status);
		json_t *json = json_loads(out.data, 0, NULL), *inner = json_object_get(json, "error");
		assert_string_equal(json_string_value(json_object_get(inner, "code")), cases[i].code);
		assert_string_equal(json_string_value(json_object_get(inner, "message")), "\"a\" ?");
		json_decref(json);
		text_free(&out);
	}
	struct text out = { 0 };
	const char *type = NULL;
	fails_with = 0;
	assert_int_equal(api_run(act, &request, &out, &type), 200);
	assert_string_equal(out.data, "{\"id\":\"a\"}\n");
	assert_string_equal(type, "application/json");
	text_free(&out);
	find("GET", "/");
}

/* ---- the local socket ---- */

static int decode(struct lv_daemon_request *head, size_t size)
{
	struct lv_daemon_request out;
	char message[64] = { 0 };
	memcpy(message, head, sizeof(*head));
	return local_decode(message, size, &out, &error);
}

static void messages(void **state)
{
	struct lv_daemon_request good = { .magic = LV_DAEMON_MAGIC, .op = LV_DMN_STATUS, .version = LV_DAEMON_VERSION, .size = 4 }, head = good;
	assert_int_equal(decode(&head, sizeof(head) + 4), 0);
	assert_int_equal(decode(&head, sizeof(head) + 3), -EBADMSG);
	assert_int_equal(decode(&head, sizeof(head) + 5), -EBADMSG);
	assert_int_equal(decode(&head, sizeof(head) - 1), -EBADMSG);
	assert_int_equal(decode(&head, 0), -EBADMSG);
	head.magic++;
	assert_int_equal(decode(&head, sizeof(head) + 4), -EBADMSG);
	head = good;
	head.version++;
	assert_int_equal(decode(&head, sizeof(head) + 4), -EPROTONOSUPPORT);
	head = good;
	head.reserved = 1;
	assert_int_equal(decode(&head, sizeof(head) + 4), -EBADMSG);
	assert_string_equal(error.text, "reserved: 1 is not 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(paths), cmocka_unit_test(queries), cmocka_unit_test(bodies), cmocka_unit_test(fields),
		cmocka_unit_test(answers), cmocka_unit_test(messages) };
	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
