/* SPDX-License-Identifier: Apache-2.0 */
/* From a VM's directory to its start, in the background, or to its end, in the foreground. */
#ifndef LV_CLI_RUN_VM_H
#define LV_CLI_RUN_VM_H

#include "node/launch.h"

/*
 * In the background prints the id once the guest runs. In the foreground waits for its end and reports what went wrong. The exit
 * status for the user, or a negative errno. *failed: the program never ran to its end, by our fault, whatever the number says.
 */
int vm_run(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error);

#endif
