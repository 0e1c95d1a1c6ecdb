/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running VM is saved: paused, written down in slices from the loop, and held until who asked for it says what becomes of it
 * (LV_CTL_SAVE in abi/control.h). All in the loop thread.
 */
#ifndef LV_VMM_SAVE_JOB_H
#define LV_VMM_SAVE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/state/save_state.h"

struct error;

/* pause, resume: as vm_pause() and vm_resume(). */
void save_init(struct save_job *job, struct vm *vm, int (*pause)(struct vm *vm), int (*resume)(struct vm *vm, bool advance));
/* Before the jail takes the file system away. A machine without the file saves nothing. */
void save_open(struct save_job *job);

/* fd: for state and memory, and the memory that it is to be a difference from, or -1. They are the job's if the answer is 1: control_saved will tell. Otherwise a negative errno with a message. */
int save_begin(struct save_job *job, const int fd[3], int64_t what, struct error *error);
/*
 * The same for a look at memory while the VM runs (LV_CTL_LOOK). again: the one who asks has looked before. fd: for the state, which only the last look writes, and memory.
 */
int save_look(struct save_job *job, const int fd[2], bool again, int64_t what, struct error *error);
/* The VM stands still, or could not be stopped. */
void save_stopped(struct save_job *job, int result);
/* Who asked for it has gone: the VM goes on, if it ran before. stays: or is done with it, and the caller says what becomes of the VM. */
void save_over(struct save_job *job, bool stays);

/*
 * Of a VM that was saved and is held: others may have its disks, until save_over, which takes them back before it has the VM go on, however long that takes. 0, or a negative
 * errno with a message: nothing has changed.
 */
int save_lend(struct save_job *job, struct error *error);

/* Tries now. 0: nothing of a save is in the way of the VM any more; -EBUSY: it is being saved or held, or others have its disks. */
int save_take_back(struct save_job *job);
int save_resume(struct save_job *job);

#endif
