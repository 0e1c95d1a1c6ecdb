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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names), cmocka_unit_test(test_left_alone) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
