/* SPDX-License-Identifier: Apache-2.0 */
/* Tap devices: an existing one, or one that is made and put into a bridge. */
#ifndef LV_NODE_LINK_TAP_H
#define LV_NODE_LINK_TAP_H

#include "node/link_ops.h"

extern const struct link_ops link_tap;

/*
 * A tap that outlives its VMs: each gets it by link_adopt_tap, and what comes while there is none waits in it, as far as tap_expect (node/tap_wait.h) lets it in.
 * name: of one that is made for a bridge; NULL: the kernel finds one. -EBUSY: a VM has it.
 */
int link_tap_open(const struct net_spec *spec, const char *name, struct net_link *link, struct error *error);
int link_tap_adopt(int tap, struct net_link *link, struct error *error);
#endif
