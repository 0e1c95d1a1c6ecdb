/* SPDX-License-Identifier: Apache-2.0 */
/* One VM: everything that makes it up hangs off struct vm. What can be done with it: vm.h. */
#ifndef LV_VMM_VM_STATE_H
#define LV_VMM_VM_STATE_H

#include <stdint.h>

#include "vmm/vmm_control.h"
#include "vmm/device.h"
#include "vmm/guest.h"
#include "vmm/jail/jail.h"
#include "vmm/libos/libos_guest.h"
#include "vmm/linux/linux_machine.h"
#include "base/loop.h"
#include "vmm/mem.h"
#include "vmm/machine_config.h"
#include "vmm/state/registers.h"
#include "vmm/state/save_state.h"
#include "vmm/status.h"
#include "vmm/vcpu_state.h"

struct cpuid_cache;

/* Long arrays that hardly a VM fills come after what all use: each page that is touched is 4 KiB of an idle VM. */
struct vm {
	const struct machine_config *config;
	const struct guest_ops *guest;
	int kvm_fd, fd;
	uint64_t mapped; /* bytes of address space when it was made ahead; 0: it was not, or nobody knows */
	const struct cpuid_cache *cpuid;
	struct vcpus vcpus;
	unsigned vcpu_count;
	uint64_t ram_size, ram_limit; /* bytes: now, and at most */
	struct loop loop;
	bool loop_held; /* its thread is there, and waits for us */
	struct devices devices;
	struct control control;
	struct status status;
	struct jail jail; /* what has been entered of it, and what was refused */
	struct msr_list msrs;  /* for who saves vCPUs */
	struct save_job save;
	struct pager *pager; /* NULL: all its memory is there */
	bool restored; /* of a state, by its configuration */
	bool pausing;                /* the vCPUs are on their way to the barrier ... */
	uint64_t pause_until;        /* ... where they have to be by then */
	struct loop_timer patience;
	struct loop_watch maker; /* who configured us, if the VM is attached to it; fd -1: not */
	struct loop_watch signals; /* the monitor's own, as a descriptor */
	union { /* by guest->kind */
		struct libos_guest libos;
		struct linux_guest linux_guest;
	};
	struct vcpu vcpu[VM_MAX_CPUS];
	struct mem mem;
};

#endif
