/* SPDX-License-Identifier: Apache-2.0 */
/* What entry.S and the C files around the scheduler share with each other, and with nobody else. */
#ifndef LV_LIBOS_CORE_H
#define LV_LIBOS_CORE_H

#include "libos/core/libos.h"

struct regs; /* libos/proc/thread.h */
struct thread;

/* entry.S */
extern uint64_t kstack_top; /* of the running thread */
extern char boot_stack_top[], emergency_stack[], emergency_stack_top[], __text_start[], __text_end[];
void libos_entry(void);
void syscall_entry_direct(void);
void switch_stacks(uint64_t *save, uint64_t next);
void return_all(void);
void thread_start(void);

#define RFLAGS_TRAP 0x100ull

/* Called by entry.S. The system-call paths answer 1 if every register must be restored. */
void libos_main(void) __attribute__((noreturn));
int syscall_dispatch(struct regs *regs);
int syscall_trapped(struct regs *regs);
void trap_dispatch(struct regs *regs, uint64_t vector, uint64_t error, uint64_t cr2);
void upcall_dispatch(struct regs *regs);
void thread_started(void);

/* sched.c: what must be looked at on every way back to the program. */
void return_work(struct regs *regs);
void events_poll(void); /* rings, timers, signals from outside */

/* sched.c, for thread.c */
void sched_add(struct thread *thread);
void sched_leave(void) __attribute__((noreturn));
/* thread.c, for sched.c: frees the thread that ended last, now that nobody runs on its stack. */
void thread_reap(void);

/* ring.c: doorbells put off, as the mask that WAIT takes; clears it. */
uint64_t rings_take_bells(void);

#endif
