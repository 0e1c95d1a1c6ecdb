/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_config.h"

#include <string.h>

#include "abi/layout.h"

#define DEFAULT_MEMORY (256ull << 20)
#define DEFAULT_ROOM (8ull << 20) /* docs/architecture.md has the prices */

static void set_none(void *context, int *fd)
{
	*fd = -1;
}

void machine_config_init(struct machine_config *config)
{
	memset(config, 0, MACHINE_CONFIG_SAID);
	machine_config_each_fd(config, set_none, NULL);
	config->append = "";
	config->cpus = 1;
	config->memory = DEFAULT_MEMORY;
	config->image_room = DEFAULT_ROOM;
	config->first_ram = LV_RAM_SMALL;
	config->cwd = MACHINE_CWD;
	config->hostname = MACHINE_HOSTNAME;
}

static void each_of_device(struct device_config *device, void (*visit)(void *context, int *fd), void *context)
{
	switch (device->type) {
	case LV_DEV_NET:
		visit(context, &device->net.fd);
		for (unsigned i = 0; i < device->net.more; i++)
			visit(context, &device->net.more_fd[i]);
		break;
	case LV_DEV_BLOCK:
		visit(context, &device->block.fd);
		visit(context, &device->block.lock);
		break;
	case LV_DEV_VSOCK:
		visit(context, &device->vsock.listener);
		break;
	case LV_DEV_FS:
		visit(context, &device->fs.fd);
		break;
	default:
		break;
	}
}

void machine_config_each_fd(struct machine_config *config, void (*visit)(void *context, int *fd), void *context)
{
	int *const own[] = { &config->libos_fd, &config->image_fd, &config->kernel_fd, &config->initrd_fd, &config->state_fd, &config->memory_fd, &config->pages_fd, &config->files_fd, &config->prefault_fd, &config->pager.device, &config->pager.listener, &config->ahead_image_fd, &config->ahead_state_fd, &config->ahead_memory_fd, &config->vsock_dir, &config->cpuid_fd,
		&config->control_fd, &config->status_fd, &config->log_fd, &config->configure_fd, &config->messages_fd, &config->console.in, &config->console.out, &config->console.err };
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		visit(context, own[i]);
	for (unsigned i = 0; i < config->below_count; i++)
		visit(context, &config->below_fd[i]);
	for (unsigned i = 0; i < config->device_count; i++)
		each_of_device(&config->device[i], visit, context);
}
