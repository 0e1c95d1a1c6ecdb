/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *part(const char *at, size_t size)
{
	char *copy = alloc_zero(size + 1);
	if (copy)
		memcpy(copy, at, size);
	return copy;
}

/* Component by component; {..} takes any that is not empty. True: it is this path, and params hold what it named. */
static bool path_matches(const char *pattern, const char *path, const char *params[API_PARAMS], size_t sizes[API_PARAMS])
{
	size_t n = 0;
	while (*pattern == '/' && *path == '/') {
		size_t want = strcspn(++pattern, "/"), have = strcspn(++path, "/");
		if (*pattern == '{' && have && n < API_PARAMS) {
			params[n] = path;
			sizes[n++] = have;
		} else if (want != have || memcmp(pattern, path, want)) {
			return false;
		}
		pattern += want;
		path += have;
	}
	return !*pattern && !*path;
}

static bool take(struct api_request *request, const struct route *route, const char *params[API_PARAMS], const size_t sizes[API_PARAMS])
{
	request->route = route;
	for (size_t i = 0; i < API_PARAMS && params[i]; i++)
		if (!(request->param[i] = part(params[i], sizes[i])))
			return false;
	return true;
}

unsigned route_find(struct api_request *request, const char *method, const char *path, struct text *allow, struct error *error)
{
	for (const struct route *const *table = route_tables; *table; table++)
		for (const struct route *route = *table; route->path; route++) {
			const char *params[API_PARAMS] = { NULL };
			size_t sizes[API_PARAMS] = { 0 };
			if (!path_matches(route->path, path, params, sizes))
				continue;
			if (!strcmp(route->method, method))
				return take(request, route, params, sizes) ? 0 : (error_set(error, -ENOMEM, "out of memory"), 503);
			text_format(allow, "%s%s", allow->size ? ", " : "", route->method);
		}
	if (allow->size)
		error_set(error, -EINVAL, "%.100s: %.20s is not one of its methods: %s", path, method, allow->data);
	else
		error_set(error, -ENOENT, "there is no \"%.200s\" here; docs/openapi.json lists what there is", path);
	return allow->size ? 405 : 404;
}

unsigned route_query(struct api_request *request, const char *key, const char *value, struct error *error)
{
	const char *const *known = request->route->query;
	while (known && *known && strcmp(*known, key))
		known++;
	if (!known || !*known)
		return error_set(error, -EINVAL, "query \"%.100s\": not known", key), 400;
	if (api_query(request, key) || request->queries == API_QUERIES)
		return error_set(error, -EINVAL, "query \"%.100s\": more than once", key), 400;
	size_t i = request->queries++;
	request->query[i].key = alloc_copy(key);
	request->query[i].value = alloc_copy(value ? value : "");
	if (!request->query[i].key || !request->query[i].value)
		return error_set(error, -ENOMEM, "out of memory"), 503;
	return 0;
}

/* "application/json", perhaps with parameters; nothing is taken for it, too. */
static bool is_json(const char *type)
{
	size_t n = strlen("application/json");
	return !type || (!strncasecmp(type, "application/json", n) && (!type[n] || type[n] == ';' || type[n] == ' '));
}

unsigned route_body_type(const char *type, struct error *error)
{
	if (!type || !strcasecmp(type, "application/x-tar"))
		return 0;
	return error_set(error, -EINVAL, "Content-Type: \"%.100s\" is not application/x-tar", type), 415;
}

unsigned route_body(struct api_request *request, const char *type, const char *data, size_t size, struct error *error)
{
	enum api_body wanted = request->route->body;
	json_error_t where;
	if (!size)
		return wanted == API_JSON ? error_set(error, -EINVAL, "the body is missing: a JSON object"), 400 : 0;
	if (wanted == API_NO_BODY)
		return error_set(error, -EINVAL, "%s takes no body", request->route->operation), 400;
	if (!is_json(type))
		return error_set(error, -EINVAL, "Content-Type: \"%.100s\" is not application/json", type), 415;
	request->body = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
	if (!request->body)
		return error_set(error, -EINVAL, "the body is no JSON: line %d, column %d: %s", where.line, where.column, where.text), 400;
	if (!json_is_object(request->body))
		return error_set(error, -EINVAL, "the body is not a JSON object"), 400;
	return 0;
}
