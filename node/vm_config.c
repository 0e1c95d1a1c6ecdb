/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "abi/device_page.h"
#include "abi/layout.h"
#include "base/file.h"
#include "base/number.h"
#include "node/record.h"

#define MEMORY_LEAST (4ull << 20)
#define ENV_MAX 512
#define CONFIG_FILE "config.json"
#define CONFIG_FILE_MAX (4u << 20)

void config_init(struct vm_config *config)
{
	*config = (struct vm_config){ .image_fd = -1, .guest = { .kernel_fd = -1, .initrd_fd = -1 } };
	for (size_t i = 0; i < CONFIG_DISKS; i++)
		config->disk[i].fd = -1;
}

void config_env(struct vm_config *config, const char *assignment)
{
	size_t name = strcspn(assignment, "=") + 1;
	for (size_t i = 0; i < config->env.count; i++)
		if (!strncmp(config->env.item[i], assignment, name)) {
			free(config->env.item[i]);
			config->env.item[i] = alloc_copy(assignment);
			return;
		}
	strings_add(&config->env, assignment);
}

static int too_long(const char *what, const char *value, size_t room, struct error *error)
{
	if (strlen(value) < room)
		return 0;
	return error_set(error, -ENAMETOOLONG, "%s \"%.40s...\" is longer than %zu characters", what, value, room - 1);
}

int config_validate(const struct vm_config *config, struct error *error)
{
	const struct lv_device_page *page = NULL; /* only for the sizes of its fields */
	char size[24];
	if (config->memory < MEMORY_LEAST || config->memory > LV_RAM_MAX)
		return error_set(error, -ERANGE, "--memory %s is not between 4M and 64G", size_print(config->memory, size, sizeof(size)));
	if (config->env.count > ENV_MAX)
		return error_set(error, -E2BIG, "%zu environment variables are more than %d", config->env.count, ENV_MAX);
	if (config->cwd[0] != '/')
		return error_set(error, -EINVAL, "--workdir \"%s\" is not an absolute path", config->cwd);
	int err = too_long("program path", config->program, sizeof(page->program), error);
	if (!err)
		err = too_long("--workdir", config->cwd, sizeof(page->cwd), error);
	return err ? err : too_long("--hostname", config->hostname, sizeof(page->hostname), error);
}

void config_free(struct vm_config *config)
{
	if (config->image_fd >= 0)
		close(config->image_fd);
	if (config->guest.kernel_fd >= 0)
		close(config->guest.kernel_fd);
	if (config->guest.initrd_fd >= 0)
		close(config->guest.initrd_fd);
	for (size_t i = 0; i < config->disks; i++) {
		if (config->disk[i].fd >= 0)
			close(config->disk[i].fd);
		free(config->disk[i].path);
		free(config->disk[i].serial);
	}
	free(config->guest.kernel);
	free(config->guest.kernel_path);
	free(config->image);
	free(config->program);
	free(config->cwd);
	free(config->hostname);
	strings_free(&config->args);
	strings_free(&config->env);
	net_free(&config->net);
	config_init(config);
}

static json_t *json_strings(const struct strings *list)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->count; i++) {
		/* Arguments may be any bytes; what is not UTF-8 is shown as far as it can be. */
		json_array_append_new(array, json_field(list->item[i], strlen(list->item[i])));
	}
	return array;
}

static json_t *json_disks(const struct vm_config *config)
{
	json_t *array = json_array();
	for (size_t i = 0; i < config->disks; i++)
		json_array_append_new(array, json_pack("{s:o, s:b, s:s?}", "path", json_field(config->disk[i].path, PATH_MAX), "read_only",
							  config->disk[i].read_only, "serial", config->disk[i].serial));
	return array;
}

static json_t *json_linux(const struct config_guest *guest)
{
	json_t *object = json_object();
	json_object_set_new(object, "kernel", json_field(guest->kernel_path, PATH_MAX));
	json_object_set_new(object, "initrd", guest->initrd ? json_field(guest->initrd, PATH_MAX) : json_null());
	json_object_set_new(object, "append", guest->append ? json_field(guest->append, strlen(guest->append)) : json_null());
	json_object_set_new(object, "cpus", json_integer(guest->cpus));
	json_object_set_new(object, "bare", json_boolean(guest->bare));
	return object;
}

static json_t *to_json(const struct vm_config *config)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	json_t *root = json_object();
	json_object_set_new(root, "id", json_string(config->id));
	json_object_set_new(root, "name", config->name ? json_field(config->name, PATH_MAX) : json_null());
	json_object_set_new(root, "created_ns", json_integer((json_int_t)now.tv_sec * 1000000000 + now.tv_nsec));
	json_object_set_new(root, "image", config->image ? json_field(config->image, PATH_MAX) : json_null());
	json_object_set_new(root, "program", json_field(config->program, PATH_MAX));
	json_object_set_new(root, "args", json_strings(&config->args));
	json_object_set_new(root, "env", json_strings(&config->env));
	json_object_set_new(root, "cwd", json_field(config->cwd, PATH_MAX));
	json_object_set_new(root, "hostname", json_field(config->hostname, PATH_MAX));
	json_object_set_new(root, "uid", json_integer(config->uid));
	json_object_set_new(root, "gid", json_integer(config->gid));
	json_object_set_new(root, "memory", json_integer((json_int_t)config->memory));
	json_object_set_new(root, "kernel", json_field(config->guest.kernel, PATH_MAX));
	if (config->guest.is_linux)
		json_object_set_new(root, "linux", json_linux(&config->guest));
	json_object_set_new(root, "net", net_json(&config->net));
	json_object_set_new(root, "disks", json_disks(config));
	json_object_set_new(root, "detached", json_boolean(config->detached));
	json_object_set_new(root, "remove", json_boolean(config->remove));
	return root;
}

int config_write(const struct vm_config *config, int dir, struct error *error)
{
	json_t *root = to_json(config);
	int fd = openat(dir, CONFIG_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err = fd < 0 ? -errno : 0;
	char *json = err ? NULL : json_dumps(root, JSON_INDENT(2));
	if (json)
		err = fd_write(fd, json, strlen(json));
	free(json);
	json_decref(root);
	if (fd >= 0)
		close(fd);
	return err ? error_set(error, err, CONFIG_FILE ": %s", strerror(-err)) : 0;
}

json_t *config_read(int dir)
{
	char *data;
	size_t size;
	if (file_read(dir, CONFIG_FILE, CONFIG_FILE_MAX, &data, &size))
		return NULL;
	json_t *root = json_loadb(data, size, 0, NULL);
	free(data);
	if (root && !json_is_object(root)) {
		json_decref(root);
		root = NULL;
	}
	return root;
}

const char *config_string(const json_t *config, const char *key)
{
	const char *value = json_string_value(json_object_get(config, key));
	return value ? value : "";
}
