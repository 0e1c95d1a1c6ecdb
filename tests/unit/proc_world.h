/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What signals, futexes and timers need of the rest of libos, small enough for a unit test: threads that never run, a
 * wait that calls the test's function instead of other threads, an end of the process that jumps back to the test.
 */
#ifndef TESTS_UNIT_PROC_WORLD_H
#define TESTS_UNIT_PROC_WORLD_H

#include <setjmp.h>

#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

extern struct thread world_thread[3]; /* tid 1, 2 and 3; 1 is current */
extern struct regs world_regs;
extern jmp_buf world_end;
extern char world_note[]; /* of console_note */
extern int world_exit_status; /* of process_exit; -1: none; 1000 + signal: crash_program */
extern char world_stack[1 << 16] __attribute__((aligned(64)));
/* Called by wait_here; its answer is what wait_here answers. */
extern int (*world_while_waiting)(uint64_t deadline);

/* Everything as after boot; the current thread is about to make the system call nr. */
void world_reset(uint64_t nr);
/* Runs the statement; true if it ended the process. */
#define WORLD_ENDS(statement) (setjmp(world_end) ? true : ((void)(statement), false))

#endif
