/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/manifest.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "abi/image_manifest.h"
#include "base/shown.h"

#define LIST_MAX 1024

enum field_kind { FIELD_STRING, FIELD_PATH, FIELD_LIST, FIELD_PATHS, FIELD_ENV, FIELD_ID, FIELD_BYTES };

/* One line a field: the same table reads and writes. */
static const struct field {
	const char *name;
	enum field_kind kind;
	size_t offset;
} fields[] = {
	{ "name", FIELD_STRING, offsetof(struct manifest, name) },
	{ "program", FIELD_PATH, offsetof(struct manifest, program) },
	{ "args", FIELD_LIST, offsetof(struct manifest, args) },
	{ "entry", FIELD_ID, offsetof(struct manifest, entry) },
	{ "env", FIELD_ENV, offsetof(struct manifest, env) },
	{ "cwd", FIELD_PATH, offsetof(struct manifest, cwd) },
	{ "hostname", FIELD_STRING, offsetof(struct manifest, hostname) },
	{ "uid", FIELD_ID, offsetof(struct manifest, uid) },
	{ "gid", FIELD_ID, offsetof(struct manifest, gid) },
	{ "memory", FIELD_BYTES, offsetof(struct manifest, memory) },
	{ "ports", FIELD_LIST, offsetof(struct manifest, ports) },
	{ "volumes", FIELD_PATHS, offsetof(struct manifest, volumes) },
	{ "labels", FIELD_ENV, offsetof(struct manifest, labels) },
	{ "stop_signal", FIELD_STRING, offsetof(struct manifest, stop_signal) },
	{ "health", FIELD_STRING, offsetof(struct manifest, health) },
	{ "trimmed", FIELD_STRING, offsetof(struct manifest, trimmed) },
	{ "kernels", FIELD_LIST, offsetof(struct manifest, kernels) },
};
#define FIELDS (sizeof(fields) / sizeof(*fields))

static int read_string(const struct field *field, const json_t *value, char **out, struct error *error)
{
	const char *string = json_string_value(value);
	if (!string || strlen(string) != json_string_length(value))
		return error_set(error, -EINVAL, "manifest: \"%s\" is not a string", field->name);
	if (field->kind == FIELD_PATH && string[0] != '/')
		return error_set(error, -EINVAL, "manifest: \"%s\": \"%.200s\" is not an absolute path", field->name, string);
	/* Arguments and variables may well be several lines; a path or a name that is, only means harm. */
	size_t size = strlen(string);
	char *plain = alloc_copy(string);
	if (!plain)
		return error_set(error, -ENOMEM, "out of memory");
	bool harmful = text_shown(plain, string, size, 0, NULL) != size || memcmp(plain, string, size);
	free(plain);
	if (harmful)
		return error_set(error, -EINVAL, "manifest: \"%s\": \"%.200s\" has control characters, or is not UTF-8", field->name, string);
	*out = alloc_copy(string);
	return *out ? 0 : error_set(error, -ENOMEM, "out of memory");
}

static int read_list(const struct field *field, const json_t *value, struct strings *list, struct error *error)
{
	if (!json_is_array(value) || json_array_size(value) > LIST_MAX)
		return error_set(error, -EINVAL, "manifest: \"%s\" is not a list of at most %d strings", field->name, LIST_MAX);
	for (size_t i = 0; i < json_array_size(value); i++) {
		const json_t *item = json_array_get(value, i);
		const char *string = json_string_value(item);
		if (!string || strlen(string) != json_string_length(item))
			return error_set(error, -EINVAL, "manifest: \"%s\": item %zu is not a string", field->name, i);
		const char *equals = strchr(string, '=');
		if (field->kind == FIELD_ENV && (!equals || equals == string))
			return error_set(error, -EINVAL, "manifest: \"%s\": \"%.200s\" is not NAME=VALUE", field->name, string);
		if (field->kind == FIELD_PATHS && string[0] != '/')
			return error_set(error, -EINVAL, "manifest: \"%s\": \"%.200s\" is not an absolute path", field->name, string);
		strings_add(list, string);
	}
	if (strings_error(list))
		return error_set(error, -ENOMEM, "out of memory");
	return 0;
}

