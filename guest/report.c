/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "abi/guest_config.h"
#include "guest/guest_ports.h"

#define PORT_WAIT_MS 500 /* for the host to name its ports */
#define PORTS (LV_PORT_EXIT + 4 - LV_PORT_MARK)

static void port_write(unsigned short port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

void report_mark(enum lv_mark mark)
{
	if (!ioperm(LV_PORT_MARK, PORTS, 1))
		port_write(LV_PORT_MARK, mark);
}

void report_evidence(void)
{
	int fd = open(LV_GUEST_EVIDENCE, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* a kernel that notes nothing */
	if (write(fd, "1", 1) != 1)
		report_error("evidence", LV_GUEST_EVIDENCE, errno);
	close(fd);
}

void report_drop_ports(void)
{
	ioperm(LV_PORT_MARK, PORTS, 0);
}

static bool for_first; /* this process speaks for PID 1 */

void report_for_first(void)
{
	for_first = true;
}

/* The console may be only in the log; whoever waits for the program reads its standard error. Taken already: nothing is done. */
static void tell_port(const char *line, size_t size)
{
	int fd = getpid() == 1 || for_first ? port_open(LV_GUEST_PORT_STDERR, O_WRONLY, PORT_WAIT_MS) : -ENODEV;
	if (fd < 0)
		return;
	(void)!write(fd, line, size);
	close(fd);
}

int report_error(const char *step, const char *object, int err)
{
	char line[1024];
	int number = abs(err);
	int n = snprintf(line, sizeof(line), "lightvm-init: %s%s%s%s%s\n", step, object ? " " : "", object ? object : "", number ? ": " : "",
			 number ? strerror(number) : "");
	if (n >= (int)sizeof(line))
		line[(n = sizeof(line)) - 1] = '\n';
	(void)!write(STDERR_FILENO, line, (size_t)n);
	tell_port(line, (size_t)n);
	return -number;
}

void report_exit(int wait_status)
{
	sync();
	if (!ioperm(LV_PORT_MARK, PORTS, 1))
		port_write(LV_PORT_EXIT, (uint32_t)wait_status);
	reboot(RB_AUTOBOOT);
}
