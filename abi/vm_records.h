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
#define LV_VM_RECORDS_VERSION 7
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
};

#define LV_VM_SERIAL 2u   /* Linux: in and out are the serial port's, and not the console's */
#define LV_VM_TTY 4u      /* Linux: the console is a terminal */
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
	uint64_t claim_ns; /* the same when this monitor was claimed, having been ready; 0: it was not */
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
static_assert(sizeof(struct lv_vm_machine) == 104, "machine record layout");

struct lv_vm_net {
	int32_t fd[LV_VM_NET_QUEUES]; /* of a tap, or one stream socket of passt */
	uint32_t passt; /* 1: frames with their length before them */
	uint32_t spoof; /* 1: what the guest sends is not filtered: of a tap, by sender; of passt, link-local addresses */
	struct lv_net_config config;
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

#endif
