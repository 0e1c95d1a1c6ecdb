/* SPDX-License-Identifier: Apache-2.0 */
/* Linux as a kind of guest: why a vCPU leaves, how ports and registers answer. The interrupt controllers are the kernel's. */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vmm/vm.h"

/* ---- exits ---- */

static void port_access(struct linux_guest *guest, bool write, uint16_t port, unsigned size, uint8_t *data)
{
	uint32_t value = 0;
	if (write)
		memcpy(&value, data, size);
	if (port >= SERIAL_PORT && port < SERIAL_PORT + SERIAL_PORTS) {
		if (write)
			serial_write(&guest->serial, port - SERIAL_PORT, value);
		else
			value = serial_read(&guest->serial, port - SERIAL_PORT);
	} else if (write) {
		linux_port_write(guest, port, size, value);
	} else {
		value = linux_port_read(guest, port, size);
	}
	if (!write)
		memcpy(data, &value, size);
}

static int on_io(struct vcpu *vcpu)
{
	struct linux_guest *guest = &vcpu->vm->linux_guest;
	const struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	loop_lock(&guest->vm->loop);
	for (uint32_t i = 0; i < run->io.count && atomic_load(&vcpu->vm->vcpus.end) == VCPU_RUNNING; i++, data += run->io.size)
		port_access(guest, run->io.direction == KVM_EXIT_IO_OUT, run->io.port, run->io.size, data);
	loop_unlock(&guest->vm->loop);
	return VCPU_RUNNING;
}

static int on_mmio(struct vcpu *vcpu)
{
	struct linux_guest *guest = &vcpu->vm->linux_guest;
	struct kvm_run *run = vcpu->run;
	uint64_t offset = run->mmio.phys_addr - GUEST_VIRTIO;
	status_count(&vcpu->vm->status.counts.exits_mmio);
	if (run->mmio.phys_addr < GUEST_VIRTIO || offset >= (uint64_t)guest->bus.count * GUEST_VIRTIO_PAGE) {
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data)); /* nobody answers */
		return VCPU_RUNNING;
	}
	if (run->mmio.is_write)
		mmio_write(&guest->bus, offset / GUEST_VIRTIO_PAGE, offset % GUEST_VIRTIO_PAGE, run->mmio.data, run->mmio.len);
	else
		mmio_read(&guest->bus, offset / GUEST_VIRTIO_PAGE, offset % GUEST_VIRTIO_PAGE, run->mmio.data, run->mmio.len);
	return VCPU_RUNNING;
}

static int on_exit_reason(struct vcpu *vcpu)
{
	char text[120];
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_IO:
		return on_io(vcpu);
	case KVM_EXIT_MMIO:
		return on_mmio(vcpu);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return VCPU_RUNNING;
	case KVM_EXIT_SHUTDOWN:
		return vcpu_give_up(vcpu, "triple fault: the guest's processor could not go on, and the machine would have been reset");
	case KVM_EXIT_FAIL_ENTRY:
		return vcpu_give_up(vcpu, "the processor refused the guest's state");
	case KVM_EXIT_INTERNAL_ERROR:
		return vcpu_give_up(vcpu, "KVM could not emulate what the guest did");
	}
	snprintf(text, sizeof(text), "vCPU %u left for a reason that LightVM does not know (KVM exit %u)", vcpu->index, vcpu->run->exit_reason);
	return vcpu_give_up(vcpu, text);
}

/* ---- the kind of guest ---- */

/* The image is the first disk, if there is one. */
static int add_devices(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	const bool quiet = config->serial;
	const struct device_config image = { .type = LV_DEV_BLOCK, .block = { .fd = config->image_fd, .read_only = true, .serial = "image" } };
	const struct device_config console = { .type = LV_DEV_CONSOLE, .console = { .in = quiet ? -1 : config->console.in,
		.out = quiet ? -1 : config->console.out, .err = quiet ? -1 : config->console.err, .own = config->console.own, .log = config->log_fd, .multiport = true, .terminal = config->tty } };
	int err = config->image_fd < 0 ? 0 : vm_add_device(vm, &image);
	if (!err)
		err = vm_add_device(vm, &console);
	if (!err)
		err = vm_add_configured_devices(vm);
	if (!err && config->rng)
		err = vm_add_device(vm, &(struct device_config){ .type = LV_DEV_RNG });
	if (!err && config->balloon)
		err = vm_add_device(vm, &(struct device_config){ .type = LV_DEV_BALLOON });
	return err ? err : linux_place_devices(vm);
}

/* Its PID 1 is asked over vsock, by the command line. */
static int signal_program(struct vm *vm, int number)
{
	return -EOPNOTSUPP;
}

static void own_signal(struct vm *vm, int number)
{
	linux_ask_end(&vm->linux_guest, number);
}

static bool drain(struct vm *vm)
{
	return serial_drain(&vm->linux_guest.serial);
}

const struct guest_ops linux_ops = {
	.kind = LV_GUEST_LINUX,
	.name = "Linux",
	.needs_hardware = true,
	.bad_memory = "the guest touched memory that it does not have, or a file behind its memory became shorter",
	.build = linux_build,
	.add_devices = add_devices,
	.configure = linux_configure,
	.connect = linux_connect,
	.on_exit = on_exit_reason,
	.signal = signal_program,
	.own_signal = own_signal,
	.pause = linux_clock_stop,
	.resume = linux_clock_go_on,
	.save = linux_save,
	.load = linux_load_state,
	.drain = drain,
};
