/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that computes is interrupted now and then, so that other threads, timers and packets get a look; and libos has to show
 * that it is alive. All in the loop thread, unless said otherwise.
 */
#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/vm.h"

#define TICK_NS 10000000 /* how long a program may compute before its timers and packets get a look, if nothing is known to come */
#define LOOK_NS 1000000  /* where something is: the least time between two looks */
#define SLICE_NS 4000000 /* how long a thread may compute while others could */
#define HEARTBEAT_NS 1000000000ull /* of processor time: so often libos is asked to look for events, if nothing else asks it */
#define STUCK_NS 15000000000ull /* of processor time without an answer: libos is broken, and nothing but its end can be had from it */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) < 0)
		return 0;
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void arm(struct vm *vm, uint64_t ns)
{
	struct itimerspec tick = { .it_value.tv_nsec = (long)ns };

	timerfd_settime(vm->libos.tick.fd, 0, &tick, NULL);
}

/* Any thread. */
void libos_arm_tick(struct vm *vm, bool on)
{
	arm(vm, on ? TICK_NS : 0);
	atomic_store(&vm->libos.ticking, on);
}

/* Any thread. */
void libos_ring_bells(struct vm *vm, uint64_t bells)
{
	struct device_bell bell[LV_MAX_DEVICES];
	unsigned count = devices_bells(&vm->devices, bell);
	for (unsigned i = 0; i < count; i++)
		if (bells >> bell[i].offset / 4 & 1)
			if (write(bell[i].fd, &(uint64_t){ 1 }, 8) < 0)
				continue; /* the counter is full: it rings already */
}

/*
 * A program may have destroyed libos, of which it is a part, and a signal from outside would never arrive. libos answers by taking
 * back resched; one that gives out memory is at work, too.
 */
static void check_heartbeat(struct vm *vm)
{
	struct heartbeat *beat = &vm->libos.heartbeat;
	volatile struct lv_shared *shared = vm->libos.shared;
	uint64_t now = clock_ns(vm->libos.cpu_clock), used = shared->memory_used;
	if (!shared->resched || used != beat->memory_used)
		beat->answered = now;
	beat->memory_used = used;
	bool stuck = now - beat->answered >= STUCK_NS;
	if (!stuck && now - beat->asked < HEARTBEAT_NS)
		return;
	beat->asked = now;
	shared->resched = 1;
	vcpu_request(&vm->vcpu[0], stuck ? VCPU_KICK | VCPU_STUCK : VCPU_KICK);
}

/*
 * Interrupts the program for what has come, and comes back when something will: for the guest's next event, but not sooner than in
 * LOOK_NS. What an interrupt leads to, and the deadlines of who gets the processor then, are seen in a look soon after.
 */
static void check_events(struct vm *vm)
{
	struct libos_guest *guest = &vm->libos;
	const struct device *net = devices_find(&vm->devices, LV_DEV_NET);
	uint64_t frames = net ? net->stats.requests[LV_NET_RX] : 0, next = libos_clock_to_host(vm, guest->shared->next_event_ns), now = clock_ns(CLOCK_MONOTONIC);
	bool others = guest->shared->want_preempt, due = next && next <= now;

	libos_ring_bells(vm, ~0ull); /* the guest puts doorbells off; one that never comes back to ring them is heard all the same */
	if (due || frames != guest->frames_seen || (others && now - guest->slice_start >= SLICE_NS)) {
		guest->slice_start = now;
		vcpu_request(&vm->vcpu[0], VCPU_KICK);
		arm(vm, LOOK_NS);
	} else if (others) {
		arm(vm, LOOK_NS);
	} else {
		guest->slice_start = now; /* others may come at any time from now on */
		arm(vm, !next || next - now >= TICK_NS ? TICK_NS : next - now < LOOK_NS ? LOOK_NS : next - now);
	}
	guest->frames_seen = frames;
}

/* An idle VM has no ticks: the first one that finds it waiting is its last until it runs again. */
static void on_tick(void *context, uint32_t events)
{
	struct vm *vm = context;
	struct vcpu *vcpu = &vm->vcpu[0];
	uint64_t count;
	if (read(vm->libos.tick.fd, &count, sizeof(count)) < 0)
		return;
	if (atomic_load(&vcpu->waiting)) {
		libos_arm_tick(vm, false);
		if (!atomic_load(&vcpu->waiting)) /* its wait ended meanwhile, perhaps before it could see that ticks are off */
			libos_arm_tick(vm, true);
		return;
	}
	check_events(vm);
	check_heartbeat(vm);
}

int libos_make_tick(struct vm *vm)
{
	struct libos_guest *guest = &vm->libos;
	guest->tick = (struct loop_watch){ .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), .ready = on_tick, .context = vm };
	if (guest->tick.fd < 0)
		return log_error("timerfd: %s", strerror(errno)), -errno;
	int err = loop_update(&vm->loop, &guest->tick, EPOLLIN);
	return err ? log_error("timerfd: %s", strerror(-err)), err : 0;
}

int libos_start_tick(struct vm *vm)
{
	if (pthread_getcpuclockid(pthread_self(), &vm->libos.cpu_clock))
		return log_error("the vCPU thread has no clock of its own"), -ENOTSUP;
	libos_arm_tick(vm, true);
	return 0;
}
