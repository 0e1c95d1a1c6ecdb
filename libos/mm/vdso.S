/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO, vdso(7): a shared object of one page that is there before any other, in which C libraries and Go's runtime look for the calls that
 * programs make most often. The clocks are read here from the device page, as core/time.c does; what is asked for seldom is a jump to where
 * patched call sites come in. Neither ever traps.
 * Written by hand, since all of it is: the headers, what a dynamic linker reads (System V ABI, chapters 4 and 5; the Linux Standard Base on
 * versions, which Go reads unchecked), the frame that an unwinder needs, and the code. Addresses in it are from its first byte on.
 */
#include "abi/layout.h"
#include "libos/mm/vdso.h"

#define DT(tag, value) .quad tag, value
#define SYM_FUNCTION 0x12 /* STB_GLOBAL, STT_FUNC */
#define SYM_OBJECT 0x11
#define VERSION 2
#define SYMBOLS 11 /* with the first one, which is none */

	.section .vdso, "ax"
	.balign 4096
	.globl vdso_start, vdso_end
vdso_start:
	.byte 0x7f
	.ascii "ELF"
	.byte 2, 1, 1, 0		/* 64 bits, little-endian */
	.quad 0
	.short 3, 62			/* ET_DYN, EM_X86_64 */
	.long 1
	.quad 0, segments - vdso_start, 0
	.long 0
	.short 64, 56, 3, 64, 0, 0	/* three segments, no sections */

segments:
	.long 1, 5			/* PT_LOAD, readable and executable */
	.quad 0, 0, 0, vdso_end - vdso_start, vdso_end - vdso_start, 4096
	.long 2, 4			/* PT_DYNAMIC */
	.quad dynamic - vdso_start, dynamic - vdso_start, dynamic - vdso_start, dynamic_end - dynamic, dynamic_end - dynamic, 8
	.long 0x6474e550, 4		/* PT_GNU_EH_FRAME */
	.quad frames - vdso_start, frames - vdso_start, frames - vdso_start, frames_end - frames, frames_end - frames, 4

dynamic:
	DT(14, name - strings)		/* DT_SONAME */
	DT(4, hash - vdso_start)
	DT(5, strings - vdso_start)
	DT(6, symbols - vdso_start)
	DT(10, strings_end - strings)
	DT(11, 24)
	DT(0x6ffffffc, versions - vdso_start) /* DT_VERDEF */
	DT(0x6ffffffd, 2)		/* DT_VERDEFNUM */
	DT(0x6ffffff0, versions_of - vdso_start) /* DT_VERSYM */
	DT(0, 0)
dynamic_end:

	/* One bucket, which all symbols are in: ten names are not worth more. */
hash:
	.long 1, SYMBOLS, 1, 0
	.set next, 2
	.rept SYMBOLS - 2
	.long next
	.set next, next + 1
	.endr
	.long 0

	.balign 8
symbols:
	.quad 0, 0, 0
	.macro SYMBOL kind, string, at, size
	.long \string - strings
	.byte \kind, 0
	.short 1			/* defined, by a section that nobody needs to see */
	.quad \at, \size
	.endm
	.macro FUNCTIONS name
	SYMBOL SYM_FUNCTION, __vdso_\name\()_string, (\name - vdso_start), (\name\()_end - \name)
	SYMBOL SYM_FUNCTION, \name\()_string, (\name - vdso_start), (\name\()_end - \name)
	.endm
	FUNCTIONS clock_gettime
	FUNCTIONS clock_getres
	FUNCTIONS gettimeofday
	FUNCTIONS time
	FUNCTIONS getcpu
	.if . - symbols - SYMBOLS * 24
	.error "SYMBOLS"
	.endif

versions_of: /* one for each symbol; the first has none */
	.short 0
	.rept SYMBOLS - 1
	.short VERSION
	.endr

	.balign 4
	.macro VERSION_DEFINED flags, index, hash, string, next
	.short 1, \flags, \index, 1
	.long \hash, 20, \next, \string - strings, 0
	.endm
versions:
	VERSION_DEFINED 1, 1, 0x0deebfa1, name, 28 /* VER_FLG_BASE: the file itself */
	VERSION_DEFINED 0, VERSION, 0x03ae75f6, version, 0

strings:
	.byte 0
name:	.asciz "linux-vdso.so.1"
version: .asciz "LINUX_2.6"
	.macro STRINGS name
__vdso_\name\()_string:
	.ascii "__vdso_"
