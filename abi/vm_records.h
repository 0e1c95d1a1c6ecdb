/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor is told: records (abi/records.h) in a memory file, which comes with LV_CTL_CONFIGURE as the first descriptor. Where a
 * record speaks of a descriptor it means a place among those that came after it, each of which is named exactly once.
 */
#ifndef LV_ABI_VM_RECORDS_H
#define LV_ABI_VM_RECORDS_H

#include "abi/control.h"
#include "abi/device_page.h"
#include "abi/records.h"

#define LV_VM_RECORDS_MAGIC 0x4356564cu /* "LVVC" */
#define LV_VM_RECORDS_VERSION 13
#define LV_VM_RECORDS_MAX (4u << 20) /* bytes, with the header */
#define LV_VM_FDS_MAX 64
#define LV_VM_MOUNTS_MAX 32
#define LV_VM_NET_QUEUES 4
#define LV_VM_NO_FD (-1)

/* Strings end with their only zero byte, which size counts. What is not marked "any number" may be there once. */
enum lv_vm_record_type {
	LV_VM_MACHINE = 1,  /* struct lv_vm_machine; needed */
	LV_VM_NAME = 2,     /* string, for messages */
	LV_VM_PROGRAM = 3,  /* library OS: string, path in the image; needed there */
	LV_VM_ARG = 4,      /* library OS: string, any number: argv, argv[0] first; needed there */
	LV_VM_ENV = 5,      /* library OS: string, any number: NAME=VALUE */
	LV_VM_CWD = 6,      /* library OS: string, absolute path */
	LV_VM_HOSTNAME = 7, /* library OS: string */
	LV_VM_APPEND = 8,   /* Linux: string, of the kernel's command line */
	LV_VM_NET = 9,      /* struct lv_vm_net, any number */
	LV_VM_DISK = 10,    /* struct lv_vm_disk, any number */
	LV_VM_VSOCK = 11,   /* struct lv_vm_vsock */
	LV_VM_MOUNT = 12,   /* library OS: string, any number: a word as of parse/mount_word.h */
	LV_VM_STATE = 13,   /* struct lv_vm_state; with it PROGRAM and MOUNT are not needed, and not looked at: the state has them;
			     * ARG, ENV and CWD are what a program that waits to be copied is told to do (docs/state.md) */
	LV_VM_PAGES = 14,   /* struct lv_vm_pages; with STATE only */
	LV_VM_BELOW = 15,   /* struct lv_vm_below; with STATE only, up to LV_VM_BELOW_MAX, in order */
	LV_VM_FILES = 17,   /* library OS: struct lv_vm_files; without STATE */
	LV_VM_VOLUME = 18,  /* struct lv_vm_volume, any number */
	LV_VM_PREFAULT = 19, /* library OS: struct lv_vm_prefault; without STATE */
	LV_VM_PAGER = 16,   /* library OS: struct lv_vm_pager; with STATE only, and without BELOW and PAGES */
};

#define LV_VM_SERIAL 2u   /* Linux: in and out are the serial port's, and not the console's */
#define LV_VM_TTY 4u      /* the console is a terminal of the guest's own */
#define LV_VM_RNG 8u      /* Linux: has these devices */
#define LV_VM_BALLOON 16u
#define LV_VM_ATTACHED 64u /* ends when the other end of the socket does over which this comes: in the foreground */
#define LV_VM_OWN_IN 128u /* in, out, err: nobody shares the open file description, which is non-blocking */
#define LV_VM_OWN_OUT 256u
#define LV_VM_OWN_ERR 512u
#define LV_VM_KERNEL_KEPT 32u /* Linux: nobody writes to the kernel's file, so that it may be mapped */
struct lv_vm_machine {
	uint64_t memory;   /* bytes */
	uint64_t start_ns; /* CLOCK_MONOTONIC when the command started */
	uint64_t image_ns; /* the same when the image was found, or packed; 0: not known */
	int32_t libos, image, kernel, initrd; /* descriptors, as are the following; LV_VM_NO_FD: none */
	int32_t control; /* listening */
	int32_t status, log, cpuid;
	int32_t in, out, err; /* the console */
	int32_t messages; /* the monitor's own; LV_VM_NO_FD: where they went before */
	uint32_t cpus;
	uint32_t flags;
	uint32_t uid, gid;
	uint32_t claim; /* enum lv_claim: for the status record */
	uint32_t reserved;
};
static_assert(sizeof(struct lv_vm_machine) == 96, "machine record layout");

