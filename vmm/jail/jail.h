/* SPDX-License-Identifier: Apache-2.0 */
/* Dropping rights, in named steps. All opens come before, all parsing of guest bytes after. */
#ifndef LV_VMM_JAIL_H
#define LV_VMM_JAIL_H

#include <stdbool.h>
#include <stdint.h>

struct jail {
	bool full;      /* also namespaces, an empty root, an empty bounding set, and uid */
	bool required;  /* if full: a machine that refuses is an error; otherwise what it refuses is left out */
	bool inside;    /* if full: the process was started in namespaces of its own */
	uint32_t uid;   /* if full: the user and group to become; 0: stay */
	int parent;     /* a socket whose other end its parent holds, if that is to outlive the change of the user; -1: none */
	bool log_only;  /* debug: what the filter forbids is logged, not fatal */
	bool ahead;     /* it takes its configuration later, a library OS': a filter for that, which the last step narrows. dials: never */
	bool is_linux, disks; /* the kind of guest; it has disks (a Linux guest may have them in any case) */
	bool dials;     /* the guest may connect to sockets of the host */
	unsigned descriptors; /* that are open now and may be opened later, at most */
	unsigned threads; /* of its user, at most; 0: no limit, since it has other processes */
	uint64_t address_space; /* bytes, at most; 0: no limit */
	int directory;  /* if dials: with the sockets that the guest may connect to; becomes the working directory, and with
			   full the root. -1: none */
};

enum jail_stage { /* in this order */
	JAIL_CREATED, /* what no configuration changes: namespaces, root, user, capabilities, and a filter that still takes a configuration. Before the
			 vCPU's first run, which gives the process a thread of the kernel's: then it is too late */
	JAIL_RUNNING, /* what the devices have part in, and after which nothing is opened: limits, the filter */
};

/*
 * Takes the steps of one stage. JAIL_CREATED is called before any other thread of ours exists: capabilities belong to threads, and later ones inherit; limits and
 * filters are those of all threads. 0; or a negative errno, and *step names the step that failed ("directory", "namespaces", "root", "bounding set", "user",
 * "capabilities", "no new privileges", "first filter"; "limits", "filter"). What is left out because the machine refuses it clears jail->full.
 */
int jail_enter(struct jail *jail, enum jail_stage stage, const char **step);

/*
 * Closes everything but 0, 1, 2 and the count descriptors of keep (which gets sorted; -1 is allowed): what else the parent
 * left open is none of the VM's business. 0 or a negative errno.
 */
int jail_keep_only(int *keep, unsigned count);

#endif
