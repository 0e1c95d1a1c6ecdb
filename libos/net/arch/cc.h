/* SPDX-License-Identifier: Apache-2.0 */
/* lwIP's view of the compiler and of libos. */
#ifndef LV_ARCH_CC_H
#define LV_ARCH_CC_H

#include <stddef.h>
#include <stdint.h>

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_LIMITS_H 1
#define LWIP_NO_CTYPE_H 1
#define LWIP_NO_UNISTD_H 1
#define X8_F "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

typedef long ssize_t;
#ifndef SSIZE_MAX
#define SSIZE_MAX 0x7fffffffffffffffl
#endif
#ifndef INT_MAX
#define INT_MAX 0x7fffffff
#endif
#ifndef BYTE_ORDER
#define BYTE_ORDER 1234
#endif

#define LWIP_PLATFORM_DIAG(x) ((void)0)
#define LWIP_PLATFORM_ASSERT(x) panic("lwIP: %s", x)
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

#define lwip_htons(x) __builtin_bswap16(x)
#define lwip_htonl(x) __builtin_bswap32(x)

#endif
