/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a VM, whatever kind of guest it has. */
#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/configure.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "abi/vm_records.h"
#include "vmm/state/save_job.h"
#include "vmm/state/vm_saved.h"

#define OWN_DESCRIPTORS (70 + LV_AGENT_LINES) /* files of the configuration, KVM, the loop, 8 clients of the control socket with what they attach, what a save takes, and lines */
#define PAGER_DESCRIPTORS 4
#define DEVICE_DESCRIPTORS 8 /* of one: its bell, its file and lock or four queues, its io_uring */
#define OWN_MEMORY (256ull << 20) /* malloc of glibc sets 128 MiB aside for a thread, and uses what it needs */
#define THREAD_MEMORY (2ull << 20)
#define KERNEL_THREADS 4 /* ours for the loop, and what KVM starts at a first KVM_RUN, which fails with EAGAIN where it cannot */
#define DISK_WORKERS 64  /* of io_uring */
#define OWN_ERROR 125 /* exit status when it was not the program that failed */

static void wake_vm(void *context)
{
	struct vm *vm = context;
	vcpu_wake(&vm->vcpu[0]);
}

static void interrupt_vm(void *context)
{
	struct vm *vm = context;
	vcpu_request(&vm->vcpu[0], VCPU_WAKE | VCPU_KICK);
}

/* Each edge of the VM's life is written where it is crossed, but CONFIGURED, which lasts for microseconds. A record that cannot be written keeps no VM from running. */
int vm_enter_state(struct vm *vm, enum lv_state state)
{
	vm->status.record.ram_size = vm->ram_size;
	vm->status.record.ram_limit = vm->ram_limit;
	status_write(&vm->status, state);
	return 0;
}

/* What the VM's other parts have of the configuration: at the start, and again when it came by message. */
static void adopt(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	vm->guest = config->kernel_fd < 0 ? &libos_ops : &linux_ops;
	vm->restored = config->state_fd >= 0;
	vm->status.fd = config->status_fd;
	vm->status.record.guest = vm->guest->kind;
	vm->status.record.ledger[LV_STEP_COMMAND].ns = config->start_ns;
	vm->status.record.ledger[LV_STEP_IMAGE].ns = config->image_ns;
	vm->status.record.ledger[LV_STEP_CLAIMED].ns = config->claim_ns;
	vm->status.record.claim = config->claim;
	vm->control.listen.fd = config->control_fd;
}

void vm_init(struct vm *vm, const struct machine_config *config)
{
	signal(SIGPIPE, SIG_IGN); /* a reader of the output that goes is the program's affair */
	vm->config = config;
	vm->fd = vm->kvm_fd = vm->signals.fd = vm->maker.fd = -1;
	vcpus_init(vm);
	status_init(&vm->status, config->status_fd);
	if (config->outer_pid)
		vm->status.record.pid = config->outer_pid;
	status_mark(&vm->status, LV_STEP_MONITOR);
	devices_init(&vm->devices, &vm->loop);
	vm->devices.mem = &vm->mem;
	vm->devices.wake = wake_vm;
	vm->devices.interrupt = interrupt_vm;
	vm->devices.wake_context = vm;
	vm->status.devices = &vm->devices;
	control_init(&vm->control, &vm->loop, &vm->status, &vm->devices, config->control_fd);
	vm->jail = (struct jail){ .full = !config->jail_basic && !config->jail_log, .required = config->jail_full, .log_only = config->jail_log,
		.inside = config->outer_pid, .uid = config->jail_uid, .parent = config->configure_fd, .directory = -1 };
	vm_take_requests(vm);
	adopt(vm);
}

/* The self-test takes two more VMs' worth of time, so its answer is kept: the first VM after a boot asks. */
static int find_kind(struct vm *vm)
{
	if (kvm_known_kind(vm) >= 0 || (vm->config->cpuid_fd < 0 && !vm->guest->needs_hardware))
		return 0;
	int kind = probe_kind(vm);
	if (kind >= 0)
		kvm_keep_kind(vm, kind, probe_leaves);
	return kind < 0 ? -ENOTSUP : 0;
}

static int enter_jail(struct vm *vm, enum jail_stage stage)
{
	const char *step = NULL;
	int err = vm->config->jail_off ? 0 : jail_enter(&vm->jail, stage, &step);
	return err ? log_error("dropping rights, step \"%s\": %s", step, strerror(-err)), err : 0;
}

static void close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] > STDERR_FILENO)
			close(fds[i]);
}

/* Of what a VM is made. */
static void close_makings(struct vm *vm)
{
	const int makings[] = { vm->config->libos_fd, vm->kvm_fd };
	close_all(makings, sizeof(makings) / sizeof(*makings));
	vm->kvm_fd = -1;
}

