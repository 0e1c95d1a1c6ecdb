/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kind of guest: the library OS (vmm/libos/) or Linux (vmm/linux/). Nobody else asks which one it is. Functions answer 0 or a
 * negative errno, with a message already logged, unless said otherwise.
 */
#ifndef LV_VMM_GUEST_H
#define LV_VMM_GUEST_H

#include <stdbool.h>

#include "abi/control.h"

struct vcpu;
struct vm;

struct guest_ops {
	enum lv_guest kind;
	bool needs_hardware;    /* a KVM that runs level-0 code natively */
	const char *bad_memory; /* what a user is told when KVM finds no memory behind an access (EFAULT) */
	int (*build)(struct vm *vm);       /* VM, vCPUs, memory: what comes before the program */
	/* Runs it as far as no configuration is needed, in the thread that vCPU 0 will have, in namespaces of its own. NULL: it needs one first */
	int (*boot)(struct vm *vm);
	int (*add_devices)(struct vm *vm); /* what this kind has besides the configuration's own, and these */
	int (*configure)(struct vm *vm);   /* the program, or the kernel, with its devices in their places */
	int (*connect)(struct vm *vm);     /* devices begin to watch the host side; the last step with all rights. In the thread that vCPU 0 will have */
	/* In the vCPU's thread, after an exit: VCPU_RUNNING or the wait status that the VM ends with. */
	int (*on_exit)(struct vcpu *vcpu);
	int (*on_kick)(struct vcpu *vcpu);                      /* VCPU_KICK arrived, the registers are true; NULL: nothing to do */
	int (*on_wait)(struct vcpu *vcpu);                      /* a wait is underway: go on with it; NULL: it has none */
	void (*on_give_up)(struct vcpu *vcpu, const char *what); /* add to the report of a VM that KVM ended; NULL: nothing to add */
	/* The program gets a signal (1 to 32) from outside. -EOPNOTSUPP: not by way of the monitor. In the loop thread. */
	int (*signal)(struct vm *vm, int number);
	/* Has the guest tell of its threads, by control_threads(). In the loop thread. NULL: nobody to ask */
	void (*ask_threads)(struct vm *vm);
	/* The most memory that it may have from now on, bytes: 0, -ERANGE or -EBUSY. In the loop thread. NULL: it has what it was made with */
	int (*limit)(struct vm *vm, uint64_t bytes);
	/* One of the monitor's own signals, if nobody else passes them on. In the loop thread. */
	void (*own_signal)(struct vm *vm, int number);
	void (*pause)(struct vm *vm, bool on); /* what besides vCPUs and devices has to stand still; in the loop thread. NULL: nothing */
	bool (*drain)(struct vm *vm); /* true when all that the guest printed besides its devices has gone out; NULL: nothing */
};
extern const struct guest_ops libos_ops, linux_ops;

#endif
