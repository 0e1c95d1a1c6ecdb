/* SPDX-License-Identifier: Apache-2.0 */
/* Which instructions before a SYSCALL may become a jump: pure decoding, no memory is changed (patch_plan.c). */
#ifndef LV_LIBOS_PATCH_H
#define LV_LIBOS_PATCH_H

#include "libos/core/libos.h"

#define PATCH_JUMP 7    /* bytes of "jmp *disp32" */
#define PATCH_WINDOW 40 /* bytes before the return address that are looked at */

struct patch {
	unsigned before;    /* the jump goes so many bytes before the return address */
	unsigned displaced; /* bytes of whole instructions, from there to the SYSCALL, that the trampoline does instead */
	bool jumped_over;   /* something else could jump into the middle of what changes: see patch_is_target() */
	uint64_t flag, slow; /* if flag: they are "test the flag, go to slow if it is 0, xor %eax,%eax" */
};

/*
 * text: the size bytes that end at the return address rip of a SYSCALL made with number nr. False: leave the site as it
 * is. Never looks outside of text.
 */
bool patch_plan(struct patch *patch, const uint8_t *text, size_t size, uint64_t rip, uint32_t nr);
/* Does anything near rip, in code readable from start to end, look like a jump into the changed bytes? */
bool patch_is_target(const struct patch *patch, uint64_t rip, uint64_t start, uint64_t end);

#endif
