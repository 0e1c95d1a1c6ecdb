/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of /dev/kvm. 0 or a negative errno, with a message already logged. */
#ifndef LV_VMM_KVM_H
#define LV_VMM_KVM_H

#include <stdint.h>

struct vcpu;
struct vm;

int kvm_open(struct vm *vm);
int kvm_read_cpuid(struct vm *vm); /* what the guest may use: from the cache file, or asked and kept there */
int kvm_create_vm(struct vm *vm);
int kvm_create_vcpu(struct vm *vm); /* the next one */
uint64_t kvm_xcr0(const struct vm *vm); /* the state components that a guest may use */
uint32_t kvm_xsave_size(const struct vm *vm); /* bytes of their standard layout */
int kvm_known_kind(const struct vm *vm); /* as probe_kind(), from the cache file; -1: not known yet */
struct lv_cpuid_leaf;
/*
 * Also in the cache file, if there is one, as is what leaves() answers (probe_leaves(), which starts a VM with what is known by then); a library-OS
 * guest may get more bits of CPUID then.
 */
void kvm_keep_kind(struct vm *vm, int kind, unsigned (*leaves)(const struct vm *vm, struct lv_cpuid_leaf *leaf));
unsigned kvm_libos_leaves(const struct vm *vm, struct lv_cpuid_leaf *leaf); /* what CPUID answers a library-OS guest: how many were asked, LV_CPUID_LEAVES at most */
struct kvm_cpuid_entry2;
struct kvm_cpuid2;
const struct kvm_cpuid2 *kvm_libos_cpuid(const struct vm *vm); /* what a library-OS guest is told */
uint32_t kvm_libos_features(const struct vm *vm); /* EDX of leaf 1 of it */
unsigned kvm_cpuid(const struct vm *vm, struct kvm_cpuid_entry2 *entry); /* what KVM supports; copies CPUID_ENTRIES at most, answers how many */
void kvm_leaf(const struct vm *vm, uint32_t function, uint32_t index, uint32_t reg[4]); /* EAX to EDX of what KVM supports; zeroes: nothing */
int kvm_tsc_khz(struct vcpu *vcpu, uint32_t *khz); /* never 0; asked once */
void kvm_close(struct vm *vm);

#endif
