/* SPDX-License-Identifier: Apache-2.0 */
/* The vCPU's thread: runs the guest, answers hypercalls, sleeps for it, and interrupts it when somebody asks. */
#include "vmm/vm.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/layout.h"
#include "vmm/log.h"

#define KICK_SIGNAL SIGUSR1
#define TICK_NS 10000000 /* how long a program may compute before its other threads, timers and packets get a look */
#define HEARTBEAT_NS 1000000000ull /* of processor time: so often libos is asked to look for events, if nothing else asks it */
#define STUCK_NS 15000000000ull /* of processor time without an answer: libos is broken, and nothing but its end can be had from it */
#define BUSY_BELL 64     /* exits for one doorbell before it becomes an ioeventfd */
#define RUNNING (-1)     /* an answer of the exit handlers: go on */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* ---- waking and kicking ---- */

static void futex(atomic_uint *word, int operation, unsigned value, const struct timespec *deadline)
{
	syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);
}

void vcpu_wake(void *context)
{
	struct vm *vm = context;
	if (atomic_exchange(&vm->vcpu.wake_word, 1) == 0 && atomic_load(&vm->vcpu.waiting))
		futex(&vm->vcpu.wake_word, FUTEX_WAKE, 1, NULL);
}

/* immediate_exit covers the moment between our last look and KVM_RUN; the signal covers the time after. */
void vcpu_kick(struct vm *vm)
{
	atomic_store(&vm->vcpu.kicked, true);
	if (!vm->vcpu.run)
		return; /* it is over */
	vm->vcpu.run->immediate_exit = 1;
	pthread_kill(vm->vcpu.thread, KICK_SIGNAL);
}

void vcpu_kill(void *context)
{
	struct vm *vm = context;
	atomic_store(&vm->vcpu.killed, true);
	vcpu_wake(vm);
	vcpu_kick(vm);
}

static void on_kick(int signal)
{
	(void)signal; /* that KVM_RUN ends with EINTR is all */
}

static void arm_tick(struct vm *vm, bool on)
{
	struct itimerspec tick = {0};
	if (on)
		tick.it_value.tv_nsec = tick.it_interval.tv_nsec = TICK_NS;
	timerfd_settime(vm->tick.fd, 0, &tick, NULL);
	atomic_store(&vm->vcpu.ticking, on);
}

static void ring_bells(struct vm *vm, uint64_t bells)
{
	struct device_bell bell[LV_MAX_DEVICES];
	unsigned count = devices_bells(&vm->devices, bell);
	for (unsigned i = 0; i < count; i++)
		if (bells >> bell[i].offset / 4 & 1)
			if (write(bell[i].fd, &(uint64_t){1}, 8) < 0)
				continue; /* the counter is full: it rings already */
}

static uint64_t cpu_ns(const struct vm *vm)
{
	struct timespec t;
	if (clock_gettime(vm->vcpu.cpu_clock, &t) < 0)
		return 0;
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/*
 * In the loop thread, at each tick: a program may have destroyed libos, of which it is a part, and a signal from outside would
 * never arrive. libos answers by taking back resched; one that gives out memory is at work, too.
 */
static void check_heartbeat(struct vm *vm)
{
	struct heartbeat *beat = &vm->heartbeat;
	uint64_t now = cpu_ns(vm), used = vm->shared->memory_used;
	if (!vm->shared->resched || used != beat->memory_used)
		beat->answered = now;
	beat->memory_used = used;
	if (now - beat->answered >= STUCK_NS)
		atomic_store(&vm->vcpu.stuck, true);
	else if (now - beat->asked < HEARTBEAT_NS)
		return;
	beat->asked = now;
	vm->shared->resched = 1;
	vcpu_kick(vm);
}

/* In the loop thread. An idle VM has no ticks: the first one that finds it waiting is its last until it runs again. */
static void on_tick(void *context, uint32_t events)
{
	struct vm *vm = context;
	uint64_t count;
	if (read(vm->tick.fd, &count, sizeof(count)) < 0)
		return;
	if (atomic_load(&vm->vcpu.waiting)) {
		arm_tick(vm, false);
		if (!atomic_load(&vm->vcpu.waiting)) /* its wait ended meanwhile, perhaps before it could see that ticks are off */
			arm_tick(vm, true);
		return;
	}
	ring_bells(vm, ~0ull); /* the guest puts doorbells off; one that never comes back to ring them is heard all the same */
	const struct device *net = devices_find(&vm->devices, LV_DEV_NET);
	uint64_t frames = net ? net->stats.requests[LV_NET_RX] : 0, next = vm->shared->next_event_ns;
	if (vm->shared->want_preempt || (next && next <= now_ns()) || frames != vm->frames_seen)
		vcpu_kick(vm);
	vm->frames_seen = frames;
	check_heartbeat(vm);
}

int vcpu_start(struct vm *vm)
{
	struct sigaction action = {.sa_handler = on_kick};
	sigaction(KICK_SIGNAL, &action, NULL);
	vm->vcpu.thread = pthread_self();
	if (pthread_getcpuclockid(vm->vcpu.thread, &vm->vcpu.cpu_clock))
		return log_error("the vCPU thread has no clock of its own"), -ENOTSUP;
	vm->tick = (struct loop_watch){.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), .ready = on_tick, .context = vm};
	if (vm->tick.fd < 0)
		return log_error("timerfd: %s", strerror(errno)), -errno;
	arm_tick(vm, true);
	return loop_update(&vm->loop, &vm->tick, EPOLLIN);
}

