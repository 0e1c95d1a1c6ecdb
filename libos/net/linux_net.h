/* SPDX-License-Identifier: Apache-2.0 */
/* The network part of the system-call ABI: what the kernel's UAPI headers give, and what they leave to C libraries. */
#ifndef LV_LIBOS_LINUX_NET_H
#define LV_LIBOS_LINUX_NET_H

#include "libos/fs/linux_fs.h"

#include <asm/socket.h>  /* SOL_SOCKET, SO_... */
#include <asm/sockios.h>
#include <linux/in.h>    /* struct sockaddr_in, IPPROTO_..., IP_... */
#include <linux/in6.h>
#include <linux/sockios.h>
#include <linux/un.h>    /* struct sockaddr_un */

enum { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16, AF_PACKET = 17 };
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_SEQPACKET = 5, SOCK_TYPE_MASK = 0xf };
#define SOCK_NONBLOCK O_NONBLOCK
#define SOCK_CLOEXEC O_CLOEXEC
#define SOL_NETLINK 270
enum { SHUT_RD = 0, SHUT_WR = 1, SHUT_RDWR = 2 };
enum { SOL_IP = 0, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_RAW = 255 };

#define MSG_PEEK 0x2
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_EOR 0x80
#define MSG_WAITALL 0x100
#define MSG_ERRQUEUE 0x2000
#define MSG_NOSIGNAL 0x4000
#define MSG_MORE 0x8000
#define MSG_OOB 0x1
#define MSG_WAITFORONE 0x10000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2

/* <linux/tcp.h> brings names that lwIP uses too. */
enum { LINUX_TCP_NODELAY = 1, LINUX_TCP_MAXSEG = 2, LINUX_TCP_CORK = 3, LINUX_TCP_KEEPIDLE = 4, LINUX_TCP_KEEPINTVL = 5,
	LINUX_TCP_KEEPCNT = 6, LINUX_TCP_SYNCNT = 7, LINUX_TCP_LINGER2 = 8, LINUX_TCP_DEFER_ACCEPT = 9, LINUX_TCP_WINDOW_CLAMP = 10,
	LINUX_TCP_INFO = 11, LINUX_TCP_QUICKACK = 12, LINUX_TCP_CONGESTION = 13, LINUX_TCP_USER_TIMEOUT = 18,
	LINUX_TCP_FASTOPEN = 23, LINUX_TCP_NOTSENT_LOWAT = 25, LINUX_TCP_ULP = 31 };

struct linux_sockaddr {
	uint16_t family;
	char data[14];
};
union address { /* of any family that we know */
	struct linux_sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct { uint16_t family, pad; uint32_t pid, groups; } netlink;
	uint8_t bytes[128];
};

struct linux_msghdr {
	void *name;
	int32_t name_len, pad0;
	struct iovec *iov;
	uint64_t iov_count;
	void *control;
	uint64_t control_len;
	uint32_t flags, pad1;
};
struct linux_mmsghdr {
	struct linux_msghdr header;
	uint32_t len, pad;
};
struct linux_cmsghdr {
	uint64_t len;
	int32_t level, type;
};
static_assert(sizeof(struct linux_msghdr) == 56 && sizeof(struct linux_mmsghdr) == 64, "msghdr layout");
static_assert(sizeof(struct linux_cmsghdr) == 16, "cmsghdr layout");

struct linux_in6_pktinfo { /* <linux/ipv6.h> brings names that lwIP uses too */
	struct in6_addr addr;
	int32_t interface;
};
static_assert(sizeof(struct linux_in6_pktinfo) == 20, "in6_pktinfo layout");

struct linux_linger {
	int32_t on, seconds;
};
struct linux_ucred {
	int32_t pid;
	uint32_t uid, gid;
};
struct linux_ifreq {
	char name[16];
	union {
		struct sockaddr_in address;
		struct linux_sockaddr hardware;
		int16_t flags;
		int32_t number;
		uint8_t bytes[24];
	};
};
struct linux_ifconf {
	int32_t len, pad;
	struct linux_ifreq *requests;
};
static_assert(sizeof(struct linux_ifreq) == 40 && sizeof(struct linux_ifconf) == 16, "ifreq layout");

#endif
