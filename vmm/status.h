/* SPDX-License-Identifier: Apache-2.0 */
/* The status record: what the monitor writes to the VM's directory and answers to requests. */
#ifndef LV_VMM_STATUS_H
#define LV_VMM_STATUS_H

#include "abi/control.h"
#include "vmm/device.h"

/* How time-stamp counts become CLOCK_MONOTONIC; the monitor's own copy: the guest cannot touch it. */
struct status_clock {
	uint64_t tsc_base, tsc_mult, base_ns; /* as in the device page */
};

struct status {
	/*
	 * The owner fills in place, from the vCPU thread: start_realtime_ns, ram_size, ram_limit, ledger up to RUN,
	 * exits*, waits, kvm_kind, wait_status, crashed, error. The rest is collected from the shared page and the devices.
	 */
	struct lv_status record;
	int fd; /* record file, -1: none */
	const volatile struct lv_shared *shared; /* NULL until memory is mapped */
	const struct devices *devices;
	struct status_clock clock;
};

void status_init(struct status *status, int fd);
/* Notes the step's time and the exits so far; keeps the first. */
void status_mark(struct status *status, enum lv_step step);
/* Copies the record with everything that is known now. Any thread. */
void status_collect(const struct status *status, struct lv_status *out);
/* Sets the state and writes the record to its file in one pwrite. 0 or a negative errno. */
int status_write(struct status *status, enum lv_state state);

#endif
