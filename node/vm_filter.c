/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_filter.h"

#include <errno.h>
#include <string.h>

#include "base/number.h"
#include "node/vm_config.h"

struct look {
	const struct vm_info *info;
	const struct vm_row *row;
};

static bool by_state(const struct look *look, const char *value)
{
	return !strcmp(vm_state_word(look->info->state), value);
}

static bool by_name(const struct look *look, const char *value)
{
	return strstr(look->row->name, value) != NULL;
}

static bool by_id(const struct look *look, const char *value)
{
	return text_starts(look->info->dir.id, value);
}

static bool by_program(const struct look *look, const char *value)
{
	return strstr(look->row->program, value) != NULL;
}

static bool by_kernel(const struct look *look, const char *value)
{
	return !strcmp(look->row->kernel, value);
}

static bool by_exited(const struct look *look, const char *value)
{
	uint64_t code;
	return !number_parse(value, &code) && !look->info->alive && look->info->exit_code == (int)code;
}

/* Its file, or the file's name, with or without ".lvm"; of what was packed at its start the program is what a user knows. */
static bool by_image(const struct look *look, const char *value)
{
	const char *path = config_string(look->info->config, "image"), *base = strrchr(path, '/');
	size_t n = strlen(value);
	base = base ? base + 1 : path;
	return !strcmp(path, value) || (!strncmp(base, value, n) && (!base[n] || !strcmp(base + n, ".lvm"))) || by_program(look, value);
}

static bool by_network(const struct look *look, const char *value)
{
	const json_t *net = json_object_get(look->info->config, "net");
	return !strcmp(config_string(net, "kind"), value) || !strcmp(config_string(net, "name"), value);
}

/* NAME, or NAME=VALUE. */
static bool by_label(const struct look *look, const char *value)
{
	const json_t *labels = json_object_get(look->info->config, "labels");
	size_t n = strlen(value);
	for (size_t i = 0; i < json_array_size(labels); i++) {
		const char *label = json_string_value(json_array_get(labels, i));
		if (label && !strncmp(label, value, n) && (!label[n] || (label[n] == '=' && !strchr(value, '='))))
			return true;
	}
	return false;
}

static const struct filter {
	const char *key;
	bool (*passes)(const struct look *look, const char *value);
	bool deep;
} filters[] = {
	{ "state", by_state, false }, { "status", by_state, false }, { "name", by_name, false }, { "id", by_id, false },
	{ "label", by_label, true }, { "program", by_program, false }, { "image", by_image, true }, { "ancestor", by_image, true },
	{ "kernel", by_kernel, false }, { "network", by_network, true }, { "exited", by_exited, false },
};

static const struct filter *filter_of(const char *word, const char **value)
{
	const char *equals = strchr(word, '=');
	for (size_t i = 0; equals && i < sizeof(filters) / sizeof(*filters); i++)
		if (strlen(filters[i].key) == (size_t)(equals - word) && text_starts(word, filters[i].key)) {
			*value = equals + 1;
			return &filters[i];
		}
	return NULL;
}

int vm_filter_check(const struct strings *filter, const char *what, bool *deep, struct error *error)
{
	const char *value;
	*deep = false;
	for (size_t i = 0; i < filter->count; i++) {
		const struct filter *one = filter_of(filter->item[i], &value);
		if (!one)
			return error_set(error, -EINVAL, "%s: \"%.200s\" is not KEY=VALUE with a key of these: " VM_FILTER_KEYS, what, filter->item[i]);
		*deep |= one->deep;
	}
	return 0;
}

bool vm_filter_passes(const struct strings *filter, const struct vm_info *info, const struct vm_row *row)
{
	const struct look look = { info, row };
	const char *value;
	for (size_t i = 0; i < filter->count; i++) {
		const struct filter *one = filter_of(filter->item[i], &value);
		if (!one || !one->passes(&look, value))
			return false;
	}
	return true;
}
