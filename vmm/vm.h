/* SPDX-License-Identifier: Apache-2.0 */
/* One VM: everything that makes it up hangs off struct vm. */
#ifndef LV_VMM_VM_H
#define LV_VMM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/device_page.h"
#include "abi/shared.h"
#include "vmm/control.h"
#include "vmm/device.h"
#include "vmm/loop.h"
#include "vmm/mem.h"
#include "vmm/options.h"
#include "vmm/status.h"

struct kvm_run;
struct cpuid_cache;
struct linux_guest;

struct vcpu {
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	atomic_uint wake_word; /* futex: 1 when there is a reason to leave WAIT */
	atomic_bool waiting;   /* in WAIT, or about to be */
	atomic_bool kicked;    /* someone wants an upcall */
	atomic_bool killed;    /* end the VM at once */
	atomic_bool stuck;     /* libos has not answered for too long: end the VM with a report */
	clockid_t cpu_clock;   /* processor time of the thread, the guest's included */
	atomic_bool ticking;   /* the tick timer is armed */
	uint32_t bell_exits[LV_MAX_DEVICES]; /* rings of a doorbell that left to us */
};

struct heartbeat { /* of libos; times in the vCPU's processor time, ns */
	uint64_t asked, answered;
	uint64_t memory_used; /* as the guest says */
};

struct vm {
	const struct vm_config *config;
	int kvm_fd, fd;
	size_t run_size; /* of each vCPU's struct kvm_run */
	unsigned slots;
	const struct cpuid_cache *cpuid;
	struct linux_guest *linux_guest; /* NULL: a library-OS guest, which uses vcpu and what follows mem */
	struct vcpu vcpu;
	struct mem mem;
	/* guest memory: the window from LV_BASE on, as far as ram_limit */
	uint8_t *window;
	size_t window_size;
	uint8_t *image;
	size_t image_size;
	uint64_t ram_size, ram_limit;
	uint64_t boot_next; /* next free byte of the boot area, a guest address */
	struct lv_device_page *device_page;
	volatile struct lv_shared *shared;
	uint64_t trap_entry, syscall_entry, upcall_entry, entry, boot_stack, text_start, text_end, hot_end, hot_data_end;
	struct loop loop;
	struct devices devices;
	struct control control;
	struct status status;
	struct loop_watch tick;
	struct heartbeat heartbeat;
	uint64_t frames_seen; /* received frames at the last tick */
};

/* ---- kvm.c: what is asked of /dev/kvm. 0 or a negative errno, with a message already logged ---- */
int kvm_open(struct vm *vm);
int kvm_read_cpuid(struct vm *vm); /* what the guest may use: from the cache file, or asked and kept there */
int kvm_create(struct vm *vm); /* VM and vCPU */
int kvm_create_vm(struct vm *vm);
int kvm_create_vcpu(struct vm *vm, unsigned id, int *fd, struct kvm_run **run);
uint64_t kvm_xcr0(const struct vm *vm); /* the state components that a guest may use */
int kvm_kind(struct vm *vm); /* as probe_kind(), from the cache file if it is known there */
struct kvm_cpuid_entry2;
unsigned kvm_cpuid(const struct vm *vm, struct kvm_cpuid_entry2 *entry); /* copies CPUID_ENTRIES at most; answers how many */
int kvm_add_slot(struct vm *vm, gpa_t gpa, uint64_t len, void *hva, bool read_only);
int kvm_add_bell(struct vm *vm, const struct device_bell *bell);
int kvm_set_start(struct vm *vm); /* CPUID, XCR0, MSRs and registers for the first instruction of libos */
void kvm_close(struct vm *vm);

/* ---- x86_64/libos.c: guest memory as libos expects to find it ---- */
int libos_map(struct vm *vm, int libos_fd, int image_fd); /* maps and registers memory, libos, image */
int libos_prepare(struct vm *vm);                         /* page tables, descriptors, stubs, device page */
gpa_t libos_alloc(void *vm, size_t size, size_t align);   /* of the boot area */
int libos_grow(struct vm *vm, uint64_t bytes);
int libos_release(struct vm *vm, const struct lv_range *range);
int libos_fetch(struct vm *vm, gpa_t to, gpa_t from, uint64_t len); /* from 0: only makes the pages present */

/* ---- vcpu.c ---- */
int vcpu_start(struct vm *vm);  /* the kick signal, the tick */
int vcpu_run(struct vm *vm);    /* until the VM ends; its wait status, or a negative errno */
void vcpu_wake(void *vm);       /* out of WAIT; any thread */
void vcpu_kick(struct vm *vm);  /* out of the program, by an upcall; any thread */
void vcpu_kill(void *vm);

/* ---- x86_64/probe.c: which kind of KVM is this? Runs code in scratch VMs ---- */
int probe_print(void);
int probe_kind(const struct vm *vm); /* 1: runs level-0 code natively; 0: by page tables; negative: a message is logged */

#endif
