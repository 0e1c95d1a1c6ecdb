/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/vm_state.h"

#define KICK_SIGNAL SIGUSR1
#define STACK_SIZE (64 << 10)
#define NS_PER_S 1000000000ull
#define STOP_SECONDS 1 /* for all vCPUs to come to the barrier: an exit takes microseconds, a copy of 2 MiB a millisecond */

void vcpus_init(struct vm *vm)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&vm->vcpus.lock, NULL);
	pthread_cond_init(&vm->vcpus.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	atomic_init(&vm->vcpus.end, VCPU_RUNNING);
}

static bool over(const struct vm *vm)
{
	return atomic_load(&vm->vcpus.end) != VCPU_RUNNING;
}

/* ---- asking something of a vCPU ---- */

static void wake_sleeper(struct vcpu *vcpu)
{
	if (atomic_load(&vcpu->waiting))
		syscall(SYS_futex, &vcpu->requests, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

void vcpu_wake(struct vcpu *vcpu)
{
	if (!(atomic_fetch_or(&vcpu->requests, VCPU_WAKE) & VCPU_WAKE))
		wake_sleeper(vcpu);
}

/* immediate_exit covers the moment between the vCPU's last look and KVM_RUN; the signal covers the time after. */
static void leave_guest(struct vcpu *vcpu)
{
	struct vcpus *vcpus = &vcpu->vm->vcpus;

	pthread_mutex_lock(&vcpus->lock);
	if (vcpu->run)
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	/* Not by pthread_kill, of which C libraries make system calls that say less: the filter allows this one, with these numbers. */
	if (vcpu->started && vcpu->tid && !pthread_equal(vcpu->thread, pthread_self()))
		syscall(SYS_tgkill, getpid(), vcpu->tid, KICK_SIGNAL);
	pthread_mutex_unlock(&vcpus->lock);
}

void vcpu_request(struct vcpu *vcpu, unsigned requests)
{
	atomic_fetch_or(&vcpu->requests, requests);
	wake_sleeper(vcpu);
	leave_guest(vcpu);
}

void vcpu_end_all(struct vm *vm, int wait_status)
{
	int running = VCPU_RUNNING;

	if (!atomic_compare_exchange_strong(&vm->vcpus.end, &running, wait_status))
		return;
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_request(&vm->vcpu[i], VCPU_KILL);
	pthread_mutex_lock(&vm->vcpus.lock);
	pthread_cond_broadcast(&vm->vcpus.changed); /* who stands at the barrier goes on to its end */
	pthread_mutex_unlock(&vm->vcpus.lock);
}

int vcpu_give_up(struct vcpu *vcpu, const char *what)
{
	struct vm *vm = vcpu->vm;

	loop_lock(&vm->loop);
	status_fail(&vm->status, what);
	if (vm->guest->on_give_up)
		vm->guest->on_give_up(vcpu, what);
	loop_unlock(&vm->loop);
	return SIGABRT;
}

/* ---- waiting ---- */

bool vcpu_sleep(struct vcpu *vcpu, uint64_t deadline)
{
	const struct timespec until = { .tv_sec = deadline / NS_PER_S, .tv_nsec = deadline % NS_PER_S };
	unsigned asked;
	bool timeout = false;

	atomic_store(&vcpu->waiting, true);
	while (!((asked = atomic_load(&vcpu->requests)) & ~VCPU_KICK) && !timeout) {
		status_count(&vcpu->vm->status.counts.waits);
		timeout = syscall(SYS_futex, &vcpu->requests, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, asked, deadline ? &until : NULL, NULL,
				  FUTEX_BITSET_MATCH_ANY) < 0 && errno == ETIMEDOUT;
	}
	atomic_store(&vcpu->waiting, false);
	if (!timeout && !(asked & VCPU_WAKE)) {
		/* Its exit is completed, but the guest does not run, with a WAIT underway: whoever asks may be later with leave_guest() than we are there. */
		__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		return false;
	}
	atomic_fetch_and(&vcpu->requests, ~VCPU_WAKE);
	vcpu->wait.underway = false;
	return true;
}

/* ---- the barrier ---- */

static bool all_parked(const struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		if (!vm->vcpu[i].parked)
			return false;
	return true;
}

static bool has_to_stand(const struct vcpu *vcpu)
{
	return atomic_load(&vcpu->requests) & (VCPU_PAUSE | VCPU_LACKS) && !over(vcpu->vm);
}

/* True: with the lock given up meanwhile, as who hears of it will want the loop's. */
static bool tell_if_last(struct vm *vm)
{
	struct vcpus *vcpus = &vm->vcpus;

	if (!vcpus->stopped || !all_parked(vm))
		return false;
	pthread_mutex_unlock(&vcpus->lock);
	vcpus->stopped(vm);
	pthread_mutex_lock(&vcpus->lock);
	return true;
}

/* Told each time that it wakes: a pause right after the end of the one before finds who never left. */
static void park(struct vcpu *vcpu)
{
	struct vcpus *vcpus = &vcpu->vm->vcpus;

	pthread_mutex_lock(&vcpus->lock);
	vcpu->parked = true;
	pthread_cond_broadcast(&vcpus->changed);
	while (has_to_stand(vcpu) && (!tell_if_last(vcpu->vm) || has_to_stand(vcpu)))
		pthread_cond_wait(&vcpus->changed, &vcpus->lock);
	vcpu->parked = false;
	pthread_mutex_unlock(&vcpus->lock);
}

static int await_parked(struct vm *vm)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_SECONDS;
	pthread_mutex_lock(&vm->vcpus.lock);
	while (!err && !over(vm) && !all_parked(vm))
		err = pthread_cond_timedwait(&vm->vcpus.changed, &vm->vcpus.lock, &until);
	pthread_mutex_unlock(&vm->vcpus.lock);
	return over(vm) ? -ESRCH : -err;
}

void vcpu_pause_all(struct vm *vm)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		vcpu_request(&vm->vcpu[i], VCPU_PAUSE);
}

