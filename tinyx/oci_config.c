/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/oci_config.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/plan.h"

#define LIST_MOST 1024

struct reading {
	const char *what;
	struct error *error;
};

static int wrong(const struct reading *reading, const char *field, const char *should)
{
	return error_set(reading->error, -EINVAL, "%s: its configuration: \"%s\" is not %s", reading->what, field, should);
}

/* The string, or NULL: it is none, or has a zero byte in it. */
static const char *string_of(const json_t *value)
{
	const char *string = json_string_value(value);
	return string && strlen(string) == json_string_length(value) ? string : NULL;
}

static int read_string(const struct reading *reading, const json_t *object, const char *field, char **out)
{
	const json_t *value = json_object_get(object, field);
	if (!value || json_is_null(value))
		return 0;
	const char *string = string_of(value);
	if (!string)
		return wrong(reading, field, "a string");
	*out = *string ? alloc_copy(string) : NULL;
	return 0;
}

static int read_list(const struct reading *reading, const json_t *object, const char *field, struct strings *list)
{
	const json_t *value = json_object_get(object, field);
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_array(value) || json_array_size(value) > LIST_MOST)
		return wrong(reading, field, "a list of at most 1024 strings");
	for (size_t i = 0; i < json_array_size(value); i++) {
		const char *string = string_of(json_array_get(value, i));
		if (!string)
			return wrong(reading, field, "a list of at most 1024 strings");
		strings_add(list, string);
	}
	return 0;
}

/* {"NAME": {}}, or {"NAME": "VALUE"} with values; in the order of names, so that the same image is the same bytes. */
static int read_names(const struct reading *reading, const json_t *object, const char *field, bool values, struct strings *list)
{
	json_t *value = json_object_get(object, field);
	const char *key;
	json_t *item;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_object(value) || json_object_size(value) > LIST_MOST)
		return wrong(reading, field, "an object with at most 1024 names");
	json_object_foreach(value, key, item) {
		const char *string = values ? string_of(item) : NULL;
		if (!*key || (values && (!string || strchr(key, '='))))
			return wrong(reading, field, values ? "an object of names and strings" : "an object of names");
		strings_take(list, values ? alloc_format("%s=%s", key, string) : alloc_copy(key));
	}
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct strings *list)
{
	if (list->count)
		qsort(list->item, list->count, sizeof(*list->item), by_text);
}

/* "80/tcp" is "80" here. */
static void plain_ports(struct strings *ports)
{
	for (size_t i = 0; i < ports->count; i++)
		if (text_ends(ports->item[i], "/tcp"))
			ports->item[i][strlen(ports->item[i]) - 4] = 0;
}

static int check_words(const struct reading *reading, struct oci_config *config)
{
	for (size_t i = 0; i < config->env.count; i++) {
		const char *equals = strchr(config->env.item[i], '=');
		if (!equals || equals == config->env.item[i])
			return wrong(reading, "Env", "a list of NAME=VALUE");
	}
	for (size_t i = 0; i < config->volumes.count; i++)
		if (config->volumes.item[i][0] != '/')
			return wrong(reading, "Volumes", "an object of absolute paths");
	return 0;
}

static int read_run(const struct reading *reading, struct oci_config *config, const json_t *run)
{
	if (!run || json_is_null(run))
		return 0;
	if (!json_is_object(run))
		return wrong(reading, "config", "an object");
	int err = read_string(reading, run, "User", &config->user);
	if (!err)
		err = read_string(reading, run, "WorkingDir", &config->cwd);
	if (!err)
		err = read_string(reading, run, "StopSignal", &config->stop_signal);
	if (!err)
		err = read_list(reading, run, "Entrypoint", &config->entrypoint);
	if (!err)
		err = read_list(reading, run, "Cmd", &config->cmd);
	if (!err)
		err = read_list(reading, run, "Env", &config->env);
	if (!err)
		err = read_names(reading, run, "ExposedPorts", false, &config->ports);
	if (!err)
		err = read_names(reading, run, "Volumes", false, &config->volumes);
	if (!err)
		err = read_names(reading, run, "Labels", true, &config->labels);
	const json_t *health = json_object_get(run, "Healthcheck");
	if (!err && json_is_object(health))
		config->health = json_dumps(health, JSON_COMPACT | JSON_SORT_KEYS);
	plain_ports(&config->ports);
	sort(&config->ports);
	sort(&config->volumes);
	sort(&config->labels);
	return err ? err : check_words(reading, config);
}

int oci_config_parse(struct oci_config *config, const char *json, size_t size, const char *what, struct error *error)
{
	const struct reading reading = { what, error };
	json_error_t where;
	*config = (struct oci_config){ 0 };
	json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &where);
	if (!json_is_object(root)) {
		json_decref(root);
		return error_set(error, -EINVAL, "%s: its configuration is not a JSON object%s%s", what, root ? "" : ": ", root ? "" : where.text);
	}
	int err = read_string(&reading, root, "architecture", &config->architecture);
	if (!err)
		err = read_string(&reading, root, "os", &config->os);
	if (!err)
		err = read_run(&reading, config, json_object_get(root, "config"));
	const json_t *rootfs = json_object_get(root, "rootfs");
	if (!err && !json_is_object(rootfs))
		err = wrong(&reading, "rootfs", "an object");
	if (!err)
		err = read_list(&reading, rootfs, "diff_ids", &config->diff_ids);
	json_decref(root);
	return err;
}

void oci_config_free(struct oci_config *config)
{
	char *const strings[] = { config->architecture, config->os, config->user, config->cwd, config->stop_signal, config->health };
	struct strings *const lists[] = { &config->entrypoint, &config->cmd, &config->env, &config->ports, &config->volumes, &config->labels, &config->diff_ids };
	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		free(strings[i]);
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		strings_free(lists[i]);
	*config = (struct oci_config){ 0 };
}

static void add_all(struct strings *to, const struct strings *from)
{
	for (size_t i = 0; i < from->count; i++)
		strings_add(to, from->item[i]);
}

static void set_once(char **field, const char *value)
{
	if (!*field && value)
		*field = alloc_copy(value);
}

void oci_config_manifest(const struct oci_config *config, struct manifest *manifest)
{
	if (!manifest->args.count) {
		add_all(&manifest->args, &config->entrypoint);
		add_all(&manifest->args, &config->cmd);
		manifest->entry = (uint32_t)config->entrypoint.count;
	}
	struct strings env = { 0 };
	add_all(&env, &config->env); /* what was given comes behind it, and wins */
	add_all(&env, &manifest->env);
	strings_free(&manifest->env);
	manifest->env = env;
	add_all(&manifest->ports, &config->ports);
	add_all(&manifest->volumes, &config->volumes);
	add_all(&manifest->labels, &config->labels);
	if (config->cwd && !manifest->cwd)
		manifest->cwd = path_clean("/", config->cwd);
	set_once(&manifest->stop_signal, config->stop_signal);
	set_once(&manifest->health, config->health);
}
