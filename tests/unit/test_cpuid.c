/* SPDX-License-Identifier: Apache-2.0 */
/* Leaf 2 of CPUID as guests see it (vmm/x86_64/cpuid.c). */
#include "vmm/x86_64/cpuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct kvm_cpuid_entry2 cache(unsigned level, unsigned type, unsigned ways, unsigned sets)
{
	return (struct kvm_cpuid_entry2){ .function = 4, .eax = type | level << 5, .ebx = (ways - 1) << 22 | 63, .ecx = sets - 1 };
}

static void test_names(void **state)
{
	struct kvm_cpuid_entry2 entry[] = {
		{ .function = 2, .eax = 0x00feff01, .ebx = 0xf0 },
		cache(1, 1, 12, 64), cache(1, 2, 8, 64), cache(2, 3, 16, 2048), cache(3, 3, 20, 212992), cache(0, 0, 1, 1),
	};

	cpuid_name_caches(entry, 6);
	assert_int_equal(entry[0].eax, 1);
	assert_int_equal(entry[0].ebx, 0x7d302c); /* 48 KiB counts as 32, the others are exact */
	assert_int_equal(entry[0].ecx, 0);
	assert_int_equal(entry[0].edx, 0xec);
	assert_int_equal(entry[1].ecx, 63);
}

static void test_left_alone(void **state)
{
	/* AMD: leaf 2 is empty. Old processors: names already. No leaf 4: nothing to name. */
	struct kvm_cpuid_entry2 amd[] = { { .function = 2 }, cache(1, 1, 8, 64), cache(1, 2, 8, 64), cache(2, 3, 8, 1024) };
	struct kvm_cpuid_entry2 old[] = { { .function = 2, .eax = 0x2c307d01 }, amd[1], amd[2], amd[3] };
	struct kvm_cpuid_entry2 none[] = { { .function = 2, .eax = 0xff01 } };

	cpuid_name_caches(amd, 4);
	assert_int_equal(amd[0].eax, 0);
	cpuid_name_caches(old, 4);
	assert_int_equal(old[0].eax, 0x2c307d01);
	cpuid_name_caches(none, 1);
	assert_int_equal(none[0].eax, 0xff01);
	cpuid_name_caches(NULL, 0);
}

/* Neither kind of guest learns of nested virtualisation, performance counters or machine checks; KVM's own leaf is for kernels. */
static void test_filter(void **state)
{
	for (enum lv_guest kind = LV_GUEST_LIBOS; kind <= LV_GUEST_LINUX; kind++) {
		struct kvm_cpuid_entry2 entry[] = {
			{ .function = 1, .ecx = ~0u, .edx = ~0u }, { .function = 0xa, .eax = ~0u, .ebx = ~0u, .edx = ~0u },
			{ .function = 0x40000001, .eax = ~0u }, { .function = 0x80000001, .ecx = ~0u }, { .function = 0x8000000a, .eax = ~0u },
			{ .function = 7, .ebx = ~0u },
		};

		cpuid_filter(entry, 6, kind);
		assert_int_equal(entry[0].ecx & (1u << 3 | 1u << 5 | 1u << 6 | 1u << 15), 0); /* MONITOR, VMX, SMX, PDCM */
		assert_int_equal(entry[0].edx & (1u << 7 | 1u << 14), 0);                     /* MCE, MCA */
		assert_int_equal(entry[1].eax | entry[1].ebx | entry[1].edx, 0);
		assert_int_equal(entry[2].eax != 0, kind == LV_GUEST_LINUX);
		assert_int_equal(entry[3].ecx & 1u << 2, 0); /* SVM */
		assert_int_equal(entry[4].eax, 0);
		assert_int_equal(entry[5].ebx, ~0u); /* what only computes stays */
	}
}

static void full_processor(uint32_t function, uint32_t index, uint32_t reg[4])
{
	for (int i = 0; i < 4; i++)
		reg[i] = ~0u;
}

static void poor_processor(uint32_t function, uint32_t index, uint32_t reg[4])
{
	for (int i = 0; i < 4; i++)
		reg[i] = 0;
}

/* What works is added where the processor has it, and only as far as the guest has the state for it; nothing else changes. */
static void test_working(void **state)
{
	struct kvm_cpuid_entry2 entry[] = { { .function = 0x80000001 }, { .function = 7 }, { .function = 1, .ecx = 1 }, { .function = 0xa } };

	cpuid_add_working(entry, 4, 0xe7, poor_processor);
	assert_int_equal(entry[0].ecx | entry[1].ebx, 0);
	assert_int_equal(entry[2].ecx, 1);
	cpuid_add_working(entry, 4, 0x3, full_processor);
	assert_true(entry[0].ecx & 1u << 5);            /* LZCNT */
	assert_false(entry[0].ecx & 1u << 2);           /* SVM */
	assert_false(entry[1].ebx & (1u << 5 | 1u << 16)); /* no AVX2 without its registers */
	assert_false(entry[2].ecx & (1u << 5 | 1u << 28 | 1u << 31));
	assert_int_equal(entry[3].eax, 0);
	cpuid_add_working(entry, 4, 0x7, full_processor);
	assert_true(entry[1].ebx & 1u << 5);
	assert_false(entry[1].ebx & 1u << 16);
	cpuid_add_working(entry, 4, 0xe7, full_processor);
	assert_true(entry[1].ebx & 1u << 16);
	assert_false(entry[1].ebx & (1u << 2 | 1u << 4 | 1u << 11)); /* SGX and transactions do more than compute */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_left_alone), cmocka_unit_test(test_filter),
					    cmocka_unit_test(test_working) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
