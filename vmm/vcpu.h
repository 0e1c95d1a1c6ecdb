/* SPDX-License-Identifier: Apache-2.0 */
/* One vCPU: its thread, what is asked of it, and what it is at. The run loop is one for all kinds of guest. */
#ifndef LV_VMM_VCPU_H
#define LV_VMM_VCPU_H

#include <stdbool.h>

#include "vmm/vcpu_state.h"

void vcpus_init(struct vm *vm);

/* Runs vCPU 0 in the calling thread and the others in threads of their own, until the VM ends: its wait status, or a negative errno with a message logged. */
int vcpu_run_all(struct vm *vm);

/*
 * Runs vCPU 0, in the thread that it will have, before anybody else knows of it: until it answers with VCPU_READY, which is answered, or
 * the wait status that the guest ended with.
 */
int vcpu_boot(struct vm *vm);

/* The VM ends with this wait status; the first call counts. Any thread. */
void vcpu_end_all(struct vm *vm, int wait_status);

/* The VM ends because of what KVM says; answers the wait status. The vCPU's own thread, without the loop's lock. */
int vcpu_give_up(struct vcpu *vcpu, const char *what);

/* Sets bits of enum vcpu_request and gets the vCPU out of the guest to see them. Any thread. */
void vcpu_request(struct vcpu *vcpu, unsigned requests);

/* Out of WAIT only, and cheap when it does not wait. Any thread. */
void vcpu_wake(struct vcpu *vcpu);

/*
 * Sleeps until the deadline (CLOCK_MONOTONIC in ns; 0: none), or until it is woken: true. False: something else is asked of the vCPU, and the wait
 * is still underway. The vCPU's own thread.
 */
bool vcpu_sleep(struct vcpu *vcpu, uint64_t deadline);

/*
 * All vCPUs stand still, outside the guest, with their last exit completed: what KVM says of their registers is true. Not from
 * a vCPU's thread, and without the loop's lock, for which one of them may wait. -ESRCH: the VM ended meanwhile; -ETIMEDOUT: one
 * did not come within a second, and all run again.
 */
int vcpu_stop_all(struct vm *vm);
/* The same without waiting for it: struct vcpus' stopped() is called when they stand. Any thread. */
void vcpu_pause_all(struct vm *vm);
bool vcpu_all_stopped(struct vm *vm);
void vcpu_resume_all(struct vm *vm);
/* Holds them (on), or lets them go, whatever is paused or resumed meanwhile. From any thread; waits for nothing. */
void vcpu_hold_all(struct vm *vm, bool on);

#endif
