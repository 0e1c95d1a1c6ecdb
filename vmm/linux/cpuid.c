/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID for Linux guests: what KVM supports, through one table of what is taken away or added, each with its reason. */
#include "vmm/vm.h"

#include <linux/kvm.h>
#include <string.h>

enum reg { EAX, EBX, ECX, EDX };

/* Bits as the Intel SDM (volume 2A, CPUID) and the AMD APM (volume 3, appendix E) name them. */
static const struct rule {
	uint32_t function, index;
	enum reg reg;
	uint32_t clear, set;
	const char *reason;
} rules[] = {
	{0x1, 0, ECX, 1u << 3, 0, "MONITOR/MWAIT: an idle vCPU would keep the host's processor"},
	{0x1, 0, ECX, 1u << 2 | 1u << 7 | 1u << 8, 0, "DTES64, EIST, TM2: debug store, frequency and temperature are the host's"},
	{0x1, 0, ECX, 1u << 5 | 1u << 6, 0, "VMX, SMX: no VMs inside of VMs; the nested code is a large attack surface"},
	{0x1, 0, ECX, 1u << 15, 0, "PDCM: no performance counters are virtualised"},
	{0x1, 0, ECX, 0, 1u << 24, "TSC deadline timer: KVM emulates it, and no other timer has to be calibrated"},
	{0x1, 0, ECX, 0, 1u << 31, "a hypervisor is present: kvmclock, TSC frequency and the like are looked for"},
	{0x1, 0, EDX, 1u << 7 | 1u << 14, 0, "MCE, MCA: machine checks are the host's"},
	{0x1, 0, EDX, 1u << 22 | 1u << 29, 0, "ACPI thermal control, TM: temperature is the host's"},
	{0x6, 0, EAX, ~4u, 4, "of power management only ARAT: the APIC timer never stops"},
	{0x6, 0, EBX, ~0u, 0, "no thermal sensors"},
	{0x6, 0, ECX, ~0u, 0, "no frequency feedback, no energy bias"},
	{0xa, 0, EAX, ~0u, 0, "no performance counters are virtualised"},
	{0xa, 0, EBX, ~0u, 0, "the same"},
	{0xa, 0, EDX, ~0u, 0, "the same"},
	{0x80000001, 0, ECX, 1u << 2, 0, "SVM: no VMs inside of VMs"},
	{0x80000001, 0, ECX, 1u << 10 | 1u << 12 | 1u << 23 | 1u << 24 | 1u << 28, 0, "IBS, SKINIT, performance counters: not virtualised"},
	{0x8000000a, 0, EAX, ~0u, 0, "SVM's own leaf"},
	{0x8000000a, 0, EDX, ~0u, 0, "the same"},
};

static uint32_t *reg_of(struct kvm_cpuid_entry2 *entry, enum reg reg)
{
	return reg == EAX ? &entry->eax : reg == EBX ? &entry->ebx : reg == ECX ? &entry->ecx : &entry->edx;
}

static void apply_rules(struct kvm_cpuid_entry2 *entry)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *rule = &rules[i];
		uint32_t *reg = reg_of(entry, rule->reg);
		if (rule->function == entry->function && rule->index == entry->index)
			*reg = (*reg & ~rule->clear) | rule->set;
	}
}

static unsigned bits_for(unsigned count)
{
	unsigned bits = 0;
	while (1u << bits < count)
		bits++;
	return bits;
}

/* Every vCPU is a core with one thread, all in one package. */
static void set_topology(struct kvm_cpuid_entry2 *entry, unsigned index, unsigned cpus)
{
	unsigned bits = bits_for(cpus);
	switch (entry->function) {
	case 0x1:
		entry->ebx = (entry->ebx & 0xffff) | index << 24 | cpus << 16;
		entry->edx = cpus > 1 ? entry->edx | 1u << 28 : entry->edx & ~(1u << 28);
		return;
	case 0x4: /* level 3 is shared by all, the others by nobody */
		if (entry->eax & 31)
			entry->eax = (entry->eax & 0x3fff) | ((entry->eax >> 5 & 7) == 3 ? cpus - 1 : 0) << 14 | (cpus - 1) << 26;
		return;
	case 0xb:
	case 0x1f:
		entry->eax = entry->index ? bits : 0;
		entry->ebx = entry->index ? cpus : 1;
		entry->ecx = entry->index | (entry->index == 0 ? 1 : entry->index == 1 ? 2 : 0) << 8;
		entry->edx = index;
		if (entry->index > 1)
			entry->eax = entry->ebx = 0;
		return;
	case 0x80000008:
		entry->ecx = (cpus - 1) | bits << 12;
		return;
	case 0x8000001e:
		entry->eax = entry->ebx = index;
		entry->ebx &= 0xff;
		entry->ecx = 0;
	}
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, unsigned room, uint32_t function)
{
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function)
			return &cpuid->entries[i];
	if (cpuid->nent == room)
		return NULL;
	cpuid->entries[cpuid->nent] = (struct kvm_cpuid_entry2){.function = function};
	return &cpuid->entries[cpuid->nent++];
}

/* The frequencies of TSC and APIC timer, as VMware began it: kernels then measure neither. */
static void add_frequencies(struct kvm_cpuid2 *cpuid, unsigned room, uint32_t tsc_khz)
{
	struct kvm_cpuid_entry2 *base = find(cpuid, room, 0x40000000), *timing = find(cpuid, room, 0x40000010);
	if (!base || !timing || !tsc_khz)
		return;
	if (base->eax < 0x40000010)
		base->eax = 0x40000010;
	timing->eax = tsc_khz;
	timing->ebx = 1000000; /* kHz: KVM's APIC bus runs at 1 GHz */
}

void linux_filter_cpuid(struct kvm_cpuid2 *cpuid, unsigned room, unsigned index, unsigned cpus, uint32_t tsc_khz)
{
	for (unsigned i = 0; i < cpuid->nent; i++) {
		apply_rules(&cpuid->entries[i]);
		set_topology(&cpuid->entries[i], index, cpus);
	}
	add_frequencies(cpuid, room, tsc_khz);
}
