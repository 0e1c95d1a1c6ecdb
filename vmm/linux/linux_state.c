/* SPDX-License-Identifier: Apache-2.0 */
/* A Linux guest on its way into a stream and out of it: what it has besides vCPUs, memory and devices. */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/layout.h"
#include "abi/vm_records.h"
#include "base/clock.h"
#include "base/error.h"
#include "vmm/state/irq_state.h"
#include "vmm/state/pager.h"
#include "vmm/state/ram_diff.h"
#include "vmm/state/stream.h"
#include "vmm/vm.h"

#define LINUX_TAG STREAM_TAG("LINX")
#define LINUX_VERSION 2 /* since 2: khz */
#define KHZ_MOST 100000000 /* there is no such processor */
#define SAME_PPM 250 /* KVM takes frequencies that are so near for the same: a boot measures another one than the boot before */
#define CHIPS 3 /* of a PC: two old interrupt controllers and the I/O APIC */

struct saved_linux {
	uint64_t memory;
	struct linux_clock clock;
	uint64_t realtime; /* of the host when the guest was stopped, ns */
	uint8_t keyboard_control, keyboard_data, keyboard_command;
	bool keyboard_full;
	uint16_t pm_enable;
	int program_status;
	struct kvm_irqchip chip[CHIPS];
	struct serial_state serial;
	uint32_t khz; /* of its time-stamp counters; 0: not known */
};

/* ---- saving ---- */

static void put_clock(const struct vm *vm, struct stream *stream)
{
	const struct linux_clock *clock = &vm->linux_guest.clock;
	stream_put8(stream, clock->known);
	stream_put64(stream, clock->kvm_ns);
	stream_put64(stream, clock->realtime);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		stream_put64(stream, clock->tsc[i]);
}

static int put_chips(const struct vm *vm, struct stream *stream)
{
	for (unsigned i = 0; i < CHIPS; i++) {
		struct kvm_irqchip chip = { .chip_id = i };
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &chip) < 0)
			return -errno;
		stream_put(stream, &chip.chip, sizeof(chip.chip));
	}
	return 0;
}

int linux_save(struct vm *vm, struct stream *stream)
{
	const struct linux_guest *guest = &vm->linux_guest;
	stream_begin(stream, LINUX_TAG, LINUX_VERSION);
	stream_put64(stream, guest->memory);
	put_clock(vm, stream);
	stream_put8(stream, guest->keyboard_control);
	stream_put8(stream, guest->keyboard_data);
	stream_put8(stream, guest->keyboard_command);
	stream_put8(stream, guest->keyboard_full);
	stream_put16(stream, guest->pm_enable);
	stream_put32(stream, (uint32_t)guest->program_status);
	int err = put_chips(vm, stream);
	serial_save(&guest->serial, stream);
	uint32_t khz = 0;
	if (!err)
		err = kvm_tsc_khz(&vm->vcpu[0], &khz);
	stream_put32(stream, khz);
	return err ? err : stream_end(stream);
}

/* ---- reading, and what can be checked before anything is touched ---- */

static void get_clock(const struct vm *vm, struct saved_linux *saved, struct stream *stream)
{
	saved->clock.known = stream_get_bool(stream);
	saved->clock.kvm_ns = stream_get64(stream);
	saved->clock.realtime = stream_get64(stream);
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		saved->clock.tsc[i] = stream_get64(stream);
}

static void get_chips(struct saved_linux *saved, struct stream *stream)
{
	for (unsigned i = 0; i < CHIPS; i++) {
		saved->chip[i].chip_id = i;
		stream_get(stream, &saved->chip[i].chip, sizeof(saved->chip[i].chip));
		if (!irq_chip_can_be(&saved->chip[i]))
			stream_refuse(stream);
	}
}

static int read_saved(const struct vm *vm, struct saved_linux *saved, struct stream *stream)
{
	const unsigned version = stream_begin(stream, LINUX_TAG, LINUX_VERSION);
	saved->memory = stream_get64(stream);
	get_clock(vm, saved, stream);
	saved->keyboard_control = stream_get8(stream);
	saved->keyboard_data = stream_get8(stream);
	saved->keyboard_command = stream_get8(stream);
	saved->keyboard_full = stream_get_bool(stream);
	saved->pm_enable = stream_get16(stream);
	saved->program_status = (int)stream_get32(stream);
	get_chips(saved, stream);
	serial_read_saved(&saved->serial, stream);
	saved->khz = version >= 2 ? stream_get32(stream) : 0;
	if (saved->khz > KHZ_MOST)
		stream_refuse(stream);
	return stream_end(stream);
}

