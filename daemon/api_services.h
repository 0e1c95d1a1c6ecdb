/* SPDX-License-Identifier: Apache-2.0 */
/* Services by the API and the local socket. */
#ifndef LV_DAEMON_API_SERVICES_H
#define LV_DAEMON_API_SERVICES_H

#include "daemon/local.h"

extern const struct local_op services_local_ops[];

#endif
