/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors 0, 1 and 2, which whoever started us may have closed. */
#ifndef LV_BASE_STANDARD_H
#define LV_BASE_STANDARD_H

/*
 * Opens /dev/null for each of them that is closed: otherwise the next file that is opened gets its number, and what a program
 * writes to its standard output goes into that file. The first thing that main does.
 */
void standard_hold(void);

#endif
