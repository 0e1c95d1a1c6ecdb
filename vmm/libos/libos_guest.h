/* SPDX-License-Identifier: Apache-2.0 */
/* A library-OS guest: one vCPU at level 3, memory as abi/layout.h has it, the device page, the shared page. */
#ifndef LV_VMM_LIBOS_GUEST_H
#define LV_VMM_LIBOS_GUEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "abi/device_page.h"
#include "abi/shared.h"
#include "base/loop.h"
#include "vmm/mem.h"

struct vcpu;
struct vm;

struct heartbeat { /* of libos; times in the vCPU's processor time, ns */
	uint64_t asked, answered;
	uint64_t memory_used; /* as the guest says */
};

struct libos_guest {
	/* guest memory: the window from LV_BASE on, as far as ram_limit */
	uint8_t *window;
	uint64_t room; /* bytes of the first slot before the window, for an image */
	uint8_t *image;
	size_t image_size;
	uint64_t boot_next, more_next; /* next free byte of the boot area, and of what lies behind the early RAM: guest addresses */
	bool configured;
	struct lv_device_page *device_page;
	volatile struct lv_shared *shared;
	/* of libos' header */
	uint64_t trap_entry, syscall_entry, upcall_entry, entry, boot_stack, text_start, text_end, hot_end, hot_data_end;
	/* the tick, in the loop thread */
	struct loop_watch tick;
	clockid_t cpu_clock; /* processor time of the vCPU's thread, the guest's included */
	atomic_bool ticking; /* the tick timer is armed */
	struct heartbeat heartbeat;
	uint64_t frames_seen; /* received frames at the last tick */
	uint64_t slice_start; /* since when the guest's running thread has had the processor, as far as is known */
	/* the vCPU's thread */
	uint32_t bell_exits[LV_MAX_DEVICES]; /* rings of a doorbell that left to us */
};

/* ---- libos_memory.c: guest memory as libos expects to find it. 0 or a negative errno, with a message logged ---- */
int libos_map(struct vm *vm, int libos_fd); /* reserves and registers memory, maps libos */
int libos_prepare(struct vm *vm);           /* page tables, descriptors, stubs */
int libos_map_program(struct vm *vm);       /* memory as the configuration limits it, and the image */
int libos_limit(struct vm *vm, uint64_t bytes); /* for guest_ops.limit */
void *libos_at(const struct vm *vm, uint64_t address);    /* of the window; not checked */
gpa_t libos_alloc(void *vm, size_t size, size_t align);   /* of the boot area */
void libos_populate(struct vm *vm, uint64_t start, uint64_t end); /* will be written within microseconds */

/* ---- libos_stubs.c ---- */
void libos_write_stubs(struct vm *vm); /* descriptor tables and trap stubs */

/* ---- libos_page.c: the device page ---- */
int libos_describe_machine(struct vm *vm); /* processor, early memory, clock: known before the program is */
int libos_describe_program(struct vm *vm); /* memory, clock, identity, arguments, devices */

/* ---- libos_calls.c: hypercalls ---- */
int libos_hypercall(struct vcpu *vcpu, uint32_t number); /* VCPU_RUNNING, or the wait status that the VM ends with */
int libos_wait(struct vcpu *vcpu);                       /* goes on with the WAIT that is underway */

/* ---- libos_cpu.c ---- */
int libos_set_start(struct vm *vm); /* CPUID, XCR0, MSRs and registers for the first instruction of libos */

/* ---- libos_tick.c: a program that computes is interrupted now and then; doorbells ---- */
int libos_start_tick(struct vm *vm);
void libos_arm_tick(struct vm *vm, bool on);
void libos_ring_bells(struct vm *vm, uint64_t bells); /* bit n: the doorbell at LV_BELL + 4 * n */

#endif
