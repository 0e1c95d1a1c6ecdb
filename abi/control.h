/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitor says of its VM: the status record (a file in the VM's directory, and the answer to every request),
 * and the requests of the control socket (SOCK_SEQPACKET, one request or reply a message). Host byte order: both ends
 * are on one machine.
 */
#ifndef LV_ABI_CONTROL_H
#define LV_ABI_CONTROL_H

#include <assert.h>
#include <stdint.h>

#include "abi/device_page.h"
#include "abi/shared.h"

#define LV_STATUS_MAGIC 0x3153555441545356ull /* "VSTATUS1" */

enum lv_state {
	LV_STATE_STARTING = 0,
	LV_STATE_RUNNING = 1,
	LV_STATE_EXITED = 2, /* the record is final */
};

enum lv_guest {
	LV_GUEST_LIBOS = 0,
	LV_GUEST_LINUX = 1,
};

enum lv_step { /* the boot ledger; index into lv_status.ledger */
	LV_STEP_COMMAND = 0,  /* lightvm started */
	LV_STEP_MONITOR = 1,  /* lightvm-vmm's main() */
	LV_STEP_VM = 2,       /* VM and vCPU created */
	LV_STEP_MEMORY = 3,   /* memory mapped, page tables and device page written */
	LV_STEP_RUN = 4,      /* first KVM_RUN */
	LV_STEP_LIBOS = 5,
	LV_STEP_READY = 6,
	LV_STEP_PROGRAM = 7,
	LV_STEP_LISTEN = 8,
	LV_STEP_EXIT = 9,
	LV_STEP_INITCALL = 10, /* Linux guests: the kernel's first initcall; READY is then PID 1's first instruction */
	LV_STEP_IMAGE = 11, /* between COMMAND and MONITOR: the image was found in the cache, or packed */
	LV_STEPS = 12,
};
struct lv_step_mark {
	uint64_t ns;    /* CLOCK_MONOTONIC; 0: not reached */
	uint64_t exits; /* VM exits to the monitor so far */
};

struct lv_device_stats {
	uint32_t type; /* enum lv_device_type */
	uint32_t needs_reset; /* 1: the guest broke the rules of a ring; the device is stopped */
	uint64_t requests[LV_MAX_QUEUES]; /* descriptor chains taken, by queue */
	uint64_t bytes[LV_MAX_QUEUES];
	uint64_t doorbells;
	uint64_t wakes;
	char error[80]; /* why needs_reset */
};

enum lv_balloon_stat { /* as virtio 1.2, section 5.5.6.3, numbers them */
	LV_BALLOON_SWAP_IN = 0, LV_BALLOON_SWAP_OUT = 1, LV_BALLOON_MAJOR_FAULTS = 2, LV_BALLOON_MINOR_FAULTS = 3,
	LV_BALLOON_FREE = 4, LV_BALLOON_TOTAL = 5, LV_BALLOON_AVAILABLE = 6, LV_BALLOON_CACHES = 7,
	LV_BALLOON_HUGE_GOT = 8, LV_BALLOON_HUGE_FAILED = 9,
	LV_BALLOON_STATS = 10,
};
struct lv_balloon {
	uint32_t present; /* 1: the guest has a driver */
	uint32_t reserved;
	uint64_t target, actual; /* bytes asked for; bytes that the guest says it handed over */
	uint64_t reported;       /* bytes of free pages that went back to the host, in all */
	uint64_t stats_ns;       /* CLOCK_MONOTONIC when the guest told the following; 0: never */
	uint64_t stat[LV_BALLOON_STATS]; /* bytes or counts, by enum lv_balloon_stat; UINT64_MAX: not told */
};

struct lv_status {
	uint64_t magic;
	uint32_t version; /* LV_ABI_VERSION */
	uint32_t size;    /* of this structure */
	uint32_t state;   /* enum lv_state */
	uint32_t pid;     /* of the monitor */
	int32_t wait_status; /* as of waitpid(2), once exited */
	uint32_t crashed; /* 1: crash is valid */
	uint64_t start_realtime_ns;
	uint64_t ram_size, ram_limit, memory_used; /* bytes */
	struct lv_step_mark ledger[LV_STEPS];
	uint64_t exits;       /* to the monitor, all */
	uint64_t exits_mmio;  /* hypercalls and other MMIO */
	uint64_t exits_signal; /* vCPU kicked by the monitor */
	uint64_t waits;       /* WAIT hypercalls that slept */
	char kvm_kind[16];    /* reserved for the self-test's word: "hardware", "page-table", or empty: not known */
	struct lv_missing missing[LV_MISSING_SLOTS];
	uint16_t device_count;
	uint16_t own_error; /* 1: it was not the program that failed, and wait_status is ours; once exited */
	uint32_t guest; /* enum lv_guest */
	struct lv_device_stats device[LV_MAX_DEVICES];
	struct lv_balloon balloon; /* Linux guests */
	struct lv_crash crash;
	char error[256]; /* why the monitor ended the VM itself; empty otherwise */
	uint32_t tail_size;
	char tail[2048]; /* last console output */
};

#define LV_CONTROL_MAGIC 0x6c74636c /* "lctl" */
enum lv_control_op {
	LV_CTL_STATUS = 1,
	LV_CTL_SIGNAL = 2, /* arg: signal number for the program */
	LV_CTL_KILL = 3,   /* end the VM at once; wait_status: SIGKILL */
	LV_CTL_ATTACH = 4, /* SCM_RIGHTS: descriptor to read stdin from, descriptor to copy output to; both become
	                  * non-blocking; until either closes */
	LV_CTL_RESIZE = 5, /* arg: rows << 16 | columns of the terminal */
	LV_CTL_BALLOON = 6, /* arg: bytes that the guest shall hand over; -1: only ask for its statistics and wait for them */
	LV_CTL_CONFIGURE = 7, /* on the connected socket that a monitor is started with, once: SCM_RIGHTS: records (abi/vm_records.h) and what they
			       * name; when the guest runs int64_t 0 comes back, before that the socket ends if the monitor does */
};
struct lv_control_request {
	uint32_t magic;
	uint32_t op;
	int64_t arg;
};
struct lv_control_reply {
	int64_t result; /* 0 or a negative errno */
	struct lv_status status;
};

#endif
