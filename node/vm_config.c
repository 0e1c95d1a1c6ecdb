/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/device_page.h"
#include "abi/layout.h"
#include "abi/linux_guest.h"
#include "base/number.h"

static_assert(CONFIG_MEMORY_MOST <= LV_RAM_MAX, "what a monitor takes");
const char *const prefault_words[] = { [PREFAULT_AUTO] = "auto", [PREFAULT_OFF] = "off", [PREFAULT_ALL] = "all", NULL };

#define ENV_MAX 512
#define LABELS_MAX 128
#define RAM_STEP (2ull << 20)
#define SERIAL_MAX 20 /* virtio 1.2, section 5.2.6.1 */

void config_init(struct vm_config *config)
{
	*config = (struct vm_config){ .image_fd = -1, .stream_fd = -1, .memory = CONFIG_MEMORY, .guest = { .kernel_fd = -1, .initrd_fd = -1, .cpus = 1 } };
	config->state = (struct config_state){ .state = -1, .memory = -1, .pages = -1, .pager = { -1, -1 } };
	for (size_t i = 0; i < CONFIG_DISKS; i++)
		config->disk[i].fd = config->disk[i].lock = -1;
}

uint64_t config_machine_memory(const struct vm_config *config)
{
	return config->state.machine_memory ? config->state.machine_memory : config->memory;
}

/* Of the library OS it begins before the RAM, whose first piece may be more than is asked for; of Linux it has the gap below 4 GiB. */
uint64_t config_memory_file_most(bool is_linux, uint64_t limit)
{
	if (is_linux)
		return limit <= LV_LINUX_GAP ? limit : limit - LV_LINUX_GAP + LV_LINUX_HIGH;
	return LV_RAM - LV_BASE + LV_RAM_SMALL + ((limit + RAM_STEP - 1) & ~(RAM_STEP - 1));
}

static void assign(struct strings *list, const char *assignment)
{
	size_t name = strcspn(assignment, "=") + 1;
	for (size_t i = 0; i < list->count; i++)
		if (!strncmp(list->item[i], assignment, name)) {
			char *copy = alloc_copy(assignment);
			list->failed |= !copy;
			if (copy) {
				free(list->item[i]);
				list->item[i] = copy;
			}
			return;
		}
	strings_add(list, assignment);
}

void config_env(struct vm_config *config, const char *assignment)
{
	assign(&config->env, assignment);
}

void config_env_default(struct vm_config *config, const char *assignment)
{
	size_t len = strcspn(assignment, "=") + 1;
	for (size_t i = 0; i < config->env.count; i++)
		if (!strncmp(config->env.item[i], assignment, len))
			return;
	config_env(config, assignment);
}

void config_label(struct vm_config *config, const char *assignment)
{
	char *whole = strchr(assignment, '=') ? NULL : alloc_format("%s=", assignment);
	assign(&config->labels, whole ? whole : assignment);
	free(whole);
}

int config_mount(struct vm_config *config, struct config_mount mount, struct error *error)
{
	if (config->mounts < CONFIG_MOUNTS) {
		config->mount[config->mounts++] = mount;
		return 0;
	}
	error_set(error, -E2BIG, "%s: more than %d volumes, tmpfs and read-only parts", mount.path, CONFIG_MOUNTS);
	free(mount.path);
	free(mount.source);
	return -E2BIG;
}

char *config_mount_word(const struct config_mount *mount, unsigned number)
{
	if (mount->kind == MOUNT_VOLUME)
		return alloc_format("volume:%u:%s %s", number, mount->frozen ? "ro" : "rw", mount->path);
	if (mount->kind == MOUNT_TMPFS)
		return alloc_format("tmpfs:%llu:%o %s", (unsigned long long)mount->size, mount->mode, mount->path);
	return alloc_format("%s %s", mount->kind == MOUNT_READ_ONLY ? "ro" : "rw", mount->path);
}

