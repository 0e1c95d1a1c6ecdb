/* SPDX-License-Identifier: Apache-2.0 */
/* The device page: what libos knows of its machine, its identity, its program and its devices. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "abi/layout.h"
#include "abi/libos_header.h"
#include "base/clock.h"
#include "base/log.h"
#include "vmm/vm.h"

static int write_clock(struct vm *vm, struct lv_device_page *page)
{
	uint32_t khz;
	int err = kvm_tsc_khz(&vm->vcpu[0], &khz);
	if (err)
		return err;
	page->tsc_hz = khz * 1000ull;
	page->tsc_mult = (uint64_t)(((unsigned __int128)1000000000 << 32) / page->tsc_hz);
	page->tsc_base = __builtin_ia32_rdtsc();
	page->monotonic_base_ns = clock_now();
	page->realtime_base_ns = clock_wall();
	vm->status.clock = (struct status_clock){ page->tsc_base, page->tsc_mult, page->monotonic_base_ns };
	return 0;
}

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
	int err = write_clock(vm, page);
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

static int write_identity(struct vm *vm, struct lv_device_page *page)
{
	const struct machine_config *config = vm->config;
	struct {
		uint8_t seed[sizeof(page->random_seed)];
		uint64_t generation;
	} fresh;
	if (getrandom(&fresh, sizeof(fresh), 0) != sizeof(fresh))
		return log_error("getrandom: %s", strerror(errno)), -errno;
	memcpy(page->random_seed, fresh.seed, sizeof(fresh.seed));
	page->generation = fresh.generation | 1; /* 0 would be none */
	page->uid = config->uid;
	page->gid = config->gid;
	strncpy(page->program, config->program, sizeof(page->program) - 1);
	strncpy(page->cwd, config->cwd, sizeof(page->cwd) - 1);
	strncpy(page->hostname, config->hostname, sizeof(page->hostname) - 1);
	return 0;
}

int libos_describe_program(struct vm *vm)
{
	struct lv_device_page *page = vm->libos.device_page;
	page->ram_size = vm->ram_size;
	page->ram_limit = vm->ram_limit;
	page->image_size = vm->libos.image_size;
	int err = write_clock(vm, page); /* now: the wall clock may have been set since the monitor was made */
	if (!err)
		err = write_identity(vm, page);
	if (!err)
		err = write_arguments(vm, page);
	if (!err)
		err = devices_describe(&vm->devices, page, libos_alloc, vm);
	if (err)
		return err;
	page->more_end = vm->libos.more_next;
	libos_populate(vm, LV_RAM, vm->libos.boot_next);
	return 0;
}
