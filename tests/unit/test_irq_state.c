/* SPDX-License-Identifier: Apache-2.0 */
/* What interrupt controllers may hold that come with a saved VM: what a guest can bring them into, and nothing that it cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdint.h>
#include <string.h>

#include "vmm/state/irq_state.h"

static struct kvm_irqchip after_reset(uint32_t id)
{
	struct kvm_irqchip chip = { .chip_id = id };

	if (id == KVM_IRQCHIP_IOAPIC) {
		chip.chip.ioapic.base_address = 0xfec00000;
		for (int i = 0; i < KVM_IOAPIC_NUM_PINS; i++)
			chip.chip.ioapic.redirtbl[i].fields.mask = 1;
	} else {
		chip.chip.pic.elcr_mask = id == KVM_IRQCHIP_PIC_MASTER ? 0xf8 : 0xde;
	}
	return chip;
}

/* Each byte of it with each value: how many of them can be. */
static unsigned possible(uint32_t id, size_t offset)
{
	unsigned count = 0;

	for (unsigned value = 0; value < 256; value++) {
		struct kvm_irqchip chip = after_reset(id);

		((uint8_t *)&chip.chip)[offset] = (uint8_t)value;
		count += irq_chip_can_be(&chip);
	}
	return count;
}

#define PIC(field) offsetof(struct kvm_pic_state, field)
#define IOAPIC(field) offsetof(struct kvm_ioapic_state, field)

static void test_pic(void **state)
{
	static const struct { size_t offset; unsigned values; } fields[] = {
		{ PIC(last_irr), 256 }, { PIC(irr), 256 }, { PIC(imr), 256 }, { PIC(isr), 256 }, { PIC(priority_add), 8 }, { PIC(irq_base), 32 }, { PIC(read_reg_select), 2 }, { PIC(poll), 2 },
		{ PIC(special_mask), 2 }, { PIC(init_state), 4 }, { PIC(auto_eoi), 2 }, { PIC(rotate_on_auto_eoi), 2 }, { PIC(special_fully_nested_mode), 2 }, { PIC(init4), 2 }, { PIC(elcr_mask), 1 },
	};

	for (uint32_t id = KVM_IRQCHIP_PIC_MASTER; id <= KVM_IRQCHIP_PIC_SLAVE; id++) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
			assert_int_equal(possible(id, fields[i].offset), fields[i].values);
		assert_int_equal(possible(id, PIC(elcr)), id == KVM_IRQCHIP_PIC_MASTER ? 32 : 64);
	}
	assert_int_equal(sizeof(struct kvm_pic_state), sizeof(fields) / sizeof(*fields) + 1); /* none is passed over */
}

static void test_ioapic(void **state)
{
	for (size_t i = 1; i < 4; i++) {
		assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(base_address) + i), 1);
		assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(ioregsel) + i), 1);
		assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(id) + i), 1);
		assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(irr) + i), i < 3 ? 256 : 1);
	}
	assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(ioregsel)), 256);
	assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(id)), 16);
	/* Of an input its driver writes all that there is. */
	for (size_t at = 0; at < sizeof(uint64_t); at++)
		assert_int_equal(possible(KVM_IRQCHIP_IOAPIC, IOAPIC(redirtbl) + at), 256);
}

static bool lapic_with(unsigned at, uint32_t word)
{
	struct kvm_lapic_state lapic = { 0 };

	memcpy(lapic.regs + at, &word, sizeof(word));
	return irq_lapic_can_be(&lapic);
}

static void test_lapic(void **state)
{
	assert_true(lapic_with(0x20, 31u << 24));
	assert_false(lapic_with(0x20, 31));
	for (unsigned at = 0x320; at < 0x380; at += 16) {
		assert_true(lapic_with(at, 0x10000));
		assert_true(lapic_with(at, 0x7f7ff));
		assert_false(lapic_with(at, 0x800));
		assert_false(lapic_with(at, 0x80000));
	}
	assert_true(lapic_with(0x280, ~0u) && lapic_with(0x380, ~0u)); /* errors, the timer's count */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pic), cmocka_unit_test(test_ioapic), cmocka_unit_test(test_lapic) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
