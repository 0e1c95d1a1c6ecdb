/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways into and out of libos. All of it runs at level 3, but for the first instructions of syscall_entry: hardware
 * delivers SYSCALL at level 0, page-table KVM at level 3. Register frames are struct regs of libos.h.
 */
#include "abi/layout.h"
#include "abi/libos_header.h"

#define REGS_SIZE 168 /* struct regs: asserted in trap.c */
#define REGS_ORIG_RAX 120
#define HYPERCALL 0x800 /* LV_BELL_HYPERCALL and LV_HC_TOUCHED: likewise */
#define HC_TOUCHED 12

	.section .header, "a"
	.quad LV_LIBOS_MAGIC		/* struct lv_libos_header; libos.ld puts its end behind it */
	.long LV_LIBOS_ABI, 0
	.quad libos_entry, boot_stack_top, trap_entry, upcall_entry, syscall_entry, __text_start, __text_end, __hot_end, __hot_data_end
	.quad leave_start, leave_end, leave_again, touch_entry

	.section .text.entry, "ax"
	.globl libos_entry
libos_entry:
	call libos_main
	ud2

	/* Of a copy that nobody has asked for yet (vmm/libos/libos_warm.c): so that page-table KVM has these pages mapped when it runs. */
touch_entry:
	cmpb $0, (%rdi)
	add $4096, %rdi
	cmp %rsi, %rdi
	jb touch_entry
	movabs $(LV_BELL + HYPERCALL), %rdi
	movl $HC_TOUCHED, (%rdi)
	ud2

	/* Pushes what struct regs holds below orig_rax; RCX and RAX come from where the caller says. */
	.macro PUSH_REGISTERS rcx, rax
	push %rdi
	push %rsi
	push %rdx
	pushq \rcx
	pushq \rax
	push %r8
	push %r9
	push %r10
	push %r11
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	.endm

	.macro POP_REGISTERS
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	add $8, %rsp
	.endm

	/* From a patched site: flags as the program has them. The return address, what orig_rax is to be; then the C function gets the frame. */
	.macro ENTER_DIRECT back, orig_rax
	mov %rsp, user_rsp(%rip)
	mov kstack_top(%rip), %rsp
	push $LV_SS3
	pushq user_rsp(%rip)
	pushfq
	push $LV_CS3
	pushq \back
	pushq \orig_rax
	PUSH_REGISTERS %rcx, %rax
	mov %rsp, %rdi
	sub $8, %rsp
	cld
	.endm

	/* SYSCALL: RCX is the return address, R11 RFLAGS, RSP the program's, with a red zone below it. */
	.globl syscall_entry
syscall_entry:
	mov %rcx, user_rcx(%rip)
	mov %cs, %ecx
	test $3, %cl
	jnz 1f
	mov %r11, user_r11(%rip)
	lea 2f(%rip), %rcx
	mov $LV_RFLAGS, %r11d
	sysretq
1:	mov %r11, user_r11(%rip)
2:	mov %rsp, user_rsp(%rip)
	mov kstack_top(%rip), %rsp
	push $LV_SS3
	pushq user_rsp(%rip)
	pushq user_r11(%rip)
	push $LV_CS3
	pushq user_rcx(%rip)
	push %rax
	PUSH_REGISTERS user_rcx(%rip), %rax /* what a SYSCALL leaves in RCX, also where all registers come back */
	mov %rsp, %rdi
	sub $8, %rsp
	cld
	call syscall_trapped
	jmp syscall_return

	/* The same, reached by a patched call site: RCX is the return address, R11 free, flags as the program has them. */
	.globl syscall_entry_direct
syscall_entry_direct:
	ENTER_DIRECT %rcx, %rax
	call syscall_dispatch
syscall_return:
	add $8, %rsp
	test %eax, %eax
	jnz return_all
	/*
	 * The way out. What the monitor wants to be seen before the program's next instruction, it finds here: before these two looks at resched, or
	 * afterwards by RIP, which is in here. All that is read lies on the thread's stack, whole, until the last instruction; so one may begin again.
	 */
leave_start:
	cmpl $0, shared_resched(%rip)
	jne leave_again
	POP_REGISTERS
	mov (%rsp), %rcx
	pushq 16(%rsp)
	popfq
	mov 24(%rsp), %rsp
	jmp *%rcx

	/* A CPUID by a patched site: RBX is the return address. */
	.globl cpuid_entry