/* Of our address space, by an open /proc/self/statm; 0 where the kernel does not say. */
static uint64_t mapped_bytes(int statm)
{
	char text[32];
	ssize_t n = statm < 0 ? -1 : pread(statm, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return strtoull(text, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static uint64_t mapped_now(void)
{
	int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	uint64_t mapped = mapped_bytes(statm);
	if (statm >= 0)
		close(statm);
	return mapped;
}

/*
 * The loop's thread, without which nothing of the guest's runs: it takes longer to make than all of a configuration to read. Whoever holds the lock has the
 * loop to himself, until let_loop_go().
 */
static int start_loop_ahead(struct vm *vm)
{
	int err = loop_start(&vm->loop);
	if (err)
		return log_error("device loop: %s", strerror(-err)), err;
	loop_lock(&vm->loop);
	vm->loop_held = true;
	return 0;
}

static void let_loop_go(struct vm *vm)
{
	if (vm->loop_held)
		loop_unlock(&vm->loop);
	vm->loop_held = false;
}

/* Under a configuration that says no more than what it is that will be restored. */
static int load_ahead(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	struct error error = { 0 };
	struct machine_config *ahead = config->ahead_state_fd < 0 ? NULL : malloc(sizeof(*ahead));
	if (config->ahead_state_fd < 0)
		return 0;
	if (!ahead)
		return -ENOMEM;
	*ahead = *config;
	ahead->image_fd = config->ahead_image_fd;
	ahead->state_fd = config->ahead_state_fd;
	ahead->memory_fd = config->ahead_memory_fd;
	ahead->restore = LV_RESTORE_CLONE | LV_RESTORE_WHOLE;
	vm->config = ahead;
	int err = vm_saved_load_ahead(vm, &error);
	vm->config = config;
	free(ahead);
	return err ? log_error("the saved VM cannot be restored: %s", error.text), err : 0;
}

static int boot(struct vm *vm)
{
	int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC); /* while there is such a path */
	vm->jail.ahead = vm->config->vsock_dir < 0;
	save_open(&vm->save);
	int err = enter_jail(vm, JAIL_CREATED);
	if (!err)
		err = vm->guest->boot(vm);
	if (!err)
		err = load_ahead(vm);
	close_makings(vm);
	if (!err)
		err = start_loop_ahead(vm);
	vm->mapped = mapped_bytes(statm);
	if (statm >= 0)
		close(statm);
	return err;
}

int vm_create(struct vm *vm)
{
	int err = loop_init(&vm->loop);
	if (err)
		return log_error("event loop: %s", strerror(-err)), err;
	err = kvm_open(vm);
	if (!err)
		err = kvm_read_cpuid(vm);
	if (!err)
		registers_list(vm->kvm_fd, &vm->msrs);
	if (!err)
		err = find_kind(vm);
	if (!err)
		err = vm->guest->build(vm);
	if (!err && vm->guest->boot)
		err = boot(vm);
	if (err)
		return err;
	int kind = kvm_known_kind(vm);
	vm->status.record.kvm = kind < 0 ? LV_KVM_UNKNOWN : kind ? LV_KVM_HARDWARE : LV_KVM_PAGE_TABLE;
	return vm_enter_state(vm, LV_STATE_CREATED);
}

/* ---- the configuration ---- */

/* From here on what we say is for who configured us, and not for who made us. */
static void take_messages(struct machine_config *config)
{
	if (config->messages_fd < 0)
		return;
	dup2(config->messages_fd, STDOUT_FILENO);
	dup2(config->messages_fd, STDERR_FILENO);
	close(config->messages_fd);
	config->messages_fd = -1;
}

int vm_receive(struct vm *vm, struct machine_config *config)
{
	if (config->configure_fd < 0)
		return 0;
	int err = configure_receive(config, &vm->status);
	if (err)
		return err;
	status_mark(&vm->status, LV_STEP_CONFIGURED);
	take_messages(config);
	adopt(vm);
	return 0;
}

int vm_add_device(struct vm *vm, const struct device_config *device)
{
	const char *what = NULL;
	int err = devices_add(&vm->devices, device, &what);
	return err ? log_error("%s: %s", what, strerror(-err)), err : 0;
}

int vm_add_configured_devices(struct vm *vm)
{
	int err = 0;
	for (unsigned i = 0; !err && i < vm->config->device_count; i++)
		err = vm_add_device(vm, &vm->config->device[i]);
	return err;
}

static int restore(struct vm *vm)
{
	struct error error = { 0 };
	int err = vm_saved_load(vm, &error);
	return err ? log_error("the saved VM cannot be restored: %s", error.text), err : 0;
}

static int fill_memory(struct vm *vm)
{
	if (!vm->restored && vm->config->ahead_state_fd >= 0)
		return log_error("this monitor has the memory of a saved VM, and starts no program"), -EINVAL;
	int err = vm->restored ? restore(vm) : vm->guest->configure(vm);
	if (err)
		return err;
	status_mark(&vm->status, LV_STEP_MEMORY);
	vm->status.record.state = LV_STATE_CONFIGURED;
	return 0;
}

/* A state may have come from anywhere, so it is not read with rights that somebody could want. */
static bool has_rights(const struct vm *vm)
{
	return !vm->guest->boot;
}

int vm_configure(struct vm *vm)
{
	int err = vm->guest->add_devices(vm);
	return err || (vm->restored && has_rights(vm)) ? err : fill_memory(vm);
}

/* ---- the last opens ---- */

static void on_signal(void *context, uint32_t events)
{
	struct vm *vm = context;
	struct signalfd_siginfo info;
	if (read(vm->signals.fd, &info, sizeof(info)) == sizeof(info))
		vm->guest->own_signal(vm, info.ssi_signo);
}

/*
 * What is sent to us is meant for the program. With a control socket the command line passes a terminal's signals on, and
 * Ctrl-C, which reaches both of us, must not arrive twice; SIGTERM, with which a machine that shuts down asks every process to
 * end, is for the program in any case.
 */
static int take_signals(struct vm *vm)
{
	static const int numbers[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	sigset_t set;
	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&set, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (vm->config->control_fd >= 0) {
		sigemptyset(&set);
		sigaddset(&set, SIGTERM);
	}
	vm->signals = (struct loop_watch){ .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .ready = on_signal, .context = vm };
	int err = vm->signals.fd < 0 ? -errno : loop_update(&vm->loop, &vm->signals, EPOLLIN);
	return err ? log_error("signals: %s", strerror(-err)), err : 0;
}

/* A VM in the foreground ends with who started it, however that came to its end. */
static void maker_gone(void *context, uint32_t events)
{
	struct vm *vm = context;
	if (!(events & (EPOLLHUP | EPOLLERR)))
		return;
	loop_update(&vm->loop, &vm->maker, 0);
	devices_abandon(&vm->devices);
	vcpu_end_all(vm, SIGKILL);
}

static int watch_maker(struct vm *vm)
{
	if (!vm->config->attached || vm->config->configure_fd < 0)
		return 0;
	vm->maker = (struct loop_watch){ .fd = vm->config->configure_fd, .ready = maker_gone, .context = vm };
	int err = loop_update(&vm->loop, &vm->maker, EPOLLPRI); /* which never comes: its end is told in any case */
	return err ? log_error("--control: %s", strerror(-err)), err : 0;
}

int vm_connect(struct vm *vm)
{
	int err = vm->guest->connect(vm);
	if (err)
		return err;
	err = control_start(&vm->control);
	if (err)
		return log_error("--control: %s", strerror(-err)), err;
	err = watch_maker(vm);
	return err ? err : take_signals(vm);
}

/* The guest does not run before these are gone. */
static void close_sources(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	const int sources[] = { config->state_fd, config->pages_fd, config->pager.device, config->ahead_image_fd, config->ahead_state_fd, config->kernel_fd, config->initrd_fd, config->files_fd, vm->libos.prefault.watched ? -1 : config->prefault_fd,
				vm->guest->kind == LV_GUEST_LIBOS && !vm->libos.prefault.watched ? config->image_fd : -1 };
	close_all(sources, sizeof(sources) / sizeof(*sources));
	if (!vm->guest->boot)
		close_makings(vm);
}

/* All of the guest's memory has its addresses by now, but for the image of one that was made ahead; stacks, buffers of connections and what malloc sets aside for threads come yet. */
static uint64_t address_space(const struct vm *vm)
{
	uint64_t mapped = vm->mapped ? vm->mapped + vm->libos.image_size : mapped_now();
	return mapped ? mapped + OWN_MEMORY + vm->vcpu_count * THREAD_MEMORY : 0;
}

/* What of the jail depends on the devices. */
static void know_devices(struct vm *vm)
{
	const struct device_rights rights = devices_rights(&vm->devices);
	struct jail *jail = &vm->jail;
	jail->is_linux = vm->guest->kind == LV_GUEST_LINUX;
	jail->disks = devices_find(&vm->devices, LV_DEV_BLOCK);
	jail->dials = rights.dials;
	jail->directory = vm->config->vsock_dir;
	jail->descriptors = OWN_DESCRIPTORS + (vm->config->pager.device >= 0 ? PAGER_DESCRIPTORS : 0) + vm->vcpu_count + DEVICE_DESCRIPTORS * vm->devices.count + rights.descriptors;
	jail->address_space = address_space(vm);
}

/* As boot() does of what boots ahead. The state is read after it, and before the filter, which would not let KVM have it. */
static int leave_rights(struct vm *vm)
{
	save_open(&vm->save);
	int err = enter_jail(vm, JAIL_CREATED);
	return err || !vm->restored ? err : fill_memory(vm);
}

int vm_jail(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	struct jail *jail = &vm->jail;
	know_devices(vm);
	int err = has_rights(vm) ? leave_rights(vm) : 0;
	if (err)
		return err;
	close_sources(vm);
	vm->status.record.jail = LV_JAIL_OFF;
	if (config->jail_off)
		return jail->directory >= 0 && fchdir(jail->directory) < 0 ? log_errno("--vsock") : 0;
	jail->threads = jail->full && jail->uid ? vm->vcpu_count + KERNEL_THREADS + (vm->pager != NULL) + (jail->disks ? DISK_WORKERS : 0) : 0;
	err = enter_jail(vm, JAIL_RUNNING);
	vm->status.record.jail = jail->full ? LV_JAIL_FULL : LV_JAIL_BASIC;
	return err;
}

/* ---- from the first instruction to the end ---- */

/* Its devices are paused, and its vCPUs know that they have something to look at. */
static void continue_restored(struct vm *vm)
{
	if (!(vm->config->restore & LV_RESTORE_PAUSED)) {
		devices_pause(&vm->devices, false);
		vm_enter_state(vm, LV_STATE_RUNNING);
		return;
	}
	if (vm->guest->pause)
		vm->guest->pause(vm);
	vcpu_pause_all(vm);
	vm_enter_state(vm, LV_STATE_PAUSED);
}

int vm_run(struct vm *vm)
{
	vm->status.record.start_realtime_ns = clock_wall();
	if (vm->restored)
		continue_restored(vm);
	else
		vm_enter_state(vm, LV_STATE_RUNNING);
	status_mark(&vm->status, vm->guest->boot ? LV_STEP_RESUMED : LV_STEP_RUN);
	int err = vm->loop_held ? 0 : loop_start(&vm->loop); /* after the rights are gone: capabilities belong to threads */
	let_loop_go(vm);
	if (err)
		return log_error("device loop: %s", strerror(-err)), err;
	configure_started(vm->config);
	return vcpu_run_all(vm);
}

static bool all_is_out(void *context)
{
	struct vm *vm = context;
	return vm->devices.abandoned || !vm->guest->drain || vm->guest->drain(vm);
}

/* What somebody may want for the next VM as soon as this one has ended. */
static bool holds_what_others_want(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->config->device_count; i++) {
		const struct device_config *device = &vm->config->device[i];
		if (device->type == LV_DEV_BLOCK || (device->type == LV_DEV_NET && !device->net.passt))
			return true;
	}
	return false;
}

/* All is written down and has gone out: who waits in the foreground need not wait for what the kernel takes back of a VM, which takes longer than an empty program runs. */
static void let_maker_go(struct vm *vm)
{
	if (vm->maker.fd < 0 || holds_what_others_want(vm))
		return;
	close(vm->maker.fd);
	vm->maker.fd = -1;
}

/* Told as waitpid would; our own failure if it never came to that. */
int vm_finish(struct vm *vm, int ended)
{
	bool own_error = ended < 0;
	int status = own_error ? OWN_ERROR << 8 : ended;
	let_loop_go(vm);
	if (vm->loop.started) {
		loop_lock(&vm->loop);
		if (!vm->devices.abandoned)
			devices_pause(&vm->devices, false); /* what the guest left goes out, also of one that ends while it stands still */
		loop_unlock(&vm->loop);
		if (own_error)
			devices_abandon(&vm->devices);
		devices_finish(&vm->devices);
		loop_finish(&vm->loop, all_is_out, vm);
	}
	vm->status.record.wait_status = status;
	vm->status.record.own_error = own_error;
	status_mark(&vm->status, LV_STEP_EXIT);
	status_write(&vm->status, LV_STATE_EXITED);
	if (vm->loop.started)
		loop_dismiss(&vm->loop);
	let_maker_go(vm);
	kvm_close(vm); /* quicker than the end of the process, which has the kernel wait for one grace period more */
	/* A process whose first thread ends before others has Linux look for another owner of its memory, among all processes of the machine. */
	loop_join(&vm->loop);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