bool vcpu_all_stopped(struct vm *vm)
{
	bool all;

	pthread_mutex_lock(&vm->vcpus.lock);
	all = all_parked(vm);
	pthread_mutex_unlock(&vm->vcpus.lock);
	return all;
}

int vcpu_stop_all(struct vm *vm)
{
	int err;

	vcpu_pause_all(vm);
	err = await_parked(vm);
	if (err)
		vcpu_resume_all(vm);
	return err;
}

static void release_all(struct vm *vm, unsigned request)
{
	for (unsigned i = 0; i < vm->vcpu_count; i++)
		atomic_fetch_and(&vm->vcpu[i].requests, ~request);
	pthread_mutex_lock(&vm->vcpus.lock);
	pthread_cond_broadcast(&vm->vcpus.changed);
	pthread_mutex_unlock(&vm->vcpus.lock);
}

void vcpu_resume_all(struct vm *vm)
{
	release_all(vm, VCPU_PAUSE);
}

void vcpu_hold_all(struct vm *vm, bool on)
{
	if (!on)
		release_all(vm, VCPU_LACKS);
	for (unsigned i = 0; on && i < vm->vcpu_count; i++)
		vcpu_request(&vm->vcpu[i], VCPU_LACKS);
}

/* ---- the run loop ---- */

static int on_stuck(struct vcpu *vcpu)
{
	return vcpu_give_up(vcpu, "the library OS does not answer any more: the program has damaged it, or it hangs");
}

/* KVM_RUN was cut short, with the last exit completed. What was asked before we look is seen, what comes later interrupts again. */
static int on_interrupted(struct vcpu *vcpu)
{
	const struct guest_ops *guest = vcpu->vm->guest;
	unsigned asked;

	__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	status_count(&vcpu->vm->status.counts.exits_signal);
	asked = atomic_fetch_and(&vcpu->requests, ~(VCPU_KICK | VCPU_STUCK));
	if (over(vcpu->vm))
		return VCPU_RUNNING;
	if (asked & VCPU_STUCK)
		return on_stuck(vcpu);
	if (asked & (VCPU_PAUSE | VCPU_LACKS))
		park(vcpu);
	return asked & VCPU_KICK && guest->on_kick && !over(vcpu->vm) ? guest->on_kick(vcpu) : VCPU_RUNNING;
}

