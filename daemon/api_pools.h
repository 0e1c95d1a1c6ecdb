/* SPDX-License-Identifier: Apache-2.0 */
/* Pools by the API and the local socket. */
#ifndef LV_DAEMON_API_POOLS_H
#define LV_DAEMON_API_POOLS_H

#include "daemon/local.h"

extern const struct local_op pools_local_ops[];

#endif
