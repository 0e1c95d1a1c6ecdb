/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a VM, and what is asked of KVM for it. */
#ifndef LV_VMM_VM_H
#define LV_VMM_VM_H

#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

/*
 * The life of a VM, in this order. 0 or a negative errno, with a message already logged; vm_finish() accepts a VM that any of
 * them left half built.
 */
void vm_init(struct vm *vm, const struct machine_config *config);
int vm_create(struct vm *vm);    /* KVM, memory, vCPUs */
int vm_receive(struct vm *vm, struct machine_config *config); /* waits for the configuration, if it comes by message; config is the VM's own */
int vm_configure(struct vm *vm); /* devices and program, as the configuration says */
int vm_connect(struct vm *vm);   /* control socket, signals, the host side of devices: the last opens */
int vm_jail(struct vm *vm);      /* rights are dropped; guest bytes may be looked at from here on */
int vm_run(struct vm *vm);       /* the wait status of the program, or a negative errno */
/* What the guest left goes out, the record becomes final. ended: what vm_run answered, or why it did not come to that. Answers the exit status. */
int vm_finish(struct vm *vm, int ended);

int vm_add_device(struct vm *vm, const struct device_config *device);
int vm_add_configured_devices(struct vm *vm);

/* ---- kvm.c: what is asked of /dev/kvm. 0 or a negative errno, with a message already logged ---- */
int kvm_open(struct vm *vm);
int kvm_read_cpuid(struct vm *vm); /* what the guest may use: from the cache file, or asked and kept there */
int kvm_create_vm(struct vm *vm);
int kvm_create_vcpu(struct vm *vm); /* the next one */
uint64_t kvm_xcr0(const struct vm *vm); /* the state components that a guest may use */
uint32_t kvm_xsave_size(const struct vm *vm); /* bytes of their standard layout */
int kvm_known_kind(const struct vm *vm); /* as probe_kind(), from the cache file; -1: not known yet */
void kvm_keep_kind(struct vm *vm, int kind); /* also in the cache file, if there is one; a library-OS guest may get more bits of CPUID then */
struct kvm_cpuid_entry2;
struct kvm_cpuid2;
const struct kvm_cpuid2 *kvm_libos_cpuid(const struct vm *vm); /* what a library-OS guest is told */
uint32_t kvm_libos_features(const struct vm *vm); /* EDX of leaf 1 of it */
unsigned kvm_cpuid(const struct vm *vm, struct kvm_cpuid_entry2 *entry); /* what KVM supports; copies CPUID_ENTRIES at most, answers how many */
int kvm_tsc_khz(const struct vcpu *vcpu, uint32_t *khz); /* never 0 */
void kvm_close(struct vm *vm);

/* ---- x86_64/probe.c: which kind of KVM is this? Runs code in scratch VMs ---- */
int probe_print(void);
int probe_kind(const struct vm *vm); /* 1: runs level-0 code natively; 0: by page tables; negative: a message is logged */

#endif
