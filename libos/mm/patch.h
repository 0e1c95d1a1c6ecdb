/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a SYSCALL becomes a jump to a trampoline (patch_plan.c: pure reading of code, no memory is changed). For the first
 * three ways nothing but its own two bytes changes:
 * - "eb d8" to padding within reach, which gets a jump of five bytes (or the beginning of one, and what follows is its end); or
 * - "e9 xx", whose other three bytes of distance are the bytes that follow, whatever they are: of 256 places one must be free; or
 * - "48 e9", whose distance is the four bytes that follow: one place; or
 * - the instruction before it, where it loads the very number of the call into EAX, becomes "e9 rel32": the trampoline does it.
 */
#ifndef LV_LIBOS_PATCH_H
#define LV_LIBOS_PATCH_H

#include "libos/core/libos.h"

#define PATCH_JUMP 5    /* bytes of "e9 rel32" */
#define PATCH_SHORT 2   /* "e9", and one byte that can be chosen */
#define PATCH_REACH 127 /* of "eb d8" */
#define PATCH_WINDOW (PATCH_REACH + 15) /* bytes behind the return address that are looked at */
#define PATCH_TRAMPOLINE 16
#define PATCH_LONG_PUN 0x48 /* first byte of the two */
#define PATCH_MOV 5     /* bytes of "mov $nr,%eax" */

enum insn_kind {
	INSN_OTHER,
	INSN_END,     /* what follows does not run after it: ret, jmp, ud2, hlt */
	INSN_PADDING, /* nop of any length, int3 */
};

/* Length of the instruction at text, of which size bytes can be read; 0: not known. */
unsigned patch_insn(const uint8_t *text, size_t size, enum insn_kind *kind);
/*
 * text: what follows a SYSCALL, size bytes. Padding that nobody runs into, in reach of "eb d8", with room for PATCH_JUMP; else the
 * longest there is, of PATCH_SHORT at least, where the last bytes of a jump's distance are those that follow. size 0: none. Up to the end of a nop.
 * PATCH_JUMP bytes from it on are in text. Never looks outside of text.
 */
struct padding {
	unsigned at, size;
};
struct padding patch_padding(const uint8_t *text, size_t size);
/*
 * text: the size bytes up to a SYSCALL that was made with number nr. If they end in "mov $nr,%eax", and cannot be read so
 * that another instruction ends there: how many bytes before the SYSCALL five may be changed; 0: leave them. With
 * "mov $nr,%rax" the prefix stays, where it does no harm to a jump.
 */
unsigned patch_number(const uint8_t *text, size_t size, uint32_t nr);
/* Where "e9 second" over the SYSCALL before rip jumps, by the bytes that follow it. */
uint64_t patch_pun(uint64_t rip, const uint8_t following[3], uint8_t second);
/* Where "48 e9" over it does (PATCH_LONG_PUN): REX.W makes no difference to a jump. */
uint64_t patch_long_pun(uint64_t rip, const uint8_t following[4]);
enum patch_entry { /* where in the trampoline's page the address lies to which it leads */
	PATCH_ENTRY_SYSCALL = 0,
	PATCH_ENTRY_CPUID = 8,
};
/*
 * The trampoline at va for the SYSCALL or CPUID before back: puts back into a register that the instruction destroys, RCX or RBX, and
 * goes on to its entry. Nothing else changes, so until it gets there it may start again at the site.
 */
void patch_trampoline(uint8_t code[PATCH_TRAMPOLINE], uint64_t va, uint64_t back, enum patch_entry entry);
/*
 * text: the size bytes up to a CPUID. How many of them a trampoline can do in its place: whole instructions, of which the first has room for
 * a jump, so that whoever jumps to one of the others, or to the CPUID, finds them; and which may be done twice. 0: leave them.
 */
unsigned patch_before_cpuid(const uint8_t *text, size_t size);

#endif
