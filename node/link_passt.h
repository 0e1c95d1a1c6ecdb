/* SPDX-License-Identifier: Apache-2.0 */
/* Networking without any rights, by passt. */
#ifndef LV_NODE_LINK_PASST_H
#define LV_NODE_LINK_PASST_H

#include "node/link_ops.h"

extern const struct link_ops link_passt;

#endif
