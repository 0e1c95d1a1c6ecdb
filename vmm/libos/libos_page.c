/* SPDX-License-Identifier: Apache-2.0 */
/* The device page: what libos knows of its machine, its identity, its program and its devices. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "abi/layout.h"
#include "abi/libos_header.h"
#include "abi/vm_records.h"
#include "base/log.h"
#include "vmm/vm.h"

static int write_processor(struct vm *vm, struct lv_device_page *page)
{
	page->xcr0 = kvm_xcr0(vm);
	page->xsave_size = kvm_xsave_size(vm);
	page->cpu_features = kvm_libos_features(vm);
	if (page->xsave_size > LV_PAGE)
		return log_error("this processor's vector state takes %u bytes; libos keeps a page for it", page->xsave_size), -ENOTSUP;
	return 0;
}

int libos_describe_machine(struct vm *vm)
{
	struct lv_device_page *page = vm->libos.device_page;
	*page = (struct lv_device_page){ .magic = LV_DEVICE_MAGIC, .abi_version = LV_LIBOS_ABI, .size = sizeof(*page), .ram_limit = vm->ram_limit,
		.ram_size = LV_RAM_EARLY, .heap_start = LV_RAM + LV_BOOT_SIZE };
	int err = libos_clock_start(vm);
	return err ? err : write_processor(vm, page);
}

static int write_arguments(struct vm *vm, struct lv_device_page *page)
{
	const struct machine_config *config = vm->config;
	size_t size = 0;
	for (int i = 0; i < config->argc; i++)
		size += strlen(config->argv[i]) + 1;
	for (int i = 0; i < config->envc; i++)
		size += strlen(config->env[i]) + 1;
	for (int i = 0; i < config->mountc; i++)
		size += strlen(config->mount[i]) + 1;
	gpa_t gpa = libos_alloc(vm, size, 8);
	if (gpa == (gpa_t)-1 || size > UINT32_MAX)
		return log_error("arguments and environment take %zu bytes: they do not fit", size), -E2BIG;
	char *to = libos_at(vm, gpa);
	for (int i = 0; i < config->argc; i++)
		to = stpcpy(to, config->argv[i]) + 1;
	for (int i = 0; i < config->envc; i++)
		to = stpcpy(to, config->env[i]) + 1;
	for (int i = 0; i < config->mountc; i++)
		to = stpcpy(to, config->mount[i]) + 1;
	page->args = gpa;
	page->args_size = size;
	page->argc = config->argc;
	page->envc = config->envc;
	page->mountc = config->mountc;
	return 0;
}

/* What no other VM has, and this one not before it was restored. */
static int write_generation(struct lv_device_page *page)
{
	struct {
		uint8_t seed[sizeof(page->random_seed)];
		uint64_t generation;
	} fresh;
	if (getrandom(&fresh, sizeof(fresh), 0) != sizeof(fresh))
		return log_error("getrandom: %s", strerror(errno)), -errno;
	memcpy(page->random_seed, fresh.seed, sizeof(fresh.seed));
	page->generation = fresh.generation | 1; /* 0 would be none */
	return 0;
}

static void write_hostname(struct vm *vm, struct lv_device_page *page)
{
	memset(page->hostname, 0, sizeof(page->hostname));
	strncpy(page->hostname, vm->config->hostname, sizeof(page->hostname) - 1);
}

static void write_identity(struct vm *vm, struct lv_device_page *page)
{
	const struct machine_config *config = vm->config;
	page->uid = config->uid;
	page->gid = config->gid;
	strncpy(page->program, config->program, sizeof(page->program) - 1);
	strncpy(page->cwd, config->cwd, sizeof(page->cwd) - 1);
	write_hostname(vm, page);
}

int libos_describe_program(struct vm *vm)
{
	struct lv_device_page *page = vm->libos.device_page;
	page->ram_size = vm->ram_size;
	page->ram_limit = vm->ram_limit;
	page->image_size = vm->libos.image_size;
	int err = libos_clock_start(vm); /* now: the wall clock may have been set since the monitor was made */
	if (!err)
		err = write_generation(page);
	write_identity(vm, page);
	if (!err)
		err = write_arguments(vm, page);
	if (!err)
		err = devices_describe(&vm->devices, page, libos_alloc, vm);
	if (!err)
		err = libos_map_files(vm);
	if (err)
		return err;
	page->record = vm->config->record;
	page->more_end = vm->libos.more_next;
	if (vm->libos.boot_next > vm->libos.populated)
		libos_populate(vm, vm->libos.populated, vm->libos.boot_next);
	return 0;
}

static uint32_t what_restored(uint32_t flags)
{
	return (flags & LV_RESTORE_CLONE ? LV_RESTORED_CLONE : 0) | (flags & LV_RESTORE_RESET_CONNECTIONS ? LV_RESTORED_RESET_CONNECTIONS : 0);
}

/* The page is as the guest has left it, which can have written to it: nothing that stands there is used by us. */
int libos_describe_restored(struct vm *vm)
{
	struct lv_device_page *page = vm->libos.device_page;
	page->ram_size = vm->ram_size;
	page->ram_limit = vm->ram_limit;
	page->restored = what_restored(vm->config->restore);
	page->record = 0;
	write_hostname(vm, page);
	int err = write_generation(page);
	return err ? err : devices_describe_restored(&vm->devices, page);
}
