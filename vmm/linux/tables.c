/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel expects to find in memory: start information, memory map, MP table, and for the 64-bit entry page tables. */
#include "vmm/vm.h"

#include <asm/bootparam.h>
#include <string.h>

#include "abi/layout.h"

/* ---- PVH (Xen, public/arch-x86/hvm/start_info.h) ---- */

#define PVH_MAGIC 0x336ec578
#define PVH_MODULE (GUEST_START_INFO + 0x100)
#define PVH_MAP (GUEST_START_INFO + 0x200)

struct pvh_start_info {
	uint32_t magic, version, flags, modules;
	uint64_t module_list, command_line, rsdp, map;
	uint32_t map_entries, reserved;
};
static_assert(sizeof(struct pvh_start_info) == 56, "hvm_start_info of version 1");

struct pvh_module {
	uint64_t address, size, command_line, reserved;
};

struct pvh_map_entry {
	uint64_t address, size;
	uint32_t type, reserved;
};

/* ---- the memory map, in the form of each protocol ---- */

struct region {
	uint64_t address, size;
	uint32_t type;
};
#define REGIONS 4
enum { RAM = 1, RESERVED = 2 };

static unsigned list_regions(const struct linux_guest *guest, struct region region[REGIONS])
{
	unsigned count = 0;
	region[count++] = (struct region){0, GUEST_MP_TABLE, RAM};
	region[count++] = (struct region){GUEST_MP_TABLE, GUEST_KERNEL - GUEST_MP_TABLE, RESERVED};
	region[count++] = (struct region){GUEST_KERNEL, guest->low_size - GUEST_KERNEL, RAM};
	if (guest->memory > guest->low_size)
		region[count++] = (struct region){GUEST_HIGH, guest->memory - guest->low_size, RAM};
	return count;
}

static void write_pvh(struct linux_guest *guest)
{
	struct region region[REGIONS];
	struct pvh_map_entry *map = linux_at(guest, PVH_MAP, sizeof(*map) * REGIONS);
	struct pvh_start_info *info = linux_at(guest, GUEST_START_INFO, sizeof(*info));
	struct pvh_module *module = linux_at(guest, PVH_MODULE, sizeof(*module));
	unsigned count = list_regions(guest, region);
	for (unsigned i = 0; i < count; i++)
		map[i] = (struct pvh_map_entry){region[i].address, region[i].size, region[i].type, 0};
	*module = (struct pvh_module){.address = guest->initrd, .size = guest->initrd_size};
	*info = (struct pvh_start_info){.magic = PVH_MAGIC, .version = 1, .modules = guest->initrd_size ? 1 : 0,
		.module_list = PVH_MODULE, .command_line = GUEST_COMMAND_LINE, .rsdp = GUEST_ACPI, .map = PVH_MAP, .map_entries = count};
}

/* The setup header was copied from the kernel's file already; the rest of the page is zero. */
static void write_boot_params(struct linux_guest *guest)
{
	struct region region[REGIONS];
	struct boot_params *params = linux_at(guest, GUEST_START_INFO, sizeof(*params));
	params->e820_entries = list_regions(guest, region);
	for (unsigned i = 0; i < params->e820_entries; i++)
		params->e820_table[i] = (struct boot_e820_entry){region[i].address, region[i].size, region[i].type};
	params->acpi_rsdp_addr = GUEST_ACPI;
	params->hdr.type_of_loader = 0xff; /* none of the registered ones */
	params->hdr.cmd_line_ptr = GUEST_COMMAND_LINE;
	params->hdr.ramdisk_image = guest->initrd;
	params->hdr.ramdisk_size = guest->initrd_size;
}

/* ---- the 64-bit entry: identity mapping of the first 4 GiB, flat segments ---- */

static void write_page_tables(struct linux_guest *guest)
{
	uint64_t *pml4 = linux_at(guest, GUEST_PAGE_TABLES, 6 * LV_PAGE), *pdpt = pml4 + 512, *pd = pdpt + 512;
	pml4[0] = (GUEST_PAGE_TABLES + LV_PAGE) | LV_PTE_P | LV_PTE_W;
	for (unsigned i = 0; i < 4; i++)
		pdpt[i] = (GUEST_PAGE_TABLES + (2 + i) * LV_PAGE) | LV_PTE_P | LV_PTE_W;
	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | LV_PTE_P | LV_PTE_W | LV_PTE_PS;
}

static void write_gdt(struct linux_guest *guest)
{
	uint64_t *gdt = linux_at(guest, GUEST_GDT, 4 * 8);
	gdt[2] = 0x00af9b000000ffff; /* __BOOT_CS */
	gdt[3] = 0x00cf93000000ffff; /* __BOOT_DS */
}

