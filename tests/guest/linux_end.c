/* SPDX-License-Identifier: Apache-2.0 */
/* PID 1 of a Linux guest for tests/e2e/linux_boot.sh: does what the kernel's command line says after "--", and ends. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/reboot.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "abi/linux_guest.h"

static void report(void)
{
	struct sysinfo info;
	cpu_set_t cpus;
	sched_getaffinity(0, sizeof(cpus), &cpus);
	sysinfo(&info);
	printf("cpus %d memory %lu MiB\n", CPU_COUNT(&cpus), info.totalram >> 20);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "reset";
	report();
	if (!strcmp(what, "panic"))
		return 0; /* the kernel does not go on without its first process */
	if (!strcmp(what, "wait"))
		for (;;)
			pause();
	if (!strcmp(what, "exit") && argc > 2 && ioperm(LV_PORT_MARK, 8, 1) == 0) {
		outl(LV_MARK_INIT, LV_PORT_MARK);
		outl(atoi(argv[2]) << 8, LV_PORT_EXIT);
	}
	reboot(!strcmp(what, "off") ? RB_POWER_OFF : !strcmp(what, "halt") ? RB_HALT_SYSTEM : RB_AUTOBOOT);
	return 1;
}
