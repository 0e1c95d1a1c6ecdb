/* SPDX-License-Identifier: Apache-2.0 */
/* Files and sockets of tests; what fails ends the test. */
#ifndef LV_TEST_SCRATCH_H
#define LV_TEST_SCRATCH_H

#include <sys/types.h>

#define PATIENCE_S 20 /* of the sockets */

/* A new directory under /tmp: its path, the caller's. */
char *scratch(void);
/* Connected stream sockets whose reads give up after PATIENCE_S. */
void sockets(int pair[2]);
void put_file(int dir, const char *name, const char *text, mode_t mode);
void expect_file(int dir, const char *name, const char *text);

#endif
