/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"

#define JSON_TYPE "application/json"

/* ---- what was asked ---- */

const char *api_query(const struct api_request *request, const char *key)
{
	for (size_t i = 0; i < request->queries; i++)
		if (!strcmp(request->query[i].key, key))
			return request->query[i].value;
	return NULL;
}

int api_query_number(const struct api_request *request, const char *key, uint64_t low, uint64_t high, uint64_t otherwise, uint64_t *out, struct error *error)
{
	const char *word = api_query(request, key);
	*out = otherwise;
	if (!word)
		return 0;
	int err = number_parse(word, out);
	if (err == -EINVAL)
		return error_set(error, err, "%s: \"%.100s\" is not a number", key, word);
	if (err || *out < low || *out > high)
		return error_set(error, -ERANGE, "%s: %.100s is not from %llu to %llu", key, word, (unsigned long long)low, (unsigned long long)high);
	return 0;
}

int api_query_bool(const struct api_request *request, const char *key, bool *out, struct error *error)
{
	const char *word = api_query(request, key);
	*out = false;
	if (!word || !strcmp(word, "false") || !strcmp(word, "0"))
		return 0;
	*out = true;
	if (!*word || !strcmp(word, "true") || !strcmp(word, "1"))
		return 0;
	return error_set(error, -EINVAL, "%s: \"%.100s\" is neither true nor false", key, word);
}

int api_body_keys(const json_t *body, const char *const *keys, struct error *error)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)body, key, value) {
		size_t i = 0;
		while (keys[i] && strcmp(keys[i], key))
			i++;
		if (!keys[i])
			return error_set(error, -EINVAL, "%.100s: not known", key);
	}
	return 0;
}

int api_body_number(const json_t *body, const char *key, uint64_t low, uint64_t high, uint64_t otherwise, uint64_t *out, struct error *error)
{
	const json_t *value = json_object_get(body, key);
	*out = otherwise;
	if (!value)
		return 0;
	if (!json_is_integer(value))
		return error_set(error, -EINVAL, "%s: not a whole number", key);
	json_int_t number = json_integer_value(value);
	if (number < 0 || (uint64_t)number < low || (uint64_t)number > high)
		return error_set(error, -ERANGE, "%s: %lld is not from %llu to %llu", key, (long long)number, (unsigned long long)low, (unsigned long long)high);
	*out = (uint64_t)number;
	return 0;
}

int api_body_string(const json_t *body, const char *key, const char **out, struct error *error)
{
	const json_t *value = json_object_get(body, key);
	*out = json_string_value(value);
	if (value && !*out)
		return error_set(error, -EINVAL, "%s: not a string", key);
	return 0;
}

int api_body_bool(const json_t *body, const char *key, bool otherwise, bool *out, struct error *error)
{
	const json_t *value = json_object_get(body, key);
	if (value && !json_is_boolean(value))
		return error_set(error, -EINVAL, "%s: neither true nor false", key);
	*out = value ? json_is_true(value) : otherwise;
	return 0;
}

