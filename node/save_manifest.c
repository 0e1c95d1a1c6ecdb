/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/json_rows.h"
#include "node/save_zstd.h"

#define DEVICES_MAX LV_MAX_DEVICES

static const char *const guests[] = { [LV_GUEST_LIBOS] = "libos", [LV_GUEST_LINUX] = "linux", NULL };

#define ROW(...) JSON_ROW(struct save_manifest, __VA_ARGS__)
static const struct json_row rows[] = {
	ROW("id", ROW_NAME, id, .high = STATE_ID + 1),
	ROW("name", ROW_TEXT, name),
	ROW("saved_ns", ROW_U64, saved_ns),
	ROW("ended", ROW_BOOL, ended),
	ROW("guest", ROW_WORD, guest, .words = guests),
	ROW("libos_build", ROW_NAME, libos_build, .high = SAVE_HEX + 1),
	ROW("kernel_sha256", ROW_NAME, kernel_sha256, .high = SAVE_HEX + 1),
	ROW("image_sha256", ROW_NAME, image_sha256, .high = SAVE_HEX + 1),
	ROW("image_size", ROW_U64, image_size),
	ROW("memory_limit", ROW_U64, memory_limit, .high = CONFIG_MEMORY_MOST),
	ROW("memory_used", ROW_U64, memory_used),
	ROW("memory_size", ROW_U64, memory_size),
	ROW("memory_taken", ROW_U64, memory_taken),
	ROW("state_size", ROW_U64, state_size),
	ROW("devices", ROW_LIST, devices),
	{ 0 },
};
static const char *const more[] = { "format", "cpu", "config", "parent", "compressed", NULL };
#undef ROW

void save_manifest_free(struct save_manifest *manifest)
{
	free(manifest->name);
	free(manifest->parent.path);
	strings_free(&manifest->devices);
	json_decref(manifest->config);
	*manifest = (struct save_manifest){ 0 };
}

static const struct json_row parent_rows[] = {
	JSON_ROW(struct save_parent, "path", ROW_TEXT, path),
	JSON_ROW(struct save_parent, "state_sha256", ROW_NAME, state_sha256, .high = SAVE_HEX + 1),
	{ 0 },
};

static json_t *parent_json(const struct save_parent *parent)
{
	return parent->path ? rows_write(parent_rows, parent) : json_null();
}

static const struct json_row compressed_rows[] = {
	JSON_ROW(struct save_compressed, "method", ROW_NAME, method, .high = sizeof(((struct save_compressed *)0)->method)),
	JSON_ROW(struct save_compressed, "size", ROW_U64, size),
	{ 0 },
};

/* Only where it says something: what is not compressed is read by every LightVM. */
static int put_compressed(json_t *json, const struct save_compressed *compressed)
{
	return *compressed->method ? json_object_set_new(json, "compressed", rows_write(compressed_rows, compressed)) : 0;
}

json_t *save_manifest_to_json(const struct save_manifest *manifest)
{
	json_t *json = rows_write(rows, manifest);
	if (json && !json_object_set_new(json, "format", json_integer(SAVE_FORMAT)) && !json_object_set_new(json, "cpu", cpu_words_json(&manifest->cpu)) &&
	    !json_object_set_new(json, "parent", parent_json(&manifest->parent)) && !put_compressed(json, &manifest->compressed) && !json_object_set(json, "config", manifest->config))
		return json;
	json_decref(json);
	return NULL;
}

/* First of all: of another format nothing else is known. */
static int format_read(const json_t *json, struct error *error)
{
	const json_t *format = json_object_get(json, "format");
	if (!json_is_integer(format))
		return error_set(error, -EINVAL, "format: missing, or not a number");
	if (json_integer_value(format) != SAVE_FORMAT)
		return error_set(error, -EPROTONOSUPPORT, "format: %lld is not known; this lightvm reads %d", (long long)json_integer_value(format), SAVE_FORMAT);
	return 0;
}

static bool is_hex(const char *word, size_t digits)
{
	return !*word || (strlen(word) == digits && strspn(word, "0123456789abcdef") == digits);
}

static int parent_read(struct save_parent *parent, const json_t *json, struct error *error)
{
	if (!json || json_is_null(json))
		return 0;
	int err = rows_read(parent_rows, NULL, parent, json, "parent", error);
	if (!err && (!parent->path || parent->path[0] != '/'))
		return error_set(error, -EINVAL, "parent.path: missing, or not an absolute path");
	if (!err && (!*parent->state_sha256 || !is_hex(parent->state_sha256, SAVE_HEX)))
		return error_set(error, -EINVAL, "parent.state_sha256: missing, or not %d hexadecimal digits", SAVE_HEX);
	return err;
}

static int compressed_read(struct save_compressed *compressed, const json_t *json, struct error *error)
{
	if (!json || json_is_null(json))
		return 0;
	int err = rows_read(compressed_rows, NULL, compressed, json, "compressed", error);
	if (!err && strcmp(compressed->method, SAVE_ZSTD))
		return error_set(error, -EPROTONOSUPPORT, "compressed.method: \"%s\" is not known; this lightvm reads " SAVE_ZSTD, compressed->method);
	return err || compressed->size ? err : error_set(error, -EINVAL, "compressed.size: missing, or 0");
}

static int check(const struct save_manifest *manifest, struct error *error)
{
	if (strlen(manifest->id) != STATE_ID || !is_hex(manifest->id, STATE_ID))
		return error_set(error, -EINVAL, "id: missing, or not %d hexadecimal digits", STATE_ID);
	if (manifest->name && !vm_name_valid(manifest->name))
		return error_set(error, -EINVAL, "name: \"%.80s\" is none", manifest->name);
	if (!is_hex(manifest->libos_build, 2 * LV_BUILD_ID) || (manifest->guest == LV_GUEST_LIBOS && !*manifest->libos_build))
		return error_set(error, -EINVAL, "libos_build: missing, or not %d hexadecimal digits", 2 * LV_BUILD_ID);
	if (!is_hex(manifest->image_sha256, SAVE_HEX) || !is_hex(manifest->kernel_sha256, SAVE_HEX))
		return error_set(error, -EINVAL, "%s: not %d hexadecimal digits", is_hex(manifest->image_sha256, SAVE_HEX) ? "kernel_sha256" : "image_sha256", SAVE_HEX);
	if (!manifest->memory_size || !manifest->state_size)
		return error_set(error, -EINVAL, "%s: missing, or 0", manifest->memory_size ? "state_size" : "memory_size");
	if (manifest->devices.count > DEVICES_MAX)
		return error_set(error, -E2BIG, "devices: more than %d", DEVICES_MAX);
	if (!json_is_object(manifest->config))
		return error_set(error, -EINVAL, "config: missing, or not an object");
	return 0;
}

int save_manifest_from_json(struct save_manifest *manifest, const json_t *json, struct error *error)
{
	if (!json_is_object(json))
		return error_set(error, -EINVAL, "not an object");
	int err = format_read(json, error);
	if (!err)
		err = rows_read(rows, more, manifest, json, "", error);
	if (!err)
		err = cpu_words_from_json(&manifest->cpu, json_object_get(json, "cpu"), "cpu", error);
	if (!err)
		err = parent_read(&manifest->parent, json_object_get(json, "parent"), error);
	if (!err)
		err = compressed_read(&manifest->compressed, json_object_get(json, "compressed"), error);
	if (!err)
		manifest->config = json_incref(json_object_get(json, "config"));
	return err ? err : check(manifest, error);
}
