/* SPDX-License-Identifier: Apache-2.0 */
/* Tap devices: an existing one, or one that is made and put into a bridge. */
#ifndef LV_NODE_LINK_TAP_H
#define LV_NODE_LINK_TAP_H

#include "node/link_ops.h"

extern const struct link_ops link_tap;

#endif
