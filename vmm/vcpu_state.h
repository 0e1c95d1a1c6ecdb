/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU is, and what all of a VM's share. What can be done with them: vcpu.h. */
#ifndef LV_VMM_VCPU_STATE_H
#define LV_VMM_VCPU_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct kvm_run;
struct vm;

#define VCPU_RUNNING (-1) /* an answer of the exit handlers: go on. Anything else: the wait status that the VM ends with, or: */
#define VCPU_READY (-2)   /* the guest has come as far as it can without a configuration. Only in vcpu_boot() */

enum vcpu_request { /* bits of vcpu->requests; any thread sets them, the vCPU's own takes them back */
	VCPU_WAKE = 1,   /* there is a reason to leave WAIT */
	VCPU_KICK = 2,   /* leave the guest: its kind knows what for */
	VCPU_PAUSE = 4,  /* stand at the barrier until vcpu_resume_all() */
	VCPU_KILL = 8,   /* the VM ends */
	VCPU_STUCK = 16, /* the guest has not answered for too long: end the VM with a report */
	VCPU_LACKS = 32, /* as VCPU_PAUSE, for as long as nobody brings the memory that the VM lacks: vcpu_hold_all() */
};

/* A WAIT that is underway; no part of it lies on a stack, so that the vCPU can be stopped in the middle, and saved. */
struct vcpu_wait {
	bool underway;
	uint64_t deadline; /* ns on the guest's monotonic clock; 0: none */
};

struct vcpu {
	struct vm *vm;
	unsigned index;
	int fd;
	struct kvm_run *run; /* under the lock of struct vcpus for all but the vCPU's own thread; NULL: it is over */
	size_t run_size;
	uint32_t tsc_khz; /* 0: not asked for yet */
	pthread_t thread;
	pid_t tid; /* of the same, under the lock too; 0: it has not begun, and will look before it enters the guest */
	bool started, parked; /* under the same: may be kicked; stands at the barrier */
	atomic_uint requests; /* enum vcpu_request; a futex while the vCPU waits */
	atomic_bool waiting;  /* in WAIT, or about to be */
	struct vcpu_wait wait;
	volatile uint64_t *exits_shown; /* where the guest reads how often it left to us; NULL: nowhere */
};

struct vcpus { /* of one VM */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* somebody parked, or nobody has to any more */
	void (*stopped)(struct vm *vm); /* all stand at the barrier, perhaps told twice; in a vCPU's thread, without a lock. NULL: nobody wants to know */
	atomic_int end;         /* VCPU_RUNNING, then the wait status that the VM ends with */
};

#endif
