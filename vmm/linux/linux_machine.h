/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linux guest: guest memory from address 0, in-kernel interrupt controllers, virtio-mmio devices, a serial port, and
 * as many vCPUs as were asked for. Needs a KVM that runs level-0 code natively.
 *
 * Guest-physical memory:
 *   0x500        descriptor table of the 64-bit entry      0x9000..0xf000  its page tables (identity, 4 GiB)
 *   0x6000       start information: hvm_start_info (PVH) or boot_params (bzImage)
 *   0x20000      command line                              0x9fc00         MP table, up to 640 KiB
 *   0xe0000      ACPI tables
 *   1 MiB ..     the kernel; the initial RAM disk at the end of memory below 3 GiB
 *   0xd0000000   virtio-mmio, a page for each device       0xfec00000, 0xfee00000  IOAPIC, local APICs
 *   4 GiB ..     memory beyond 3 GiB
 */
#ifndef LV_VMM_LINUX_MACHINE_H
#define LV_VMM_LINUX_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/linux_guest.h"
#include "parse/linux_kernel.h"
#include "vmm/machine_config.h"
#include "vmm/linux/serial.h"
#include "vmm/mem.h"
#include "vmm/virtio/mmio.h"

#define GUEST_GDT 0x500
#define GUEST_START_INFO 0x6000
#define GUEST_PAGE_TABLES 0x9000
#define GUEST_COMMAND_LINE 0x20000
#define GUEST_COMMAND_MAX 0x10000
#define GUEST_MP_TABLE 0x9fc00 /* the last KiB of base memory is one of the places where kernels look */
#define GUEST_ACPI 0xe0000     /* in the area that kernels search for the root pointer */
#define GUEST_PM_PORT 0x600    /* ACPI's fixed registers: nothing happens in them but soft-off */
#define GUEST_SLEEP_OFF 5      /* the sleep type that is soft-off */
#define GUEST_BASE_END 0xa0000
#define GUEST_KERNEL 0x100000
#define GUEST_GAP LV_LINUX_GAP      /* memory below it ... */
#define GUEST_HIGH LV_LINUX_HIGH    /* ... goes on here */
#define GUEST_VIRTIO 0xd0000000ull
#define GUEST_VIRTIO_PAGE 0x1000
#define GUEST_IOAPIC 0xfec00000
#define GUEST_LAPIC 0xfee00000
#define GUEST_SERIAL_IRQ 4
#define GUEST_FIRST_IRQ 5
#define GUEST_SCI_IRQ 9 /* ACPI's own: level-triggered and shared, a device's edges would get lost on it */
#define GUEST_IRQS 24 /* inputs of the IOAPIC */

struct device;
struct vcpu;
struct vm;

struct linux_clock { /* while the guest stands still */
	bool known;      /* this KVM tells all of it */
	uint64_t kvm_ns; /* of KVM's clock */
	uint64_t realtime; /* of the host, ns */
	uint64_t tsc[VM_MAX_CPUS]; /* what each vCPU's time-stamp counter showed */
};

struct linux_guest {
	struct vm *vm;
	uint64_t memory, low_size; /* all, and what of it lies below the gap */
	uint8_t *ram;              /* the host's view: low memory, then high memory */
	struct kernel_image kernel;
	gpa_t initrd;
	uint64_t initrd_size;
	struct mmio_bus bus;
	struct serial serial;
	struct device *console; /* whose log has the serial port's text too */
	uint8_t keyboard_control, keyboard_data; /* what of the keyboard controller a kernel needs to reset the machine */
	bool keyboard_full;
	uint8_t keyboard_command;
	uint16_t pm_enable;
	int ask[2]; /* a connection to the agent that is made ahead: our end, and the device's until it has it; -1: none */
	struct loop_timer ask_timer;
	struct linux_clock clock;
	int program_status; /* what PID 1 reported; -1: nothing */
};

/* The interrupt line of a virtio-mmio device. */
static inline unsigned linux_irq(unsigned device)
{
	unsigned irq = GUEST_FIRST_IRQ + device;
	return irq < GUEST_SCI_IRQ ? irq : irq + 1;
}

/* ---- machine.c: memory, interrupt controllers, vCPUs, devices. 0 or a negative errno, with a message already logged ---- */
int linux_build(struct vm *vm);
int linux_configure(struct vm *vm); /* kernel, initial RAM disk, tables, where the vCPUs start */
int linux_place_devices(struct vm *vm); /* what of them is there before the kernel is: the bus, the serial port, the way to PID 1 */
int linux_connect(struct vm *vm);   /* devices: addresses, interrupts, doorbells */

/* ---- load.c: the kernel, its initial RAM disk and its command line come into memory ---- */
int linux_load(struct linux_guest *guest);
void *linux_at(const struct linux_guest *guest, gpa_t gpa, uint64_t len); /* NULL: not memory */

/* ---- tables.c: what a kernel expects to find in memory ---- */
void linux_write_tables(struct linux_guest *guest); /* start information, memory map, MP table, ACPI, page tables */
void linux_write_acpi(const struct linux_guest *guest); /* acpi.c */
uint8_t linux_checksum(const void *data, size_t size); /* the byte that makes the sum of all zero */

/* ---- cpu.c: what a vCPU is and where it starts ---- */
int linux_cpu_describe(struct vcpu *vcpu); /* what CPUID says */
int linux_cpu_set_start(struct vcpu *vcpu); /* that, and its first instruction */

/* ---- cpuid.c: what KVM supports, without what a guest shall not use, and with what vCPU number index of cpus is ---- */
struct kvm_cpuid2;
void linux_filter_cpuid(struct kvm_cpuid2 *cpuid, unsigned room, unsigned index, unsigned cpus, uint32_t tsc_khz);

/* ---- linux_clock.c. In the loop thread, while the vCPUs stand ---- */
void linux_clock_stop(struct vm *vm);
/* It goes on where it stood or, to advance, as if it had not stood still; with a KVM before Linux 5.16 always that. */
void linux_clock_go_on(struct vm *vm, bool advance);
void linux_clock_restore(struct vm *vm, bool advance); /* the same of a VM whose clock came out of a stream */

/* ---- linux_state.c: for guest_ops ---- */
struct error;
struct saved_memory;
struct stream;
int linux_save(struct vm *vm, struct stream *stream);
int linux_load_state(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error);

/* ---- linux_ask.c: the agent in the guest is asked to end the program ---- */
void linux_ask_prepare(struct linux_guest *guest); /* before the jail */
/* SIGTERM or its like; ends the VM where there is no agent, or none that answers, or when it was asked before. In the loop thread. */
void linux_ask_end(struct linux_guest *guest, int number);

/* ---- ports.c: I/O ports besides the serial port's ---- */
void linux_port_write(struct linux_guest *guest, uint16_t port, unsigned size, uint32_t value);
uint32_t linux_port_read(struct linux_guest *guest, uint16_t port, unsigned size);
/* The kernel said that it panicked; the first reason stays. */
void linux_panicked(struct linux_guest *guest);

#endif
