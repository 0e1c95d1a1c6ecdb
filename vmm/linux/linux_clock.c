/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of a Linux guest while it stands still: its time-stamp counter, of which its kernel makes all others, and KVM's own
 * paravirtual one. Its wall clock is the kernel's own affair: PID 1 sets it (LV_AGENT_CLOCK).
 */
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "vmm/vm.h"

/* What is added to the host's counter for this vCPU. False: a KVM before Linux 5.16 does not tell. */
static bool get_offset(const struct vcpu *vcpu, uint64_t *offset)
{
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)offset };
	return ioctl(vcpu->fd, KVM_GET_DEVICE_ATTR, &attr) == 0;
}

static bool set_offset(const struct vcpu *vcpu, uint64_t offset)
{
	struct kvm_device_attr attr = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset };
	return ioctl(vcpu->fd, KVM_SET_DEVICE_ATTR, &attr) == 0;
}

void linux_clock_stop(struct vm *vm)
{
	struct linux_clock *clock = &vm->linux_guest.clock;
	struct kvm_clock_data data = { .clock = 0 };
	const uint64_t now = __builtin_ia32_rdtsc();
	clock->known = ioctl(vm->fd, KVM_GET_CLOCK, &data) == 0;
	clock->kvm_ns = data.clock;
	clock->realtime = clock_wall();
	for (unsigned i = 0; i < vm->vcpu_count; i++) {
		uint64_t offset = 0;
		clock->known &= get_offset(&vm->vcpu[i], &offset);
		clock->tsc[i] = now + offset;
	}
}

/* All counters get the same distance from the host's, so that they go on together. */
static void turn_back(struct vm *vm)
{
	const struct linux_clock *clock = &vm->linux_guest.clock;
	struct kvm_clock_data data = { .clock = clock->kvm_ns };
	const uint64_t now = __builtin_ia32_rdtsc();
	bool all = true;
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		all &= set_offset(&vm->vcpu[i], clock->tsc[i] - now);
	if (!all || ioctl(vm->fd, KVM_SET_CLOCK, &data) < 0)
		log_errno("the guest's clock cannot be turned back to where it stood");
}

/* Watchdogs of the guest are told that it was not its own fault; a guest that does not use KVM's clock is not told: EINVAL. */
static void excuse(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		ioctl(vm->vcpu[i].fd, KVM_KVMCLOCK_CTRL);
}

void linux_clock_go_on(struct vm *vm, bool advance)
{
	if (!advance && vm->linux_guest.clock.known)
		turn_back(vm);
	excuse(vm);
}

void linux_clock_restore(struct vm *vm, bool advance)
{
	struct linux_clock *clock = &vm->linux_guest.clock;
	const uint64_t now = clock_wall(), passed = advance && now > clock->realtime ? now - clock->realtime : 0;
	uint32_t khz = 0;
	if (!kvm_tsc_khz(&vm->vcpu[0], &khz) && passed)
		for (unsigned i = 0; i < vm->vcpu_count; i++)
			clock->tsc[i] += (uint64_t)((unsigned __int128)passed * khz / 1000000);
	clock->kvm_ns += passed;
	linux_clock_go_on(vm, !clock->known);
}
