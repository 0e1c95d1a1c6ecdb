/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal, while a program in a VM has it. */
#ifndef LV_CLI_TERMINAL_H
#define LV_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal { /* zero-initialised: not changed */
	bool raw;
	struct termios before;
};

/* Every key goes to the VM, Ctrl-C too. 0 or a negative errno. */
int terminal_enter(struct terminal *terminal);
/* Keys come one by one, and are not shown; Ctrl-C and the like stay what they are. 0 or a negative errno. */
int terminal_keys(struct terminal *terminal);
/* As it was before; may be called twice. */
void terminal_leave(struct terminal *terminal);
/* Of standard output or input; false: neither is a terminal. */
bool terminal_size(uint16_t *rows, uint16_t *columns);

#endif
