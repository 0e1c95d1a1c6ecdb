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
#include "base/log.h"

#define OWN_DESCRIPTORS 64   /* files of the configuration, KVM, the loop, and 8 clients of the control socket with what they attach */
#define DEVICE_DESCRIPTORS 8 /* of one: its bell, its file and lock or four queues, its io_uring */
#define OWN_MEMORY (256ull << 20) /* malloc of glibc sets 128 MiB aside for a thread, and uses what it needs */
#define THREAD_MEMORY (2ull << 20)
#define KERNEL_THREADS 4 /* ours for the loop, and what KVM starts at a first KVM_RUN, which fails with EAGAIN where it cannot */
#define DISK_WORKERS 64  /* of io_uring */
#define PAUSE_NS 1000000000ull /* for all vCPUs to come to the barrier: an exit takes microseconds, a copy of 2 MiB a millisecond */
#define OWN_ERROR 125 /* exit status when it was not the program that failed */

static int signal_program(void *context, int number)
{
	struct vm *vm = context;
	return vm->guest->signal(vm, number);
}

static void kill_vm(void *context)
{
	vcpu_end_all(context, SIGKILL);
}

static int ask_threads(void *context)
{
	struct vm *vm = context;
	if (!vm->guest->ask_threads)
		return -EOPNOTSUPP;
	vm->guest->ask_threads(vm);
	return 0;
}

static int limit_memory(void *context, uint64_t bytes)
{
	struct vm *vm = context;
	return vm->guest->limit ? vm->guest->limit(vm, bytes) : -EOPNOTSUPP;
}

static void wake_vm(void *context)
{
	struct vm *vm = context;
	vcpu_wake(&vm->vcpu[0]);
}

/* Each edge of the VM's life is written where it is crossed. A record that cannot be written keeps no VM from running. */
static int enter_state(struct vm *vm, enum lv_state state)
{
	vm->status.record.ram_size = vm->ram_size;
	vm->status.record.ram_limit = vm->ram_limit;
	status_write(&vm->status, state);
	return 0;
}

/* ---- standing still ---- */

static void end_pausing(struct vm *vm, int result)
{
	vm->pausing = false;
	loop_timer_set(&vm->loop, &vm->patience, 0);
	control_paused(&vm->control, result);
}

static void stand_still(struct vm *vm)
{
	if (vm->guest->pause)
		vm->guest->pause(vm, true);
	devices_pause(&vm->devices, true);
	devices_quiesce(&vm->devices);
	enter_state(vm, LV_STATE_PAUSED);
	end_pausing(vm, 0);
}

static void go_on(struct vm *vm)
{
	devices_pause(&vm->devices, false);
	if (vm->guest->pause)
		vm->guest->pause(vm, false);
	enter_state(vm, LV_STATE_RUNNING);
	vcpu_resume_all(vm);
}

/* In the loop thread: the last vCPU has come, or time is over. */
static void look_at_vcpus(void *context)
{
	struct vm *vm = context;
	if (!vm->pausing)
		return;
	if (vcpu_all_stopped(vm)) {
		stand_still(vm);
	} else if (clock_now() < vm->pause_until) {
		loop_timer_set(&vm->loop, &vm->patience, vm->pause_until);
	} else {
		vcpu_resume_all(vm);
		end_pausing(vm, -ETIMEDOUT);
	}
}

/* In the last vCPU's thread. */
static void all_stopped(struct vm *vm)
{
	loop_lock(&vm->loop);
	if (vm->pausing)
		loop_timer_set(&vm->loop, &vm->patience, clock_now());
	loop_unlock(&vm->loop);
}

static int resume_vm(struct vm *vm)
{
	if (vm->status.record.state == LV_STATE_PAUSED) {
		go_on(vm);
	} else if (vm->pausing) {
		vcpu_resume_all(vm);
		end_pausing(vm, -ECANCELED);
	}
	return 0;
}

static int pause_vm(void *context, bool on)
{
	struct vm *vm = context;
	if (!on)
		return resume_vm(vm);
	if (vm->status.record.state == LV_STATE_PAUSED)
		return 0;
	if (!vm->pausing) {
		vm->pausing = true;
		vm->pause_until = clock_now() + PAUSE_NS;
		loop_timer_set(&vm->loop, &vm->patience, vm->pause_until);
		vcpu_pause_all(vm);
	}
	return 1;
}

/* What the VM's other parts have of the configuration: at the start, and again when it came by message. */
static void adopt(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	vm->guest = config->kernel_fd < 0 ? &libos_ops : &linux_ops;
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
	vm->devices.wake_context = vm;
	vm->status.devices = &vm->devices;
	control_init(&vm->control, &vm->loop, &vm->status, &vm->devices, config->control_fd);
	vm->control.signal = signal_program;
	vm->control.kill = kill_vm;
	vm->control.pause = pause_vm;
	vm->control.threads = ask_threads;
	vm->control.limit = limit_memory;
	vm->jail = (struct jail){ .full = !config->jail_basic && !config->jail_log, .required = config->jail_full, .log_only = config->jail_log,
		.inside = config->outer_pid, .uid = config->jail_uid, .parent = config->configure_fd, .directory = -1 };
	vm->patience = (struct loop_timer){ .fire = look_at_vcpus, .context = vm };
	vm->vcpus.stopped = all_stopped;
	vm->control.context = vm;
	adopt(vm);
}

