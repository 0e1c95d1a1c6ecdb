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

/* False: it is not there. */
static bool read_head(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, room - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return true;
}

bool memory_pressed(void)
{
	char text[256];
	return read_head("/proc/pressure/memory", text, sizeof(text)) && pressure_read(text);
}

bool memory_scarce(void)
{
	unsigned long long total, available;
	char text[256];
	return read_head("/proc/meminfo", text, sizeof(text)) && sscanf(text, "MemTotal: %llu kB MemFree: %*u kB MemAvailable: %llu", &total, &available) == 2 && available < total / 8;
}
