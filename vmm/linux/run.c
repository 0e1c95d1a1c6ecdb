/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU threads of a Linux guest: run, answer ports and registers, end. The interrupt controllers are the kernel's. */
#include "vmm/linux/guest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/log.h"

#define KICK_SIGNAL SIGUSR1
#define STACK_SIZE (64 << 10)
#define GO_ON true

void linux_end(struct linux_guest *guest, int wait_status)
{
	int running = GUEST_RUNNING;
	atomic_fetch_add(&guest->enders, 1);
	bool first = atomic_compare_exchange_strong(&guest->end, &running, wait_status);
	for (unsigned i = 0; first && i < guest->cpus; i++) {
		struct linux_cpu *cpu = &guest->cpu[i];
		cpu->run->immediate_exit = 1; /* covers the moment before KVM_RUN; the signal the time after */
		if (cpu->started)
			pthread_kill(cpu->thread, KICK_SIGNAL);
	}
	atomic_fetch_sub(&guest->enders, 1);
}

void linux_kill(void *context)
{
	linux_end(context, SIGKILL);
}

/* The VM ends because of what KVM says. */
static bool give_up(struct linux_guest *guest, const char *what)
{
	char *error = guest->vm->status.record.error;
	if (!error[0])
		snprintf(error, sizeof(guest->vm->status.record.error), "%s", what);
	linux_end(guest, SIGABRT);
	return GO_ON;
}

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

static bool on_io(struct linux_cpu *cpu)
{
	struct linux_guest *guest = cpu->guest;
	const struct kvm_run *run = cpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	loop_lock(&guest->vm->loop);
	for (uint32_t i = 0; i < run->io.count && atomic_load(&guest->end) == GUEST_RUNNING; i++, data += run->io.size)
		port_access(guest, run->io.direction == KVM_EXIT_IO_OUT, run->io.port, run->io.size, data);
	loop_unlock(&guest->vm->loop);
	return GO_ON;
}

static bool on_mmio(struct linux_cpu *cpu)
{
	struct linux_guest *guest = cpu->guest;
	struct kvm_run *run = cpu->run;
	uint64_t offset = run->mmio.phys_addr - GUEST_VIRTIO;
	guest->vm->status.record.exits_mmio++;
	if (run->mmio.phys_addr < GUEST_VIRTIO || offset >= (uint64_t)guest->bus.count * GUEST_VIRTIO_PAGE) {
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data)); /* nobody answers */
		return GO_ON;
	}
	if (run->mmio.is_write)
		mmio_write(&guest->bus, offset / GUEST_VIRTIO_PAGE, offset % GUEST_VIRTIO_PAGE, run->mmio.data, run->mmio.len);
	else
		mmio_read(&guest->bus, offset / GUEST_VIRTIO_PAGE, offset % GUEST_VIRTIO_PAGE, run->mmio.data, run->mmio.len);
	return GO_ON;
}

static bool on_exit_reason(struct linux_cpu *cpu)
{
	char text[120];
	switch (cpu->run->exit_reason) {
	case KVM_EXIT_IO:
		return on_io(cpu);
	case KVM_EXIT_MMIO:
		return on_mmio(cpu);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return GO_ON;
	case KVM_EXIT_SHUTDOWN:
		return give_up(cpu->guest, "triple fault: the guest's processor could not go on, and the machine would have been reset");
	case KVM_EXIT_FAIL_ENTRY:
		return give_up(cpu->guest, "the processor refused the guest's state");
	case KVM_EXIT_INTERNAL_ERROR:
		return give_up(cpu->guest, "KVM could not emulate what the guest did");
	}
	snprintf(text, sizeof(text), "vCPU %u left for a reason that LightVM does not know (KVM exit %u)", cpu->index, cpu->run->exit_reason);
	return give_up(cpu->guest, text);
}

static void run_cpu(struct linux_cpu *cpu)
{
	struct linux_guest *guest = cpu->guest;
	while (atomic_load(&guest->end) == GUEST_RUNNING) {
		int result = ioctl(cpu->fd, KVM_RUN, 0);
		__atomic_fetch_add(&guest->vm->status.record.exits, 1, __ATOMIC_RELAXED);
		if (result == 0) {
			on_exit_reason(cpu);
		} else if (errno != EINTR && errno != EAGAIN) {
			char text[120];
			snprintf(text, sizeof(text), "KVM_RUN of vCPU %u: %s", cpu->index, strerror(errno));
			give_up(guest, text);
		}
	}
}

/* ---- threads ---- */

static void on_kick(int signal)
{
	(void)signal; /* that KVM_RUN ends with EINTR is all */
}

static void *cpu_thread(void *context)
{
	run_cpu(context);
	return NULL;
}

static int start_others(struct linux_guest *guest)
{
	pthread_attr_t attr;
	int result = 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (unsigned i = 1; result == 0 && i < guest->cpus; i++) {
		result = pthread_create(&guest->cpu[i].thread, &attr, cpu_thread, &guest->cpu[i]);
		guest->cpu[i].started = !result;
	}
	pthread_attr_destroy(&attr);
	return result ? log_error("a thread for a vCPU: %s", strerror(result)), -result : 0;
}

/* The others may still be on their way out; what they use stays until the process ends. */
int linux_run(struct linux_guest *guest)
{
	struct sigaction action = {.sa_handler = on_kick};
	sigaction(KICK_SIGNAL, &action, NULL);
	guest->cpu[0].thread = pthread_self();
	guest->cpu[0].started = true;
	int result = start_others(guest);
	if (result < 0)
		return result;
	status_mark(&guest->vm->status, LV_STEP_RUN);
	run_cpu(&guest->cpu[0]);
	while (atomic_load(&guest->enders)) /* who kicks the threads must not meet one that is joined already; some instructions */
		__builtin_ia32_pause();
	for (unsigned i = 1; i < guest->cpus; i++) {
		/* Whoever ended the VM may not have known of a thread that just started. */
		pthread_kill(guest->cpu[i].thread, KICK_SIGNAL);
		pthread_join(guest->cpu[i].thread, NULL);
	}
	return atomic_load(&guest->end);
}
