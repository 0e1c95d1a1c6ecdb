/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a Linux guest: loopback, one interface, name server. */
#ifndef LV_GUEST_NET_H
#define LV_GUEST_NET_H

#include "guest/config.h"

/* After mounts_enter: files in /etc are written. What fails is told on standard error; the program starts all the same. */
void net_up(const struct guest_config *config);

#endif
