/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap while no VM has it: what is for the VM's address waits in it, in the kernel, and is read by the VM that comes. Needs no right beyond
 * the one to open the tap, and sees nothing that is for others.
 */
#ifndef LV_NODE_TAP_WAIT_H
#define LV_NODE_TAP_WAIT_H

#include <stdint.h>

/*
 * Of what comes, only this waits: who asks everybody for the address (ARP), and packets to it, but for the ends of TCP connections, which want no
 * answer. Replaces what the last VM has let in. ip: network order. 0 or a negative errno.
 */
int tap_expect(int tap, const uint8_t mac[6], uint32_t ip);
/* What waits is forgotten. */
void tap_drain(int tap);
/* Packets that VMs have sent by the tap of that name, ever. */
int tap_sent(const char *name, uint64_t *packets);

#endif
