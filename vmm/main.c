/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm-vmm: one process, one VM. Opens come first, then rights are dropped, and only then guest bytes are looked at. */
#include <string.h>
#include <unistd.h>

#include "base/standard.h"
#include "vmm/jail/jail.h"
#include "vmm/vmm_options.h"
#include "base/log.h"
#include "vmm/vm.h"

#define OWN_ERROR 125 /* exit status when it was not the program that failed */

/*
 * A library OS is there before its program is known: it has booted and waits for a configuration, with all done that none can
 * change. What a Linux guest's machine is, processors and memory, is said by the configuration.
 */
static int create(struct vm *vm, struct machine_config *config)
{
	bool early = config->libos_fd >= 0;
	int err = early ? vm_create(vm) : vm_receive(vm, config);
	if (!err && !early)
		err = vm_create(vm);
	/* It has been asked, and can be written: all VMs of a user have it, so it is gone before anything of this one's program comes. */
	if (config->cpuid_fd >= 0)
		close(config->cpuid_fd);
	config->cpuid_fd = -1;
	return !err && early ? vm_receive(vm, config) : err;
}

static int run(struct vm *vm, struct machine_config *config)
{
	int err = create(vm, config);
	if (!err)
		err = vm_configure(vm);
	if (!err)
		err = vm_connect(vm);
	if (!err)
		err = vm_jail(vm);
	return err ? err : vm_run(vm);
}

struct kept {
	int fd[MACHINE_FDS_MAX];
	unsigned count;
};

static void keep(void *context, int *fd)
{
	struct kept *kept = context;
	kept->fd[kept->count++] = *fd;
}

/* Of what the parent left open, only that which the options name stays. */
static int close_others(struct machine_config *config)
{
	struct kept kept = { .count = 0 };
	machine_config_each_fd(config, keep, &kept);
	int err = jail_keep_only(kept.fd, kept.count);
	return err ? log_error("closing inherited descriptors: %s", strerror(-err)) : 0;
}

static int try_jail(const struct machine_config *config)
{
	const char *step = NULL;
	struct jail jail = { .full = true, .required = true, .inside = config->outer_pid, .uid = config->jail_uid, .parent = -1, .directory = -1 };
	int err = jail_enter(&jail, JAIL_CREATED, &step);
	return err ? log_error("%s: %s", step, strerror(-err)), OWN_ERROR : 0;
}

int main(int argc, char **argv)
{
	static struct machine_config config;
	static struct vm vm;
	standard_hold();
	if (options_parse(&config, argc, argv) < 0)
		return OWN_ERROR;
	if (config.probe)
		return probe_print();
	if (config.try_jail)
		return try_jail(&config);
	if (close_others(&config) < 0)
		return OWN_ERROR;
	vm_init(&vm, &config);
	_exit(vm_finish(&vm, run(&vm, &config))); /* the kernel takes all back at once */
}
