/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor is told: one structure, whether options filled it (vmm/vmm_options.h) or a message (vmm/config_decode.h). */
#ifndef LV_VMM_MACHINE_CONFIG_H
#define LV_VMM_MACHINE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/vm_records.h"
#include "vmm/device.h"

#define VM_ENV_MAX 512
#define VM_MAX_CPUS 32
#define VM_MOUNTS_MAX 32
#define MACHINE_CWD "/" /* unless something else is said */
#define MACHINE_HOSTNAME "lightvm"

struct machine_config {
	const char *name; /* for messages */
	int libos_fd, image_fd; /* a library-OS guest, ... */
	int kernel_fd, initrd_fd; /* ... or a Linux guest; -1: none */
	const char *append; /* of the kernel's command line, behind what the monitor says */
	unsigned cpus;
	bool kernel_kept; /* nobody writes to the kernel's file */
	bool serial; /* console.in and console.out are the serial port's */
	bool tty;    /* the console is a terminal */
	bool rng, balloon; /* Linux guests: has these devices */
	int state_fd, memory_fd; /* what is restored, instead of a program or a kernel that starts; -1: nothing */
	int below_fd[LV_VM_BELOW_MAX]; /* memories that memory_fd is a difference from, the whole one first; so many there are: */
	unsigned below_count;
	uint32_t restore;        /* LV_RESTORE_* */
	/*
	 * Of a monitor that is made before its configuration comes: what that will restore, as a clone with memory of its own; image and memory are in their places before. -1: nothing
	 */
	int ahead_image_fd, ahead_state_fd, ahead_memory_fd;
	int pages_fd;            /* which of its pages are had at once; -1: none */
	struct { int device, listener; } pager; /* its memory comes while it runs (vmm/state/pager.h); -1: it is all there */
	int prefault_fd;         /* library OS: which pages a start touches (libos_prefault.c), to be read and written; -1: nobody asks */
	bool prefault_always;    /* on hardware KVM, too */
	int files_fd;            /* gets which files of the image are used (abi/used_files.h); -1: nobody asks */
	uint32_t record;         /* LV_RECORD_*, with it */
	int vsock_dir; /* the directory with the sockets that the guest may connect to; -1: none */
	int cpuid_fd; /* -1: none */
	struct {
		int in, out, err; /* -1: nothing there */
		unsigned own; /* CONSOLE_IN and its like */
	} console;
	int control_fd, status_fd, log_fd; /* -1: none */
	int messages_fd; /* of the monitor itself, as the message says; -1: 1 and 2 stay what they are */
	bool attached;   /* the VM ends when the other end of configure_fd does */
	uint32_t claim;  /* enum lv_claim */
	uint64_t claim_ns; /* CLOCK_MONOTONIC when it was asked for; 0: not claimed */
	int configure_fd; /* connected: the configuration comes by message (vmm/configure.h); -1: it is in the options */
	bool probe;
	bool try_jail; /* enter the jail's first stage, and end */
	bool jail_full, jail_basic, jail_off, jail_log; /* none of them: full where the machine allows it */
	uint32_t outer_pid; /* started in namespaces of its own, outside of which this is its number; 0: not */
	uint32_t jail_uid;  /* the user to become; 0: stay */
	uint64_t memory; /* bytes; of a monitor that is made before its configuration comes: the most that it may say */
	uint64_t first_ram; /* of the same: bytes of RAM that cost it no further memory slot */
	uint64_t image_room; /* of such a monitor: bytes of an image that costs it no further memory slot */
	uint64_t start_ns, image_ns;
	const char *program, *cwd, *hostname;
	uint32_t uid, gid;
	char **argv;
	int argc, envc, mountc;
	unsigned device_count;
	/* From here on only what has been said is touched: the numbers above tell how much that is. An idle VM has 12 KiB less of it. */
	struct device_config device[LV_MAX_DEVICES - 1]; /* besides the console */
	const char *mount[VM_MOUNTS_MAX]; /* words as of parse/mount_word.h */
	const char *env[VM_ENV_MAX];
	char *arguments[64]; /* argv of the message, where it fits */
	char records[4096]; /* those of the message, where they fit; strings point into them */
};
#define MACHINE_CONFIG_SAID offsetof(struct machine_config, device) /* so many bytes are all that stays, once lists are as long as before */

/* Nothing is said yet: no descriptor, one vCPU, the usual directory, host name and memory. */
void machine_config_init(struct machine_config *config);

/* Calls visit for each place of a descriptor, also where it is -1: the one list of them for who keeps, closes or checks them. */
void machine_config_each_fd(struct machine_config *config, void (*visit)(void *context, int *fd), void *context);
#define MACHINE_FDS_MAX (25 + LV_VM_BELOW_MAX + NET_PAIRS_MAX * LV_MAX_DEVICES) /* so many places at most */

#endif