int api_body_list(const json_t *body, const char *key, struct strings *list, struct error *error)
{
	const json_t *array = json_object_get(body, key);
	if (array && !json_is_array(array))
		return error_set(error, -EINVAL, "%s: not a list", key);
	for (size_t i = 0; i < json_array_size(array); i++) {
		const char *word = json_string_value(json_array_get(array, i));
		if (!word)
			return error_set(error, -EINVAL, "%s: not a text", key);
		strings_add(list, word);
	}
	return strings_error(list) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

void api_request_clear(struct api_request *request)
{
	for (size_t i = 0; i < API_PARAMS; i++)
		free(request->param[i]);
	for (size_t i = 0; i < request->queries; i++) {
		free(request->query[i].key);
		free(request->query[i].value);
	}
	json_decref(request->body);
	text_free(&request->early);
	if (request->stream)
		request->stream->free(request->stream);
	*request = (struct api_request){ .daemon = request->daemon };
}

/* ---- what is answered ---- */

static const struct {
	int err;
	unsigned status;
} statuses[] = {
	{ -EINVAL, 400 }, { -ERANGE, 400 }, { -E2BIG, 400 }, { -ENOEXEC, 400 }, { -ENOTDIR, 400 }, { -EISDIR, 400 }, { -ENAMETOOLONG, 400 }, { -ELOOP, 400 }, { -ENXIO, 400 }, { -ENOTBLK, 400 },
	{ -EACCES, 403 }, { -EPERM, 403 }, { -ENOENT, 404 }, { -EEXIST, 409 }, { -EBUSY, 409 }, { -EALREADY, 409 }, { -ESRCH, 409 }, { -EADDRINUSE, 409 }, { -ENODATA, 409 }, { -ESTALE, 409 }, { -EBADMSG, 409 }, { -EROFS, 409 }, { -ENOTCONN, 409 },
	{ -EFBIG, 413 }, { -EOPNOTSUPP, 422 }, { -EPROTONOSUPPORT, 422 }, { -ENOSYS, 422 },
	{ -EAGAIN, 503 }, { -ENOMEM, 503 }, { -ENOSPC, 503 }, { -EDQUOT, 503 }, { -EMFILE, 503 }, { -ENFILE, 503 }, { -ETIMEDOUT, 504 },
};

unsigned api_error_status(int err)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
		if (statuses[i].err == err)
			return statuses[i].status;
	return 500;
}

static const char *code_of(unsigned status)
{
	switch (status) {
	case 400: return "invalid";
	case 401: return "unauthorized";
	case 403: return "forbidden";
	case 404: return "not_found";
	case 405: return "method_not_allowed";
	case 409: return "conflict";
	case 413: return "too_large";
	case 415: return "media_type";
	case 422: return "unsupported";
	case 426: return "upgrade_required";
	case 503: return "unavailable";
	case 504: return "timeout";
	default: return "internal";
	}
}

void api_error_text(unsigned status, const char *message, struct text *out)
{
	/* A name or path in it need not be UTF-8; JSON has to be. */
	json_t *said = json_string(message), *object;
	if (!said) {
		char *plain = alloc_copy(message);
		for (char *c = plain; c && *c; c++)
			if ((unsigned char)*c >= 128)
				*c = '?';
		said = json_string(plain ? plain : "");
		free(plain);
	}
	object = json_pack("{s:{s:s, s:o}}", "error", "code", code_of(status), "message", said);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
	text_format(out, "%s\n", text ? text : "{\"error\":{\"code\":\"unavailable\",\"message\":\"out of memory\"}}");
	free(text);
	json_decref(object);
}

static unsigned say(struct api_reply *reply, struct text *out, const char **type)
{
	char *text = reply->json ? json_dumps(reply->json, JSON_COMPACT) : NULL;
	if (reply->json && !text)
		return 0;
	if (text)
		text_format(out, "%s\n", text);
	else
		text_add(out, reply->text.data, reply->text.size);
	*type = text ? JSON_TYPE : reply->text.size || reply->type ? reply->type : NULL;
	free(text);
	return reply->status ? reply->status : *type ? 200 : 204;
}

unsigned api_say(int err, struct api_reply *reply, const struct error *error, struct text *out, const char **type)
{
	unsigned status = err ? 0 : say(reply, out, type);
	if (!status) {
		status = err ? reply->refused ? reply->refused : api_error_status(err) : 503;
		*type = JSON_TYPE;
		api_error_text(status, error->text[0] ? error->text : strerror(err ? -err : ENOMEM), out);
	}
	json_decref(reply->json);
	text_free(&reply->text);
	return status;
}

unsigned api_run(api_operation operation, struct api_request *request, struct text *out, const char **type)
{
	struct api_reply reply = { 0 };
	struct error error = { 0 };
	int err = operation(request, &reply, &error);
	return api_say(err, &reply, &error, out, type);
}

int api_begin(struct api_request *request, int out, const char *type)
{
	const struct api_head head = { 200, type };
	request->began = true;
	return fd_write(out, &head, sizeof(head));
}
