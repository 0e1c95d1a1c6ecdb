/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "parse/record_reader.h"

static int take_item(struct records_reader *reader, const struct record *record, char **list, size_t *count)
{
	const char *string = NULL;
	int err = records_string(reader, record, &string);
	if (!err)
		list[(*count)++] = (char *)string;
	return err;
}

static int take_mount(struct guest_config *config, struct records_reader *reader, const struct record *record)
{
	const char *word = NULL;
	int err = records_string(reader, record, &word);
	if (!err && (config->mounts == LV_GUEST_MOUNTS_MAX || mount_word_read(word, &config->mount[config->mounts++])))
		return records_refuse(reader, "it has too many mounts, or one that is none");
	return err;
}

static int take(struct guest_config *config, struct records_reader *reader, const struct record *record)
{
	switch (record->type) {
	case LV_GUEST_PROGRAM:
		return records_string(reader, record, &config->program);
	case LV_GUEST_ARG:
		return take_item(reader, record, config->argv, &config->argc);
	case LV_GUEST_ENV:
		return take_item(reader, record, config->env, &config->envc);
	case LV_GUEST_CWD:
		return records_string(reader, record, &config->cwd);
	case LV_GUEST_USER:
		return records_string(reader, record, &config->user);
	case LV_GUEST_HOSTNAME:
		return records_string(reader, record, &config->hostname);
	case LV_GUEST_IMAGE:
		return records_string(reader, record, &config->image);
	case LV_GUEST_OVERLAY:
		return records_string(reader, record, &config->overlay);
	case LV_GUEST_MOUNT:
		return take_mount(config, reader, record);
	case LV_GUEST_STREAMS:
		return records_struct(reader, record, &config->streams, sizeof(config->streams), NULL);
	case LV_GUEST_NET:
		config->has_net = true;
		return records_struct(reader, record, &config->net, sizeof(config->net), NULL);
	default:
		return records_refuse(reader, "a record is of an unknown type");
	}
}

static int check(const struct guest_config *config, struct records_reader *reader)
{
	if (!config->program || !*config->program)
		return records_refuse(reader, "it names no program");
	if (!config->argc)
		return records_refuse(reader, "it has no arguments, not even the program's name");
	if (config->cwd && config->cwd[0] != '/')
		return records_refuse(reader, "its working directory is not an absolute path");
	for (size_t i = 0; i < config->envc; i++)
		if (strchr(config->env[i], '=') <= config->env[i])
			return records_refuse(reader, "its environment has something that is not NAME=VALUE");
	return 0;
}

int config_parse(struct guest_config *config, const void *bytes, size_t size, const char **why, unsigned *number)
{
	struct records_reader reader;
	struct record record;
	*config = (struct guest_config){ 0 };
	int err = records_open(&reader, bytes, size, LV_GUEST_CONFIG_MAGIC, LV_GUEST_CONFIG_VERSION, LV_GUEST_CONFIG_MAX);
	if (!err) {
		/* No more of either than there are records. */
		size_t room = records_room(&reader) + 1;
		config->argv = calloc(room, sizeof(char *));
		config->env = calloc(room, sizeof(char *));
		if (!config->argv || !config->env)
			return *why = "memory is short", *number = 0, -ENOMEM;
	}
	while (!err && (err = records_next(&reader, &record)) > 0)
		err = take(config, &reader, &record);
	if (!err)
		err = check(config, &reader);
	*number = reader.number;
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
