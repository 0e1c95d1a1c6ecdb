/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/machine_config.h"

#define DEFAULT_MEMORY (256ull << 20)
#define DEFAULT_ROOM (8ull << 20) /* docs/architecture.md has the prices */

void machine_config_init(struct machine_config *config)
{
	*config = (struct machine_config){ .libos_fd = -1, .image_fd = -1, .kernel_fd = -1, .initrd_fd = -1, .vsock_dir = -1, .cpuid_fd = -1,
		.control_fd = -1, .status_fd = -1, .log_fd = -1, .configure_fd = -1, .messages_fd = -1, .console = { .in = -1, .out = -1, .err = -1 },
		.append = "", .cpus = 1, .memory = DEFAULT_MEMORY, .image_room = DEFAULT_ROOM, .cwd = MACHINE_CWD, .hostname = MACHINE_HOSTNAME };
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
	default:
		break;
	}
}

void machine_config_each_fd(struct machine_config *config, void (*visit)(void *context, int *fd), void *context)
{
	int *const own[] = { &config->libos_fd, &config->image_fd, &config->kernel_fd, &config->initrd_fd, &config->vsock_dir, &config->cpuid_fd,
		&config->control_fd, &config->status_fd, &config->log_fd, &config->configure_fd, &config->messages_fd, &config->console.in, &config->console.out, &config->console.err };
	for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		visit(context, own[i]);
	for (unsigned i = 0; i < config->device_count; i++)
		each_of_device(&config->device[i], visit, context);
}