struct lv_vm_net {
	int32_t fd[LV_VM_NET_QUEUES]; /* of a tap, or one stream socket of passt */
	uint32_t passt; /* 1: frames with their length before them */
	uint32_t spoof; /* 1: what the guest sends is not filtered: of a tap, by sender; of passt, link-local addresses */
	uint32_t answers; /* 1: of passt, whose gateway's address leads to the host's loopback: only answers go there (vmm/dev/net_answers.h) */
	struct lv_net_config config;
	struct lv_net6_config config6;
};

struct lv_vm_disk {
	int32_t fd, lock; /* lock: a second one of the file, which holds its lock (base/disk_claim.h) */
	uint32_t read_only; /* 0 or 1 */
	char serial[20];    /* zeroes at its end */
};
static_assert(sizeof(struct lv_vm_disk) == 32, "disk record layout");

struct lv_vm_vsock {
	int32_t listener; /* for those who connect to the guest; it connects to nobody */
	uint32_t reserved;
	uint64_t cid; /* 3 or more */
};
static_assert(sizeof(struct lv_vm_vsock) == 16, "vsock record layout");

/* A directory of the host, which a server of its own serves (volume/). */
struct lv_vm_volume {
	int32_t fd; /* connected socket of SOCK_SEQPACKET: a FUSE message each way */
	uint32_t read_only; /* 0 or 1 */
	char tag[16];       /* zeroes at its end */
};
static_assert(sizeof(struct lv_vm_volume) == 24, "volume record layout");

/* What LV_CTL_SAVE wrote. Devices and image have to be those that were saved, in their order; where they lead to, and who the VM is, is said here. */
#define LV_RESTORE_ADVANCE 1u /* for the guest's monotonic clock the time since the save has passed; otherwise it goes on where it stood */
#define LV_RESTORE_CLONE 2u   /* a VM besides the one that was saved: nothing of its identity is kept (docs/guest-abi.md) */
#define LV_RESTORE_RESET_CONNECTIONS 4u /* nobody is at the other end of its connections any more */
#define LV_RESTORE_PAUSED 8u  /* it does not run before LV_CTL_RESUME */
#define LV_RESTORE_WHOLE 16u  /* its memory is copied before it runs, not page by page when it is touched */
#define LV_RESTORE_FLAGS 31u
struct lv_vm_state {
	int32_t state, memory; /* descriptors of regular files, for reading: nobody may change them while the VM runs */
	uint32_t flags;        /* LV_RESTORE_* */
	uint32_t reserved;
};
static_assert(sizeof(struct lv_vm_state) == 16, "state record layout");

/* What LV_CTL_TOUCHED wrote of another VM of the same state: it gets these pages at once instead of one by one, which is quicker. */
struct lv_vm_pages {
	int32_t fd;
	uint32_t reserved;
};
static_assert(sizeof(struct lv_vm_pages) == 8, "pages record layout");

/* The state's memory file is as long as it will be, but not all is in it yet: what is not, comes while the VM runs (abi/memory_later.h). */
struct lv_vm_pager {
	int32_t device;   /* /dev/userfaultfd */
	int32_t listener; /* of SOCK_SEQPACKET, which listens: who brings the memory connects to it */
};
static_assert(sizeof(struct lv_vm_pager) == 8, "pager record layout");

/* Which pages starts of this image touch: the monitor has them there before, if the file says it, and otherwise writes into it what this start touches. */
#define LV_PREFAULT_ALWAYS 1u /* also where the KVM is the hardware's, and pages are cheap */
struct lv_vm_prefault {
	int32_t fd;      /* of a regular file, open for reading and writing: empty, or with anything in it */
	uint32_t flags;  /* LV_PREFAULT_* */
};
static_assert(sizeof(struct lv_vm_prefault) == 8, "prefault record layout");

/* Gets which files of the image are used (abi/used_files.h). */
struct lv_vm_files {
	int32_t fd;      /* of a regular file of LV_USED_SIZE(image's size) bytes, open for reading and writing: nobody shortens it while the VM runs */
	uint32_t record; /* LV_RECORD_*, not 0 */
};
static_assert(sizeof(struct lv_vm_files) == 8, "files record layout");

/* The state's memory holds only what changed since another one. A memory that lies below it: first the whole one, then differences from what comes before each. */
#define LV_VM_BELOW_MAX 7
struct lv_vm_below {
	int32_t memory;
	uint32_t reserved;
};
static_assert(sizeof(struct lv_vm_below) == 8, "below record layout");

#endif
