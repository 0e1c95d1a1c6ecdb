/* SPDX-License-Identifier: Apache-2.0 */
/* One more program in a Linux guest, by its agent (abi/agent.h). */
#ifndef LV_NODE_VM_EXEC_H
#define LV_NODE_VM_EXEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "node/vm_info.h"

struct vm_exec { /* zero, NULL: not said */
	char *const *argv; /* argv[0] is the program, too */
	size_t argc;
	struct strings env;    /* NAME=VALUE each, besides those of the VM's program */
	const char *cwd, *user; /* absolute; USER[:GROUP] of the guest */
	bool terminal;	       /* of its own, of this size */
	bool input;	       /* its standard input will be sent */
	uint16_t rows, columns;
};

/* Connects and asks: a descriptor, the caller's, on which what follows EXEC goes both ways; or a negative errno with a message. */
int vm_exec_start(const struct vm_info *info, const struct vm_exec *exec, struct error *error);
/*
 * Runs it to its end: sends input (NULL: none; exec->input says which), and collects what it says, at most so many bytes of each; more is dropped and *cut set. *status: as of waitpid(2).
 */
struct vm_exec_result {
	struct text out, err;
	bool cut;
	int status;
};
int vm_exec_run(const struct vm_info *info, const struct vm_exec *exec, const char *input, size_t most, struct vm_exec_result *result, struct error *error);

#endif
