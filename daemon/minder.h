/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restart policies: waits for the end of VMs that have one, and starts them again. It keeps nothing that is not in their directories, so that
 * after a kill of the daemon it goes on where it was; after a restart of the machine it makes their directories anew (node/kept.h).
 */
#ifndef LV_DAEMON_MINDER_H
#define LV_DAEMON_MINDER_H

#include "daemon/local.h"

extern const struct daemon_part minder_part;
extern const struct local_op minder_ops[];

#endif
