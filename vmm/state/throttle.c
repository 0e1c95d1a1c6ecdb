/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/throttle.h"

#include "base/clock.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

#define PERIOD_NS 20000000ull /* short beside what a client waits for, long beside what a stop takes */

/* Who stands still for its user, or a save, does so whatever is wished here. */
static bool stands_anyway(const struct vm *vm)
{
	return vm->pausing || vm->status.record.state != LV_STATE_RUNNING;
}

static void release(struct throttle *throttle)
{
	if (throttle->holds && !stands_anyway(throttle->vm))
		vcpu_resume_all(throttle->vm);
	throttle->holds = false;
}

static void take_turn(void *context)
{
	struct throttle *throttle = context;
	const uint64_t still = PERIOD_NS * throttle->percent / 100;

	if (throttle->holds) {
		release(throttle);
	} else if (!stands_anyway(throttle->vm)) {
		throttle->holds = true;
		vcpu_pause_all(throttle->vm);
	}
	loop_timer_set(&throttle->vm->loop, &throttle->turn, clock_now() + (throttle->holds ? still : PERIOD_NS - still));
}

void throttle_init(struct throttle *throttle, struct vm *vm)
{
	*throttle = (struct throttle){ .vm = vm, .turn = { .fire = take_turn, .context = throttle } };
}

void throttle_set(struct throttle *throttle, unsigned percent)
{
	const bool begins = percent && !throttle->percent;

	throttle->percent = percent;
	if (begins) {
		take_turn(throttle);
	} else if (!percent) {
		loop_timer_set(&throttle->vm->loop, &throttle->turn, 0);
		release(throttle);
	}
}
