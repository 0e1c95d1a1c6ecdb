/* SPDX-License-Identifier: Apache-2.0 */
/* The network stack as a whole: lwIP, its timers, its interfaces. */
#ifndef LV_NET_NET_H
#define LV_NET_NET_H

#include "libos/core/libos.h"

struct netif;

void net_init(void); /* at boot: the pollers; nothing that costs */
/* Brings lwIP and the device up; called by whoever needs the network first. A program that never does pays nothing. */
void net_up(void);
void net_use(void); /* the same, for a socket: from now on the end of the VM waits until what was sent has arrived */
/* Must be called before lwIP is entered with something to send or to open: lets the timers catch up and run. */
void net_busy(void);
/* Looks at the receive ring and the loopback queues; true if anything was there. */
bool net_poll(void);
/*
 * What was sent over the loopback arrives now, with all that answers it: on Linux it has when the call returns. Called
 * last by each operation that may have sent something; a pcb may be gone afterwards, a socket that is held is not.
 */
void net_deliver(void);
/* virtio_net.c: the driver. The device of the device page, or NULL. */
struct netif *virtio_net_open(void);
bool virtio_net_poll(void);
bool virtio_net_busy(void); /* frames wait to be taken by the device */

#endif
