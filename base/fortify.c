/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The distribution's static libraries were compiled against glibc with its checked variants of some functions. Linked
 * with musl, which has none, these are the same functions with the same checks; and glibc's names of what musl has as macros.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...);
int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list args);
char *__strncpy_chk(char *to, const char *from, size_t size, size_t room);
unsigned gnu_dev_major(unsigned long long device);
unsigned gnu_dev_minor(unsigned long long device);
unsigned long long gnu_dev_makedev(unsigned major, unsigned minor);

int __vsnprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, va_list args)
{
	(void)flag;
	if (room < size)
		abort();
	return vsnprintf(to, size, format, args);
}

int __snprintf_chk(char *to, size_t size, int flag, size_t room, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = __vsnprintf_chk(to, size, flag, room, format, args);
	va_end(args);
	return n;
}

char *__strncpy_chk(char *to, const char *from, size_t size, size_t room)
{
	if (room < size)
		abort();
	return strncpy(to, from, size);
}

unsigned gnu_dev_major(unsigned long long device)
{
	return major(device);
}

unsigned gnu_dev_minor(unsigned long long device)
{
	return minor(device);
}

unsigned long long gnu_dev_makedev(unsigned high, unsigned low)
{
	return makedev(high, low);
}
