/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int log_error(const char *format, ...)
{
	char line[1024] = "lightvm-vmm: ";
	int n = 13;
	va_list args;
	va_start(args, format);
	n += vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(2, line, n) < 0)
		return -1; /* nowhere to say it */
	return -1;
}

int log_errno(const char *what)
{
	int error = errno;
	log_error("%s: %s", what, strerror(error));
	return -error;
}
