/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm-vmm: one process, one VM. Opens come first, then rights are dropped, and only then guest bytes are looked at. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/standard.h"
#include "vmm/jail/jail.h"
#include "vmm/linux/guest.h"
#include "vmm/log.h"
#include "vmm/vm.h"

#define OWN_ERROR 125 /* exit status when it was not the program that failed */

static int add_device(struct vm *vm, const struct device_config *device)
{
	const char *error = NULL;
	int result = devices_add(&vm->devices, device, &error);
	return result < 0 ? log_error("%s: %s", error, strerror(-result)) : 0;
}

static int add_console(struct vm *vm)
{
	const struct vm_config *config = vm->config;
	bool quiet = config->detached || config->serial;
	struct device_config console = {.type = LV_DEV_CONSOLE,
		.console = {.in = quiet ? -1 : 0, .out = quiet ? -1 : 1, .err = quiet ? -1 : 2, .log = config->log_fd,
			    .multiport = config->kernel_fd >= 0, .terminal = config->tty}};
	return add_device(vm, &console);
}

/* A Linux guest finds the image on its first disk. */
static int add_image(struct vm *vm)
{
	struct device_config image = {.type = LV_DEV_BLOCK, .block = {.fd = vm->config->image_fd, .read_only = true, .serial = "image"}};
	return vm->config->kernel_fd < 0 || vm->config->image_fd < 0 ? 0 : add_device(vm, &image);
}

/* What every Linux guest has: an idle one costs no more than a slot. */
static int add_common(struct vm *vm)
{
	int result = add_device(vm, &(struct device_config){.type = LV_DEV_RNG});
	return result < 0 ? result : add_device(vm, &(struct device_config){.type = LV_DEV_BALLOON});
}

static int add_devices(struct vm *vm)
{
	int result = add_image(vm);
	if (result == 0)
		result = add_console(vm);
	for (unsigned i = 0; result == 0 && i < vm->config->device_count; i++)
		result = add_device(vm, &vm->config->device[i]);
	return result == 0 && vm->config->kernel_fd >= 0 ? add_common(vm) : result;
}

/* A kernel is level-0 code: where KVM emulates that, an instruction takes 0.6 us, and a boot minutes. */
static int check_kind(struct vm *vm)
{
	int kind = kvm_kind(vm);
	if (kind == 0)
		log_error("this machine's KVM works by page tables and would emulate a Linux kernel instruction by instruction: "
			  "run the program on the library OS (--kernel libos), or use a machine with VT-x or AMD-V");
	return kind > 0 ? 0 : -1;
}

static int build(struct vm *vm)
{
	if (vm->linux_guest)
		return check_kind(vm) < 0 ? -1 : linux_build(vm->linux_guest, vm);
	if (kvm_create(vm) < 0)
		return -1;
	status_mark(&vm->status, LV_STEP_VM);
	if (libos_map(vm, vm->config->libos_fd, vm->config->image_fd) < 0 || libos_prepare(vm) < 0)
		return -1;
	vm->status.shared = vm->shared;
	status_mark(&vm->status, LV_STEP_MEMORY);
	return kvm_set_start(vm);
}

static int connect_devices(struct vm *vm)
{
	vm->devices.shared = vm->shared;
	if (vm->linux_guest)
		return linux_connect(vm->linux_guest) < 0 ? -1 : control_start(&vm->control);
	int result = devices_start(&vm->devices);
	if (result == 0)
		result = control_start(&vm->control);
	if (result == 0)
		result = vcpu_start(vm);
	return result < 0 ? log_error("devices: %s", strerror(-result)) : 0;
}

static int drop_rights(const struct vm *vm)
{
	const char *step = NULL;
	struct jail jail = {.full = vm->config->jail_full, .log_only = vm->config->jail_log,
			    .vsock = devices_find(&vm->devices, LV_DEV_VSOCK), .directory = vm->config->vsock_dir};
	if (vm->config->jail_off)
		return jail.directory >= 0 && fchdir(jail.directory) < 0 ? log_error("--vsock: %s", strerror(errno)) : 0;
	int result = jail_enter(&jail, &step);
	return result < 0 ? log_error("dropping rights, step \"%s\": %s", step, strerror(-result)) : 0;
}

static void on_signal_request(void *context, int number)
{
	(void)number;
	vcpu_wake(context);
	vcpu_kick(context);
}

static struct vm *signalled; /* a handler has no other way to its VM */

static void on_own_signal(int number)
{
	if (signalled->linux_guest) {
		linux_kill(signalled->linux_guest);
		return;
	}
	__atomic_fetch_or(&signalled->shared->signals, 1u << (number - 1), __ATOMIC_SEQ_CST);
	vcpu_wake(signalled);
	vcpu_kick(signalled);
}

/*
 * What is sent to us is meant for the program. With a control socket the command line passes it on, and a terminal's
 * Ctrl-C, which reaches both of us, must not arrive twice; started by hand, there is nobody else.
 */