static int check_mount(const struct config_mount *mount, struct error *error)
{
	static const char *const kept[] = { "/proc", "/sys", "/dev" };
	if (!mount->path || !mount_path_is_clean(mount->path))
		return error_set(error, -EINVAL, "mounts: \"%.80s\" is not an absolute path of at most %d bytes without \".\" and \"..\"",
				 mount->path ? mount->path : "", MOUNT_PATH_MAX);
	if (!mount->path[1] && mount->kind != MOUNT_READ_ONLY)
		return error_set(error, -EINVAL, "mounts: / itself cannot be a tmpfs or a volume");
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (!strcmp(mount->path, kept[i]) || (text_starts(mount->path, kept[i]) && mount->path[strlen(kept[i])] == '/' && i < 2))
			return error_set(error, -EINVAL, "mounts: %s is the kernel's", mount->path);
	if ((mount->kind == MOUNT_VOLUME) != (mount->source != NULL) || (mount->source && mount->source[0] != '/'))
		return error_set(error, -EINVAL, "mounts: %s: a volume, and only that, has a source, which is an absolute path", mount->path);
	return mount->mode > 07777 ? error_set(error, -EINVAL, "mounts: %s: mode %o is more than 7777", mount->path, mount->mode) : 0;
}

static int check_mounts(const struct vm_config *config, struct error *error)
{
	int err = 0;
	if (config->mounts && config->guest.bare)
		return error_set(error, -EINVAL, "mounts: nothing in this guest is LightVM's: its own system mounts what it wants");
	for (size_t i = 0; i < config->mounts && !err; i++)
		err = check_mount(&config->mount[i], error);
	return err;
}

static int too_long(const char *what, const char *value, size_t room, struct error *error)
{
	if (strlen(value) < room)
		return 0;
	return error_set(error, -ENAMETOOLONG, "%s \"%.40s...\" is longer than %zu characters", what, value, room - 1);
}

static int missing(const char *what, struct error *error)
{
	return error_set(error, -EINVAL, "the configuration names no %s", what);
}

static int check_assignments(const char *key, const struct strings *list, struct error *error)
{
	for (size_t i = 0; i < list->count; i++)
		if (strchr(list->item[i], '=') <= list->item[i])
			return error_set(error, -EINVAL, "%s: \"%.40s\" is not NAME=VALUE", key, list->item[i]);
	return 0;
}

/* What the monitor and PID 1 rely on, and options always give. */
static int check_parts(const struct vm_config *config, struct error *error)
{
	const struct config_guest *guest = &config->guest;
	if (!config->program || !*config->program)
		return missing("program", error);
	if (!config->cwd || !config->hostname)
		return missing(config->cwd ? "hostname" : "cwd", error);
	if (!guest->kernel || (guest->is_linux && !guest->kernel_path))
		return missing("kernel", error);
	if (!config->image && !(guest->is_linux && guest->bare))
		return missing("image", error);
	if (!config->args.count && !guest->bare)
		return missing("args, not even the program's name", error);
	if (!guest->is_linux && (guest->initrd || guest->append || guest->cpus != 1 || guest->rng || guest->balloon))
		return error_set(error, -EINVAL, "the library OS has one vCPU, no initial RAM disk, no kernel command line, no rng or balloon");
	if (config->name && !vm_name_valid(config->name))
		return error_set(error, -EINVAL, "name: \"%s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", config->name);
	if (config->restart.policy != RESTART_NO && (config->remove || !config->detached))
		return error_set(error, -EINVAL, "--restart %s is for VMs in the background that are kept: with -d, and without --rm",
				 restart_words[config->restart.policy]);
	if (config->restart.most && config->restart.policy != RESTART_ON_FAILURE)
		return error_set(error, -EINVAL, "restart_most: goes with on-failure only");
	int err = check_assignments("env", &config->env, error);
	if (!err)
		err = check_assignments("labels", &config->labels, error);
	if (err)
		return err;
	if (config->pid_file && config->pid_file[0] != '/')
		return error_set(error, -EINVAL, "pid_file: \"%.40s\" is not an absolute path", config->pid_file);
	for (size_t i = 0; i < config->disks; i++)
		if (!config->disk[i].path || (config->disk[i].serial && strlen(config->disk[i].serial) > SERIAL_MAX))
			return error_set(error, -EINVAL, "disks: disk %zu has no path, or a serial number of more than %d characters", i, SERIAL_MAX);
	return 0;
}

