/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the monitor says of its VM: the status record (a file in the VM's directory, and the answer to a request), what is
 * asked for separately (the last output, a crash), and the requests of the control socket (SOCK_SEQPACKET, one request or reply
 * a message). Host byte order: both ends are on one machine. Versions: the record's and the socket's count for themselves. A
 * reader knows its own version and those before it (abi/control_v1.h); of a newer record it may use the first 32 bytes, which never
 * change.
 */
#ifndef LV_ABI_CONTROL_H
#define LV_ABI_CONTROL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/device_page.h"
#include "abi/libos_header.h"
#include "abi/shared.h"

#define LV_STATUS_MAGIC 0x3153555441545356ull /* "VSTATUS1" */
#define LV_STATUS_VERSION 3

/* A VM's life: CREATED -> CONFIGURED -> RUNNING <-> PAUSED -> EXITED. The numbers are older than the order. */
enum lv_state {
	LV_STATE_STARTING = 0,   /* nothing is there yet */
	LV_STATE_RUNNING = 1,
	LV_STATE_EXITED = 2,     /* the record is final, and lv_report lies behind it in the file */
	LV_STATE_CREATED = 3,    /* VM, memory, vCPUs: what no configuration changes */
	LV_STATE_CONFIGURED = 4, /* identity, program, devices */
	LV_STATE_PAUSED = 5,     /* the vCPUs stand still */
};

enum lv_kvm { /* how this machine's KVM works */
	LV_KVM_UNKNOWN = 0, /* nobody has asked yet */
	LV_KVM_PAGE_TABLE = 1,
	LV_KVM_HARDWARE = 2,
};

enum lv_jail { /* what holds a monitor (docs/security.md) */
	LV_JAIL_UNKNOWN = 0, /* not there yet */
	LV_JAIL_OFF = 1,   /* nothing: for debugging */
	LV_JAIL_BASIC = 2, /* a filter of system calls and no capabilities */
	LV_JAIL_FULL = 3,  /* besides: namespaces, an empty root, and a user of its own where root started it */
};

enum lv_guest {
	LV_GUEST_LIBOS = 0,
	LV_GUEST_LINUX = 1,
};

/* How a VM came by its monitor: was there one ready (a shell), and if not, why? */
enum lv_claim {
	LV_CLAIM_NONE = 0,    /* nobody was asked: there is no daemon, or the VM was started by hand */
	LV_CLAIM_HIT = 1,     /* a shell was claimed */
	LV_CLAIM_FLAVOUR = 2, /* none of the pools has what the VM is to be */
	LV_CLAIM_EMPTY = 3,   /* one has, but nothing was ready */
	LV_CLAIM_STALE = 4,   /* what was ready had ended, or is of another build */
	LV_CLAIM_LATE = 5,    /* the daemon did not answer in time */
	LV_CLAIMS = 6,
};

enum lv_step { /* the boot ledger; index into lv_status.ledger */
	LV_STEP_COMMAND = 0,  /* lightvm started */
	LV_STEP_MONITOR = 1,  /* lightvm-vmm's main() */
	LV_STEP_VM = 2,       /* VM and vCPU created */
	LV_STEP_MEMORY = 3,   /* memory mapped, page tables and device page written */
	LV_STEP_RUN = 4,      /* first KVM_RUN; of a library OS it comes before MEMORY */
	LV_STEP_LIBOS = 5,
	LV_STEP_READY = 6,
	LV_STEP_PROGRAM = 7,
	LV_STEP_LISTEN = 8,
	LV_STEP_EXIT = 9,
	LV_STEP_INITCALL = 10, /* Linux guests: the kernel's first initcall; READY is then PID 1's first instruction */
	LV_STEP_IMAGE = 11, /* between COMMAND and MONITOR: the image was found in the cache, or packed */
	LV_STEP_BOOTED = 12, /* library OS, these three: it waits for its configuration */
	LV_STEP_CONFIGURED = 13, /* the configuration has come, and is sound */
	LV_STEP_RESUMED = 14,    /* all rights are dropped, the vCPU goes on */
	LV_STEP_CLAIMED = 15,    /* between IMAGE and CONFIGURED: a shell was asked for, and had; it had come as far as BOOTED before */
	LV_STEPS = 16,
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
	char error[80]; /* why needs_reset; without that a note: what went wrong on the host's side */
};
#define LV_OUTPUT_LOST "output was lost: " /* how the note of a console begins whose standard output or error could not be written */

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
	/* the same in every version */
	uint64_t magic;
	uint32_t version; /* LV_STATUS_VERSION */
	uint32_t size;    /* bytes that are there: up to and with the last device's */
	uint32_t state;   /* enum lv_state */
	uint32_t pid;     /* of the monitor */
	int32_t wait_status; /* as of waitpid(2), once exited */
	uint32_t crashed; /* 1: lv_report.crash is valid */
	/* of this one */
	uint32_t own_error; /* once exited; 1: it was not the program that failed, and wait_status is the monitor's */
	uint32_t guest;     /* enum lv_guest */
	uint16_t kvm;       /* enum lv_kvm */
	uint16_t jail;      /* enum lv_jail */
	uint32_t crash_signal; /* what a process would have died of, if crashed */
	uint32_t control_version; /* LV_CONTROL_VERSION of this monitor */
	uint32_t device_count;
	uint64_t start_realtime_ns;
	uint64_t ram_size, ram_limit, memory_used; /* bytes */
	uint64_t exits;        /* to the monitor, all */
	uint64_t exits_mmio;   /* hypercalls and other MMIO */
	uint64_t exits_signal; /* vCPU kicked by the monitor */
	uint64_t waits;        /* WAIT hypercalls that slept */
	struct lv_step_mark ledger[LV_STEPS];
	struct lv_balloon balloon; /* Linux guests */
	uint8_t libos_build[LV_BUILD_ID]; /* of the library OS; zeroes: none */
	uint32_t files_full; /* library OS: writes to files that failed, since files are memory and it was used up */
	uint32_t claim;      /* enum lv_claim */
	uint32_t template_ready; /* library OS; 1: the program waits to be copied */
	char error[128]; /* why the monitor ended the VM itself; empty otherwise */
	struct lv_device_stats device[LV_MAX_DEVICES]; /* device_count of them are there */
};
static_assert(offsetof(struct lv_status, crashed) == 28, "the part of the status record that never changes");
static_assert(offsetof(struct lv_status, device) == 656, "the head of the status record");
#define LV_STATUS_SIZE(devices) (offsetof(struct lv_status, device) + (devices) * sizeof(struct lv_device_stats))

