/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of sockets as users write them, in numbers: a name would have to be asked for, of somebody. */
#ifndef LV_BASE_ADDRESS_H
#define LV_BASE_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

/*
 * "a.b.c.d:port", "[v6]:port"; port: what it is where the word has none, 0: it has to have one. 0, or -EINVAL with a message that begins with the word.
 * *size is that of the address in out.
 */
int address_parse(const char *word, uint16_t port, struct sockaddr_storage *out, socklen_t *size, struct error *error);
/* Listening there, non-blocking; a descriptor, or a negative errno with a message. */
int address_tcp_listen(const char *word, uint16_t port, struct error *error);
/* Connected, before the deadline (base/deadline.h); a blocking descriptor, or a negative errno with a message. */
int address_tcp_connect(const char *word, uint16_t port, uint64_t deadline, struct error *error);

#endif
