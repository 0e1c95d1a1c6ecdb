/* SPDX-License-Identifier: Apache-2.0 */
/* Words of guests, images and agents, made fit for a terminal: the one rule for all that LightVM prints of them. */
#ifndef LV_BASE_SHOWN_H
#define LV_BASE_SHOWN_H

#include <stddef.h>

#include "base/text.h"

#define SHOWN_LINES 1u   /* line feeds and tabs stay */
#define SHOWN_COLOURS 2u /* "ESC [ digits and ; m" stays, and carriage returns: logs */

/*
 * Copies n bytes of text to out (n bytes; out may be text), with a question mark for each character on which a terminal would act
 * or that hides what is there: C0 and C1 controls, DEL, marks of writing direction, and bytes that are not UTF-8. Returns the
 * number of bytes in out, at most n; no zero byte is added.
 * rest: NULL, or where the number of bytes at the end goes that may begin something longer and were left out: for streams, whose next
 * piece begins with them (fewer than SHOWN_REST).
 */
#define SHOWN_REST 32
size_t text_shown(char *out, const char *text, size_t n, unsigned allow, size_t *rest);


/* The same with what a text has behind its first `start` bytes. What stands in one line, as a name does, is made so before the line is built, with 0: a line feed in it would make two of it. */
void shown_from(struct text *text, size_t start, unsigned allow);

#endif
