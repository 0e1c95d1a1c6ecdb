/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about the machine, which is the VM: its kernel's log, which is empty, and its end. */
#include "libos/proc/proc.h"

#include <linux/reboot.h>

/* ---- syslog(2): libos writes no log of its own ---- */

enum { LOG_CLOSE, LOG_OPEN, LOG_READ, LOG_READ_ALL, LOG_READ_CLEAR, LOG_CLEAR, LOG_CONSOLE_OFF, LOG_CONSOLE_ON, LOG_CONSOLE_LEVEL, LOG_UNREAD, LOG_SIZE };

SYSCALL(syslog)
{
	int action = (int)a[0], size = (int)a[2];

	if (action != LOG_READ_ALL && action != LOG_SIZE && !capable(CAP_SYSLOG))
		return -EPERM;
	switch (action) {
	case LOG_READ:
	case LOG_READ_ALL:
	case LOG_READ_CLEAR:
		if (!a[1] || size < 0)
			return -EINVAL;
		if (!user_range((uaddr_t)a[1], (size_t)size))
			return -EFAULT;
		while (action == LOG_READ && size) /* for a line that never comes */
			if (wait_here(0) == -EINTR)
				return -ERESTARTSYS;
		return 0;
	case LOG_CONSOLE_LEVEL:
		return size < 1 || size > 8 ? -EINVAL : 0;
	}
	return action < LOG_CLOSE || action > LOG_SIZE ? -EINVAL : 0;
}

/* ---- reboot(2), as in a container: who started the first program sees the signal that stands for it, and may start another ---- */

SYSCALL(reboot)
{
	uint32_t second = (uint32_t)a[1];

	if (!capable(CAP_SYS_BOOT))
		return -EPERM;
	if ((uint32_t)a[0] != LINUX_REBOOT_MAGIC1 || (second != LINUX_REBOOT_MAGIC2 && second != LINUX_REBOOT_MAGIC2A && second != LINUX_REBOOT_MAGIC2B && second != LINUX_REBOOT_MAGIC2C))
		return -EINVAL;
	switch ((uint32_t)a[2]) {
	case LINUX_REBOOT_CMD_RESTART:
	case LINUX_REBOOT_CMD_RESTART2:
		process_end(process_first(), SIGHUP);
		return 0;
	case LINUX_REBOOT_CMD_HALT:
	case LINUX_REBOOT_CMD_POWER_OFF:
		process_end(process_first(), SIGINT);
		return 0;
	}
	return -EINVAL; /* nor are there keys that could reboot */
}
