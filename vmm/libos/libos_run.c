/* SPDX-License-Identifier: Apache-2.0 */
/* The library OS as a kind of guest: how it is built, why it leaves the guest, how it is interrupted. */
#include "vmm/libos/libos_guest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/layout.h"
#include "base/log.h"
#include "vmm/vm.h"

#define BUSY_BELL 64 /* exits for one doorbell before it becomes an ioeventfd */

/* ---- the life of the guest ---- */

static int build(struct vm *vm)
{
	int err = kvm_create_vm(vm);
	if (!err)
		err = kvm_create_vcpu(vm);
	if (err)
		return err;
	status_mark(&vm->status, LV_STEP_VM);
	err = libos_map(vm, vm->config->libos_fd);
	if (err)
		return err;
	err = libos_prepare(vm);
	if (!err)
		err = libos_describe_machine(vm);
	if (err)
		return err;
	vm->vcpu[0].exits_shown = &vm->libos.shared->exits;
	vm->status.shared = vm->devices.shared = vm->libos.shared;
	return libos_set_start(vm);
}

/* It has run nothing but libos' own code, so this is a libos that does not fit the monitor, or is broken. */
static int report_no_boot(struct vm *vm)
{
	char message[sizeof(vm->libos.shared->crash.message)];
	memcpy(message, (const void *)vm->libos.shared->crash.message, sizeof(message));
	message[sizeof(message) - 1] = 0;
	const char *error = vm->status.record.error;
	return log_error("the library OS does not start: %s", message[0] ? message : error[0] ? error : "it ended"), -ENOEXEC;
}

static int boot(struct vm *vm)
{
	status_mark(&vm->status, LV_STEP_RUN);
	if (vcpu_boot(vm) != VCPU_READY)
		return report_no_boot(vm);
	devices_prepare(&vm->devices, LV_DEV_CONSOLE);
	return libos_make_tick(vm);
}

static int configure(struct vm *vm)
{
	int err = libos_map_program(vm);
	if (!err)
		err = libos_describe_program(vm);
	vm->libos.configured = !err;
	return err;
}

static int add_devices(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	const struct device_config console = { .type = LV_DEV_CONSOLE,
		.console = { .in = config->console.in, .out = config->console.out, .err = config->console.err, .own = config->console.own, .log = config->log_fd, .terminal = config->tty } };
	int err = vm_add_device(vm, &console);
	return err ? err : vm_add_configured_devices(vm);
}

static int connect_devices(struct vm *vm)
{
	int err = vm->restored ? 0 : devices_start(&vm->devices);
	return err ? log_error("devices: %s", strerror(-err)), err : libos_start_tick(vm);
}

/* ---- signals for the program ---- */

static int signal_program(struct vm *vm, int number)
{
	volatile struct lv_shared *shared = vm->libos.shared;
	__atomic_fetch_or(&shared->signals, 1u << (number - 1), __ATOMIC_SEQ_CST);
	shared->resched = 1;
	vcpu_request(&vm->vcpu[0], VCPU_WAKE | VCPU_KICK);
	return 0;
}

static void ask_threads(struct vm *vm)
{
	vm->libos.shared->ask_threads = 1;
	vm->libos.shared->resched = 1;
	vcpu_request(&vm->vcpu[0], VCPU_WAKE | VCPU_KICK);
}

static void own_signal(struct vm *vm, int number)
{
	signal_program(vm, number);
}

/* Nobody computes whom a tick could interrupt. */
static void stand_still(struct vm *vm)
{
	libos_arm_tick(vm, false);
	libos_clock_stop(vm);
}

/* The clocks were set: libos has timers to look at, even where its WAIT knows of none. */
static void go_on(struct vm *vm, bool advance)
{
	libos_clock_go_on(vm, advance);
	libos_arm_tick(vm, true);
	vm->libos.shared->resched = 1;
	vcpu_request(&vm->vcpu[0], VCPU_WAKE | VCPU_KICK);
}

/* ---- exits ---- */

/* The registers are in the report as far as KVM still has them. */
static void report(struct vcpu *vcpu, const char *what)
{
	volatile struct lv_crash *crash = &vcpu->vm->libos.shared->crash;
	struct kvm_regs r;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &r) == 0) {
		const uint64_t reg[18] = { r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12,
					   r.r13, r.r14, r.r15, r.rip, r.rflags };
		for (int i = 0; i < 18; i++)
			crash->reg[i] = reg[i];
	}
	crash->kind = LV_CRASH_LIBOS;
	crash->signal = SIGABRT;
	for (size_t i = 0; i < sizeof(crash->message) - 1 && (i == 0 || what[i - 1]); i++)
		crash->message[i] = what[i];
	vcpu->vm->status.record.crashed = 1;
}

static int add_bell(struct vm *vm, const struct device_bell *bell)
{
	struct kvm_ioeventfd event = { .addr = LV_BELL_GPA + bell->offset, .len = 4, .fd = bell->fd };
	return ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0 ? log_errno("KVM_IOEVENTFD") : 0;
}

