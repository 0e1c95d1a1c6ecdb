/* SPDX-License-Identifier: Apache-2.0 */
/* What lightvmd says of itself: by the API and by the local socket. */
#ifndef LV_DAEMON_API_SELF_H
#define LV_DAEMON_API_SELF_H

#include "daemon/local.h"

extern const struct local_op self_local_ops[];

#endif
