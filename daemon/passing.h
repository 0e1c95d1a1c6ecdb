/* SPDX-License-Identifier: Apache-2.0 */
/* One descriptor and a word, over a connected SOCK_SEQPACKET. */
#ifndef LV_DAEMON_PASSING_H
#define LV_DAEMON_PASSING_H

#include <stdint.h>

/* Does not wait: -EAGAIN when the other side does not take them. fd stays the caller's. */
int passing_send(int socket, uint32_t word, int fd);
/* 1 and *word, *fd (the caller's; -1: none came); 0: the end; or a negative errno, -EAGAIN too. */
int passing_receive(int socket, uint32_t *word, int *fd);

#endif
