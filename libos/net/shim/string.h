/* SPDX-License-Identifier: Apache-2.0 */
/* lwIP includes <string.h>: libos has what it needs of it. */
#ifndef LV_SHIM_STRING_H
#define LV_SHIM_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);

#endif
