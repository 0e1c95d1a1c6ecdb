/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What PID 1 of a Linux guest is told: a file in the initial RAM disk, written by the command line. The same bytes tell
 * the agent (abi/agent.h) which program to start beside the first one. Records, as in abi/records.h; addresses in network byte order.
 */
#ifndef LV_ABI_GUEST_CONFIG_H
#define LV_ABI_GUEST_CONFIG_H

#include <assert.h>
#include <stdint.h>

#include "abi/records.h"

#define LV_GUEST_CONFIG_PATH "/lightvm.config"
#define LV_GUEST_CONFIG_MAGIC 0x4743564cu /* "LVCG" */
#define LV_GUEST_CONFIG_VERSION 1
#define LV_GUEST_CONFIG_MAX (4u << 20) /* bytes, with the header; Linux takes at most 2 MiB of arguments and environment */

/* Strings end with their only zero byte, which size counts. What is not marked "any number" may be there once. */
enum lv_guest_record_type {
	LV_GUEST_PROGRAM = 1,  /* string: path, or a name that is looked for in PATH; needed */
	LV_GUEST_ARG = 2,      /* string, any number: argv, argv[0] first; needed */
	LV_GUEST_ENV = 3,      /* string, any number: NAME=VALUE */
	LV_GUEST_CWD = 4,      /* string: absolute path; none: / */
	LV_GUEST_USER = 5,     /* string: USER[:GROUP], names of the image's /etc/passwd and /etc/group or numbers; none: 0:0 */
	LV_GUEST_HOSTNAME = 6, /* string */
	LV_GUEST_STREAMS = 7,  /* struct lv_guest_streams */
	LV_GUEST_NET = 8,      /* struct lv_guest_net; none: loopback only */
	LV_GUEST_IMAGE = 9,    /* string: device of the root image, as in /dev/vda; none: the disk whose serial is "image" */
	LV_GUEST_MOUNT = 11,   /* string, any number (LV_GUEST_MOUNTS_MAX at most): a word as of parse/mount_word.h */
	LV_GUEST_OVERLAY = 10, /* string: device that keeps what is written, as in /dev/vdb; none: RAM */
};

#define LV_GUEST_TERMINAL 1u    /* the program gets a terminal (the first one: /dev/hvc0) as its controlling terminal */
#define LV_GUEST_STDERR_SAME 2u /* stderr goes where stdout goes, so that the order of writes is kept */
#define LV_GUEST_NO_STDIN 4u    /* stdin is /dev/null */
struct lv_guest_streams {
	uint32_t flags;
	uint16_t rows, columns; /* of the terminal; 0: not known */
};
static_assert(sizeof(struct lv_guest_streams) == 8, "guest streams layout");

#define LV_GUEST_NET_PASST 1u /* the other end is passt: it drops what its socket cannot hold */
struct lv_guest_net {
	uint32_t ip, netmask, gateway, dns; /* ip 0: ask by DHCP; the others 0: none, or as DHCP says */
	uint16_t mtu;                       /* 0: the device's own */
	uint16_t flags;
};
static_assert(sizeof(struct lv_guest_net) == 20, "guest net layout");

#define LV_GUEST_MOUNTS_MAX 32
#define LV_GUEST_IMAGE_SERIAL "image"
/* Ports of the virtio console; the terminal is its port 0. stdin: to the guest; the others: to the host. */
#define LV_GUEST_PORT_STDIN "lightvm.stdin"
#define LV_GUEST_PORT_STDOUT "lightvm.stdout"
#define LV_GUEST_PORT_STDERR "lightvm.stderr"

#endif
