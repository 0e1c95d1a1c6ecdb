/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm-vmm: one process, one VM. Opens come first, then rights are dropped, and only then guest bytes are looked at. */
#include <string.h>
#include <unistd.h>

#include "base/standard.h"
#include "vmm/configure.h"
#include "vmm/jail/jail.h"
#include "base/log.h"
#include "vmm/vm.h"

#define OWN_ERROR 125 /* exit status when it was not the program that failed */

static int run(struct vm *vm)
{
	int err = vm_create(vm);
	if (!err)
		err = vm_configure(vm);
	if (!err)
		err = vm_connect(vm);
	if (!err)
		err = vm_jail(vm);
	return err ? err : vm_run(vm);
}

/* Of what the parent left open, only that which the options name stays. */
static int close_others(const struct vm_config *c)
{
	int keep[10 + NET_PAIRS_MAX * LV_MAX_DEVICES] = {c->libos_fd, c->image_fd, c->kernel_fd, c->initrd_fd, c->vsock_dir, c->cpuid_fd, c->control_fd, c->status_fd, c->log_fd, c->configure_fd};
	unsigned count = 10;
	for (unsigned i = 0; i < c->device_count; i++) {
		const struct device_config *d = &c->device[i];
		keep[count++] = d->type == LV_DEV_NET ? d->net.fd : d->type == LV_DEV_VSOCK ? d->vsock.listener : d->block.fd;
		if (d->type == LV_DEV_BLOCK)
			keep[count++] = d->block.lock;
		for (unsigned j = 0; d->type == LV_DEV_NET && j < d->net.more; j++)
			keep[count++] = d->net.more_fd[j];
	}
	int result = jail_keep_only(keep, count);
	return result < 0 ? log_error("closing inherited descriptors: %s", strerror(-result)) : 0;
}

int main(int argc, char **argv)
{
	static struct vm_config config;
	static struct vm vm;
	standard_hold();
	if (options_parse(&config, argc, argv) < 0)
		return OWN_ERROR;
	if (config.probe)
		return probe_print();
	if (close_others(&config) < 0 || (config.configure_fd >= 0 && configure_receive(&config) < 0))
		return OWN_ERROR;
	vm_init(&vm, &config);
	_exit(vm_finish(&vm, run(&vm))); /* the kernel takes all back at once */
}
