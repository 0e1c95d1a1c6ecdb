/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of a VM as JSON: docs/vm-config.md says what each key means, docs/vm-config.schema.json what it may be. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "node/json_rows.h"
#include "node/kept.h"
#include "node/vm_config.h"

#define CONFIG_FILE_MAX (4u << 20)
#define CPUS_MAX 32

#define ROW(...) JSON_ROW(struct vm_config, __VA_ARGS__)
static const struct json_row rows[] = {
	ROW("id", ROW_NAME, id, .high = STATE_ID + 1),
	ROW("name", ROW_TEXT, name),
	ROW("created_ns", ROW_U64, created_ns),
	ROW("image", ROW_TEXT, image),
	ROW("program", ROW_TEXT, program),
	ROW("args", ROW_LIST, args),
	ROW("env", ROW_LIST, env),
	ROW("labels", ROW_LIST, labels),
	ROW("pid_file", ROW_TEXT, pid_file),
	ROW("cwd", ROW_TEXT, cwd),
	ROW("hostname", ROW_TEXT, hostname),
	ROW("stop_signal", ROW_TEXT, stop_signal),
	ROW("uid", ROW_U32, uid, .high = UINT32_MAX - 1),
	ROW("gid", ROW_U32, gid, .high = UINT32_MAX - 1),
	ROW("memory", ROW_U64, memory),
	ROW("prefault", ROW_WORD, prefault, .words = prefault_words),
	ROW("kernel", ROW_TEXT, guest.kernel),
	ROW("detached", ROW_BOOL, detached),
	ROW("remove", ROW_BOOL, remove),
	ROW("terminal", ROW_BOOL, terminal),
	ROW("keeps_stdin", ROW_BOOL, keeps_stdin),
	ROW("restart", ROW_WORD, restart.policy, .words = restart_words),
	ROW("restart_most", ROW_U32, restart.most, .high = RESTART_MOST),
	{ 0 },
};
static const char *const more[] = { "version", "linux", "net", "disks", "mounts", NULL };
#undef ROW

#define ROW(...) JSON_ROW(struct config_guest, __VA_ARGS__)
static const struct json_row linux_rows[] = {
	ROW("kernel", ROW_TEXT, kernel_path),
	ROW("initrd", ROW_TEXT, initrd),
	ROW("append", ROW_TEXT, append),
	ROW("cpus", ROW_U32, cpus, .low = 1, .high = CPUS_MAX),
	ROW("bare", ROW_BOOL, bare),
	ROW("rng", ROW_BOOL, rng),
	ROW("balloon", ROW_BOOL, balloon),
	{ 0 },
};
#undef ROW

#define ROW(...) JSON_ROW(struct config_disk, __VA_ARGS__)
static const struct json_row disk_rows[] = {
	ROW("path", ROW_TEXT, path),
	ROW("serial", ROW_TEXT, serial),
	ROW("read_only", ROW_BOOL, read_only),
	ROW("overlay", ROW_BOOL, overlay),
	{ 0 },
};

#undef ROW

#define ROW(...) JSON_ROW(struct config_mount, __VA_ARGS__)
static const char *const mount_kinds[] = { [MOUNT_READ_ONLY] = "read_only", [MOUNT_WRITABLE] = "writable", [MOUNT_TMPFS] = "tmpfs", [MOUNT_VOLUME] = "volume", NULL };
static const struct json_row mount_rows[] = {
	ROW("path", ROW_TEXT, path),
	ROW("kind", ROW_WORD, kind, .words = mount_kinds),
	ROW("size", ROW_U64, size),
	ROW("mode", ROW_U32, mode, .high = 07777),
	ROW("source", ROW_TEXT, source),
	ROW("ro", ROW_BOOL, frozen),
	{ 0 },
};

/* ---- writing ---- */

static json_t *disks_write(const struct vm_config *config)
{
	json_t *array = json_array();
	for (size_t i = 0; i < config->disks; i++)
		if (json_array_append_new(array, rows_write(disk_rows, &config->disk[i]))) {
			json_decref(array);
			return NULL;
		}
	return array;
}

static json_t *mounts_write(const struct vm_config *config)
{
	json_t *array = json_array();
	for (size_t i = 0; i < config->mounts; i++)
		if (json_array_append_new(array, rows_write(mount_rows, &config->mount[i]))) {
			json_decref(array);
			return NULL;
		}
	return array;
}

