/* SPDX-License-Identifier: Apache-2.0 */
/* Does something in the guest listen on a port? Out of /proc, which is the network of the VM's own. */
#include <stdio.h>

#include "guest/guest_agent.h"

#define LISTEN 0x0a /* TCP_LISTEN of the kernel */

/* A line is "N: ADDRESS:PORT ADDRESS:PORT STATE ...", in hexadecimal but for N. */
static bool has_listener(const char *path, unsigned port)
{
	char line[512];
	unsigned local, state;
	bool found = false;
	FILE *file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &local, &state) == 2 && state == LISTEN && local == port;
	if (file)
		fclose(file);
	return found;
}

bool tcp_listens(uint16_t port)
{
	return has_listener("/proc/net/tcp", port) || has_listener("/proc/net/tcp6", port);
}