static int on_error(struct vcpu *vcpu, int error)
{
	char text[96];

	if (error == EFAULT)
		return vcpu_give_up(vcpu, vcpu->vm->guest->bad_memory);
	snprintf(text, sizeof(text), "KVM_RUN of vCPU %u: %s", vcpu->index, strerror(error));
	return vcpu_give_up(vcpu, text);
}

static int enter_guest(struct vcpu *vcpu)
{
	int result = ioctl(vcpu->fd, KVM_RUN, 0), error = errno;
	uint64_t exits = status_count(&vcpu->vm->status.counts.exits);

	if (vcpu->exits_shown)
		*vcpu->exits_shown = exits;
	if (result == 0)
		return vcpu->vm->guest->on_exit(vcpu);
	return error == EINTR || error == EAGAIN ? on_interrupted(vcpu) : on_error(vcpu, error);
}

static void run(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	while (!over(vm)) {
		int status = enter_guest(vcpu);

		if (status == VCPU_RUNNING && vcpu->wait.underway && !over(vm))
			status = vm->guest->on_wait(vcpu);
		if (status != VCPU_RUNNING)
			vcpu_end_all(vm, status);
	}
}

int vcpu_boot(struct vm *vm)
{
	int status;

	do
		status = enter_guest(&vm->vcpu[0]);
	while (status == VCPU_RUNNING);
	return status;
}

/* ---- threads ---- */

static void on_kick_signal(int signal)
{
	(void)signal; /* that KVM_RUN ends with EINTR is all */
}

static void set_tid(struct vcpu *vcpu)
{
	pthread_mutex_lock(&vcpu->vm->vcpus.lock);
	vcpu->tid = (pid_t)syscall(SYS_gettid);
	pthread_mutex_unlock(&vcpu->vm->vcpus.lock);
}

static void *thread(void *context)
{
	set_tid(context);
	run(context);
	return NULL;
}

static int start_thread(struct vm *vm, struct vcpu *vcpu, const pthread_attr_t *attr)
{
	int err;

	pthread_mutex_lock(&vm->vcpus.lock);
	err = pthread_create(&vcpu->thread, attr, thread, vcpu);
	vcpu->started = !err;
	pthread_mutex_unlock(&vm->vcpus.lock);
	return err ? log_error("a thread for vCPU %u: %s", vcpu->index, strerror(err)), -err : 0;
}

static int start_others(struct vm *vm)
{
	pthread_attr_t attr;
	int err = 0;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (unsigned i = 1; !err && i < vm->vcpu_count; i++)
		err = start_thread(vm, &vm->vcpu[i], &attr);
	pthread_attr_destroy(&attr);
	return err;
}

/* From here on nobody kicks the thread any more: it may be joined. */
static bool forget_thread(struct vcpu *vcpu)
{
	bool started;

	pthread_mutex_lock(&vcpu->vm->vcpus.lock);
	started = vcpu->started;
	vcpu->started = false;
	pthread_mutex_unlock(&vcpu->vm->vcpus.lock);
	return started;
}

/* Each is told once more: who ended the VM may have been stopped between us and them, and would pass over whom we have forgotten. */
static void join_others(struct vm *vm)
{
	for (unsigned i = 1; i < vm->vcpu_count; i++) {
		vcpu_request(&vm->vcpu[i], VCPU_KILL);
		if (forget_thread(&vm->vcpu[i]))
			pthread_join(vm->vcpu[i].thread, NULL);
	}
}

static void take_part(struct vcpu *vcpu)
{
	const struct sigaction action = { .sa_handler = on_kick_signal };

	sigaction(KICK_SIGNAL, &action, NULL);
	pthread_mutex_lock(&vcpu->vm->vcpus.lock);
	vcpu->thread = pthread_self();
	vcpu->tid = (pid_t)syscall(SYS_gettid);
	vcpu->started = true;
	pthread_mutex_unlock(&vcpu->vm->vcpus.lock);
}

int vcpu_run_all(struct vm *vm)
{
	int err;

	take_part(&vm->vcpu[0]);
	err = start_others(vm);
	if (err)
		vcpu_end_all(vm, SIGKILL);
	run(&vm->vcpu[0]);
	forget_thread(&vm->vcpu[0]);
	join_others(vm);
	return err ? err : atomic_load(&vm->vcpus.end);
}
