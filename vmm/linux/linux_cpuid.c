/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID for Linux guests: the table that all guests have, then the processors and their frequencies. */
#include "vmm/vm.h"
#include "vmm/x86_64/cpuid.h"

#include <linux/kvm.h>
#include <string.h>

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
	cpuid_filter(cpuid->entries, cpuid->nent, LV_GUEST_LINUX);
	for (unsigned i = 0; i < cpuid->nent; i++)
		set_topology(&cpuid->entries[i], index, cpus);
	add_frequencies(cpuid, room, tsc_khz);
}