/* ---- the MP table (Intel MultiProcessor Specification 1.4, chapter 4): processors and interrupt wiring ---- */

struct mp_pointer {
	char signature[4];
	uint32_t table;
	uint8_t length, version, checksum, features[5];
};
struct mp_header {
	char signature[4];
	uint16_t length;
	uint8_t version, checksum;
	char oem[8], product[12];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t lapic;
	uint16_t extended_length;
	uint8_t extended_checksum, reserved;
};
struct mp_cpu {
	uint8_t type, apic, version, flags;
	uint32_t signature, features, reserved[2];
};
struct mp_bus {
	uint8_t type, id;
	char name[6];
};
struct mp_ioapic {
	uint8_t type, id, version, flags;
	uint32_t address;
};
struct mp_interrupt {
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, irq, apic, input;
};
static_assert(sizeof(struct mp_header) == 44 && sizeof(struct mp_cpu) == 20 && sizeof(struct mp_interrupt) == 8, "MP table entries");

enum { MP_CPU = 0, MP_BUS = 1, MP_IOAPIC = 2, MP_INTERRUPT = 3, MP_LOCAL_INTERRUPT = 4 };
enum { MP_INT = 0, MP_NMI = 1, MP_EXTINT = 3 };
#define APIC_VERSION 0x14

uint8_t linux_checksum(const void *data, size_t size)
{
	uint8_t sum = 0;
	for (size_t i = 0; i < size; i++)
		sum += ((const uint8_t *)data)[i];
	return -sum;
}

static uint8_t *put(uint8_t *at, uint16_t *entries, const void *entry, size_t size)
{
	++*entries;
	return (uint8_t *)memcpy(at, entry, size) + size;
}

static uint8_t *put_interrupts(uint8_t *at, uint16_t *entries, uint8_t ioapic)
{
	for (unsigned irq = 0; irq < GUEST_IRQS; irq++) {
		struct mp_interrupt input = {.type = MP_INTERRUPT, .kind = MP_INT, .irq = irq, .apic = ioapic, .input = irq};
		at = put(at, entries, &input, sizeof(input));
	}
	struct mp_interrupt pic = {.type = MP_LOCAL_INTERRUPT, .kind = MP_EXTINT, .apic = 0, .input = 0};
	struct mp_interrupt nmi = {.type = MP_LOCAL_INTERRUPT, .kind = MP_NMI, .apic = 0xff, .input = 1};
	at = put(at, entries, &pic, sizeof(pic));
	return put(at, entries, &nmi, sizeof(nmi));
}

static void write_mp_table(struct linux_guest *guest)
{
	uint8_t ioapic = guest->vm->vcpu_count;
	struct mp_pointer *pointer = linux_at(guest, GUEST_MP_TABLE, GUEST_BASE_END - GUEST_MP_TABLE);
	struct mp_header *header = (struct mp_header *)(pointer + 1);
	uint8_t *at = (uint8_t *)(header + 1);
	uint16_t entries = 0;
	for (unsigned i = 0; i < guest->vm->vcpu_count; i++) {
		struct mp_cpu cpu = {.type = MP_CPU, .apic = i, .version = APIC_VERSION, .flags = 1 | (i == 0) << 1, .signature = 0x600, .features = 0x201};
		at = put(at, &entries, &cpu, sizeof(cpu));
	}
	at = put(at, &entries, &(struct mp_bus){.type = MP_BUS, .name = {'I', 'S', 'A', ' ', ' ', ' '}}, sizeof(struct mp_bus));
	at = put(at, &entries, &(struct mp_ioapic){.type = MP_IOAPIC, .id = ioapic, .version = APIC_VERSION, .flags = 1, .address = GUEST_IOAPIC},
		 sizeof(struct mp_ioapic));
	at = put_interrupts(at, &entries, ioapic);
	*header = (struct mp_header){.signature = {'P', 'C', 'M', 'P'}, .length = at - (uint8_t *)header, .version = 4,
		.oem = {'L', 'I', 'G', 'H', 'T', 'V', 'M', ' '}, .product = {'V', 'M', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '},
		.entries = entries, .lapic = GUEST_LAPIC};
	header->checksum = linux_checksum(header, header->length);
	*pointer = (struct mp_pointer){.signature = {'_', 'M', 'P', '_'}, .table = GUEST_MP_TABLE + sizeof(*pointer), .length = 1, .version = 4};
	pointer->checksum = linux_checksum(pointer, sizeof(*pointer));
}

void linux_write_tables(struct linux_guest *guest)
{
	write_mp_table(guest);
	linux_write_acpi(guest);
	if (guest->kernel.kind == KERNEL_PVH) {
		write_pvh(guest);
		return;
	}
	write_boot_params(guest);
	write_page_tables(guest);
	write_gdt(guest);
}
