/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of a Kconfig file or a Makefile: a backslash at the end of one joins the next to it. */
#ifndef LV_TINYX_LINES_H
#define LV_TINYX_LINES_H

#include <stdbool.h>

struct lines {
	char *at;	 /* in a text that is cut up; NULL: it has ended */
	unsigned number; /* of the line that was given last, from 1; of a joined one its first */
	unsigned next;	 /* of the one after it, from 0 */
};

/* The next line, without its end, cut out of the text; NULL: there is none. */
char *lines_next(struct lines *lines);
/* Cuts blanks from the end, and answers where those at the beginning end. */
char *line_trim(char *line);

#endif