int config_validate_bounds(const struct vm_config *config, struct error *error)
{
	char size[24];
	if (config->memory < CONFIG_MEMORY_LEAST || config->memory > CONFIG_MEMORY_MOST)
		return error_set(error, -ERANGE, "--memory %s is not between 4M and 64G", size_print(config->memory, size, sizeof(size)));
	if (config->env.count > ENV_MAX)
		return error_set(error, -E2BIG, "%zu environment variables are more than %d", config->env.count, ENV_MAX);
	if (config->labels.count > LABELS_MAX)
		return error_set(error, -E2BIG, "%zu labels are more than %d", config->labels.count, LABELS_MAX);
	if (strings_error(&config->args) || strings_error(&config->env) || strings_error(&config->labels))
		return error_set(error, -ENOMEM, "out of memory");
	if (config->cwd && config->cwd[0] != '/')
		return error_set(error, -EINVAL, "--workdir \"%s\" is not an absolute path", config->cwd);
	return check_mounts(config, error);
}

int config_validate(const struct vm_config *config, struct error *error)
{
	const struct lv_device_page *page = NULL; /* only for the sizes of its fields */
	int err = config_validate_bounds(config, error);
	if (!err)
		err = check_parts(config, error);
	if (err)
		return err;
	err = too_long("program path", config->program, sizeof(page->program), error);
	if (!err)
		err = too_long("--workdir", config->cwd, sizeof(page->cwd), error);
	if (!err)
		err = too_long("--hostname", config->hostname, sizeof(page->hostname), error);
	if (!err && config->guest.is_linux && net_has_ip6(&config->net))
		err = error_set(error, -EOPNOTSUPP, "net.ip6: a Linux guest has the IPv6 addresses that routers advertise, and those that it gives itself; --ip6 is for the library OS");
	return err ? err : net_validate(&config->net, error);
}

void config_free(struct vm_config *config)
{
	if (config->image_fd >= 0)
		close(config->image_fd);
	if (config->guest.kernel_fd >= 0)
		close(config->guest.kernel_fd);
	if (config->guest.initrd_fd >= 0)
		close(config->guest.initrd_fd);
	if (config->state.state >= 0)
		close(config->state.state);
	if (config->state.memory >= 0)
		close(config->state.memory);
	const int pager[] = { config->state.pages, config->state.pager.device, config->state.pager.listener };
	for (unsigned i = 0; i < 3; i++)
		if (pager[i] >= 0)
			close(pager[i]);
	while (config->state.below_count)
		close(config->state.below[--config->state.below_count]);
	for (size_t i = 0; i < CONFIG_DISKS; i++) {
		if (config->disk[i].fd >= 0)
			close(config->disk[i].fd);
		if (config->disk[i].lock >= 0)
			close(config->disk[i].lock);
		free(config->disk[i].path);
		free(config->disk[i].serial);
	}
	for (size_t i = 0; i < CONFIG_MOUNTS; i++) {
		free(config->mount[i].path);
		free(config->mount[i].source);
	}
	free(config->guest.kernel);
	free(config->guest.kernel_path);
	free(config->guest.initrd);
	free(config->guest.append);
	free(config->name);
	free(config->image);
	free(config->program);
	free(config->cwd);
	free(config->hostname);
	free(config->stop_signal);
	strings_free(&config->args);
	strings_free(&config->env);
	strings_free(&config->labels);
	free(config->pid_file);
	net_free(&config->net);
	config_init(config);
}