/* The self-test takes two more VMs' worth of time, so its answer is kept: the first VM after a boot asks. */
static int find_kind(struct vm *vm)
{
	if (kvm_known_kind(vm) >= 0 || (vm->config->cpuid_fd < 0 && !vm->guest->needs_hardware))
		return 0;
	int kind = probe_kind(vm);
	if (kind >= 0)
		kvm_keep_kind(vm, kind);
	return kind < 0 ? -ENOTSUP : 0;
}

static int enter_jail(struct vm *vm, enum jail_stage stage)
{
	const char *step = NULL;
	int err = vm->config->jail_off ? 0 : jail_enter(&vm->jail, stage, &step);
	return err ? log_error("dropping rights, step \"%s\": %s", step, strerror(-err)), err : 0;
}

static int boot(struct vm *vm)
{
	vm->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	int err = enter_jail(vm, JAIL_CREATED);
	return err ? err : vm->guest->boot(vm);
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
		err = find_kind(vm);
	if (!err)
		err = vm->guest->build(vm);
	if (!err && vm->guest->boot)
		err = boot(vm);
	if (err)
		return err;
	int kind = kvm_known_kind(vm);
	vm->status.record.kvm = kind < 0 ? LV_KVM_UNKNOWN : kind ? LV_KVM_HARDWARE : LV_KVM_PAGE_TABLE;
	return enter_state(vm, LV_STATE_CREATED);
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

int vm_configure(struct vm *vm)
{
	int err = vm->guest->add_devices(vm);
	if (!err)
		err = vm->guest->configure(vm);
	if (err)
		return err;
	status_mark(&vm->status, LV_STEP_MEMORY);
	return enter_state(vm, LV_STATE_CONFIGURED);
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

/* What has done its work when the VM is configured: the guest's bytes are not looked at before these are gone. */
static void close_sources(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	const int sources[] = { config->cpuid_fd, config->libos_fd, config->kernel_fd, config->initrd_fd,
		vm->guest->kind == LV_GUEST_LIBOS ? config->image_fd : -1, vm->kvm_fd };
	for (unsigned i = 0; i < sizeof(sources) / sizeof(*sources); i++)
		if (sources[i] > STDERR_FILENO)
			close(sources[i]);
	vm->kvm_fd = -1;
}

/* Pages that are mapped now, or 0 where the kernel does not say. */
static uint64_t mapped_bytes(const struct vm *vm)
{
	char text[32];
	int fd = vm->guest->boot ? vm->statm_fd : open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return strtoull(text, NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* All of the guest's memory has its addresses by now; stacks, buffers of connections and what malloc sets aside for threads come yet. */
static uint64_t address_space(const struct vm *vm)
{
	uint64_t mapped = mapped_bytes(vm);
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
	jail->descriptors = OWN_DESCRIPTORS + vm->vcpu_count + DEVICE_DESCRIPTORS * vm->devices.count + rights.descriptors;
	jail->address_space = address_space(vm);
}

int vm_jail(struct vm *vm)
{
	close_sources(vm);
	const struct machine_config *config = vm->config;
	struct jail *jail = &vm->jail;
	know_devices(vm);
	vm->status.record.jail = LV_JAIL_OFF;
	if (config->jail_off)
		return jail->directory >= 0 && fchdir(jail->directory) < 0 ? log_errno("--vsock") : 0;
	int err = vm->guest->boot ? 0 : enter_jail(vm, JAIL_CREATED);
	jail->threads = jail->full && jail->uid ? vm->vcpu_count + KERNEL_THREADS + (jail->disks ? DISK_WORKERS : 0) : 0;
	if (!err)
		err = enter_jail(vm, JAIL_RUNNING);
	vm->status.record.jail = jail->full ? LV_JAIL_FULL : LV_JAIL_BASIC;
	return err;
}

/* ---- from the first instruction to the end ---- */

int vm_run(struct vm *vm)
{
	vm->status.record.start_realtime_ns = clock_wall();
	enter_state(vm, LV_STATE_RUNNING);
	status_mark(&vm->status, vm->guest->boot ? LV_STEP_RESUMED : LV_STEP_RUN);
	int err = loop_start(&vm->loop); /* after the rights are gone: capabilities belong to threads */
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

/* Told as waitpid would; our own failure if it never came to that. */
int vm_finish(struct vm *vm, int ended)
{
	bool own_error = ended < 0;
	int status = own_error ? OWN_ERROR << 8 : ended;
	if (vm->loop.started) {
		loop_lock(&vm->loop);
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
	kvm_close(vm); /* quicker than the end of the process, which has the kernel wait for one grace period more */
	/* A process whose first thread ends before others has Linux look for another owner of its memory, among all processes of the machine. */
	loop_join(&vm->loop);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
