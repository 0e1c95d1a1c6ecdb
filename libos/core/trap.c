/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions, by the trap stubs; and upcalls, by which the monitor interrupts a program that computes. */
#include "libos/core/core.h"
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"

#include <linux/errno.h>
#include <asm/signal.h>
#include <asm-generic/siginfo.h>

enum { DIVIDE = 0, DEBUG = 1, BREAKPOINT = 3, OVERFLOW = 4, BOUND = 5, INVALID_OPCODE = 6, STACK_FAULT = 12, PROTECTION = 13,
       PAGE_FAULT = 14, X87 = 16, ALIGNMENT = 17, SIMD = 19 };

static bool from_libos(const struct regs *regs)
{
	return regs->rip >= (uint64_t)__text_start && regs->rip < (uint64_t)__text_end;
}

/* The program's memory is not as it said: the function that touched it says so to its caller. */
static bool from_user_copy(struct regs *regs)
{
	for (const struct user_fixup *fixup = user_fixups; (uintptr_t)fixup < (uintptr_t)user_fixups_end; fixup++) {
		if (regs->rip < fixup->from || regs->rip >= fixup->to)
			continue;
		regs->rip = fixup->go_on;
		return true;
	}
	return false;
}

/* entry.S put us on the emergency stack for the same reason. */
static bool kstack_overflown(const struct regs *regs, uint64_t addr)
{
	return addr - (regs->rsp - LV_PAGE) < 2 * LV_PAGE;
}

static int simd_code(void)
{
	uint32_t mxcsr;
	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	uint32_t raised = mxcsr & ~(mxcsr >> 7);
	return raised & 1 ? FPE_FLTINV : raised & 4 ? FPE_FLTDIV : raised & 8 ? FPE_FLTOVF : raised & 0x12 ? FPE_FLTUND : FPE_FLTRES;
}

static int x87_code(void)
{
	uint16_t status, control;
	__asm__ volatile("fnstsw %0; fnstcw %1" : "=m"(status), "=m"(control));
	uint16_t raised = status & ~control;
	return raised & 1 ? FPE_FLTINV : raised & 4 ? FPE_FLTDIV : raised & 8 ? FPE_FLTOVF : raised & 0x12 ? FPE_FLTUND : FPE_FLTRES;
}

static void page_fault(struct regs *regs, uint64_t error, uint64_t addr)
{
	if (!from_libos(regs))
		mm_fault_ahead(addr, error);
	int code = mm_fault(addr, error);
	if (code == 0)
		return;
	if (code == -ENOMEM && process_make_room())
		return;
	if (code == -ENOMEM) {
		console_note("lightvm: out of memory: the program used all that -m gives it\n");
		process_end(current->process, SIGKILL);
	}
	if (from_user_copy(regs) || (code == -ENOMEM && !from_libos(regs)))
		return;
	if (from_libos(regs) && kstack_overflown(regs, addr))
		panic("kernel stack overflow: address %lx, rip %lx, rsp %lx", addr, regs->rip, regs->rsp);
	if (from_libos(regs))
		panic("page fault in libos: address %lx, error %lx, rip %lx, rsp %lx", addr, error, regs->rip, regs->rsp);
	int signo = code < 0 ? SIGBUS : SIGSEGV;
	signal_fault(regs, signo, code < 0 ? -code : code, addr, PAGE_FAULT, error, addr);
}

static void fault_of_program(struct regs *regs, uint64_t vector, uint64_t error, uint64_t cr2)
{
	switch (vector) {
	case DIVIDE:
		signal_fault(regs, SIGFPE, FPE_INTDIV, regs->rip, vector, error, cr2);
		break;
	case DEBUG:
		signal_fault(regs, SIGTRAP, TRAP_TRACE, regs->rip, vector, error, cr2);
		break;
	case BREAKPOINT:
		signal_fault(regs, SIGTRAP, SI_KERNEL, 0, vector, error, cr2);
		break;
	case INVALID_OPCODE:
		signal_fault(regs, SIGILL, ILL_ILLOPN, regs->rip, vector, error, cr2);
		break;
	case X87:
		signal_fault(regs, SIGFPE, x87_code(), regs->rip, vector, error, cr2);
		break;
	case SIMD:
		signal_fault(regs, SIGFPE, simd_code(), regs->rip, vector, error, cr2);
		break;
	case ALIGNMENT:
		signal_fault(regs, SIGBUS, BUS_ADRALN, 0, vector, error, cr2);
		break;
	default:
		signal_fault(regs, SIGSEGV, SI_KERNEL, 0, vector, error, cr2);
	}
}

/*
 * A program that lets each of its instructions trap came in by a patched call site, which leaves the flags alone (SYSCALL
 * clears this one). It gets the flag back with its registers.
 */
static void step_into_libos(struct regs *regs)
{
	regs->rflags &= ~RFLAGS_TRAP;
	current->stepped = true;
}

void trap_dispatch(struct regs *regs, uint64_t vector, uint64_t error, uint64_t cr2)
{
	if (vector == PAGE_FAULT)
		page_fault(regs, error, cr2);
	else if (from_user_copy(regs))
		return;
	else if (vector == DEBUG && from_libos(regs) && (regs->rflags & RFLAGS_TRAP))
		step_into_libos(regs);
	else if (from_libos(regs))
		panic("trap %lu in libos: error %lx, rip %lx, rsp %lx", vector, error, regs->rip, regs->rsp);
	else if (vector != DEBUG || !patch_step(regs))
		fault_of_program(regs, vector, error, cr2);
	if (!from_libos(regs))
		return_work(regs);
}

void upcall_dispatch(struct regs *regs)
{
	shared_page->resched = 1;
	patch_rewind(regs);
	return_work(regs);
}

/* entry.S knows it by these, */
_Static_assert(sizeof(struct regs) == 168 && offsetof(struct regs, orig_rax) == 120, "entry.S: REGS_SIZE, REGS_ORIG_RAX");
/* and libos.ld places shared_upcall and shared_resched so. */
_Static_assert(LV_BELL_HYPERCALL == 0x800 && LV_HC_TOUCHED == 12, "entry.S: HYPERCALL, HC_TOUCHED");
_Static_assert(offsetof(struct lv_shared, resched) == 0x3c8, "libos.ld: shared_resched");
_Static_assert(offsetof(struct lv_shared, upcall) == 0x3d0, "libos.ld: shared_upcall");
