/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/config.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	const uint8_t *at;
	size_t left;
	const char *why;
};

static int refuse(struct reader *reader, const char *why)
{
	reader->why = why;
	return -EINVAL;
}

static int open_config(struct reader *reader, const void *bytes, size_t size, uint32_t *records)
{
	struct lv_guest_config header;
	if (size < sizeof(header) || size > LV_GUEST_CONFIG_MAX)
		return refuse(reader, "its size is impossible");
	memcpy(&header, bytes, sizeof(header));
	if (header.magic != LV_GUEST_CONFIG_MAGIC)
		return refuse(reader, "it does not begin like one");
	if (header.version != LV_GUEST_CONFIG_VERSION)
		return refuse(reader, "it has another version");
	if (header.size != size)
		return refuse(reader, "it is cut short");
	if (header.records > LV_GUEST_RECORDS_MAX)
		return refuse(reader, "it has too many records");
	reader->at = (const uint8_t *)bytes + sizeof(header);
	reader->left = size - sizeof(header);
	*records = header.records;
	return 0;
}

static int next_record(struct reader *reader, struct lv_guest_record *record, const void **data)
{
	if (reader->left < sizeof(*record))
		return refuse(reader, "it ends within a record");
	memcpy(record, reader->at, sizeof(*record));
	reader->at += sizeof(*record);
	reader->left -= sizeof(*record);
	size_t padded = ((size_t)record->size + 3) & ~(size_t)3;
	if (padded > reader->left)
		return refuse(reader, "a record is longer than the rest");
	*data = reader->at;
	reader->at += padded;
	reader->left -= padded;
	return 0;
}

static int take_string(struct reader *reader, const struct lv_guest_record *record, const void *data, const char **out)
{
	if (!record->size || memchr(data, 0, record->size) != (const char *)data + record->size - 1)
		return refuse(reader, "a string does not end where its record ends");
	if (*out)
		return refuse(reader, "a record is there twice");
	*out = data;
	return 0;
}

static int take_item(struct reader *reader, const struct lv_guest_record *record, const void *data, char **list, size_t *count)
{
	const char *string = NULL;
	int err = take_string(reader, record, data, &string);
	if (!err)
		list[(*count)++] = (char *)string;
	return err;
}

static int take_struct(struct reader *reader, const struct lv_guest_record *record, const void *data, void *out, size_t size)
{
	if (record->size != size)
		return refuse(reader, "a record has the wrong size");
	memcpy(out, data, size);
	return 0;
}

static int take(struct guest_config *config, struct reader *reader, const struct lv_guest_record *record, const void *data)
{
	switch (record->type) {
	case LV_GUEST_PROGRAM:
		return take_string(reader, record, data, &config->program);
	case LV_GUEST_ARG:
		return take_item(reader, record, data, config->argv, &config->argc);
	case LV_GUEST_ENV:
		return take_item(reader, record, data, config->env, &config->envc);
	case LV_GUEST_CWD:
		return take_string(reader, record, data, &config->cwd);
	case LV_GUEST_USER:
		return take_string(reader, record, data, &config->user);
	case LV_GUEST_HOSTNAME:
		return take_string(reader, record, data, &config->hostname);
	case LV_GUEST_IMAGE:
		return take_string(reader, record, data, &config->image);
	case LV_GUEST_OVERLAY:
		return take_string(reader, record, data, &config->overlay);
	case LV_GUEST_STREAMS:
		return take_struct(reader, record, data, &config->streams, sizeof(config->streams));
	case LV_GUEST_NET:
		config->has_net = true;
		return take_struct(reader, record, data, &config->net, sizeof(config->net));
	default:
		return refuse(reader, "a record is of an unknown type");
	}
}

static int check(const struct guest_config *config, struct reader *reader)
{
	if (reader->left)
		return refuse(reader, "something follows the last record");
	if (!config->program || !*config->program)
		return refuse(reader, "it names no program");
	if (!config->argc)
		return refuse(reader, "it has no arguments, not even the program's name");
	if (config->cwd && config->cwd[0] != '/')
		return refuse(reader, "its working directory is not an absolute path");
	for (size_t i = 0; i < config->envc; i++)
		if (strchr(config->env[i], '=') <= config->env[i])
			return refuse(reader, "its environment has something that is not NAME=VALUE");
	return 0;
}

int config_parse(struct guest_config *config, const void *bytes, size_t size, const char **why, unsigned *number)
{
	struct reader reader = { 0 };
	uint32_t records = 0;
	*config = (struct guest_config){ 0 };
	*number = 0;
	int err = open_config(&reader, bytes, size, &records);
	if (!err) {
		/* No more of either than there are records, which the size bounds. */
		size_t room = (records < reader.left / sizeof(struct lv_guest_record) ? records : reader.left / sizeof(struct lv_guest_record)) + 1;
		config->argv = calloc(room, sizeof(char *));
		config->env = calloc(room, sizeof(char *));
		if (!config->argv || !config->env) {
			*why = "memory is short";
			return -ENOMEM;
		}
	}
	for (uint32_t i = 0; i < records && !err; i++) {
		struct lv_guest_record record;
		const void *data;
		*number = i + 1;
		err = next_record(&reader, &record, &data);
		if (!err)
			err = take(config, &reader, &record, data);
	}
	if (!err)
		err = check(config, &reader);
	*why = reader.why;
	return err;
}

const char *env_get(char *const *env, const char *name)
{
	size_t len = strlen(name);
	for (; env && *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

void config_free(struct guest_config *config)
{
	free(config->argv);
	free(config->env);
	*config = (struct guest_config){ 0 };
}
