/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/irq_state.h"

#include <stdint.h>
#include <string.h>

#define IOAPIC_ADDRESS 0xfec00000ull
#define IOAPIC_IDS 16
#define LAPIC_ID 0x20
#define LAPIC_LVT 0x320      /* six of them: timer, thermal, counters, LINT0, LINT1, errors */
#define LAPIC_LVT_END 0x380
#define LAPIC_LVT_BITS 0x7f7ffu

/* Its inputs that a device may hold (ELCR): of the first controller all but the timer, the keyboard and the second one, of that all but the clock and the coprocessor. */
static uint8_t level_inputs(uint32_t chip_id)
{
	return chip_id == KVM_IRQCHIP_PIC_MASTER ? 0xf8 : 0xde;
}

static bool pic_can_be(uint32_t chip_id, const struct kvm_pic_state *pic)
{
	const uint8_t flags = pic->read_reg_select | pic->poll | pic->special_mask | pic->auto_eoi | pic->rotate_on_auto_eoi | pic->special_fully_nested_mode | pic->init4;

	return flags <= 1 && pic->priority_add < 8 && pic->irq_base % 8 == 0 && pic->init_state <= 3 && pic->elcr_mask == level_inputs(chip_id) && !(pic->elcr & ~pic->elcr_mask);
}

static bool ioapic_can_be(const struct kvm_ioapic_state *ioapic)
{
	return ioapic->base_address == IOAPIC_ADDRESS && ioapic->ioregsel <= UINT8_MAX && ioapic->id < IOAPIC_IDS && !(ioapic->irr >> KVM_IOAPIC_NUM_PINS);
}

bool irq_chip_can_be(const struct kvm_irqchip *chip)
{
	return chip->chip_id == KVM_IRQCHIP_IOAPIC ? ioapic_can_be(&chip->chip.ioapic) : pic_can_be(chip->chip_id, &chip->chip.pic);
}

static uint32_t lapic_word(const struct kvm_lapic_state *lapic, unsigned at)
{
	uint32_t word;

	memcpy(&word, lapic->regs + at, sizeof(word));
	return word;
}

bool irq_lapic_can_be(const struct kvm_lapic_state *lapic)
{
	bool can_be = !(lapic_word(lapic, LAPIC_ID) & 0xffffff);

	for (unsigned at = LAPIC_LVT; at < LAPIC_LVT_END; at += 16)
		can_be &= !(lapic_word(lapic, at) & ~LAPIC_LVT_BITS);
	return can_be;
}