#define LV_TAIL_MAX 2048
struct lv_crash_report {
	struct lv_missing missing[LV_MISSING_SLOTS]; /* system calls that libos does not have; count 0: an empty slot */
	struct lv_crash crash;                       /* if lv_status.crashed */
};
struct lv_calls_report { /* library OS */
	struct lv_calls calls;
	uint32_t maps; /* used entries of map */
	uint32_t frames_copied; /* lv_shared.frames_copied */
	struct lv_text_map map[8]; /* of sites that trap often */
};
struct lv_report { /* what few readers want: asked for (LV_CTL_CRASH, LV_CTL_TAIL, LV_CTL_CALLS), in the file once the VM has ended */
	struct lv_crash_report what;
	uint32_t tail_size;
	uint32_t reserved;
	char tail[LV_TAIL_MAX]; /* last console output */
	struct lv_calls_report calls; /* not written by monitors whose control version is below 6 */
};
#define LV_REPORT_OFFSET 4096 /* of lv_report in the file */
static_assert(sizeof(struct lv_status) <= LV_REPORT_OFFSET, "the record ends before the report");

#define LV_CONTROL_MAGIC 0x6c74636c /* "lctl" */
#define LV_CONTROL_VERSION 6
enum lv_control_op {
	LV_CTL_STATUS = 1, /* reply: struct lv_status, as many bytes as its size says */
	LV_CTL_SIGNAL = 2, /* arg: signal number for the program */
	LV_CTL_KILL = 3,   /* end the VM at once; wait_status: SIGKILL */
	LV_CTL_ATTACH = 4, /* SCM_RIGHTS: descriptor to read stdin from, descriptor to copy output to; until either closes */
	LV_CTL_RESIZE = 5, /* arg: rows << 16 | columns of the terminal */
	LV_CTL_BALLOON = 6, /* arg: bytes that the guest shall hand over; -1: only ask for its statistics and wait for them. Reply: as STATUS */
	LV_CTL_CONFIGURE = 7, /* on the connected socket that a monitor is started with: SCM_RIGHTS: records (abi/vm_records.h) and what they
			       * name. arg: when it was asked for, having been ready, CLOCK_MONOTONIC; 0: it was not. Reply: result 0 when the guest runs; or why not, as text: then nothing was taken, and another one may
			       * come. STATUS is answered there too, before. The monitor ends if the socket does before it was configured */
	LV_CTL_CRASH = 8,  /* since version 2. Reply: struct lv_crash_report */
	LV_CTL_TAIL = 9,   /* since version 2. Reply: the last console output, LV_TAIL_MAX bytes at most */
	LV_CTL_AWAIT = 10, /* since version 3. arg: LV_STEP_LISTEN, or, since version 5, LV_AWAIT_TEMPLATE; answered when the ledger has it, or the program waits to be
			    * copied, by the end of the connection if the VM ends before; -EOPNOTSUPP: this kind of guest does not tell; -EBUSY: enough others wait */
	LV_CTL_PAUSE = 11, /* since version 3: answered when the vCPUs stand still and the devices hold nothing; -ETIMEDOUT: one did not come
			    * within a second, and all run again */
	LV_CTL_RESUME = 12, /* since version 3. arg, since version 5: LV_RESUME_*, 0 before */
	LV_CTL_THREADS = 13, /* since version 4. Reply: struct lv_threads, as many bytes as are used. -EOPNOTSUPP: this kind of guest has an agent that
			      * tells; -ETIMEDOUT: it did not answer, as one that is paused does not */
	LV_CTL_LIMIT = 14, /* since version 4. arg: bytes, the most memory that the guest may have from now on. -ERANGE: more than it was made with;
			    * -EBUSY: it has more already; -EOPNOTSUPP: this kind of guest has a balloon instead */
	LV_CTL_SAVE = 15, /* since version 5. SCM_RIGHTS: a file for the state, and one for the memory, both empty and regular, open for reading and
			   * writing; arg: 0, or LV_SAVE_* and a third file. Pauses, writes both, and answers with 0, or with a negative errno and why, as text. After a 0
			   * the VM stays paused for as long as this connection lives: KILL on it makes the save final, RESUME has the VM go on, and so
			   * does its end, before the answer and after it. One that had been paused by PAUSE stays so. Where the answer is no 0 it is as
			   * it was before. -EBUSY: it is being saved already; -EOPNOTSUPP: not this kind of guest */
	LV_CTL_TOUCHED = 16, /* since version 5. SCM_RIGHTS: an empty regular file, open for reading and writing, for which pages it has written since it
			      * was restored: others that are restored from the same state may have them before they run (LV_VM_PAGES). A negative
			      * errno comes with why, as text; -EOPNOTSUPP: it was not restored */
	LV_CTL_LOOK = 17, /* since version 5. SCM_RIGHTS as SAVE's two. Writes memory while the VM runs; the first on a connection all of it, each further one what was
			   * written since the one before: pages that have become zero as zeroes, all else is holes. LV_LOOK_LAST, which is not the first: it
			   * stands still, its state is written, too, and what follows is as after SAVE. The end of the connection ends it. -EBUSY: as
			   * SAVE; -EOPNOTSUPP: not this kind of guest, not on this host's kernel. Where the answer is no 0 nothing is known of its pages any more */
	LV_CTL_LEND = 18, /* since version 5. By who holds the VM still after SAVE or LOOK_LAST: what it has written to its disks is there for others, and their locks are free.
			   * Before the VM goes on, for whatever reason, it takes them again; while others have them, it stands still. A negative errno comes with why, as text.
			   * arg LV_LEND_BACK, by anybody: 0: it has them, and nobody holds it still for a save; -EBUSY: others have them, or somebody does */
	LV_CTL_CALLS = 19, /* since version 6. Reply: struct lv_calls_report */
	LV_CTL_AGENT = 20, /* since version 6. SCM_RIGHTS: one end of a connected stream socket, which leads into the guest (abi/agent.h): its bytes are
			    * passed on as they are. The guest may take none of them. -EBUSY: it has LV_AGENT_LINES of them already; -EOPNOTSUPP: this kind of guest
			    * has an agent of its own */
};
#define LV_LEND_BACK 1
/* Of the memory only what changed since the restore (docs/state.md). The third file is the memory that it was restored from, as a proof. -EOPNOTSUPP: it was not restored;
 * -ESTALE: from another one; -E2BIG: it changed in too many places. An older monitor answers -EOPNOTSUPP, or not at all. */