\name\()_string:
	.asciz "\name"
	.endm
	STRINGS clock_gettime
	STRINGS clock_getres
	STRINGS gettimeofday
	STRINGS time
	STRINGS getcpu
strings_end:

	.balign 4
frames: /* .eh_frame_hdr with its one entry, and .eh_frame behind it; DW_EH_PE_... of the Linux Standard Base */
	.byte 1, 0x1b, 0x03, 0x3b	/* pcrel | sdata4, udata4, datarel | sdata4 */
	.long common - .
	.long 1
	.long code - frames, entry - frames
frames_end:
	.balign 8
common:
	.long 1f - 0f
0:	.long 0
	.byte 1
	.asciz "zR"
	.uleb128 1
	.sleb128 -8
	.uleb128 16, 1
	.byte 0x1b
	.byte 0x0c, 7, 8, 0x90, 1	/* the frame begins 8 above RSP, and the return address lies at its end */
	.balign 8
1:
entry:
	.long 1f - 0f
0:	.long 0b - common
	.long code - .
	.long code_end - code
	.uleb128 0
	.balign 8
1:
	.long 0

	/* All registers that are used below are the caller's loss in C's calling convention, too. */
	.macro JUMP nr
	mov $\nr, %eax
	lea 8f(%rip), %rcx
	movabs $syscall_entry_direct, %r11
	jmp *%r11
8:	ret
	.endm

	/* The clock with this index in RCX: its ns in R10, R8, R9 and R11 lost. The VM may stand still anywhere, and go on with other bases. */
	.macro READ_CLOCK
	movabs $LV_DEVICE, %r11
	movabs $clock_shift, %r9
9:	mov VDSO_SEQUENCE(%r11), %r8d
	mov VDSO_BASE(%r11, %rcx, 8), %r10
	add (%r9, %rcx, 8), %r10
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	sub VDSO_TSC_BASE(%r11), %rax
	mov $0, %edx
	cmovs %rdx, %rax		/* counters of two processors may differ by some ticks */
	mulq VDSO_TSC_MULT(%r11)
	shrd $32, %rdx, %rax
	add %rax, %r10
	cmp VDSO_SEQUENCE(%r11), %r8d
	jne 9b
	.endm

	/* Seconds of the ns in R10 in RDX, what is left over in R10: the reciprocal of 5^9 instead of a division. */
	.macro SECONDS
	movabs $19342813113834067, %rax
	mov %r10, %rdx
	shr $9, %rdx
	mul %rdx
	shr $11, %rdx
	imul $1000000000, %rdx, %rax
	sub %rax, %r10
	.endm

	.balign 16
code:
clock_gettime: /* EDI: which one, RSI: struct timespec */
	cmp $11, %edi
	ja 1f
	mov %edi, %edi
	lea clocks(%rip), %rax
	movzbl (%rax, %rdi), %ecx
	cmp $VDSO_ASK, %ecx
	je 1f
	READ_CLOCK
	SECONDS
	mov %rdx, (%rsi)
	mov %r10, 8(%rsi)
	xor %eax, %eax
	ret
1:	JUMP 228
clock_gettime_end:

	.balign 16
gettimeofday: /* RDI: struct timeval, RSI: struct timezone, which nobody asks for */
	test %rsi, %rsi
	jnz 1f
	test %rdi, %rdi
	jz 1f
	mov $VDSO_REALTIME, %ecx
	READ_CLOCK
	SECONDS
	mov %rdx, (%rdi)
	imul $274877907, %r10, %rax	/* 2^38 / 1000 */
	shr $38, %rax
	mov %rax, 8(%rdi)
	xor %eax, %eax
	ret
1:	JUMP 96
gettimeofday_end:

	.balign 16
time: /* RDI: where to put it, too, or NULL */
	mov $VDSO_REALTIME, %ecx
	READ_CLOCK
	SECONDS
	test %rdi, %rdi
	jz 1f
	mov %rdx, (%rdi)
1:	mov %rdx, %rax
	ret
time_end:

	.balign 16
clock_getres:
	JUMP 229
clock_getres_end:

	.balign 16
getcpu:
	JUMP 309
getcpu_end:
clocks: /* by CLOCK_...: their bases, or those that only libos can tell */
	.byte VDSO_REALTIME, VDSO_MONOTONIC, VDSO_ASK, VDSO_ASK, VDSO_MONOTONIC, VDSO_REALTIME, VDSO_MONOTONIC, VDSO_BOOTTIME
	.byte VDSO_REALTIME, VDSO_BOOTTIME, VDSO_ASK, VDSO_REALTIME
code_end:
	.balign 4096
vdso_end:
