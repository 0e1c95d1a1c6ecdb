/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitor is told: one structure, whether options filled it (vmm/vmm_options.h) or a message (vmm/config_decode.h). */
#ifndef LV_VMM_MACHINE_CONFIG_H
#define LV_VMM_MACHINE_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

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
	uint64_t claim_ns; /* CLOCK_MONOTONIC; 0: not claimed */
	int configure_fd; /* connected: the configuration comes by message (vmm/configure.h); -1: it is in the options */
	bool probe;
	bool try_jail; /* enter the jail's first stage, and end */
	bool jail_full, jail_basic, jail_off, jail_log; /* none of them: full where the machine allows it */
	uint32_t outer_pid; /* started in namespaces of its own, outside of which this is its number; 0: not */
	uint32_t jail_uid;  /* the user to become; 0: stay */
	uint64_t memory; /* bytes; of a monitor that is made before its configuration comes: the most that it may say */
	uint64_t image_room; /* of such a monitor: bytes of an image that costs it no further memory slot */
	uint64_t start_ns, image_ns;
	const char *program, *cwd, *hostname;
	uint32_t uid, gid;
	char **argv;
	int argc;
	const char *env[VM_ENV_MAX];
	int envc;
	const char *mount[VM_MOUNTS_MAX]; /* words as of parse/mount_word.h */
	int mountc;
	unsigned device_count;
	struct device_config device[LV_MAX_DEVICES - 1]; /* besides the console */
};

/* Nothing is said yet: no descriptor, one vCPU, the usual directory, host name and memory. */
void machine_config_init(struct machine_config *config);

/* Calls visit for each place of a descriptor, also where it is -1: the one list of them for who keeps, closes or checks them. */
void machine_config_each_fd(struct machine_config *config, void (*visit)(void *context, int *fd), void *context);
#define MACHINE_FDS_MAX (16 + NET_PAIRS_MAX * LV_MAX_DEVICES) /* so many places at most */

#endif