#define LV_SAVE_DIRTY_ONLY 1
#define LV_AWAIT_TEMPLATE 64
#define LV_LOOK_LAST 1
#define LV_LOOK_THROTTLE(percent) ((int64_t)(percent) << 8) /* up to 99: the vCPUs stand still for so much of the time until the next look; with LAST 0 */
#define LV_RESUME_ADVANCE 1 /* for the guest's monotonic clock, too, the time since the pause has passed */
struct lv_threads {
	uint32_t count; /* that are there */
	uint32_t total; /* threads of the program */
	uint64_t reserved;
	struct lv_thread thread[LV_THREADS_MAX];
};
static_assert(sizeof(struct lv_threads) <= 4096, "what a reply carries");
#define LV_THREADS_SIZE(count) (offsetof(struct lv_threads, thread) + (count) * sizeof(struct lv_thread))
struct lv_control_request {
	uint32_t magic;
	uint16_t op;      /* enum lv_control_op */
	uint16_t version; /* the least that the monitor has to speak: that in which the request came; 0 is 1 */
	int64_t arg;
};
/* Followed by size bytes of what the request asks for. */
struct lv_control_reply {
	int64_t result; /* 0 or a negative errno; -EPROTONOSUPPORT: the request is of a newer version */
	uint32_t magic;
	uint16_t version; /* LV_CONTROL_VERSION of the monitor */
	uint16_t reserved;
	uint32_t size;
	uint32_t reserved1;
};
static_assert(sizeof(struct lv_control_request) == 16, "control request layout");
static_assert(sizeof(struct lv_control_reply) == 24, "control reply layout");
#define LV_CONTROL_MOST (sizeof(struct lv_control_reply) + 4096) /* no reply is longer */
static_assert(sizeof(struct lv_status) <= 4096 && sizeof(struct lv_crash_report) <= 4096 && sizeof(struct lv_calls_report) <= 4096 && LV_TAIL_MAX <= 4096,
	      "what a reply carries");

#endif