/* ---- hypercalls ---- */

static void wait_for_event(struct vm *vm, uint64_t deadline)
{
	struct vcpu *vcpu = &vm->vcpu;
	struct timespec until = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000};
	if (!vm->shared->need_wake)
		return;
	atomic_store(&vcpu->waiting, true);
	while (!atomic_load(&vcpu->wake_word) && !vm->shared->signals && !atomic_load(&vcpu->killed)) {
		if (deadline && now_ns() >= deadline)
			break;
		vm->status.record.waits++;
		futex(&vcpu->wake_word, FUTEX_WAIT_BITSET, 0, deadline ? &until : NULL);
	}
	atomic_store(&vcpu->wake_word, 0);
	atomic_store(&vcpu->waiting, false);
	if (!atomic_load(&vcpu->ticking))
		arm_tick(vm, true);
}

static int64_t release(struct vm *vm, uint64_t count)
{
	if (count > LV_RELEASE_SLOTS)
		return -EINVAL;
	for (uint64_t i = 0; i < count; i++) {
		struct lv_range range = vm->shared->release[i];
		int result = libos_release(vm, &range);
		if (result < 0)
			return result;
	}
	return 0;
}

/* RUNNING, or the wait status that the VM ends with. */
static int hypercall(struct vm *vm, uint32_t number)
{
	const uint64_t a0 = vm->shared->arg[0], a1 = vm->shared->arg[1], a2 = vm->shared->arg[2];
	switch (number) {
	case LV_HC_WAIT:
		ring_bells(vm, a1);
		wait_for_event(vm, a0);
		vm->shared->result = 0;
		return RUNNING;
	case LV_HC_EXIT:
		return a0 & 0xffff;
	case LV_HC_CRASH:
		vm->status.record.crashed = 1;
		return a0 & 0x7f ? (int)(a0 & 0x7f) : SIGABRT;
	case LV_HC_GROW:
		vm->shared->result = libos_grow(vm, a0);
		vm->status.record.ram_size = vm->ram_size;
		return RUNNING;
	case LV_HC_RELEASE:
		vm->shared->result = release(vm, a0);
		return RUNNING;
	case LV_HC_FETCH:
		vm->shared->result = libos_fetch(vm, a0, a1, a2);
		return RUNNING;
	case LV_HC_LISTEN:
		vm->shared->result = 0;
		status_write(&vm->status, LV_STATE_RUNNING);
		return RUNNING;
	}
	vm->shared->result = -ENOSYS;
	return RUNNING;
}

/* ---- exits ---- */

/* The VM ends because of what KVM says; the registers are in the report as far as KVM still has them. */
static int give_up(struct vm *vm, const char *what)
{
	struct kvm_regs r;
	if (ioctl(vm->vcpu.fd, KVM_GET_REGS, &r) == 0) {
		const uint64_t reg[18] = {r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12,
					  r.r13, r.r14, r.r15, r.rip, r.rflags};
		for (int i = 0; i < 18; i++)
			vm->shared->crash.reg[i] = reg[i];
	}
	vm->shared->crash.kind = LV_CRASH_LIBOS;
	vm->shared->crash.signal = SIGABRT;
	for (size_t i = 0; i < sizeof(vm->shared->crash.message) - 1 && (i == 0 || what[i - 1]); i++)
		vm->shared->crash.message[i] = what[i];
	vm->status.record.crashed = 1;
	strncpy(vm->status.record.error, what, sizeof(vm->status.record.error) - 1);
	return SIGABRT;
}

/*
 * A doorbell becomes an ioeventfd once it proves busy. Until then each ring is an exit: 60 us more, but a VM that never had an
 * ioeventfd is gone in 0.1 ms, while its removal waits 10-16 ms for a grace period of the host's kernel (Linux 6.18).
 */
