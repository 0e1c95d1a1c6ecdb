/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a Linux guest: loopback, one interface, name server. */
#ifndef LV_GUEST_GUEST_NET_H
#define LV_GUEST_GUEST_NET_H

#include "guest/config.h"

/*
 * Loopback, and the interface if its address is known. After mounts_enter: files in /etc are written. What fails is told on
 * standard error; the program starts all the same.
 */
void net_up(const struct guest_config *config);
/* Whether its address has to be asked for, which may take seconds. */
bool net_wants_lease(const struct guest_config *config);
/*
 * For a process of its own: asks for an address, closes told when the interface has one or nobody has answered for some three
 * seconds (which is told on standard error), and goes on: asks again, renews. Returns when there is nothing left to do.
 */
void net_keep_lease(const struct guest_config *config, int told);

#endif
