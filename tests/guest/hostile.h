/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile guests: programs that do not ask libos but write to the monitor's side of the VM themselves. They share
 * privilege level 3 with libos, so all of this is open to every program. What is tested is the monitor: it must end
 * the VM with a report or stop the device, within bounded time, and never be harmed itself.
 */
#ifndef TESTS_GUEST_HOSTILE_H
#define TESTS_GUEST_HOSTILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/device_page.h"
#include "abi/layout.h"
#include "abi/shared.h"

#define devices ((const volatile struct lv_device_page *)LV_DEVICE)
#define shared ((volatile struct lv_shared *)LV_SHARED)

struct attack {
	const char *name;
	void (*run)(void);
	/*
	 * Of a ring attack: the devices that it stops ("console block net"). NULL: none. "?": it is a race whether the monitor
	 * sees a broken rule.
	 */
	const char *stops;
};
extern const struct attack ring_attacks[], call_attacks[], machine_attacks[]; /* each ends with a NULL name */

extern const char *target;   /* device of a ring attack: "console", "net", "block" */
extern uint64_t random_state; /* from the seed on the command line */

static inline uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static inline void bell_write(uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(LV_BELL + offset) = value;
}

static inline int64_t call(uint32_t number, uint64_t a0)
{
	shared->arg[0] = a0;
	__asm__ volatile("" ::: "memory");
	bell_write(LV_BELL_HYPERCALL, number);
	return shared->result;
}

/* Lets the monitor's device loop work: so many milliseconds, without libos. */
static inline void let_pass(unsigned ms)
{
	uint64_t start = __builtin_ia32_rdtsc(), ticks = devices->tsc_hz / 1000 * ms;

	while (__builtin_ia32_rdtsc() - start < ticks)
		__builtin_ia32_pause();
}

/* Ends the VM as libos would, but without it. */
static inline void leave(int code)
{
	call(LV_HC_EXIT, (uint64_t)(unsigned)code << 8);
	for (;;)
		__builtin_ia32_pause();
}

#endif
