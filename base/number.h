/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes and addresses as users write them. Every function: 0, or -EINVAL (not one) or -ERANGE; *out unchanged then. */
#ifndef LV_BASE_NUMBER_H
#define LV_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits only. */
int number_parse(const char *word, uint64_t *out);
/* Decimal digits and their end; out has room for 21. How many digits. */
unsigned number_print(uint64_t number, char *out);
/* A number of bytes with an optional suffix K, M, G, T (1024-based; also KiB, MiB, ..., k, m, kb). */
int size_parse(const char *word, uint64_t *out);
/* A time with its unit: "500ms", "90s", "10m", "2h", "1d"; in ns. */
int duration_parse(const char *word, uint64_t *ns);
/* "64M", "1.5G", "12345": the shortest exact or one-decimal form; buffer of at least 16 bytes. Returns buffer. */
char *size_print(uint64_t bytes, char *buffer, size_t room);
/* "a.b.c.d" in network byte order. */
int ip_parse(const char *word, uint32_t *out);
/* The address of one host, not of this machine or link, in any of IPv6's forms; "/64" may stand behind it. */
int ip6_parse(const char *word, uint8_t out[16]);
/* Whether it is one of those. */
bool ip6_is_host(const uint8_t address[16]);
/* "a.b.c.d/nn": address and mask, network byte order. Without /nn the mask is 24 bits. */
int cidr_parse(const char *word, uint32_t *ip, uint32_t *mask);
/* "02:00:00:00:00:01"; a multicast address is refused. */
int mac_parse(const char *word, uint8_t mac[6]);
/* A signal: "TERM", "SIGTERM", "15". */
int signal_parse(const char *word, int *out);
/* "SIGTERM"; a static text, or "signal" for an unknown number. */
const char *signal_name(int number);

#endif
