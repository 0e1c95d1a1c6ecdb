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
#include "vmm/state/ram_track.h"

struct error;
struct saved_memory;
struct stream;
struct vcpu;
struct vm;

struct heartbeat { /* of libos; times in the vCPU's processor time, ns */
	uint64_t asked, answered;
	uint64_t memory_used; /* as the guest says */
};

struct libos_time { /* what the guest's clocks show */
	uint64_t ns[LV_CLOCKS];
};
struct libos_clock { /* the monitor's own copy of what the device page says: the guest cannot touch it */
	uint64_t tsc_base, tsc_mult;
	struct libos_time base;
	struct libos_time stopped; /* when the VM was paused ... */
	uint64_t stopped_at;       /* ... by the host's CLOCK_MONOTONIC */
};

struct libos_line { /* libos_lines.c */
	struct vm *vm;
	unsigned number;
	bool open, taken; /* taken: the guest knows of it */
	struct loop_watch watch;
};

struct libos_guest {
	/* guest memory: the window from LV_BASE on, as far as ram_limit */
	uint8_t *window;
	uint64_t room; /* bytes of the first slot before the window, for an image */
	uint8_t *image;
	size_t image_size;
	uint64_t populated; /* of the boot area, so far */
	uint64_t boot_next, more_next; /* next free byte of the boot area, and of what lies behind the early RAM: guest addresses */
	uint64_t slot_ram; /* bytes of RAM that the first slot has: the VM may have less of it, and get it later */
	uint64_t reach; /* bytes of RAM that there are page tables for */
	bool configured;
	bool ahead; /* a saved VM's memory is in place, but for who the VM is */
	struct {
		char *names;    /* NULL: nothing is asked for */
		uint8_t *marks;
		uint64_t marked; /* bytes of them */
		uint32_t named; /* bytes of names */
	} files;
	struct {
		bool watched; /* this start says which pages the next ones have ahead */
		struct ram_track track;
	} prefault;
	struct lv_device_page *device_page;
	volatile struct lv_shared *shared;
	struct libos_clock clock; /* written while the vCPU stands still */
	uint64_t shared_end; /* of the text and constants that are the file's pages, behind hot_end, until they are copied */
	/* of libos' header */
	uint64_t trap_entry, syscall_entry, upcall_entry, entry, boot_stack, text_start, text_end, hot_end, hot_data_end, leave_start, leave_end, leave_again, touch_entry;
	/* the tick, in the loop thread */
	struct loop_watch tick;
	clockid_t cpu_clock; /* processor time of the vCPU's thread, the guest's included */
	atomic_bool ticking; /* the tick timer is armed */
	struct heartbeat heartbeat;
	uint64_t frames_seen; /* received frames at the last tick */
	uint64_t slice_start; /* since when the guest's running thread has had the processor, as far as is known */
	struct libos_line line[LV_AGENT_LINES];
	/* the vCPU's thread */
	uint32_t bell_exits[LV_MAX_DEVICES]; /* rings of a doorbell that left to us */
};

/* ---- libos_memory.c: guest memory as libos expects to find it. 0 or a negative errno, with a message logged ---- */
int libos_map(struct vm *vm, int libos_fd); /* reserves and registers memory, maps libos */
int libos_prepare(struct vm *vm);           /* page tables, descriptors, stubs */
int libos_map_program(struct vm *vm);       /* memory as the configuration limits it, and the image */
int libos_measure_image(int fd, uint64_t *size); /* 0 bytes for none */
/* As libos_map_program, of a VM that has its page tables already; bytes: how much it may have, and has. */
int libos_map_saved(struct vm *vm, uint64_t limit, uint64_t ram_size);
int libos_add_ram(struct vm *vm, uint64_t from, uint64_t bytes); /* [LV_RAM + from, ... + bytes), behind what there is. No message */
int libos_limit(struct vm *vm, uint64_t bytes); /* for guest_ops.limit */
void *libos_at(const struct vm *vm, uint64_t address);    /* of the window; not checked */
gpa_t libos_alloc(void *vm, size_t size, size_t align);   /* of the boot area */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; not in every C library's header yet */
#endif
void libos_populate(struct vm *vm, uint64_t start, uint64_t end); /* will be written within microseconds */

