/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/x86_64/cpuid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DATA = 1, INSTRUCTION = 2, UNIFIED = 3 };

static const struct cache_name {
	uint8_t level, type, name;
	uint32_t kib;
} names[] = { /* the largest first */
	{1, DATA, 0x2c, 32}, {1, DATA, 0x0c, 16}, {1, INSTRUCTION, 0x30, 32}, {1, INSTRUCTION, 0x08, 16},
	{2, UNIFIED, 0x7d, 2048}, {2, UNIFIED, 0x7c, 1024}, {2, UNIFIED, 0x7b, 512}, {2, UNIFIED, 0x7a, 256},
	{3, UNIFIED, 0xec, 24576}, {3, UNIFIED, 0xeb, 18432}, {3, UNIFIED, 0x4d, 16384}, {3, UNIFIED, 0xea, 12288},
	{3, UNIFIED, 0xe4, 8192}, {3, UNIFIED, 0xdd, 6144}, {3, UNIFIED, 0xd8, 4096}, {3, UNIFIED, 0xd7, 2048},
};

/* The name for one entry of leaf 4; 0: none. */
static uint8_t name_of(const struct kvm_cpuid_entry2 *leaf)
{
	unsigned type = leaf->eax & 31, level = leaf->eax >> 5 & 7;
	uint64_t size = ((uint64_t)(leaf->ebx >> 22) + 1) * ((leaf->ebx >> 12 & 0x3ff) + 1) * ((leaf->ebx & 0xfff) + 1) *
			((uint64_t)leaf->ecx + 1);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].level == level && names[i].type == type && (uint64_t)names[i].kib << 10 <= size)
			return names[i].name;
	return 0;
}

/* Is the byte 0xff, "see leaf 4", in this register? The highest bit says that a register holds no names. */
static bool refers(uint32_t reg)
{
	for (unsigned shift = 0; !(reg >> 31) && shift < 32; shift += 8)
		if ((reg >> shift & 0xff) == 0xff)
			return true;
	return false;
}

void cpuid_name_caches(struct kvm_cpuid_entry2 *entry, unsigned count)
{
	struct kvm_cpuid_entry2 *two = NULL;
	uint32_t all = 0;
	unsigned known = 0;
	for (unsigned i = 0; i < count; i++) {
		uint8_t name = entry[i].function == 4 && entry[i].eax & 31 ? name_of(&entry[i]) : 0;
		if (entry[i].function == 2)
			two = &entry[i];
		if (name && known < 4)
			all |= (uint32_t)name << 8 * known++;
	}
	if (!two || known < 3 || !(refers(two->eax & ~0xffu) || refers(two->ebx) || refers(two->ecx) || refers(two->edx)))
		return;
	two->eax = 1;
	two->ebx = all & 0xffffff; /* the highest bit of a register must stay clear */
	two->ecx = 0;
	two->edx = all >> 24;
}
