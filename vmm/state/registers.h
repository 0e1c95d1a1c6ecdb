/* SPDX-License-Identifier: Apache-2.0 */
/* A vCPU on its way into a stream and out of it: all that KVM has of it, whatever kind of guest. */
#ifndef LV_VMM_REGISTERS_H
#define LV_VMM_REGISTERS_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/vcpu_state.h"

struct error;
struct stream;
struct vm;

#define REGISTERS_MSRS 256

/* The model-specific registers that this machine's KVM saves; asked while /dev/kvm is open. */
struct msr_list {
	unsigned count;
	uint32_t index[REGISTERS_MSRS];
};

/* As read from a stream: each part as KVM's own structure, which is part of the kernel's ABI. */
struct registers {
	unsigned index; /* of the vCPU */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xcrs xcrs;
	struct kvm_xsave xsave;
	struct kvm_lapic_state lapic; /* of a VM that has interrupt controllers */
	struct kvm_vcpu_events events;
	struct kvm_debugregs debugregs;
	struct kvm_mp_state mp_state;
	uint32_t has; /* bit n: part n of the table in registers.c is there */
	unsigned msrs;
	struct { uint32_t index; uint64_t value; } msr[REGISTERS_MSRS];
	struct vcpu_wait wait;
};

/* Never fails: a KVM without the call, or with more registers than there is room for, saves what it can of them. */
void registers_list(int kvm_fd, struct msr_list *list);

/* Of a vCPU that stands at the barrier, as one record. 0, the stream's error, or what KVM answers, with a message. Any thread. */
int registers_save(const struct vcpu *vcpu, const struct msr_list *list, struct stream *stream, struct error *error);
/* Reads the record; nothing is touched but registers. 0 or the stream's error. */
int registers_read(struct registers *registers, struct stream *stream);
/*
 * Gives the vCPU what was read: it has never run, or stands still with its last exit completed. 0, or a negative errno with a message
 * that names what KVM refused.
 */
int registers_load(struct vcpu *vcpu, const struct registers *registers, const struct msr_list *list, struct error *error);

#endif
