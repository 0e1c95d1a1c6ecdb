/* SPDX-License-Identifier: Apache-2.0 */
/* A save that is underway. What can be done with it: save_job.h. */
#ifndef LV_VMM_SAVE_STATE_H
#define LV_VMM_SAVE_STATE_H

#include <stdbool.h>

#include "base/loop.h"
#include "vmm/state/ram_track.h"

struct ram_file;
struct vm;

struct throttle { /* throttle.h */
	struct vm *vm;
	unsigned percent; /* of the time that the vCPUs stand still; 0: none */
	bool holds; /* just now */
	struct loop_timer turn;
};

struct save_job {
	struct vm *vm;
	int (*pause)(struct vm *vm);
	int (*resume)(struct vm *vm, bool advance);
	int pagemap; /* /proc/self/pagemap, opened before the jail */
	/* while one is underway: */
	bool active;  /* somebody holds the VM for it */
	bool looks;   /* somebody looks at its memory again and again, mostly while it runs */
	struct ram_track track; /* for that */
	struct throttle throttle; /* likewise */
	bool writes;  /* the VM stands still, or is looked at, and not all is written yet */
	bool difference; /* only what changed since the restore is written */
	bool stays;   /* the VM stays paused afterwards: it was before, or its user wants it meanwhile */
	int state, memory; /* descriptors, owned; -1: none */
	struct ram_file *file;
	struct loop_timer turn;
	/* when it stands still and all is written: */
	bool lent; /* others may have its disks: it does not go on before they are its own again */
	bool waits; /* for that: nobody holds it for a save any more */
	struct loop_timer again;
};

#endif
