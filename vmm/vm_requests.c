/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a VM that runs, over its control socket: all in the loop thread, and all but the end of it answered later where it takes time. */
#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "vmm/state/save_job.h"
#include "vmm/state/touched.h"
#include "vmm/vm.h"

#define PAUSE_NS 1000000000ull /* for all vCPUs to come to the barrier: an exit takes microseconds, a copy of 2 MiB a millisecond */

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

static int take_line(void *context, int fd)
{
	struct vm *vm = context;
	return vm->guest->agent ? vm->guest->agent(vm, fd) : -EOPNOTSUPP;
}

static int limit_memory(void *context, uint64_t bytes)
{
	struct vm *vm = context;
	return vm->guest->limit ? vm->guest->limit(vm, bytes) : -EOPNOTSUPP;
}

/* ---- standing still ---- */

static void end_pausing(struct vm *vm, int result)
{
	vm->pausing = false;
	loop_timer_set(&vm->loop, &vm->patience, 0);
	control_paused(&vm->control, result);
	save_stopped(&vm->save, result);
}

static void stand_still(struct vm *vm)
{
	if (vm->guest->pause)
		vm->guest->pause(vm);
	devices_pause(&vm->devices, true);
	devices_quiesce(&vm->devices);
	vm_enter_state(vm, LV_STATE_PAUSED);
	end_pausing(vm, 0);
}

static void go_on(struct vm *vm, bool advance)
{
	devices_pause(&vm->devices, false);
	if (vm->guest->resume)
		vm->guest->resume(vm, advance);
	vm_enter_state(vm, LV_STATE_RUNNING);
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

int vm_resume(struct vm *vm, bool advance)
{
	if (vm->status.record.state == LV_STATE_PAUSED) {
		go_on(vm, advance);
	} else if (vm->pausing) {
		vcpu_resume_all(vm);
		end_pausing(vm, -ECANCELED);
	}
	return 0;
}

int vm_pause(struct vm *vm)
{
	if (vm->status.record.state == LV_STATE_PAUSED)
		return 0;
	if (!vm->pausing) {
		vm->pausing = true;
		vm->pause_until = clock_now() + PAUSE_NS;
		loop_timer_set(&vm->loop, &vm->patience, vm->pause_until);
		vcpu_pause_all(vm);
		if (vcpu_all_stopped(vm)) /* held back as they are: none comes to the barrier any more to say so */
			loop_timer_set(&vm->loop, &vm->patience, clock_now());
	}
	return 1;
}

/* Its user's wishes, beside which there may be those of who saves it. */
static int pause_for_user(void *context)
{
	struct vm *vm = context;
	vm->save.stays = true;
	return vm_pause(vm);
}

static int resume_for_user(void *context, bool advance)
{
	struct vm *vm = context;
	int err = save_take_back(&vm->save);
	return err ? err : vm_resume(vm, advance);
}

static int save_vm(void *context, const int fd[3], int64_t what, struct error *error)
{
	struct vm *vm = context;
	return save_begin(&vm->save, fd, what, error);
}

static int look_at_memory(void *context, const int fd[2], bool again, int64_t what, struct error *error)
{
	struct vm *vm = context;
	return save_look(&vm->save, fd, again, what, error);
}

static int lend_disks(void *context, struct error *error)
{
	struct vm *vm = context;
	return save_lend(&vm->save, error);
}

static int take_disks_back(void *context)
{
	struct vm *vm = context;
	return save_take_back(&vm->save);
}

static int tell_touched(void *context, int fd, struct error *error)
{
	struct vm *vm = context;
	return touched_write(&vm->mem, vm->save.pagemap, fd, error);
}

static void end_saving(void *context, bool stays)
{
	struct vm *vm = context;
	save_over(&vm->save, stays);
}

void vm_take_requests(struct vm *vm)
{
	struct control *control = &vm->control;
	control->signal = signal_program;
	control->kill = kill_vm;
	control->pause = pause_for_user;
	control->resume = resume_for_user;
	control->save = save_vm;
	control->look = look_at_memory;
	control->lend = lend_disks;
	control->take_back = take_disks_back;
	control->save_over = end_saving;
	control->touched = tell_touched;
	control->threads = ask_threads;
	control->agent = take_line;
	control->limit = limit_memory;
	control->context = vm;
	vm->patience = (struct loop_timer){ .fire = look_at_vcpus, .context = vm };
	vm->vcpus.stopped = all_stopped;
	save_init(&vm->save, vm, vm_pause, vm_resume);
}