cpuid_entry:
	ENTER_DIRECT %rbx, $-1
	call cpuid_dispatch
	add $8, %rsp
	jmp return_all

	/* RSP points at a whole struct regs: restore every register. Also how a thread starts. */
	.globl return_all
return_all:
	cmpl $0, shared_resched(%rip)
	jne leave_again
	POP_REGISTERS
	iretq
leave_end:

leave_again:
	mov kstack_top(%rip), %rsp
	sub $REGS_SIZE, %rsp
	movq $-1, REGS_ORIG_RAX(%rsp)
	mov %rsp, %rdi
	sub $8, %rsp
	cld
	call return_work
	add $8, %rsp
	jmp return_all

	/* The same from a trap in libos itself, which looks on its own way out: not to be done again. */
return_nested:
	POP_REGISTERS
	iretq

	/* From a trap stub: RSP points at the trap frame in LV_TRAP, RAX is saved in it. */
	.globl trap_entry
trap_entry:
	push %rcx
	mov 40(%rsp), %rax		/* RIP: whose stack do we go on with? */
	lea __text_start(%rip), %rcx
	cmp %rcx, %rax
	jb 1f
	lea __text_end(%rip), %rcx
	cmp %rcx, %rax
	jae 1f
	cmpl $14, 24(%rsp)		/* a page fault within a page of RSP: there is no more stack below where it was */
	jne 3f
	mov 8(%rsp), %rax
	sub 64(%rsp), %rax
	add $4096, %rax
	cmp $8192, %rax
	jae 3f
	lea emergency_stack_top(%rip), %rax
	jmp 2f
3:	mov 64(%rsp), %rax		/* libos faulted: go on below where it was */
	and $-16, %rax
	jmp 2f
1:	mov kstack_top(%rip), %rax
2:	mov %rsp, %rcx
	mov %rax, %rsp
	pushq 72(%rcx)			/* ss */
	pushq 64(%rcx)			/* rsp */
	pushq 56(%rcx)			/* rflags */
	pushq 48(%rcx)			/* cs */
	pushq 40(%rcx)			/* rip */
	pushq $-1
	PUSH_REGISTERS 0(%rcx), 16(%rcx)
	mov %rsp, %rdi
	mov 24(%rcx), %rsi		/* vector */
	mov 32(%rcx), %rdx		/* error */
	mov 8(%rcx), %rcx		/* cr2 */
	sub $8, %rsp
	cld
	call trap_dispatch
	add $8, %rsp
	lea REGS_SIZE(%rsp), %rcx
	cmp kstack_top(%rip), %rcx
	jne return_nested
	jmp return_all

	/* From the monitor, which put the program's RIP, RFLAGS and RSP into the shared page. */
	.globl upcall_entry
upcall_entry:
	mov kstack_top(%rip), %rsp
	push $LV_SS3
	pushq shared_upcall+16(%rip)
	pushq shared_upcall+8(%rip)
	push $LV_CS3
	pushq shared_upcall(%rip)
	pushq $-1
	PUSH_REGISTERS %rcx, %rax
	mov %rsp, %rdi
	sub $8, %rsp
	cld
	call upcall_dispatch
	add $8, %rsp
	jmp return_all

	/* void switch_stacks(uint64_t *save, uint64_t next): goes on where next left off. */
	.globl switch_stacks
switch_stacks:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov %rsi, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	/* The first return of a new thread: switch_stacks left RSP at 8 bytes below its struct regs. */
	.globl thread_start
thread_start:
	call thread_started
	add $8, %rsp
	jmp return_all

	.section .bss.user, "aw", @nobits
	.balign 8
user_rcx: .skip 8
user_r11: .skip 8
user_rsp: .skip 8
	.globl kstack_top
kstack_top: .skip 8
	.section .bss..seldom, "aw", @nobits
	.balign 16
	.globl emergency_stack
emergency_stack:
	.skip 8192
	.globl emergency_stack_top
emergency_stack_top:
	.section .bss..stack, "aw", @nobits
	.balign 4096
boot_stack:
	.skip 16384 /* KSTACK_SIZE; text, which is not writable, lies below */
	.globl boot_stack_top
boot_stack_top:
	.section .note.GNU-stack, "", @progbits
