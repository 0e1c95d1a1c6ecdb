/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only instructions of libos that touch the program's memory (user.h). All are in leaves that leave the stack as it
 * is. When an address turns out not to be there, trap.c looks up in user_fixups where to go on: most return what is in
 * RCX, a copy by words goes on by bytes so that it ends exactly where the memory does.
 */
	.section .data.rel.ro.user_fixups, "aw"
	.balign 8
	.globl user_fixups, user_fixups_end
user_fixups:
	.macro FIXUP from, to, go_on
	.quad \from, \to, \go_on
	.endm
	FIXUP user_copy, copy_bytes, copy_bytes
	FIXUP copy_bytes, user_end, user_fault
user_fixups_end:

	.section .text.user, "ax"

	/* size_t user_copy(void *to, const void *from, size_t n): bytes that were not copied. 4 and 8 bytes move at once. */
	.globl user_copy
user_copy:
	mov %rdx, %rcx
	cmp $256, %rdx			/* as lib.c's STRING_MIN */
	jae copy_string
	cmp $8, %rcx
	jb 2f
1:	mov (%rsi), %rax
	mov %rax, (%rdi)
	add $8, %rsi
	add $8, %rdi
	sub $8, %rcx
	cmp $8, %rcx
	jae 1b
	test %ecx, %ecx
	jz 3f
	mov -8(%rsi,%rcx), %rax		/* the rest, together with some that is there already */
	mov %rax, -8(%rdi,%rcx)
	xor %eax, %eax
	ret
2:	cmp $4, %ecx
	jb copy_bytes
	mov (%rsi), %eax
	mov %eax, (%rdi)
	add $4, %rsi
	add $4, %rdi
	sub $4, %ecx
copy_bytes:
	test %ecx, %ecx
	jz 3f
	mov (%rsi), %al
	mov %al, (%rdi)
	inc %rsi
	inc %rdi
	dec %ecx
	jmp copy_bytes
3:	xor %eax, %eax
	ret
copy_string:
	rep movsb
	mov %rcx, %rax
	ret

	/* size_t user_clear(void *to, size_t n): bytes that were not cleared. */
	.globl user_clear
user_clear:
	mov %rsi, %rcx
	xor %eax, %eax
	rep stosb
	mov %rcx, %rax
	ret

	/* int64_t user_copy_string(char *to, const char *from, size_t size): its length; size: it has no end there; negative: fault. */
	.globl user_copy_string
user_copy_string:
	mov $-1, %rcx
	xor %eax, %eax
1:	cmp %rdx, %rax
	je 2f
	mov (%rsi,%rax), %r8b
	mov %r8b, (%rdi,%rax)
	test %r8b, %r8b
	jz 2f
	inc %rax
	jmp 1b
2:	ret

	/* long user_exchange(uint32_t *at, uint32_t old, uint32_t new, uint32_t *found): 0, or negative: fault. */
	.globl user_exchange
user_exchange:
	mov %rcx, %r8
	mov $-1, %rcx
	mov %esi, %eax
	cmpxchg %edx, (%rdi)		/* no lock prefix: nobody else runs */
	mov %eax, (%r8)
	xor %eax, %eax
	ret

	/* long user_xsave(void *to, uint64_t mask), user_xrstor(const void *from, uint64_t mask): 0, or negative: fault. */
	.globl user_xsave
user_xsave:
	mov $-1, %rcx
	mov %esi, %eax
	shr $32, %rsi
	mov %esi, %edx
	xsave64 (%rdi)
	xor %eax, %eax
	ret
	.globl user_xrstor
user_xrstor:
	mov $-1, %rcx
	mov %esi, %eax
	shr $32, %rsi
	mov %esi, %edx
	xrstor64 (%rdi)
	xor %eax, %eax
	ret

user_fault:
	mov %rcx, %rax
	ret
user_end:
	.section .note.GNU-stack, "", @progbits