/*
 * A doorbell becomes an ioeventfd once it proves busy. Until then each ring is an exit: 60 us more, but a VM that never had an
 * ioeventfd is gone in 0.1 ms, while its removal waits 10-16 ms for a grace period of the host's kernel (Linux 6.18).
 */
static int bell_exit(struct vcpu *vcpu, uint64_t offset)
{
	struct vm *vm = vcpu->vm;
	struct device_bell bell[LV_MAX_DEVICES];
	unsigned count = devices_bells(&vm->devices, bell), index = offset / 4;
	if (index >= count || index >= LV_MAX_DEVICES || offset != bell[index].offset)
		return VCPU_RUNNING; /* a doorbell that nobody listens to */
	libos_ring_bells(vm, 1ull << index);
	if (++vm->libos.bell_exits[index] == BUSY_BELL && add_bell(vm, &bell[index]) < 0)
		return vcpu_give_up(vcpu, "KVM refused a doorbell");
	return VCPU_RUNNING;
}

static int on_mmio(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;
	status_count(&vcpu->vm->status.counts.exits_mmio);
	if (run->mmio.phys_addr == LV_BELL_GPA + LV_BELL_HYPERCALL && run->mmio.is_write && run->mmio.len == 4) {
		uint32_t number;
		memcpy(&number, run->mmio.data, 4);
		return libos_hypercall(vcpu, number);
	}
	if (run->mmio.phys_addr >> 12 == LV_BELL_GPA >> 12)
		return bell_exit(vcpu, run->mmio.phys_addr & 0xfff);
	char text[96];
	snprintf(text, sizeof(text), "the guest used guest-physical address %#llx, where nothing is", (unsigned long long)run->mmio.phys_addr);
	return vcpu_give_up(vcpu, text);
}

static int on_exit_reason(struct vcpu *vcpu)
{
	char text[96];
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_MMIO:
		return on_mmio(vcpu);
	case KVM_EXIT_INTR:
		return VCPU_RUNNING;
	case KVM_EXIT_SHUTDOWN:
		return vcpu_give_up(vcpu, "triple fault: the guest destroyed its own page tables or descriptor tables");
	case KVM_EXIT_FAIL_ENTRY:
		return vcpu_give_up(vcpu, "the processor refused the guest's state");
	case KVM_EXIT_INTERNAL_ERROR:
		return vcpu_give_up(vcpu, "KVM could not emulate what the guest did at level 0");
	}
	snprintf(text, sizeof(text), "the guest left for a reason it never has (KVM exit %u)", vcpu->run->exit_reason);
	return vcpu_give_up(vcpu, text);
}

/* The vCPU was stopped on its way into a trap: KVM delivers that first, from wherever RIP and RSP then point to. */
static bool trap_underway(const struct vcpu *vcpu)
{
	struct kvm_vcpu_events events;
	if (ioctl(vcpu->fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return false;
	return events.exception.injected || events.exception.pending || events.interrupt.injected;
}

/* The program computes and somebody wants it interrupted: go on in libos, which finds where it was in the shared page. */
static int upcall(struct vcpu *vcpu)
{
	const struct libos_guest *guest = &vcpu->vm->libos;
	volatile struct lv_shared *shared = guest->shared;
	struct kvm_regs regs;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0)
		return vcpu_give_up(vcpu, "KVM_GET_REGS failed");
	shared->resched = 1;
	if (trap_underway(vcpu))
		return VCPU_RUNNING; /* libos looks at resched at the end of the trap */
	if (regs.rip >= guest->leave_start && regs.rip < guest->leave_end) {
		regs.rip = guest->leave_again; /* it has looked */
	} else if (regs.rip >> 30 == LV_BASE >> 30) {
		return VCPU_RUNNING; /* in libos or a stub: it looks at resched on its way back */
	} else {
		shared->upcall.rip = regs.rip;
		shared->upcall.rflags = regs.rflags;
		shared->upcall.rsp = regs.rsp;
		regs.rip = guest->upcall_entry;
	}
	regs.rflags = LV_RFLAGS;
	return ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0 ? vcpu_give_up(vcpu, "KVM_SET_REGS failed") : VCPU_RUNNING;
}

const struct guest_ops libos_ops = {
	.kind = LV_GUEST_LIBOS,
	.name = "library OS",
	.bad_memory = "the guest wrote to its image, or touched memory that it does not have",
	.build = build,
	.boot = boot,
	.add_devices = add_devices,
	.configure = configure,
	.connect = connect_devices,
	.on_exit = on_exit_reason,
	.on_kick = upcall,
	.on_wait = libos_wait,
	.on_give_up = report,
	.signal = signal_program,
	.ask_threads = ask_threads,
	.agent = libos_line_take,
	.limit = libos_limit,
	.own_signal = own_signal,
	.pause = stand_still,
	.resume = go_on,
	.save = libos_save,
	.load = libos_load,
	.load_ahead = libos_load_ahead,
	.warm = libos_warm,
};
