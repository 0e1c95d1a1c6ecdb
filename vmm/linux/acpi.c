/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least ACPI (ACPI Specification 6.4, chapter 5) that lets kernels without an MP table parser, such as Debian's, find
 * their processors, the IOAPIC, the virtio devices where their command line cannot announce them, and how to switch the
 * machine off: no other power management. Legacy hardware mode, because in reduced hardware mode Linux maps none of the interrupts that the command
 * line and the serial port name.
 */
#include "vmm/vm.h"

#include <string.h>

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} __attribute__((packed));

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], table[8];
	uint32_t oem_revision, creator, creator_revision;
} __attribute__((packed));

struct acpi_fadt {
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t enable, disable, s4, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_length, timer_length, gpe0_length, gpe1_length, gpe1_base, cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_flags;
	uint8_t reserved1;
	uint32_t flags;
	uint8_t rest[128]; /* reset register, 64-bit addresses: all zero, the 32-bit ones count */
} __attribute__((packed));
static_assert(sizeof(struct acpi_fadt) == 244, "FADT of revision 3");
static_assert(sizeof(struct acpi_rsdp) == 36 && sizeof(struct acpi_header) == 36, "ACPI tables");

struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic, flags;
} __attribute__((packed));

struct madt_cpu {
	uint8_t type, length, processor, apic;
	uint32_t flags;
};
struct madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t address, first_gsi;
};

#define FADT_REVISION 3 /* later ones add nothing that is here */
#define FADT_WBINVD 1u
#define FADT_POWER_BUTTON (1u << 4) /* set: there is none with a fixed register */
#define FADT_SLEEP_BUTTON (1u << 5)
#define BOOT_LEGACY_DEVICES 0x0001
#define BOOT_NO_VGA 0x0004
#define BOOT_NO_RTC 0x0020

/* Fills in what all headers share, then the checksum over the whole table. */
static void seal(struct acpi_header *header, const char *signature, uint8_t revision, uint32_t length)
{
	*header = (struct acpi_header){.length = length, .revision = revision, .oem = {'L', 'T', 'V', 'M', ' ', ' '},
		.table = {'L', 'I', 'G', 'H', 'T', 'V', 'M', ' '}, .oem_revision = 1, .creator = 0x4d56544c, .creator_revision = 1};
	memcpy(header->signature, signature, 4);
	header->checksum = linux_checksum(header, length);
}

static void write_madt(const struct linux_guest *guest, gpa_t at)
{
	struct acpi_madt *madt = linux_at(guest, at, 0x1000);
	struct madt_cpu *cpu = (struct madt_cpu *)(madt + 1);
	madt->lapic = GUEST_LAPIC;
	madt->flags = 1; /* there is a pair of 8259s too */
	for (unsigned i = 0; i < guest->vm->vcpu_count; i++)
		*cpu++ = (struct madt_cpu){.type = 0, .length = sizeof(*cpu), .processor = i, .apic = i, .flags = 1};
	struct madt_ioapic *ioapic = (struct madt_ioapic *)cpu;
	*ioapic++ = (struct madt_ioapic){.type = 1, .length = sizeof(*ioapic), .id = guest->vm->vcpu_count, .address = GUEST_IOAPIC};
	seal(&madt->header, "APIC", 3, (uint8_t *)ioapic - (uint8_t *)madt);
}

static void write_fadt(const struct linux_guest *guest, gpa_t at, gpa_t facs, gpa_t dsdt)
{
	struct acpi_fadt *fadt = linux_at(guest, at, sizeof(*fadt));
	*fadt = (struct acpi_fadt){.facs = facs, .dsdt = dsdt, .sci = GUEST_SCI_IRQ, .pm1a_event = GUEST_PM_PORT, .pm1a_control = GUEST_PM_PORT + 4,
		.pm1_event_length = 4, .pm1_control_length = 2, .c2_latency = 0xffff, .c3_latency = 0xffff,
		.boot_flags = BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_RTC, .flags = FADT_WBINVD | FADT_POWER_BUTTON | FADT_SLEEP_BUTTON};
	seal(&fadt->header, "FACP", FADT_REVISION, sizeof(*fadt));
}

