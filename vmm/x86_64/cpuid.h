/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest is told by CPUID where that differs from what KVM supports. */
#ifndef LV_VMM_CPUID_H
#define LV_VMM_CPUID_H

#include <linux/kvm.h>

#include "abi/control.h"

#define CPUID_ENTRIES 192 /* more than KVM ever reports */

/*
 * Rewrites leaf 2 so that it names the caches itself instead of "see leaf 4". Each C library start asks for a dozen of
 * their properties, and each answer then takes one CPUID instead of up to five, at 28 us each in a VM (Intel SDM volume
 * 2A, CPUID, table 3-12). The sizes are rounded down to those that leaf 2 has numbers for; leaf 4 stays exact.
 */
void cpuid_name_caches(struct kvm_cpuid_entry2 *entry, unsigned count);

/* Takes away what no guest of this kind (enum lv_guest) shall use, and adds what it needs: one table, each line with its reason. */
void cpuid_filter(struct kvm_cpuid_entry2 *entry, unsigned count, enum lv_guest kind);

/*
 * Adds what page-table KVM leaves out though it works there, as it does in any process: instructions that only compute. host: what
 * the processor itself answers for the same leaf; xcr0: the state components that the guest has.
 */
void cpuid_add_working(struct kvm_cpuid_entry2 *entry, unsigned count, uint64_t xcr0,
		       void (*host)(uint32_t function, uint32_t index, uint32_t reg[4]));

#endif
