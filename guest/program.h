/* SPDX-License-Identifier: Apache-2.0 */
/* Starting programs in the guest: the first one, and those of the agent. */
#ifndef LV_GUEST_PROGRAM_H
#define LV_GUEST_PROGRAM_H

#include <stdbool.h>
#include <sys/types.h>

#include "guest/config.h"

struct program {
	const struct guest_config *config;
	char **env;           /* ended by NULL */
	int in, out, err;     /* become 0, 1, 2; with a terminal all three are it */
	bool terminal;        /* in becomes the controlling terminal */
	bool first;           /* the VM's program: marks the boot ledger */
};

/*
 * Forks and executes in a session of its own, as the user of the configuration. The process id, or a negative errno. What
 * goes wrong in the child is told on its standard error, with exit status 126 or 127.
 */
pid_t program_start(const struct program *program);
void terminal_resize(int terminal, unsigned rows, unsigned columns);

#endif
