/* SPDX-License-Identifier: Apache-2.0 */
/* What "run -d --wait" waits for. */
#ifndef LV_CLI_WAIT_H
#define LV_CLI_WAIT_H

#include "node/vm_config.h"

#define WAIT_SECONDS 60 /* for a program to listen, unless told otherwise */
#define WAIT_SECONDS_MAX 86400

/* Refuses what cannot be waited for, before anything starts; what NULL: nothing is waited for. -EINVAL, -EOPNOTSUPP. */
int wait_check(const char *what, const struct vm_config *config, struct error *error);
/* what: "listen" or "exit"; seconds 0: no limit. status: for the user, of a VM that ended, otherwise 0. As vm_await_listen and vm_await_end. */
int wait_for(const char *what, const struct vm_dir *vm, uint64_t seconds, int *status, struct error *error);

#endif
