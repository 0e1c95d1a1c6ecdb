/* SPDX-License-Identifier: Apache-2.0 */
/* Where the vCPU of a library-OS guest starts: in 64-bit mode at level 3, at libos' first instruction. */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "abi/layout.h"
#include "abi/shared.h"
#include "base/log.h"
#include "vmm/vm.h"

#define CR0_START 0x80050033 /* PG WP NE ET MP PE */
#define CR4_START 0x50620    /* PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE; no SMEP, no SMAP: libos' pages are user pages */
#define EFER_START 0xd01     /* SCE, LME, LMA, NXE */
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_TSC 0x10

static int set_cpuid(struct vm *vm)
{
	return ioctl(vm->vcpu[0].fd, KVM_SET_CPUID2, kvm_libos_cpuid(vm)) < 0 ? log_errno("KVM_SET_CPUID2") : 0;
}

/* For libos, which answers CPUID itself where it can. */
static void tell_cpuid(struct vm *vm)
{
	struct lv_shared *shared = libos_at(vm, LV_SHARED);
	shared->cpuid_leaves = kvm_libos_leaves(vm, shared->cpuid);
}

static int set_xcr0(struct vm *vm)
{
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = kvm_xcr0(vm) } };
	return ioctl(vm->vcpu[0].fd, KVM_SET_XCRS, &xcrs) < 0 ? log_errno("KVM_SET_XCRS") : 0;
}

/*
 * The guest reads the host's time-stamp counter, so that the boot ledger has one clock. Page-table KVM never
 * intercepts or offsets RDTSC; hardware has an offset, which is set to nothing.
 */
static void set_tsc(struct vm *vm)
{
	uint64_t offset = 0;
	struct kvm_device_attr attr = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uintptr_t)&offset};
	if (ioctl(vm->vcpu[0].fd, KVM_SET_DEVICE_ATTR, &attr) == 0)
		return;
	struct { struct kvm_msrs head; struct kvm_msr_entry entry; } msr = {.head.nmsrs = 1,
		.entry = {.index = MSR_TSC, .data = __builtin_ia32_rdtsc()}};
	ioctl(vm->vcpu[0].fd, KVM_SET_MSRS, &msr); /* kernels before 5.16: as close as one instruction */
}

static int set_msrs(struct vm *vm)
{
	struct { struct kvm_msrs head; struct kvm_msr_entry entry[3]; } msrs = {.head.nmsrs = 3, .entry = {
		{.index = MSR_STAR, .data = (uint64_t)(LV_CS3 - 16) << 48 | (uint64_t)LV_CS0 << 32},
		{.index = MSR_LSTAR, .data = vm->libos.syscall_entry},
		{.index = MSR_SFMASK, .data = 0x47700}}}; /* TF IF DF IOPL NT AC */
	return ioctl(vm->vcpu[0].fd, KVM_SET_MSRS, &msrs) != 3 ? log_errno("KVM_SET_MSRS") : 0;
}

static int set_sregs(struct vm *vm)
{
	struct kvm_sregs s;
	if (ioctl(vm->vcpu[0].fd, KVM_GET_SREGS, &s) < 0)
		return log_errno("KVM_GET_SREGS");
	s.cr0 = CR0_START;
	s.cr3 = LV_PML4;
	s.cr4 = CR4_START;
	s.efer = EFER_START;
	s.cs = (struct kvm_segment){.limit = -1, .selector = LV_CS3, .type = 11, .present = 1, .dpl = 3, .s = 1, .l = 1, .g = 1};
	s.ss = (struct kvm_segment){.limit = -1, .selector = LV_SS3, .type = 3, .present = 1, .dpl = 3, .s = 1, .db = 1, .g = 1};
	s.ds = s.es = s.fs = s.gs = s.ss;
	s.gdt = (struct kvm_dtable){.base = LV_DESC, .limit = LV_TR + 15};
	s.idt = (struct kvm_dtable){.base = LV_DESC + 0x200, .limit = 32 * 16 - 1};
	s.tr = (struct kvm_segment){.base = LV_DESC + 0x100, .limit = 103, .selector = LV_TR, .type = 11, .present = 1};
	return ioctl(vm->vcpu[0].fd, KVM_SET_SREGS, &s) < 0 ? log_errno("KVM_SET_SREGS") : 0;
}

int libos_set_start(struct vm *vm)
{
	int err = set_cpuid(vm);
	if (err == 0)
		err = set_sregs(vm);
	if (err == 0)
		err = set_xcr0(vm);
	if (err == 0)
		err = set_msrs(vm);
	if (err < 0)
		return err;
	tell_cpuid(vm);
	set_tsc(vm);
	struct kvm_regs regs = {.rip = vm->libos.entry, .rsp = vm->libos.boot_stack, .rflags = LV_RFLAGS};
	return ioctl(vm->vcpu[0].fd, KVM_SET_REGS, &regs) < 0 ? log_errno("KVM_SET_REGS") : 0;
}