json_t *config_to_json(const struct vm_config *config)
{
	json_t *json = rows_write(rows, config);
	int failed = !json || json_object_set_new(json, "version", json_integer(CONFIG_VERSION));
	if (!failed && config->guest.is_linux)
		failed = json_object_set_new(json, "linux", rows_write(linux_rows, &config->guest));
	if (!failed)
		failed = json_object_set_new(json, "net", net_to_json(&config->net)) || json_object_set_new(json, "disks", disks_write(config)) ||
			 json_object_set_new(json, "mounts", mounts_write(config));
	if (!failed)
		return json;
	json_decref(json);
	return NULL;
}

/* ---- reading ---- */

static int version_read(const json_t *json, struct error *error)
{
	const json_t *version = json_object_get(json, "version");
	if (!json_is_integer(version))
		return error_set(error, -EINVAL, "version: missing, or not a number");
	if (json_integer_value(version) != CONFIG_VERSION)
		return error_set(error, -EINVAL, "version: %lld is not known; this program knows %d", (long long)json_integer_value(version), CONFIG_VERSION);
	return 0;
}

static int linux_read(struct vm_config *config, const json_t *json, struct error *error)
{
	if (!json)
		return 0;
	config->guest.is_linux = true;
	return rows_read(linux_rows, NULL, &config->guest, json, "linux", error);
}

static int disks_read(struct vm_config *config, const json_t *json, struct error *error)
{
	int err = 0;
	if (json && !json_is_array(json))
		return error_set(error, -EINVAL, "disks: not a list");
	if (json_array_size(json) > CONFIG_DISKS)
		return error_set(error, -E2BIG, "disks: more than %d", CONFIG_DISKS);
	for (size_t i = 0; i < json_array_size(json) && !err; i++, config->disks++)
		err = rows_read(disk_rows, NULL, &config->disk[i], json_array_get(json, i), "disks", error);
	return err;
}

static int mounts_read(struct vm_config *config, const json_t *json, struct error *error)
{
	int err = 0;
	if (json && !json_is_array(json))
		return error_set(error, -EINVAL, "mounts: not a list");
	if (json_array_size(json) > CONFIG_MOUNTS - config->mounts) /* beside those of a request's volumes */
		return error_set(error, -E2BIG, "mounts: more than %d", CONFIG_MOUNTS);
	for (size_t i = 0; i < json_array_size(json) && !err; i++)
		err = rows_read(mount_rows, NULL, &config->mount[config->mounts++], json_array_get(json, i), "mounts", error);
	return err;
}

int config_from_json(struct vm_config *config, const json_t *json, struct error *error)
{
	int err = rows_read(rows, more, config, json, "", error);
	if (!err)
		err = version_read(json, error);
	if (!err)
		err = linux_read(config, json_object_get(json, "linux"), error);
	if (!err)
		err = net_from_json(&config->net, json_object_get(json, "net"), config->id, error);
	if (!err)
		err = disks_read(config, json_object_get(json, "disks"), error);
	return err ? err : mounts_read(config, json_object_get(json, "mounts"), error);
}

/* ---- the file ---- */

/* A VM that comes back after the machine's restart does so from here. */
static int keep(const json_t *json, struct error *error)
{
	const char *policy = config_string(json, "restart");
	if (!*policy || !strcmp(policy, restart_words[RESTART_NO]))
		return 0;
	int dir = kept_open(KEPT_VM, true, error);
	int err = dir < 0 ? dir : kept_write(dir, config_string(json, "id"), json, error);
	if (dir >= 0)
		close(dir);
	return err ? error_prefix(error, "--restart %s", policy) : 0;
}

int config_write_json(const json_t *json, int dir, struct error *error)
{
	char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	int err = text ? file_write(dir, CONFIG_FILE, text, strlen(text), 0600) : -ENOMEM;
	free(text);
	return err ? error_set(error, err, CONFIG_FILE ": %s", strerror(-err)) : keep(json, error);
}

int config_write(const struct vm_config *config, int dir, struct error *error)
{
	json_t *json = config_to_json(config);
	int err = config_write_json(json, dir, error);
	json_decref(json);
	return err;
}

json_t *config_read(int dir)
{
	char *data;
	size_t size;
	if (file_read(dir, CONFIG_FILE, CONFIG_FILE_MAX, &data, &size))
		return NULL;
	json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, NULL);
	free(data);
	if (root && !json_is_object(root)) {
		json_decref(root);
		root = NULL;
	}
	return root;
}

int config_load(struct vm_config *config, int dir, struct error *error)
{
	json_t *json = config_read(dir);
	int err = json ? config_from_json(config, json, error) : error_set(error, -ENOENT, "missing, or not a JSON object");
	json_decref(json);
	return err ? error_prefix(error, CONFIG_FILE) : 0;
}

const char *config_string(const json_t *config, const char *key)
{
	const char *value = json_string_value(json_object_get(config, key));
	return value ? value : "";
}
