/* SPDX-License-Identifier: Apache-2.0 */
/* Which options a function of a C file needs that is compiled in: those of the #ifdef and #if around its definition. */
#ifndef LV_TINYX_GUARDS_H
#define LV_TINYX_GUARDS_H

#include "base/text.h"

struct guards { /* zero-initialised: none */
	struct strings options; /* without CONFIG_ */
	unsigned line;		/* of the first definition; 0: it was not found */
};

/*
 * function: as the linker knows it; what a compiler puts behind a name (".part.0") and a system call's prefix ("__x64_sys_") are no part of it. Where it is defined
 * several times, nothing is asked for: which of them was compiled is not known. A condition that is not understood as a whole, or stands in an #else, asks for nothing. What macros define is
 * not found. -ENOMEM, or 0. Free in any case.
 */
int guards_find(const char *text, const char *function, struct guards *guards);
void guards_free(struct guards *guards);

#endif