static void take_signals(struct vm *vm)
{
	static const int numbers[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	struct sigaction action = {.sa_handler = vm->config->control_fd >= 0 ? SIG_IGN : on_own_signal, .sa_flags = SA_RESTART};
	signalled = vm;
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

static void init(struct vm *vm, const struct vm_config *config)
{
	signal(SIGPIPE, SIG_IGN); /* a reader of the output that goes is the program's affair */
	vm->config = config;
	vm->fd = vm->kvm_fd = vm->vcpu.fd = -1;
	status_init(&vm->status, config->status_fd);
	vm->status.record.ledger[LV_STEP_COMMAND].ns = config->start_ns;
	devices_init(&vm->devices, &vm->loop);
	vm->devices.mem = &vm->mem;
	vm->devices.wake = vcpu_wake;
	vm->devices.wake_context = vm;
	vm->status.devices = &vm->devices;
	control_init(&vm->control, &vm->loop, &vm->status, &vm->devices, config->control_fd);
	vm->control.signal = on_signal_request;
	vm->control.kill = vcpu_kill;
	vm->control.context = vm;
	if (config->kernel_fd < 0)
		return;
	static struct linux_guest guest;
	vm->status.record.guest = LV_GUEST_LINUX;
	vm->linux_guest = vm->control.context = &guest;
	vm->control.signal = NULL; /* goes to PID 1 over vsock, from the command line */
	vm->control.kill = linux_kill;
}

static bool serial_is_out(void *context)
{
	struct vm *vm = context;
	return vm->devices.abandoned || !vm->linux_guest || serial_drain(&vm->linux_guest->serial);
}

/* What the program left, told as waitpid would; our own failure if it never came to that. */
static int finish(struct vm *vm, int wait_status)
{
	devices_finish(&vm->devices);
	loop_finish(&vm->loop, serial_is_out, vm);
	vm->status.record.wait_status = wait_status;
	status_mark(&vm->status, LV_STEP_EXIT);
	status_write(&vm->status, LV_STATE_EXITED);
	kvm_close(vm); /* quicker than the end of the process, which has the kernel wait for one grace period more */
	return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

static uint64_t realtime_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int run(struct vm *vm, const struct vm_config *config)
{
	init(vm, config);
	status_mark(&vm->status, LV_STEP_MONITOR);
	if (loop_init(&vm->loop) < 0)
		return log_error("event loop: %s", strerror(errno)), OWN_ERROR;
	if (kvm_open(vm) < 0 || kvm_read_cpuid(vm) < 0 || add_devices(vm) < 0 || build(vm) < 0 || connect_devices(vm) < 0)
		return OWN_ERROR;
	take_signals(vm);
	if (drop_rights(vm) < 0)
		return OWN_ERROR;
	int result = loop_start(&vm->loop); /* after the rights are gone: capabilities belong to threads */
	if (result < 0)
		return log_error("device loop: %s", strerror(-result)), OWN_ERROR;
	vm->status.record.start_realtime_ns = realtime_ns();
	vm->status.record.ram_size = vm->ram_size;
	vm->status.record.ram_limit = vm->ram_limit;
	status_write(&vm->status, LV_STATE_RUNNING);
	int wait_status = vm->linux_guest ? linux_run(vm->linux_guest) : vcpu_run(vm);
	return wait_status < 0 ? OWN_ERROR : finish(vm, wait_status);
}

/* Of what the parent left open, only that which the options name stays. */
static int close_others(const struct vm_config *c)
{
	int keep[9 + NET_PAIRS_MAX * LV_MAX_DEVICES] = {c->libos_fd, c->image_fd, c->kernel_fd, c->initrd_fd, c->vsock_dir, c->cpuid_fd, c->control_fd, c->status_fd, c->log_fd};
	unsigned count = 9;
	for (unsigned i = 0; i < c->device_count; i++) {
		const struct device_config *d = &c->device[i];
		keep[count++] = d->type == LV_DEV_NET ? d->net.fd : d->type == LV_DEV_VSOCK ? d->vsock.listener : d->block.fd;
		if (d->type == LV_DEV_BLOCK)
			keep[count++] = d->block.lock;
		for (unsigned j = 0; d->type == LV_DEV_NET && j < d->net.more; j++)
			keep[count++] = d->net.more_fd[j];
	}
	int result = jail_keep_only(keep, count);
	return result < 0 ? log_error("closing inherited descriptors: %s", strerror(-result)) : 0;
}

int main(int argc, char **argv)
{
	static struct vm_config config;
	static struct vm vm;
	standard_hold();
	if (options_parse(&config, argc, argv) < 0)
		return OWN_ERROR;
	if (config.probe)
		return probe_print();
	if (close_others(&config) < 0)
		return OWN_ERROR;
	_exit(run(&vm, &config)); /* the kernel takes all back at once */
}
