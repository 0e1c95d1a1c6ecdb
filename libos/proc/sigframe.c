/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of a signal handler on the program's stack, laid out as Linux does on x86-64 (arch/x86/kernel/signal.c
 * documents it by its structures, which come from the UAPI headers): unwinders and language run-times rely on it.
 */
#include "libos/proc/proc.h"

#include <asm/sigcontext.h>
#include <asm/ucontext.h>

#define RED_ZONE 128
#define XSAVE_HEADER 512 /* offset of the header; the legacy area before it is what FXSAVE writes */
#define XSAVE_HEADER_SIZE 64
#define RFLAGS_TRAP 0x100ull
#define RFLAGS_DIRECTION 0x400ull
#define RFLAGS_RESUME 0x10000ull
#define RFLAGS_INTERRUPT 0x200ull
#define RFLAGS_OF_PROGRAM 0x50dd5ull /* CF PF AF ZF SF TF DF OF RF AC: what rt_sigreturn may change */
#define MXCSR_VALID 0xffffu

struct rt_sigframe {
	uint64_t return_address; /* the restorer, which calls rt_sigreturn */
	struct ucontext uc;
	struct siginfo_k info;
};
static_assert(sizeof(struct siginfo_k) == 128, "siginfo layout");
static_assert(offsetof(struct rt_sigframe, uc.uc_mcontext) == 48, "signal frame layout");
static_assert(sizeof(struct sigcontext) == 256, "sigcontext layout");

/* ---- alternate stack ---- */

static bool on_altstack(uint64_t sp)
{
	if (current->altstack_flags & SS_AUTODISARM)
		return false;
	return sp > current->altstack_sp && sp - current->altstack_sp <= current->altstack_size;
}

stack_t altstack_get(uint64_t sp)
{
	int flags = !current->altstack_size ? SS_DISABLE : on_altstack(sp) ? SS_ONSTACK : 0;

	return (stack_t){ .ss_sp = (void *)current->altstack_sp, .ss_size = current->altstack_size,
			  .ss_flags = flags | (int)(current->altstack_flags & SS_AUTODISARM) };
}

int altstack_set(const stack_t *stack)
{
	int mode = stack->ss_flags & ~(int)SS_AUTODISARM;

	if (on_altstack(current->regs->rsp))
		return -EPERM;
	if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
		return -EINVAL;
	if (current->altstack_sp == (uint64_t)stack->ss_sp && current->altstack_size == stack->ss_size &&
	    current->altstack_flags == ((uint32_t)stack->ss_flags & (uint32_t)SS_AUTODISARM))
		return 0; /* as it is */
	if (mode != SS_DISABLE && stack->ss_size < MINSIGSTKSZ)
		return -ENOMEM;
	current->altstack_sp = mode == SS_DISABLE ? 0 : (uint64_t)stack->ss_sp;
	current->altstack_size = mode == SS_DISABLE ? 0 : stack->ss_size;
	current->altstack_flags = (uint32_t)stack->ss_flags & (uint32_t)SS_AUTODISARM;
	return 0;
}

/* ---- vector registers: those of the program are live, libos uses none ---- */

static size_t fpu_size(void)
{
	return device_page->xcr0 ? device_page->xsave_size + FP_XSTATE_MAGIC2_SIZE : XSAVE_HEADER;
}

static int fpu_save(uaddr_t to)
{
	uint32_t size = device_page->xsave_size, magic = FP_XSTATE_MAGIC2;
	uint64_t xcr0 = device_page->xcr0;
	struct _fpx_sw_bytes sw = { .magic1 = FP_XSTATE_MAGIC1, .extended_size = size + FP_XSTATE_MAGIC2_SIZE, .xfeatures = xcr0,
				    .xstate_size = size };
	uint8_t legacy[XSAVE_HEADER] __attribute__((aligned(16)));

	if (!xcr0) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(legacy) : "memory");
		memset(legacy + XSAVE_HEADER - sizeof(sw), 0, sizeof(sw));
		return user_put(to, legacy);
	}
	/* The instruction leaves parts of the header alone. */
	if (user_zero(to + XSAVE_HEADER, XSAVE_HEADER_SIZE) || user_save_vectors(to, size, xcr0))
		return -EFAULT;
	return user_put(to + XSAVE_HEADER - sizeof(sw), sw) ? -EFAULT : user_put(to + size, magic);
}

/* The program may have written anything into its frame; the instructions fault on most of it. */
static bool fpu_restore(uaddr_t from)
{
	uint8_t legacy[XSAVE_HEADER] __attribute__((aligned(16)));
	const struct _fpx_sw_bytes *sw = (const struct _fpx_sw_bytes *)(legacy + XSAVE_HEADER - sizeof(*sw));
	uint64_t xcr0 = device_page->xcr0, header[XSAVE_HEADER_SIZE / 8], bad = 0;
	const uint32_t *mxcsr = (const uint32_t *)(legacy + 24);

	if ((from & 63) || user_get(&legacy, from) || (*mxcsr & ~MXCSR_VALID))
		return false;
	if (!xcr0 || sw->magic1 != FP_XSTATE_MAGIC1 || sw->xstate_size != device_page->xsave_size) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(legacy) : "memory");
		return true;
	}
	if (user_get(&header, from + XSAVE_HEADER))
		return false;
	for (unsigned i = 1; i < ARRAY_SIZE(header); i++)
		bad |= header[i];
	if (bad || (header[0] & ~xcr0))
		return false;
	return user_load_vectors(from, device_page->xsave_size, xcr0) == 0;
}

