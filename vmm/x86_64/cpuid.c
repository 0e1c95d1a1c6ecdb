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

/* ---- what guests may use ---- */

enum reg { EAX, EBX, ECX, EDX };
enum { LIBOS = 1 << LV_GUEST_LIBOS, LINUX = 1 << LV_GUEST_LINUX, ALL = LIBOS | LINUX };

/* Bits as the Intel SDM (volume 2A, CPUID) and the AMD APM (volume 3, appendix E) name them. */
static const struct rule {
	unsigned kinds;
	uint32_t function, index;
	enum reg reg;
	uint32_t clear, set;
	const char *reason;
} rules[] = {
	{ ALL, 0x1, 0, ECX, 1u << 3, 0, "MONITOR/MWAIT: an idle vCPU would keep the host's processor" },
	{ ALL, 0x1, 0, ECX, 1u << 2 | 1u << 7 | 1u << 8, 0, "DTES64, EIST, TM2: debug store, frequency and temperature are the host's" },
	{ ALL, 0x1, 0, ECX, 1u << 5 | 1u << 6, 0, "VMX, SMX: no VMs inside of VMs; the nested code is a large attack surface" },
	{ ALL, 0x1, 0, ECX, 1u << 15, 0, "PDCM: no performance counters are virtualised" },
	{ LINUX, 0x1, 0, ECX, 0, 1u << 24, "TSC deadline timer: KVM emulates it, and no other timer has to be calibrated" },
	{ LINUX, 0x1, 0, ECX, 0, 1u << 31, "a hypervisor is present: kvmclock, TSC frequency and the like are looked for" },
	{ ALL, 0x1, 0, EDX, 1u << 7 | 1u << 14, 0, "MCE, MCA: machine checks are the host's" },
	{ ALL, 0x1, 0, EDX, 1u << 22 | 1u << 29, 0, "ACPI thermal control, TM: temperature is the host's" },
	{ LINUX, 0x6, 0, EAX, ~4u, 4, "of power management only ARAT: the APIC timer never stops" },
	{ LIBOS, 0x6, 0, EAX, ~0u, 0, "no power management: there is no APIC" },
	{ ALL, 0x6, 0, EBX, ~0u, 0, "no thermal sensors" },
	{ ALL, 0x6, 0, ECX, ~0u, 0, "no frequency feedback, no energy bias" },
	{ ALL, 0xa, 0, EAX, ~0u, 0, "no performance counters are virtualised" },
	{ ALL, 0xa, 0, EBX, ~0u, 0, "the same" },
	{ ALL, 0xa, 0, EDX, ~0u, 0, "the same" },
	{ LIBOS, 0x40000001, 0, EAX, ~0u, 0, "KVM's clocks and hypercalls: for kernels; nothing of a program may ask them of the host" },
	{ LIBOS, 0x40000001, 0, EDX, ~0u, 0, "the same" },
	{ ALL, 0x80000001, 0, ECX, 1u << 2, 0, "SVM: no VMs inside of VMs" },
	{ ALL, 0x80000001, 0, ECX, 1u << 10 | 1u << 12 | 1u << 23 | 1u << 24 | 1u << 28, 0, "IBS, SKINIT, performance counters: not virtualised" },
	{ ALL, 0x8000000a, 0, EAX, ~0u, 0, "SVM's own leaf" },
	{ ALL, 0x8000000a, 0, EBX, ~0u, 0, "the same" },
	{ ALL, 0x8000000a, 0, EDX, ~0u, 0, "the same" },
};

static uint32_t *reg_of(struct kvm_cpuid_entry2 *entry, enum reg reg)
{
	return reg == EAX ? &entry->eax : reg == EBX ? &entry->ebx : reg == ECX ? &entry->ecx : &entry->edx;
}

void cpuid_filter(struct kvm_cpuid_entry2 *entry, unsigned count, enum lv_guest kind)
{
	for (unsigned i = 0; i < count; i++)
		for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
			const struct rule *rule = &rules[r];
			uint32_t *reg = reg_of(&entry[i], rule->reg);
			if (rule->kinds >> kind & 1 && rule->function == entry[i].function && rule->index == entry[i].index)
				*reg = (*reg & ~rule->clear) | rule->set;
		}
}

#define SSE_STATE 0x3u
#define AVX_STATE 0x7u
#define AVX512_STATE 0xe7u
#define BIT(n) (1u << (n))

/* Instructions that compute, and touch nothing but registers and memory. Nothing that reads or needs an MSR, or a mode of its own. */
static const struct working {
	uint32_t function, index;
	enum reg reg;
	uint32_t bits, state;
	const char *names;
} working[] = {
	{ 0x1, 0, ECX, BIT(0) | BIT(1) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | BIT(30), SSE_STATE,
	  "SSE3, PCLMULQDQ, SSSE3, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, AES, RDRAND" },
	{ 0x1, 0, ECX, BIT(12) | BIT(28) | BIT(29), AVX_STATE, "FMA, AVX, F16C" },
	{ 0x7, 0, EBX, BIT(3) | BIT(8) | BIT(9) | BIT(18) | BIT(19) | BIT(23) | BIT(24) | BIT(29), SSE_STATE,
	  "BMI1, BMI2, ERMS, RDSEED, ADX, CLFLUSHOPT, CLWB, SHA" },
	{ 0x7, 0, EBX, BIT(5), AVX_STATE, "AVX2" },
	{ 0x7, 0, EBX, BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31), AVX512_STATE, "AVX512 F, DQ, IFMA, CD, BW, VL" },
	{ 0x7, 0, ECX, BIT(8) | BIT(27) | BIT(28), SSE_STATE, "GFNI, MOVDIRI, MOVDIR64B" },
	{ 0x7, 0, ECX, BIT(9) | BIT(10), AVX_STATE, "VAES, VPCLMULQDQ" },
	{ 0x7, 0, ECX, BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14), AVX512_STATE, "AVX512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ" },
	{ 0x7, 0, EDX, BIT(4), SSE_STATE, "FSRM" },
	{ 0x7, 0, EDX, BIT(8) | BIT(23), AVX512_STATE, "AVX512 VP2INTERSECT, FP16" },
	{ 0x7, 1, EAX, BIT(10) | BIT(11) | BIT(12), SSE_STATE, "FZRM, FSRS, FSRC" },
	{ 0x7, 1, EAX, BIT(4) | BIT(23), AVX_STATE, "AVX VNNI, IFMA" },
	{ 0x7, 1, EAX, BIT(5), AVX512_STATE, "AVX512 BF16" },
	{ 0x80000001, 0, ECX, BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8), SSE_STATE, "LAHF, LZCNT, SSE4A, misaligned SSE, PREFETCHW" },
};

void cpuid_add_working(struct kvm_cpuid_entry2 *entry, unsigned count, uint64_t xcr0,
		       void (*host)(uint32_t function, uint32_t index, uint32_t reg[4]))
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t there[4];
		bool asked = false;
		for (size_t w = 0; w < sizeof(working) / sizeof(working[0]); w++) {
			if (working[w].function != entry[i].function || working[w].index != entry[i].index || (working[w].state & ~xcr0))
				continue;
			if (!asked)
				host(entry[i].function, entry[i].index, there);
			asked = true;
			*reg_of(&entry[i], working[w].reg) |= there[working[w].reg] & working[w].bits;
		}
	}
}
