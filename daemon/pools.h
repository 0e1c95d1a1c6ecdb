/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's pools of shells: claims over the local socket, and what users set. */
#ifndef LV_DAEMON_POOLS_H
#define LV_DAEMON_POOLS_H

#include "daemon/lightvmd.h"
#include "daemon/local.h"

extern const struct daemon_part pools_part;
extern const struct local_op pools_local_ops[];

#endif
