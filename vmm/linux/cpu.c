/* SPDX-License-Identifier: Apache-2.0 */
/* Where a vCPU starts: the first one at the kernel's entry, the others wait for the first one's start-up interrupt. */
#include "vmm/vm.h"

#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/layout.h"
#include "base/log.h"
#include "vmm/x86_64/cpuid.h"

#define CR0_PE 1u
#define CR0_ET (1u << 4)
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define APIC_LVT0 0x350
#define APIC_LVT1 0x360
#define APIC_EXTINT 0x700
#define APIC_NMI 0x400

int linux_cpu_describe(struct vcpu *vcpu)
{
	static struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entry[CPUID_ENTRIES]; } cpuid; /* scratch; one thread, before all others */
	cpuid.head.nent = kvm_cpuid(vcpu->vm, cpuid.entry);
	uint32_t khz;
	int err = kvm_tsc_khz(vcpu, &khz);
	if (err)
		return err;
	linux_filter_cpuid(&cpuid.head, CPUID_ENTRIES, vcpu->index, vcpu->vm->vcpu_count, khz);
	return ioctl(vcpu->fd, KVM_SET_CPUID2, &cpuid.head) < 0 ? log_errno("KVM_SET_CPUID2") : 0;
}

/*
 * All state components on from the start, although a processor begins with the x87's alone: the kernel enables them itself, but
 * an AMD-V that does not intercept XSETBV (QEMU's emulated one) leaves KVM, and with it CPUID leaf 0xd, ignorant of that.
 */
static int set_xcr0(struct vcpu *vcpu)
{
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = kvm_xcr0(vcpu->vm)}};
	return ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) < 0 ? log_errno("KVM_SET_XCRS") : 0;
}

/* Virtual wire mode, as firmware leaves it: the old interrupt controller reaches the first processor through LINT0. */
static int set_lapic(struct vcpu *vcpu)
{
	struct kvm_lapic_state lapic;
	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return log_errno("the local APIC");
	memcpy(lapic.regs + APIC_LVT0, &(uint32_t){APIC_EXTINT}, 4);
	memcpy(lapic.regs + APIC_LVT1, &(uint32_t){APIC_NMI}, 4);
	return ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0 ? log_errno("the local APIC") : 0;
}

/* PVH: 32-bit protected mode without paging. bzImage's 64-bit entry: long mode, identity-mapped. */
static int set_sregs(struct vcpu *vcpu)
{
	bool pvh = vcpu->vm->linux_guest.kernel.kind == KERNEL_PVH;
	struct kvm_sregs s;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0)
		return log_errno("the vCPU's registers");
	s.cs = (struct kvm_segment){.limit = ~0u, .selector = 0x10, .type = 11, .present = 1, .s = 1, .db = pvh, .l = !pvh, .g = 1};
	s.ds = (struct kvm_segment){.limit = ~0u, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	s.es = s.fs = s.gs = s.ss = s.ds;
	s.tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1};
	s.gdt = (struct kvm_dtable){.base = GUEST_GDT, .limit = 4 * 8 - 1};
	s.idt = (struct kvm_dtable){0};
	s.cr0 = CR0_PE | CR0_ET | (pvh ? 0 : CR0_PG);
	s.cr3 = pvh ? 0 : GUEST_PAGE_TABLES;
	s.cr4 = pvh ? 0 : CR4_PAE;
	s.efer = pvh ? 0 : EFER_LME | EFER_LMA;
	return ioctl(vcpu->fd, KVM_SET_SREGS, &s) < 0 ? log_errno("the vCPU's registers") : 0;
}

static int set_regs(struct vcpu *vcpu)
{
	struct kvm_regs regs = {.rip = vcpu->vm->linux_guest.kernel.entry, .rflags = 2};
	if (vcpu->vm->linux_guest.kernel.kind == KERNEL_PVH)
		regs.rbx = GUEST_START_INFO;
	else
		regs.rsi = GUEST_START_INFO;
	return ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0 ? log_errno("the vCPU's registers") : 0;
}

int linux_cpu_set_start(struct vcpu *vcpu)
{
	int result = linux_cpu_describe(vcpu);
	if (result == 0)
		result = set_xcr0(vcpu);
	if (result == 0)
		result = set_lapic(vcpu);
	if (result == 0 && vcpu->index == 0)
		result = set_sregs(vcpu);
	if (result == 0 && vcpu->index == 0)
		result = set_regs(vcpu);
	return result;
}