/* The initial state, for a frame without vector registers. */
void vectors_reset(void)
{
	static uint8_t initial[XSAVE_HEADER + XSAVE_HEADER_SIZE] __attribute__((aligned(64)));

	initial[0] = 0x7f; /* x87 control word 0x37f */
	initial[1] = 0x03;
	initial[24] = 0x80; /* MXCSR 0x1f80 */
	initial[25] = 0x1f;
	if (device_page->xcr0)
		vectors_load(initial);
	else
		__asm__ volatile("fxrstor64 (%0)" : : "r"(initial) : "memory");
}

/* ---- registers ---- */

static void context_save(struct sigcontext *sc, const struct regs *r, uint64_t mask)
{
	*sc = (struct sigcontext){
		.r8 = r->r8, .r9 = r->r9, .r10 = r->r10, .r11 = r->r11, .r12 = r->r12, .r13 = r->r13, .r14 = r->r14, .r15 = r->r15,
		.rdi = r->rdi, .rsi = r->rsi, .rbp = r->rbp, .rbx = r->rbx, .rdx = r->rdx, .rax = r->rax, .rcx = r->rcx,
		.rsp = r->rsp, .rip = r->rip,
		/* Interrupts and I/O level as every process of Linux sees them, whatever this kind of KVM makes of them. */
		.eflags = (r->rflags & RFLAGS_OF_PROGRAM) | RFLAGS_INTERRUPT | 2, .cs = LV_CS3, .ss = LV_SS3,
		.err = current->trap_error, .trapno = current->trap_vector, .oldmask = mask, .cr2 = current->trap_cr2,
	};
}

static void context_restore(struct regs *r, const struct sigcontext *sc)
{
	r->r8 = sc->r8; r->r9 = sc->r9; r->r10 = sc->r10; r->r11 = sc->r11;
	r->r12 = sc->r12; r->r13 = sc->r13; r->r14 = sc->r14; r->r15 = sc->r15;
	r->rdi = sc->rdi; r->rsi = sc->rsi; r->rbp = sc->rbp; r->rbx = sc->rbx;
	r->rdx = sc->rdx; r->rax = sc->rax; r->rcx = sc->rcx; r->rsp = sc->rsp;
	r->rip = sc->rip;
	r->rflags = (r->rflags & ~RFLAGS_OF_PROGRAM) | (sc->eflags & RFLAGS_OF_PROGRAM);
	r->orig_rax = (uint64_t)-1;
}

static uint64_t stack_for(const struct regs *regs, const struct sigaction_k *action)
{
	if ((action->flags & SA_ONSTACK) && current->altstack_size && !on_altstack(regs->rsp))
		return current->altstack_sp + current->altstack_size;
	return regs->rsp - RED_ZONE;
}

bool sigframe_push(struct regs *regs, const struct sigaction_k *action, const struct siginfo_k *info, uint64_t mask)
{
	uint64_t top = stack_for(regs, action);
	uint64_t fpu = ALIGN_DOWN(top - fpu_size(), 64);
	/* The handler sees its stack as behind a call: 8 below a multiple of 16. */
	uint64_t at = ALIGN_DOWN(fpu - sizeof(struct rt_sigframe), 16) - 8;
	bool left_altstack = on_altstack(regs->rsp) && !on_altstack(at);
	struct rt_sigframe frame = {
		.return_address = action->restorer,
		.uc.uc_flags = (device_page->xcr0 ? UC_FP_XSTATE : 0) | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
		.uc.uc_stack = altstack_get(regs->rsp), .uc.uc_sigmask = mask, .info = *info,
	};

	context_save(&frame.uc.uc_mcontext, regs, mask);
	frame.uc.uc_mcontext.fpstate = (void *)fpu;
	if (at > top || left_altstack || !(action->flags & SA_RESTORER) || fpu_save(fpu) || user_put(at, frame))
		return false;
	if (current->altstack_flags & SS_AUTODISARM)
		current->altstack_sp = current->altstack_size = current->altstack_flags = 0;

	regs->rdi = (uint64_t)info->signo;
	regs->rsi = at + offsetof(struct rt_sigframe, info);
	regs->rdx = at + offsetof(struct rt_sigframe, uc);
	regs->rax = 0;
	regs->rip = action->handler;
	regs->rsp = at;
	regs->rflags &= ~(RFLAGS_TRAP | RFLAGS_DIRECTION | RFLAGS_RESUME);
	regs->orig_rax = (uint64_t)-1;
	return true;
}

static bool frame_pop(struct regs *regs)
{
	struct rt_sigframe frame;

	if (user_get(&frame, regs->rsp - 8)) /* the handler's RET took the address */
		return false;
	uaddr_t fpu = (uaddr_t)frame.uc.uc_mcontext.fpstate;

	if (!fpu)
		vectors_reset();
	else if (!fpu_restore(fpu))
		return false;
	signal_block(frame.uc.uc_sigmask);
	context_restore(regs, &frame.uc.uc_mcontext);
	altstack_set(&frame.uc.uc_stack); /* what does not fit is left as it is, as on Linux */
	return true;
}

SYSCALL(rt_sigreturn)
{
	struct regs *regs = current->regs;

	if (!frame_pop(regs))
		signal_fault(regs, SIGSEGV, SI_KERNEL, 0, 13, 0, 0);
	current->restore_all = true;
	return (long)regs->rax;
}
