/* SPDX-License-Identifier: Apache-2.0 */
/* What entry.S and the C files around the scheduler share with each other, and with nobody else; what core offers to the other rooms is libos.h. */
#ifndef LV_LIBOS_CORE_H
#define LV_LIBOS_CORE_H

#include "libos/core/libos.h"

/* entry.S */
extern char emergency_stack[], emergency_stack_top[], __text_start[], __text_end[];
void libos_entry(void);
void switch_stacks(uint64_t *save, uint64_t next);
void return_all(void);

#define RFLAGS_TRAP 0x100ull

/* Called by entry.S. The system-call paths answer 1 if every register must be restored. */
void libos_main(void) __attribute__((noreturn));
int syscall_dispatch(struct regs *regs);
int syscall_trapped(struct regs *regs);
void trap_dispatch(struct regs *regs, uint64_t vector, uint64_t error, uint64_t cr2);
void upcall_dispatch(struct regs *regs);
void cpuid_dispatch(struct regs *regs);
void thread_started(void);

/* syscall.c: a program that lets each instruction trap does so again behind the call. */
void step_goes_on(struct regs *regs);

/* calls.c: one more system call trapped, with the number nr, at the instruction before rip. */
void calls_trapped(uint64_t rip, uint64_t nr);

/* time.c */
void clock_start(void); /* the VM is configured */
void clock_look(void);  /* sees to timers if the clocks were set; cheap */

/* sched.c: what must be looked at on every way back to the program. */
void return_work(struct regs *regs);
void events_poll(void); /* rings, timers, signals from outside */

#endif