/* ---- libos_prefault.c: the pages that a start touches are there before. Nothing fails: what cannot be had comes one by one ---- */
void libos_prefault(struct vm *vm);         /* the image is in place, and nothing has run but libos */
bool libos_prefault_read(struct vm *vm, void *to, uint64_t gpa, uint64_t len); /* of the image, so that it does not count as touched; false: not read */
void libos_prefault_started(struct vm *vm); /* the program listens, or ends: what it has touched by now is a start's. In the vCPU's thread */

/* ---- libos_warm.c ---- */
void libos_warm(struct vm *vm); /* for guest_ops.warm */

/* ---- libos_stubs.c ---- */
void libos_write_stubs(struct vm *vm); /* descriptor tables and trap stubs */

/* ---- libos_page.c: the device page ---- */
int libos_describe_machine(struct vm *vm); /* processor, early memory, clock: known before the program is */
int libos_describe_program(struct vm *vm); /* memory, clock, identity, arguments, devices */
int libos_describe_restored(struct vm *vm); /* memory, clock, identity, where the devices lead to: the rest is there */

/* ---- libos_state.c: for guest_ops ---- */
int libos_save(struct vm *vm, struct stream *stream);
int libos_load(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error);
int libos_load_ahead(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error);

/* ---- libos_clock.c: the guest's clocks. All but the last two while the vCPU stands still ---- */
int libos_clock_start(struct vm *vm); /* they show what the host's do. 0 or a negative errno, with a message logged */
void libos_clock_stop(struct vm *vm); /* takes down, in libos.clock.stopped, where the VM is to go on */
void libos_clock_go_on(struct vm *vm, bool advance); /* from there. advance: for the monotonic clock, too, the time since has passed */
/*
 * A restored VM goes on from there, besides which its marks in the boot ledger become those of now. -EINVAL, and nothing is done: nobody's clock
 * shows that.
 */
int libos_clock_restore(struct vm *vm, const struct libos_time *from, bool advance);
void libos_clock_read(const struct vm *vm, struct libos_time *now);
/* CLOCK_MONOTONIC when the guest's monotonic clock will show that, or shows more; 0, and no other, becomes 0. Any thread. */
uint64_t libos_clock_to_host(const struct vm *vm, uint64_t monotonic);

/* ---- libos_calls.c: hypercalls ---- */
int libos_hypercall(struct vcpu *vcpu, uint32_t number); /* VCPU_RUNNING, or the wait status that the VM ends with */
int libos_wait(struct vcpu *vcpu);                       /* goes on with the WAIT that is underway */

/* ---- libos_files.c: what the guest uses of its image. Any argument may come ---- */
int libos_map_files(struct vm *vm); /* as the configuration asks for it. 0 or a negative errno, with a message logged */
int64_t libos_file_used(struct vm *vm, uint64_t nid, uint64_t how);
int64_t libos_file_lacks(struct vm *vm, gpa_t path, uint64_t size);

/* ---- libos_lines.c ---- */
int libos_line_take(struct vm *vm, int fd); /* for guest_ops.agent: owned if it is 0; else -EBUSY. In the loop thread */
int64_t libos_line_call(struct vm *vm, uint64_t what, gpa_t gpa, uint64_t size); /* LV_HC_AGENT; in the vCPU's thread */

/* ---- libos_cpu.c ---- */
int libos_set_start(struct vm *vm); /* CPUID, XCR0, MSRs and registers for the first instruction of libos */

/* ---- libos_tick.c: a program that computes is interrupted now and then; doorbells ---- */
int libos_make_tick(struct vm *vm);  /* disarmed: nobody runs yet */
int libos_start_tick(struct vm *vm); /* in the vCPU's thread */
void libos_arm_tick(struct vm *vm, bool on);
void libos_ring_bells(struct vm *vm, uint64_t bells); /* bit n: the doorbell at LV_BELL + 4 * n */

#endif
