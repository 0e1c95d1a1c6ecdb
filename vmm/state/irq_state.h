/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What KVM's interrupt controllers may hold in a state that somebody else wrote down: KVM takes most of it as it is. A guest can bring them into many states, but not into any: what it
 * could not do by writing to their registers (Intel 8259A, 82093AA; Intel SDM volume 3, chapter 11) does not get into the host's kernel by way of a saved VM either.
 */
#ifndef LV_VMM_IRQ_STATE_H
#define LV_VMM_IRQ_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>

/* Of KVM_SET_IRQCHIP; chip_id says which. */
bool irq_chip_can_be(const struct kvm_irqchip *chip);
/* Of KVM_SET_LAPIC, where identifiers have 8 bits (no KVM_CAP_X2APIC_API). */
bool irq_lapic_can_be(const struct kvm_lapic_state *lapic);

#endif
