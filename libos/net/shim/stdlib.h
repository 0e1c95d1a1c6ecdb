/* SPDX-License-Identifier: Apache-2.0 */
/* lwIP includes <stdlib.h> for netif_find only, which nobody calls. */
#ifndef LV_SHIM_STDLIB_H
#define LV_SHIM_STDLIB_H

static inline int atoi(const char *s)
{
	int n = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return n;
}

#endif