static int bell_exit(struct vm *vm, uint64_t offset)
{
	struct device_bell bell[LV_MAX_DEVICES];
	unsigned count = devices_bells(&vm->devices, bell), index = offset / 4;
	if (index >= count || index >= LV_MAX_DEVICES || offset != bell[index].offset)
		return RUNNING; /* a doorbell that nobody listens to */
	ring_bells(vm, 1ull << index);
	if (++vm->vcpu.bell_exits[index] == BUSY_BELL && kvm_add_bell(vm, &bell[index]) < 0)
		return give_up(vm, "KVM refused a doorbell");
	return RUNNING;
}

static int on_mmio(struct vm *vm)
{
	const struct kvm_run *run = vm->vcpu.run;
	vm->status.record.exits_mmio++;
	if (run->mmio.phys_addr == LV_BELL_GPA + LV_BELL_HYPERCALL && run->mmio.is_write && run->mmio.len == 4) {
		uint32_t number;
		memcpy(&number, run->mmio.data, 4);
		return hypercall(vm, number);
	}
	if (run->mmio.phys_addr >> 12 == LV_BELL_GPA >> 12)
		return bell_exit(vm, run->mmio.phys_addr & 0xfff);
	char text[96];
	snprintf(text, sizeof(text), "the guest used guest-physical address %#llx, where nothing is", (unsigned long long)run->mmio.phys_addr);
	return give_up(vm, text);
}

/* The vCPU was stopped on its way into a trap: KVM delivers that first, from wherever RIP and RSP then point to. */
static bool trap_underway(const struct vm *vm)
{
	struct kvm_vcpu_events events;
	if (ioctl(vm->vcpu.fd, KVM_GET_VCPU_EVENTS, &events) < 0)
		return false;
	return events.exception.injected || events.exception.pending || events.interrupt.injected;
}

/* The program computes and somebody wants it interrupted: go on in libos, which finds where it was in the shared page. */
static int upcall(struct vm *vm)
{
	struct kvm_regs regs;
	if (ioctl(vm->vcpu.fd, KVM_GET_REGS, &regs) < 0)
		return give_up(vm, "KVM_GET_REGS failed");
	vm->shared->resched = 1;
	if (trap_underway(vm))
		return RUNNING; /* libos looks at resched at the end of the trap */
	if (regs.rip >> 30 == LV_BASE >> 30)
		return RUNNING; /* in libos or a stub: it looks at resched on its way back */
	vm->shared->upcall.rip = regs.rip;
	vm->shared->upcall.rflags = regs.rflags;
	vm->shared->upcall.rsp = regs.rsp;
	regs.rip = vm->upcall_entry;
	regs.rflags = LV_RFLAGS;
	return ioctl(vm->vcpu.fd, KVM_SET_REGS, &regs) < 0 ? give_up(vm, "KVM_SET_REGS failed") : RUNNING;
}

static int on_interrupted(struct vm *vm)
{
	vm->vcpu.run->immediate_exit = 0;
	vm->status.record.exits_signal++;
	if (atomic_load(&vm->vcpu.killed))
		return SIGKILL;
	if (atomic_load(&vm->vcpu.stuck))
		return give_up(vm, "the library OS does not answer any more: the program has damaged it, or it hangs");
	return atomic_exchange(&vm->vcpu.kicked, false) ? upcall(vm) : RUNNING;
}

static int on_exit_reason(struct vm *vm)
{
	char text[96];
	switch (vm->vcpu.run->exit_reason) {
	case KVM_EXIT_MMIO:
		return on_mmio(vm);
	case KVM_EXIT_INTR:
		return RUNNING;
	case KVM_EXIT_SHUTDOWN:
		return give_up(vm, "triple fault: the guest destroyed its own page tables or descriptor tables");
	case KVM_EXIT_FAIL_ENTRY:
		return give_up(vm, "the processor refused the guest's state");
	case KVM_EXIT_INTERNAL_ERROR:
		return give_up(vm, "KVM could not emulate what the guest did at level 0");
	}
	snprintf(text, sizeof(text), "the guest left for a reason it never has (KVM exit %u)", vm->vcpu.run->exit_reason);
	return give_up(vm, text);
}

int vcpu_run(struct vm *vm)
{
	status_mark(&vm->status, LV_STEP_RUN);
	for (int status;;) {
		int result = ioctl(vm->vcpu.fd, KVM_RUN, 0);
		vm->shared->exits = ++vm->status.record.exits;
		if (result == 0)
			status = on_exit_reason(vm);
		else if (errno == EINTR || errno == EAGAIN)
			status = on_interrupted(vm);
		else if (errno == EFAULT)
			status = give_up(vm, "the guest wrote to its image, or touched memory that it does not have");
		else
			return log_error("KVM_RUN: %s", strerror(errno)), -errno;
		if (atomic_load(&vm->vcpu.killed))
			return SIGKILL;
		if (status != RUNNING)
			return status;
	}
}
