/* SPDX-License-Identifier: Apache-2.0 */
/* A VM in the foreground: its signals, its terminal, its network and its end, while the command waits. */
#ifndef LV_CLI_FOREGROUND_H
#define LV_CLI_FOREGROUND_H

#include "cli/terminal.h"
#include "node/launch.h"

/* To be called before launch_start: signals wait from now on until foreground_wait takes them. */
void foreground_hold_signals(void);
/* Forwards signals, and what is typed, until the monitor ends. terminal: what was entered. The exit status for the user, or a negative errno. */
int foreground_wait(struct launch *launch, struct terminal *terminal, struct error *error);

#endif
