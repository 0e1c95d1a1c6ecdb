/* SPDX-License-Identifier: Apache-2.0 */
/* Is the machine short of memory? */
#ifndef LV_NODE_PRESSURE_H
#define LV_NODE_PRESSURE_H

#include <stdbool.h>

/* As the kernel's pressure stall information says: somebody waits for memory for more than a tenth of the time. False where there is none. */
bool memory_pressed(void);
/* Is less than an eighth of it left? False where nobody says. */
bool memory_scarce(void);
/* Pressure, of the text of /proc/pressure/memory. */
bool pressure_read(const char *text);

#endif
