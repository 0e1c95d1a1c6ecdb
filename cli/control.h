/* SPDX-License-Identifier: Apache-2.0 */
/* The client of a monitor's control socket (abi/control.h). */
#ifndef LV_CLI_CONTROL_H
#define LV_CLI_CONTROL_H

#include "abi/control.h"
#include "base/error.h"

/* A listening socket named "control" in the VM's directory; a negative errno on failure. */
int control_listen(int vm_dir);
/* A connection to it. -ECONNREFUSED, -ENOENT: nobody answers. */
int control_connect(int vm_dir);
/* One request and its reply; fds (count of them) are passed along. reply may be NULL. The result, or a negative errno. */
int control_call(int fd, enum lv_control_op op, int64_t arg, const int *fds, int count, struct lv_control_reply *reply);
/* Connects, asks once, closes. */
int control_ask(int vm_dir, enum lv_control_op op, int64_t arg, struct lv_control_reply *reply);

#endif