/* ---- DSDT: Name (\_S5_, ...) Scope (\_SB) { a Device for each virtio device } (chapter 20, AML) ---- */

#define DEVICE_BODY 59 /* all of it but the operator's two bytes: what fits a package length of one byte */

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
	return (uint8_t *)memcpy(at, bytes, size) + size;
}

/* Device (Vnnn) { Name (_HID, "LNRO0005") Name (_UID, n) Name (_CRS, memory and interrupt) } */
static uint8_t *put_device(uint8_t *at, unsigned index)
{
	const uint32_t memory[2] = {GUEST_VIRTIO + index * GUEST_VIRTIO_PAGE, GUEST_VIRTIO_PAGE}, irq = linux_irq(index);
	const uint8_t head[] = {0x5b, 0x82, DEVICE_BODY, 'V', '0', '0' + index / 10, '0' + index % 10};
	const uint8_t crs[] = {0x08, '_', 'C', 'R', 'S', 0x11, 26, 0x0a, 23};
	at = put(at, head, sizeof(head));
	at = put(at, "\x08_HID\x0dLNRO0005", 15);
	at = put(at, (const uint8_t[]){0x08, '_', 'U', 'I', 'D', 0x0a, index}, 7);
	at = put(at, crs, sizeof(crs));
	at = put(at, (const uint8_t[]){0x86, 9, 0, 1}, 4);                /* Memory32Fixed, read-write */
	at = put(at, memory, sizeof(memory));
	at = put(at, (const uint8_t[]){0x89, 6, 0, 0x03, 1}, 5);          /* Interrupt: consumer, edge, active high, exclusive */
	at = put(at, &irq, sizeof(irq));
	return put(at, (const uint8_t[]){0x79, 0}, 2);                    /* end */
}

static void write_dsdt(const struct linux_guest *guest, gpa_t gpa)
{
	uint8_t *dsdt = linux_at(guest, gpa, 0x1000), *at = dsdt + sizeof(struct acpi_header);
	unsigned length = 2 + 5 + guest->bus.count * (2 + DEVICE_BODY);
	/* Name (\_S5_, Package (2) { type for PM1a, type for PM1b }): what soft-off writes to the control register (7.4.2) */
	at = put(at, (const uint8_t[]){0x08, '\\', '_', 'S', '5', '_', 0x12, 6, 2, 0x0a, GUEST_SLEEP_OFF, 0x0a, GUEST_SLEEP_OFF}, 13);
	at = put(at, (const uint8_t[]){0x10, 0x40 | (length & 15), length >> 4, '\\', '_', 'S', 'B', '_'}, 8);
	for (unsigned i = 0; i < guest->bus.count; i++)
		at = put_device(at, i);
	seal((struct acpi_header *)dsdt, "DSDT", 2, at - dsdt);
}

void linux_write_acpi(const struct linux_guest *guest)
{
	const gpa_t xsdt_at = GUEST_ACPI + 0x40, fadt_at = GUEST_ACPI + 0x100, facs_at = GUEST_ACPI + 0x200, madt_at = GUEST_ACPI + 0x300,
		    dsdt_at = GUEST_ACPI + 0x1000;
	struct acpi_rsdp *rsdp = linux_at(guest, GUEST_ACPI, sizeof(*rsdp));
	struct acpi_header *xsdt = linux_at(guest, xsdt_at, sizeof(*xsdt) + 16);
	const uint64_t tables[] = {fadt_at, madt_at};
	write_fadt(guest, fadt_at, facs_at, dsdt_at);
	write_madt(guest, madt_at);
	write_dsdt(guest, dsdt_at);
	memcpy(linux_at(guest, facs_at, 64), "FACS\x40", 5); /* for its global lock; a table without a checksum */
	memcpy(xsdt + 1, tables, sizeof(tables));
	seal(xsdt, "XSDT", 1, sizeof(*xsdt) + sizeof(tables));
	*rsdp = (struct acpi_rsdp){.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '}, .oem = {'L', 'T', 'V', 'M', ' ', ' '}, .revision = 2,
		.length = sizeof(*rsdp), .xsdt = xsdt_at};
	rsdp->checksum = linux_checksum(rsdp, 20);
	rsdp->extended_checksum = linux_checksum(rsdp, sizeof(*rsdp));
}
