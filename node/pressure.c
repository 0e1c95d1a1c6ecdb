/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pressure.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define MUCH 10 /* per cent of the last ten seconds, in which some waited */

bool pressure_read(const char *text)
{
	unsigned whole;
	return sscanf(text, "some avg10=%u.", &whole) == 1 && whole >= MUCH;
}

bool memory_pressed(void)
{
	char text[256];
	int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return pressure_read(text);
}