static int check_memory(const struct linux_guest *guest, const struct saved_linux *saved, const struct saved_memory *memory, struct error *error)
{
	const uint64_t end = guest->memory > guest->low_size ? GUEST_HIGH + guest->memory - guest->low_size : guest->memory;
	if (saved->memory != guest->memory)
		return error_set(error, -EINVAL, "it has %llu MiB of memory, and the configuration says %llu", (unsigned long long)(saved->memory >> 20),
				 (unsigned long long)(guest->memory >> 20));
	return memory->base || memory->size != end ? error_set(error, -EPROTO, "what it says of its memory cannot be") : 0;
}

/* ---- loading ---- */

/* All of it is still to come, or may be. */
static int map_later(struct vm *vm, const struct mem_file *low, const struct mem_file *high)
{
	int err = pager_map(vm->pager, &vm->mem, low);
	if (!err && high->len)
		err = pager_map(vm->pager, &vm->mem, high);
	return err ? err : pager_start(vm->pager);
}

static int map_memory(struct vm *vm)
{
	const struct linux_guest *guest = &vm->linux_guest;
	const int fd = vm->config->memory_fd;
	const uint64_t high = guest->memory - guest->low_size;
	const struct mem_file low_file = { .hva = guest->ram, .len = guest->low_size, .fd = fd },
		high_file = { .hva = guest->ram + guest->low_size, .len = high, .fd = fd, .offset = GUEST_HIGH };
	const struct machine_config *config = vm->config;
	if (vm->pager)
		return map_later(vm, &low_file, &high_file);
	int err = ram_layers_map(&vm->mem, &low_file, config->below_fd, config->below_count);
	if (!err && high)
		err = ram_layers_map(&vm->mem, &high_file, config->below_fd, config->below_count);
	if (!err && config->restore & LV_RESTORE_WHOLE)
		ram_layers_copy(&vm->mem);
	return err;
}

static int set_chips(const struct vm *vm, const struct saved_linux *saved, struct error *error)
{
	for (unsigned i = 0; i < CHIPS; i++)
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &saved->chip[i]) < 0)
			return error_set(error, -errno, "interrupt controller %u (KVM_SET_IRQCHIP): %s", i, strerror(errno));
	return 0;
}

/* Its kernel has measured how fast they count, once: on a host where they count otherwise KVM has to scale them, or time would pass for it at another rate. */
static int set_frequency(struct vm *vm, uint32_t khz, struct error *error)
{
	uint32_t here;
	for (unsigned i = 0; khz && i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = &vm->vcpu[i];
		if (kvm_tsc_khz(vcpu, &here))
			return error_set(error, -ENOTSUP, "how fast this host's time-stamp counter counts is not known");
		const uint32_t apart = here > khz ? here - khz : khz - here;
		if ((uint64_t)apart * 1000000 <= (uint64_t)here * SAME_PPM)
			continue;
		if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, khz) < 0)
			return error_set(error, -EOPNOTSUPP, "its time-stamp counter counts %u times in a millisecond, and here %u, which this processor cannot scale (KVM_SET_TSC_KHZ: %s)", khz, here, strerror(errno));
		vcpu->tsc_khz = khz;
	}
	return 0;
}

static int set_cpuids(struct vm *vm)
{
	int err = 0;
	for (unsigned i = 0; !err && i < vm->vcpu_count; i++)
		err = linux_cpu_describe(&vm->vcpu[i]);
	return err;
}

static void set_machine(struct linux_guest *guest, const struct saved_linux *saved)
{
	guest->keyboard_control = saved->keyboard_control;
	guest->keyboard_data = saved->keyboard_data;
	guest->keyboard_command = saved->keyboard_command;
	guest->keyboard_full = saved->keyboard_full;
	guest->pm_enable = saved->pm_enable;
	guest->program_status = saved->program_status;
	guest->clock = saved->clock;
	serial_load(&guest->serial, &saved->serial);
}

int linux_load_state(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error)
{
	static struct saved_linux saved; /* some KiB; one thread, once */
	int err = read_saved(vm, &saved, stream);
	if (!err)
		err = check_memory(&vm->linux_guest, &saved, memory, error);
	if (!err)
		err = set_frequency(vm, saved.khz, error);
	if (!err && (err = set_cpuids(vm)))
		return error_set(error, err, "what its processors are cannot be told to KVM: %s", strerror(-err));
	if (!err && (err = map_memory(vm)))
		return error_set(error, err, "its memory cannot be mapped: %s", strerror(-err));
	if (!err)
		err = set_chips(vm, &saved, error);
	if (err)
		return err;
	set_machine(&vm->linux_guest, &saved);
	linux_clock_restore(vm, vm->config->restore & LV_RESTORE_ADVANCE);
	return 0;
}
