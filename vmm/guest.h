/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kind of guest: the library OS (vmm/libos/) or Linux (vmm/linux/). Nobody else asks which one it is. Functions answer 0 or a
 * negative errno, with a message already logged, unless said otherwise.
 */
#ifndef LV_VMM_GUEST_H
#define LV_VMM_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/control.h"

struct error;
struct stream;
struct vcpu;
struct vm;

struct saved_memory { /* of a saved VM, in the configuration's memory file */
	uint64_t base, size; /* guest address of the file's first byte; bytes, which are there */
};

struct guest_ops {
	enum lv_guest kind;
	const char *name; /* in messages */
	bool needs_hardware;    /* a KVM that runs level-0 code natively */
	const char *bad_memory; /* what a user is told when KVM finds no memory behind an access (EFAULT) */
	int (*build)(struct vm *vm);       /* VM, vCPUs, memory: what comes before the program */
	/* Runs it as far as no configuration is needed, in the thread that vCPU 0 will have, in namespaces of its own. NULL: it needs one first */
	int (*boot)(struct vm *vm);
	int (*add_devices)(struct vm *vm); /* what this kind has besides the configuration's own, and these; a Linux guest's are in their places then */
	int (*configure)(struct vm *vm);   /* the program, or the kernel, with its devices in their places */
	int (*connect)(struct vm *vm);     /* devices begin to watch the host side; the last step with all rights. In the thread that vCPU 0 will have */
	/* In the vCPU's thread, after an exit: VCPU_RUNNING or the wait status that the VM ends with. */
	int (*on_exit)(struct vcpu *vcpu);
	int (*on_kick)(struct vcpu *vcpu);                      /* VCPU_KICK arrived, the registers are true; NULL: nothing to do */
	int (*on_wait)(struct vcpu *vcpu);                      /* a wait is underway: go on with it; NULL: it has none */
	void (*on_give_up)(struct vcpu *vcpu, const char *what); /* add to the report of a VM that KVM ended; NULL: nothing to add */
	/* The program gets a signal (1 to 32) from outside. -EOPNOTSUPP: not by way of the monitor. In the loop thread. */
	int (*signal)(struct vm *vm, int number);
	int (*agent)(struct vm *vm, int fd); /* a line to who serves requests in the guest: 0, it is owned; or a negative errno. NULL: it has others */
	/* Has the guest tell of its threads, by control_threads(). In the loop thread. NULL: nobody to ask */
	void (*ask_threads)(struct vm *vm);
	/* The most memory that it may have from now on, bytes: 0, -ERANGE or -EBUSY. In the loop thread. NULL: it has what it was made with */
	int (*limit)(struct vm *vm, uint64_t bytes);
	/* One of the monitor's own signals, if nobody else passes them on. In the loop thread. */
	void (*own_signal)(struct vm *vm, int number);
	void (*pause)(struct vm *vm); /* what besides vCPUs and devices has to stand still; in the loop thread. NULL: nothing */
	/* The opposite, before the vCPUs go on. advance: for the guest's monotonic clock the time has passed */
	void (*resume)(struct vm *vm, bool advance);
	/*
	 * What this kind has besides vCPUs, memory and devices, as one record; the VM stands still. 0 or the stream's error. In the loop thread. NULL: it cannot
	 * be saved.
	 */
	int (*save)(struct vm *vm, struct stream *stream);
	/*
	 * Reads and checks it, and then makes the saved memory the VM's, in which it writes who the VM is now; the devices are there, in their order, and will be loaded
	 * next. 0, the stream's error, or a negative errno with a message. In the thread that vCPU 0 will have, after JAIL_CREATED. NULL: as save.
	 */
	int (*load)(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error);
	/*
	 * The first half of load, before there is a configuration: memory alone, which nobody has asked for yet. What load finds to be there already it leaves as it is. NULL: there is
	 * no such half.
	 */
	int (*load_ahead)(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error);
	/* Has KVM find what is in it, with the registers that were saved loaded: only quicker, not needed. */
	void (*warm)(struct vm *vm);
	bool (*drain)(struct vm *vm); /* true when all that the guest printed besides its devices has gone out; NULL: nothing */
};
extern const struct guest_ops libos_ops, linux_ops;

#endif
