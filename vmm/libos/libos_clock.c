/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's clocks. It reckons them from the time-stamp counter and what the device page says, and so do we: the host's clocks are steered (NTP),
 * and a day of that is more than a timer may be late.
 */
#include <errno.h>

#include "base/clock.h"
#include "vmm/vm.h"

#define LATEST (UINT64_MAX / 4) /* ns; some 146 years: libos' timers know no later time */

static uint64_t since_base(const struct libos_clock *clock)
{
	uint64_t ticks = __builtin_ia32_rdtsc() - clock->tsc_base;

	return (int64_t)ticks < 0 ? 0 : (uint64_t)((unsigned __int128)ticks * clock->tsc_mult >> 32);
}

/* base is what the clocks show at this moment. */
static void publish(struct vm *vm, const struct libos_time *base)
{
	struct libos_clock *clock = &vm->libos.clock;
	struct lv_device_page *page = vm->libos.device_page;

	clock->base = *base;
	clock->tsc_base = __builtin_ia32_rdtsc();
	vm->status.clock = (struct status_clock){ clock->tsc_base, clock->tsc_mult, clock_now() };
	page->tsc_mult = clock->tsc_mult;
	page->tsc_base = clock->tsc_base;
	for (unsigned i = 0; i < LV_CLOCKS; i++)
		page->clock_base_ns[i] = base->ns[i];
	page->clock_sequence++;
}

int libos_clock_start(struct vm *vm)
{
	uint64_t now;
	uint32_t khz;
	int err = kvm_tsc_khz(&vm->vcpu[0], &khz);

	if (err)
		return err;
	vm->libos.device_page->tsc_hz = khz * 1000ull;
	vm->libos.clock.tsc_mult = (uint64_t)(((unsigned __int128)NS_PER_S << 32) / (khz * 1000ull));
	now = clock_now();
	publish(vm, &(struct libos_time){ .ns = { now, clock_wall(), now, now } });
	return 0;
}

void libos_clock_read(const struct vm *vm, struct libos_time *now)
{
	const struct libos_clock *clock = &vm->libos.clock;
	uint64_t passed = since_base(clock);

	for (unsigned i = 0; i < LV_CLOCKS; i++)
		now->ns[i] = clock->base.ns[i] + passed;
}

void libos_clock_stop(struct vm *vm)
{
	libos_clock_read(vm, &vm->libos.clock.stopped);
	vm->libos.clock.stopped_at = clock_now();
}

static void go_on(struct vm *vm, const struct libos_time *from, uint64_t passed, bool advance)
{
	struct libos_time to = *from;

	to.ns[LV_CLOCK_BOOTTIME] += passed;
	if (advance)
		to.ns[LV_CLOCK_MONOTONIC] += passed;
	to.ns[LV_CLOCK_REALTIME] = clock_wall();
	publish(vm, &to);
}

void libos_clock_go_on(struct vm *vm, bool advance)
{
	const struct libos_time from = vm->libos.clock.stopped;

	go_on(vm, &from, clock_now() - vm->libos.clock.stopped_at, advance);
}

/* Counts of the time-stamp counter of another life. That they were reached is still true. */
static void mark_anew(struct vm *vm)
{
	volatile struct lv_ledger_mark *mark = vm->libos.shared->ledger;

	for (unsigned i = 0; i < LV_LEDGER_SLOTS; i++)
		if (mark[i].tsc)
			mark[i] = (struct lv_ledger_mark){ .tsc = vm->libos.clock.tsc_base };
}

int libos_clock_restore(struct vm *vm, const struct libos_time *from, bool advance)
{
	const uint64_t now = clock_wall(), then = from->ns[LV_CLOCK_REALTIME], passed = now > then ? now - then : 0;

	for (unsigned i = 0; i < LV_CLOCKS; i++)
		if (from->ns[i] > LATEST - passed)
			return -EINVAL;
	go_on(vm, from, passed, advance);
	mark_anew(vm);
	return 0;
}

uint64_t libos_clock_to_host(const struct vm *vm, uint64_t monotonic)
{
	uint64_t guest = vm->libos.clock.base.ns[LV_CLOCK_MONOTONIC] + since_base(&vm->libos.clock), host = clock_now();

	if (!monotonic || monotonic <= guest)
		return monotonic ? host : 0;
	return monotonic - guest < INT64_MAX - host ? host + (monotonic - guest) : INT64_MAX;
}
