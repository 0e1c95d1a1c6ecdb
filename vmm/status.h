/* SPDX-License-Identifier: Apache-2.0 */
/* The status record: what the monitor writes to the VM's directory and answers to requests. */
#ifndef LV_VMM_STATUS_H
#define LV_VMM_STATUS_H

#include <stdatomic.h>

#include "abi/control.h"
#include "vmm/device.h"

/* How time-stamp counts become CLOCK_MONOTONIC; the monitor's own copy: the guest cannot touch it. */
struct status_clock {
	uint64_t tsc_base, tsc_mult, base_ns; /* as in the device page */
};

/* Counted by vCPU threads, without a lock. */
struct status_counts {
	_Atomic uint64_t exits, exits_mmio, exits_signal, waits;
};

struct status {
	/*
	 * Belongs to who holds the loop's lock, or to the one thread there is before the loop's starts. The owner fills in place:
	 * start_realtime_ns, ram_size, ram_limit, ledger up to RUN, wait_status, own_error, crashed. The rest is collected from
	 * counts, the shared page and the devices.
	 */
	struct lv_status record;
	struct status_counts counts;
	int fd; /* record file, -1: none */
	uint64_t memory_told; /* what the file says */
	const volatile struct lv_shared *shared; /* NULL until memory is mapped */
	const struct devices *devices;
	struct status_clock clock;
};

/* One more; answers how many that makes. Any thread. */
static inline uint64_t status_count(_Atomic uint64_t *count)
{
	return atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1;
}

/* All of the following as the record demands. */
void status_init(struct status *status, int fd);
/* Notes the step's time and the exits so far; keeps the first. */
void status_mark(struct status *status, enum lv_step step);
/* Why the monitor ended the VM itself, or never started it; the first reason stays. */
void status_fail(struct status *status, const char *why);
/* Copies the record with everything that is known now. */
void status_collect(const struct status *status, struct lv_status *out);
void status_crash(const struct status *status, struct lv_crash_report *out);
void status_calls(const struct status *status, struct lv_calls_report *out);
unsigned status_tail(const struct status *status, char *tail); /* of LV_TAIL_MAX bytes; answers how many there are */
/* Sets the state and writes the record to its file, the last one with its report, in one pwrite. 0 or a negative errno. */
int status_write(struct status *status, enum lv_state state);

/*
 * Keeps the figure of used memory in the file current for who lists VMs: to be called when the VM waits or asks for memory, since nobody
 * asks its monitor. Costs nothing while the figure moves less than STATUS_MEMORY_STEP. In the vCPU's thread, which writes the file while it runs.
 */
#define STATUS_MEMORY_STEP (128u << 10)
void status_memory(struct status *status);

#endif
