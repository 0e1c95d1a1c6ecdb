/* SPDX-License-Identifier: Apache-2.0 */
/* The machine of a Linux guest: memory, the interrupt controllers of the host's kernel, vCPUs, doorbells and interrupt lines. */
#include "vmm/vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "abi/layout.h"
#include "base/log.h"
#include "vmm/dev/console.h"

#define HUGE (2ull << 20)
#define TSS_ADDRESS 0xfffbd000ull /* three pages that VT-x wants below 4 GiB, away from everything else */
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull

/* ---- memory ---- */

static int add_memory(struct linux_guest *guest, gpa_t gpa, uint64_t len, uint8_t *hva)
{
	int err = mem_add_ram(&guest->vm->mem, guest->vm->fd, gpa, len, hva);
	return err ? log_error("guest memory (KVM_SET_USER_MEMORY_REGION): %s", strerror(-err)), err : 0;
}

static int build_memory(struct linux_guest *guest)
{
	struct vm *vm = guest->vm;
	guest->memory = vm->config->memory & ~(LV_PAGE - 1);
	guest->low_size = guest->memory < GUEST_GAP ? guest->memory : GUEST_GAP;
	uint8_t *map = mmap(NULL, guest->memory + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return log_error("no address space for %llu MiB of guest memory: %s", guest->memory >> 20 | 0ull, strerror(errno)), -ENOMEM;
	guest->ram = (uint8_t *)(((uintptr_t)map + HUGE - 1) & ~(HUGE - 1)); /* so that the host can back 2 MiB with one page */
	int result = add_memory(guest, 0, guest->low_size, guest->ram);
	if (result == 0 && guest->memory > guest->low_size)
		result = add_memory(guest, GUEST_HIGH, guest->memory - guest->low_size, guest->ram + guest->low_size);
	vm->ram_size = vm->ram_limit = guest->memory;
	return result;
}

/* ---- interrupt controllers and vCPUs ---- */

static int build_irqchip(struct linux_guest *guest)
{
	int fd = guest->vm->fd;
	uint64_t identity = IDENTITY_MAP_ADDRESS;
	if (ioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) < 0)
		return log_errno("pages for the processor's own use");
	return ioctl(fd, KVM_CREATE_IRQCHIP, 0) < 0 ? log_errno("KVM_CREATE_IRQCHIP") : 0;
}

static int build_cpus(struct vm *vm)
{
	int err = 0;
	for (unsigned i = 0; !err && i < vm->config->cpus; i++)
		err = kvm_create_vcpu(vm);
	return err;
}

static int start_cpus(struct vm *vm)
{
	int err = 0;
	for (unsigned i = 0; !err && i < vm->vcpu_count; i++)
		err = linux_cpu_set_start(&vm->vcpu[i]);
	return err;
}

/* ---- devices ---- */

static int add_irq(struct linux_guest *guest, unsigned irq, int *fd)
{
	*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct kvm_irqfd line = {.fd = *fd, .gsi = irq};
	if (*fd < 0 || ioctl(guest->vm->fd, KVM_IRQFD, &line) < 0)
		return log_errno("an interrupt line (KVM_IRQFD)");
	return 0;
}

static void on_panic(void *context)
{
	linux_panicked(context);
}

/* The serial port's text is the console's as well: one log, bounded, and one tail. */
static void on_text(void *context, const char *data, unsigned size)
{
	struct linux_guest *guest = context;
	if (guest->console)
		console_note(guest->console, data, size);
}

static int build_serial(struct linux_guest *guest)
{
	const struct machine_config *config = guest->vm->config;
	int fd, result = add_irq(guest, GUEST_SERIAL_IRQ, &fd);
	if (result < 0)
		return result;
	serial_init(&guest->serial, &guest->vm->loop, config->serial ? config->console.in : -1, config->serial ? config->console.out : -1, fd);
	guest->console = devices_find(&guest->vm->devices, LV_DEV_CONSOLE);
	guest->serial.log = on_text;
	guest->serial.panicked = on_panic;
	guest->serial.context = guest;
	return 0;
}

int linux_connect(struct vm *vm)
{
	struct linux_guest *guest = &vm->linux_guest;
	struct device_bell bell[LV_MAX_DEVICES];
	unsigned count = devices_bells(&vm->devices, bell);
	for (unsigned i = 0; i < count; i++) {
		struct kvm_ioeventfd event = {.addr = GUEST_VIRTIO + i * GUEST_VIRTIO_PAGE + MMIO_NOTIFY, .len = 4, .fd = bell[i].fd};
		if (ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0)
			return log_errno("a doorbell (KVM_IOEVENTFD)");
	}
	int result = serial_start(&guest->serial);
	return result < 0 ? log_error("the serial port: %s", strerror(-result)), result : 0;
}

/*
 * Not by an irqfd: KVM hands those of the I/O APIC to a kernel thread, which waits for its turn on our processor. Echoes over
 * vsock take half the time so (docs/vsock.md). An edge: up and down.
 */
static void raise_line(void *context, unsigned index)
{
	struct linux_guest *guest = context;
	struct kvm_irq_level line = {.irq = linux_irq(index), .level = 1};
	ioctl(guest->vm->fd, KVM_IRQ_LINE, &line);
	line.level = 0;
	ioctl(guest->vm->fd, KVM_IRQ_LINE, &line);
}

static void build_bus(struct linux_guest *guest)
{
	mmio_bus_init(&guest->bus, &guest->vm->devices, NULL);
	guest->bus.raise = raise_line;
	guest->bus.raise_context = guest;
}

/* A kernel is level-0 code: where KVM emulates that, an instruction takes 0.6 us, and a boot minutes. */
static int check_kind(struct vm *vm)
{
	int kind = kvm_known_kind(vm);
	if (kind == 0)
		log_error("this machine's KVM works by page tables and would emulate a Linux kernel instruction by instruction: "
			  "run the program on the library OS (--kernel libos), or use a machine with VT-x or AMD-V");
	return kind > 0 ? 0 : -ENOTSUP;
}

int linux_build(struct vm *vm)
{
	struct linux_guest *guest = &vm->linux_guest;
	guest->vm = vm;
	guest->program_status = -1;
	int err = check_kind(vm);
	if (!err)
		err = kvm_create_vm(vm);
	if (!err)
		err = build_irqchip(guest);
	if (!err)
		err = build_cpus(vm);
	if (err)
		return err;
	status_mark(&vm->status, LV_STEP_VM);
	return build_memory(guest);
}

int linux_place_devices(struct vm *vm)
{
	struct linux_guest *guest = &vm->linux_guest;
	build_bus(guest);
	linux_ask_prepare(guest);
	return build_serial(guest);
}

int linux_configure(struct vm *vm)
{
	struct linux_guest *guest = &vm->linux_guest;
	int err = linux_load(guest);
	if (err)
		return err;
	linux_write_tables(guest);
	return start_cpus(vm);
}
