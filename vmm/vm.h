/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a VM, and what is asked of KVM for it. */
#ifndef LV_VMM_VM_H
#define LV_VMM_VM_H

#include "vmm/kvm.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

/*
 * The life of a VM, in this order. 0 or a negative errno, with a message already logged; vm_finish() accepts a VM that any of
 * them left half built.
 */
void vm_init(struct vm *vm, const struct machine_config *config);
int vm_create(struct vm *vm);    /* KVM, memory, vCPUs */
int vm_receive(struct vm *vm, struct machine_config *config); /* waits for the configuration, if it comes by message; config is the VM's own */
int vm_configure(struct vm *vm); /* devices and program, as the configuration says; a state, if the rights are dropped by then */
int vm_connect(struct vm *vm);   /* control socket, signals, the host side of devices: the last opens */
int vm_jail(struct vm *vm);      /* rights are dropped; guest bytes, a saved state among them, may be looked at from here on */
int vm_run(struct vm *vm);       /* the wait status of the program, or a negative errno */
/* What the guest left goes out, the record becomes final. ended: what vm_run answered, or why it did not come to that. Answers the exit status. */
int vm_finish(struct vm *vm, int ended);

/* Written to the record; answers 0. */
int vm_enter_state(struct vm *vm, enum lv_state state);

/* ---- vm_requests.c ---- */
void vm_take_requests(struct vm *vm); /* of its control socket, from when that is started on */
/* 0: it stands still; 1: it will, and control_paused and save_stopped are told. In the loop thread, like the next one. */
int vm_pause(struct vm *vm);
int vm_resume(struct vm *vm, bool advance); /* advance: as guest_ops.resume. 0 */

int vm_add_device(struct vm *vm, const struct device_config *device);
int vm_add_configured_devices(struct vm *vm);

/* ---- x86_64/probe.c: which kind of KVM is this? Runs code in scratch VMs ---- */
int probe_print(void);
unsigned probe_leaves(const struct vm *vm, struct lv_cpuid_leaf *leaf); /* asks LV_CPUID_LEAVES at most in a scratch VM; how many, 0: it could not */
int probe_kind(const struct vm *vm); /* 1: runs level-0 code natively; 0: by page tables; negative: a message is logged */

#endif
