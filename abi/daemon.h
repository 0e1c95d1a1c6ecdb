/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local socket of lightvmd, over which the command line speaks with it without HTTP, and over which descriptors go (SOCK_SEQPACKET, one
 * request or reply a message, descriptors by SCM_RIGHTS). Host byte order: both ends are on one machine. A client says the version of the
 * protocol in which its request came, and is refused by a daemon that is older than that.
 */
#ifndef LV_ABI_DAEMON_H
#define LV_ABI_DAEMON_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define LV_DAEMON_MAGIC 0x646d766c /* "lvmd" */
#define LV_DAEMON_VERSION 1

enum lv_daemon_op {
	LV_DMN_STATUS = 1, /* no body. Reply: JSON text, as GET /v1/health */
	LV_DMN_MIND = 10, /* an id: this VM has a restart policy, and has just been started; no body: only asks whether this daemon minds any. No reply's body */
	LV_DMN_SERVICE_ADD = 11, /* JSON text: a service (docs/openapi.json) */
	LV_DMN_SERVICES = 12, /* a name, or nothing: all. Reply: JSON text */
	LV_DMN_SERVICE_REMOVE = 13, /* a name */
	LV_DMN_EVENTS = 16, /* nothing, or JSON text: {"after", "since_ns", "follow", "filter"}. Reply: a descriptor, from which events are read, one a line */
	LV_DMN_CLAIM = 17, /* struct lv_daemon_claim. Reply: struct lv_daemon_claimed */
	LV_DMN_POOLS = 18, /* JSON text: what shall change, or nothing. Reply: the pools, as JSON text */
	LV_DMN_PAGE = 24, /* a TCP socket that listens on the loopback address, and a pipe for reading, whose other end is held for as long as the page shall be
			   * served. Reply: the token, as text */
};

struct lv_daemon_request { /* followed by size bytes of what the operation takes */
	uint32_t magic;
	uint16_t op;      /* enum lv_daemon_op */
	uint16_t version; /* the least that the daemon has to speak */
	uint32_t size;
	uint32_t reserved; /* 0 */
};
struct lv_daemon_reply { /* followed by size bytes: what was asked for, or with a negative result a message, as text without a zero byte */
	int32_t result; /* 0 or a negative errno; -EPROTONOSUPPORT: the request is of a newer version */
	uint32_t magic;
	uint16_t version; /* LV_DAEMON_VERSION of the daemon */
	uint16_t reserved;
	uint32_t size;
};
static_assert(sizeof(struct lv_daemon_request) == 16, "daemon request layout");
static_assert(sizeof(struct lv_daemon_reply) == 16, "daemon reply layout");
struct lv_daemon_claim { /* LV_DMN_CLAIM: what a shell has to fit */
	uint64_t memory, image; /* bytes */
	uint64_t libos[4], monitor[4]; /* of what files it is made: device, inode, size, CLOCK_REALTIME in ns of the last change */
	uint32_t first_user, users; /* that monitors become */
	uint32_t user;    /* who asks */
	uint32_t ram_mib; /* that it has at once, as it goes on from a state; 0: it begins with as little as any */
	uint64_t ahead[2]; /* device and inode of the memory that it will be a clone of, copied; 0: none, or shared. An older command line ends before this */
};
static_assert(sizeof(struct lv_daemon_claim) == 112 && offsetof(struct lv_daemon_claim, ahead) == 96, "claim layout");
struct lv_daemon_claimed { /* the reply; if it is a hit, with the socket for the configuration and a descriptor of the process */
	uint32_t claim; /* enum lv_claim (abi/control.h) */
	uint32_t pid;
};
static_assert(sizeof(struct lv_daemon_claimed) == 8, "claim reply layout");

#define LV_DAEMON_MOST 65536 /* bytes of a request or reply, all of it */
#define LV_DAEMON_FDS 32     /* descriptors that come with one */

#endif