static int read_number(const struct field *field, const json_t *value, uint64_t high, uint64_t *out, struct error *error)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > high)
		return error_set(error, -EINVAL, "manifest: \"%s\" is not a number between 0 and %llu", field->name,
				 (unsigned long long)high);
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

static int read_field(const struct field *field, const json_t *value, struct manifest *manifest, struct error *error)
{
	void *at = (char *)manifest + field->offset;
	uint64_t number = 0;
	int err;
	switch (field->kind) {
	case FIELD_STRING:
	case FIELD_PATH: return read_string(field, value, at, error);
	case FIELD_LIST:
	case FIELD_PATHS:
	case FIELD_ENV: return read_list(field, value, at, error);
	case FIELD_ID:
		err = read_number(field, value, UINT32_MAX - 1, &number, error);
		*(uint32_t *)at = (uint32_t)number;
		return err;
	case FIELD_BYTES: return read_number(field, value, 1ull << 40, at, error);
	}
	return -EINVAL;
}

static int read_object(struct manifest *manifest, json_t *root, struct error *error)
{
	const json_t *version = json_object_get(root, "lightvm");
	if (!json_is_integer(version))
		return error_set(error, -EINVAL, "manifest: \"lightvm\" (the version) is missing");
	if (json_integer_value(version) != LV_MANIFEST_VERSION)
		return error_set(error, -EINVAL, "manifest: version %lld is not known to this lightvm (it knows %d)",
				 (long long)json_integer_value(version), LV_MANIFEST_VERSION);
	for (size_t i = 0; i < FIELDS; i++) {
		const json_t *value = json_object_get(root, fields[i].name);
		int err = value ? read_field(&fields[i], value, manifest, error) : 0;
		if (err)
			return err;
	}
	return 0; /* fields of later minor versions are passed over */
}

int manifest_parse(struct manifest *manifest, const char *json, size_t size, struct error *error)
{
	*manifest = (struct manifest){ 0 };
	if (size > LV_MANIFEST_MAX)
		return error_set(error, -EINVAL, "manifest: %zu bytes are more than %d", size, LV_MANIFEST_MAX);
	json_error_t where;
	json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &where);
	if (!root && !where.text[0]) /* of all that can be wrong only this has no words */
		return error_set(error, -ENOMEM, "out of memory");
	if (!root)
		return error_set(error, -EINVAL, "manifest: line %d: %s", where.line, where.text);
	int err = json_is_object(root) ? read_object(manifest, root, error)
				       : error_set(error, -EINVAL, "manifest: not a JSON object");
	json_decref(root);
	return err;
}

static json_t *write_field(const struct field *field, const struct manifest *manifest)
{
	const void *at = (const char *)manifest + field->offset;
	if (field->kind == FIELD_STRING || field->kind == FIELD_PATH)
		return *(char *const *)at ? json_string(*(char *const *)at) : NULL;
	if (field->kind == FIELD_ID)
		return *(const uint32_t *)at ? json_integer(*(const uint32_t *)at) : NULL;
	if (field->kind == FIELD_BYTES)
		return *(const uint64_t *)at ? json_integer((json_int_t)*(const uint64_t *)at) : NULL;
	const struct strings *list = at;
	json_t *array = list->count ? json_array() : NULL;
	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->item[i]));
	return array;
}

void manifest_print(const struct manifest *manifest, struct text *out)
{
	json_t *root = json_object();
	json_object_set_new(root, "lightvm", json_integer(LV_MANIFEST_VERSION));
	for (size_t i = 0; i < FIELDS; i++) {
		json_t *value = write_field(&fields[i], manifest);
		if (value)
			json_object_set_new(root, fields[i].name, value);
	}
	char *json = json_dumps(root, JSON_INDENT(2));
	if (json)
		text_put(out, json);
	text_put(out, "\n");
	free(json);
	json_decref(root);
}

void manifest_free(struct manifest *manifest)
{
	free(manifest->name);
	free(manifest->program);
	free(manifest->cwd);
	free(manifest->hostname);
	strings_free(&manifest->args);
	strings_free(&manifest->env);
	strings_free(&manifest->ports);
	strings_free(&manifest->volumes);
	strings_free(&manifest->labels);
	free(manifest->stop_signal);
	free(manifest->health);
	free(manifest->trimmed);
	strings_free(&manifest->kernels);
	*manifest = (struct manifest){ 0 };
}
