/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device page: how a library-OS guest learns all it needs. Written by the monitor only: processor, first memory and clock before
 * its first instruction; the rest, memory and clock once more, while it waits for its configuration (LV_HC_READY).
 */
#ifndef LV_ABI_DEVICE_PAGE_H
#define LV_ABI_DEVICE_PAGE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define LV_DEVICE_MAGIC 0x3145474150564544ull /* "DEVPAGE1" */
#define LV_MAX_DEVICES 16
#define LV_MAX_QUEUES 4

enum lv_device_type { /* virtio device numbers where there is one */
	LV_DEV_NONE = 0,
	LV_DEV_NET = 1,
	LV_DEV_BLOCK = 2,
	LV_DEV_CONSOLE = 3,
	LV_DEV_RNG = 4,     /* these three: Linux guests only */
	LV_DEV_BALLOON = 5,
	LV_DEV_VSOCK = 19,
	LV_DEV_FS = 26,     /* a directory of the host (virtio 1.2, section 5.11) */
};

enum { /* queue numbers, by device */
	LV_NET_RX = 0, LV_NET_TX = 1,
	LV_BLOCK_REQUESTS = 0,
	LV_CONSOLE_STDIN = 0, LV_CONSOLE_STDOUT = 1, LV_CONSOLE_STDERR = 2,
	LV_FS_PRIORITY = 0, LV_FS_REQUESTS = 1,
};

/* A split virtqueue (virtio 1.2, section 2.7); size is a power of two of at most 256. */
struct lv_queue {
	uint64_t desc, driver, device; /* guest addresses of descriptor table, available ring, used ring */
	uint32_t size;
	uint32_t bell; /* doorbell: a 32-bit write of any value to LV_BELL + bell */
};
static_assert(sizeof(struct lv_queue) == 32, "queue layout");

struct lv_net_config {
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t ip, netmask, gateway, dns; /* network byte order; ip 0: ask by DHCP */
	uint8_t reserved[8];
};
/* Its own address of IPv6, in a network of 64 bits, and who leads out of that; zeroes: none, or as routers on the link tell. */
struct lv_net6_config {
	uint8_t ip[16], gateway[16];
};
/*
 * The MAC address that goes with an IPv4 address (network byte order) on a shared network, unless another one is asked for: whoever has the one has
 * the other, whichever VM that is, so nobody has to be told, and a start need not wake every other VM of a bridge.
 */
static inline void lv_mac_of_ip(uint8_t mac[6], uint32_t ip)
{
	const uint8_t *part = (const uint8_t *)&ip;
	mac[0] = 0x02;
	mac[1] = 0x4c;
	for (int i = 0; i < 4; i++)
		mac[2 + i] = part[i];
}
/* Features of a net device (virtio numbers); frames carry struct virtio_net_hdr_v1 of 12 bytes in front. */
#define LV_NET_F_CSUM (1ull << 0)       /* the device completes checksums that the guest left partial */
#define LV_NET_F_GUEST_CSUM (1ull << 1) /* frames may arrive with a partial checksum */
#define LV_NET_F_GUEST_TSO4 (1ull << 7) /* TCP frames of up to 64 KiB may arrive, in merged buffers */
#define LV_NET_F_HOST_TSO4 (1ull << 11) /* the guest may send TCP frames of up to 64 KiB */
#define LV_NET_F_MRG_RXBUF (1ull << 15) /* one frame may span several buffers of the receive queue */

struct lv_block_config {
	uint64_t sectors; /* of 512 bytes */
	uint32_t read_only;
	uint32_t reserved;
	char serial[16];
};

/* A chain is one FUSE message (linux/fuse.h): what the guest asks in readable buffers, room for the answer in writable ones; none: there is no answer. */
struct lv_fs_config {
	char tag[16]; /* which volume it is, as of parse/mount_word.h; zeroes at its end */
	uint32_t read_only;
	uint8_t reserved[12];
};

#define LV_STREAM_TTY 1u    /* the stream is a terminal */
#define LV_STREAM_CLOSED 2u /* nothing is there: end of file at once, writes are dropped */
#define LV_STREAM_BROKEN 4u /* output: the reader has gone (may be set while the VM runs): writes answer EPIPE, with SIGPIPE */
#define LV_STREAM_FILE 16u  /* stdin is a regular file: reads are full until its end */
#define LV_STREAM_RAW 32u   /* with TTY, of all three: what is typed comes as it is; the guest has the line discipline */
#define LV_STREAM_SAME 8u   /* stderr: goes where stdout goes; use the queue of stdout, so that the order of writes is kept */
/*
 * Queues: stdout and stderr carry bytes in readable buffers. Stdin takes writable buffers; a used element of length 0
 * means end of file, and every buffer after it ends the same way until the host has more (a terminal).
 */
struct lv_console_config {
	uint32_t stream[3]; /* LV_STREAM_* of stdin, stdout, stderr */
	uint16_t rows, columns;
	uint8_t reserved[16];
};

/* Features of any device (virtio's number): both sides say by an index from when on they want to be told (virtio 1.2, sections 2.7.7.2 and 2.7.10). */
#define LV_DEVICE_EVENT_IDX (1ull << 29)
/* In features, set while the VM runs, with a wake-up: the guest broke a rule of a ring, the device answers nothing any more. */
#define LV_DEVICE_NEEDS_RESET (1ull << 63)

struct lv_device {
	uint32_t type; /* enum lv_device_type */
	uint32_t queues;
	uint64_t features;
	union {
		struct lv_net_config net;
		struct lv_block_config block;
		struct lv_console_config console;
		struct lv_fs_config fs;
		uint8_t raw[32];
	} config;
	struct lv_queue queue[LV_MAX_QUEUES];
};
static_assert(sizeof(struct lv_device) == 176, "device entry layout");
static_assert(sizeof(struct lv_console_config) == 32, "console configuration layout");
static_assert(sizeof(struct lv_net_config) == 32, "net configuration layout");
static_assert(sizeof(struct lv_block_config) == 32, "block configuration layout");
static_assert(sizeof(struct lv_fs_config) == 32, "fs configuration layout");

enum lv_clock { /* index into lv_device_page.clock_base_ns */
	LV_CLOCK_MONOTONIC = 0, /* stands still while the VM does, unless who has it go on asks for the time to have passed */
	LV_CLOCK_REALTIME = 1,  /* since 1970; set right whenever the VM goes on */
	LV_CLOCK_BOOTTIME = 2,  /* as the first, and counts the time for which the VM stood still, as Linux' does for a machine that slept */
	LV_CLOCK_RUN = 3,       /* counts while the VM runs: never jumps, never counts a pause. Processor time is reckoned by it */
	LV_CLOCKS = 4,
};

#define LV_RESTORED_CLONE 1u             /* another VM from the same state may run: nothing that has to be one VM's alone is kept */
#define LV_RESTORED_RESET_CONNECTIONS 2u /* nobody is at the other end of TCP connections any more */

struct lv_device_page {
	uint64_t magic;
	uint32_t abi_version;
	uint32_t size; /* of this structure */
	/* memory */
	uint64_t ram_size;  /* bytes usable from LV_RAM on now; grows by the configuration, and by the GROW hypercall */
	uint64_t ram_limit; /* bytes it may grow to */
	uint64_t heap_start; /* guest address: RAM from here on is free, and all zero, but for: */
	uint64_t more_end;   /* [LV_RAM + LV_RAM_EARLY, more_end), what the boot area has no room for */
	uint64_t image_size; /* bytes of the image at LV_IMAGE(image_size); 0: none */
	/*
	 * time: ns = base + ((tsc - tsc_base) * tsc_mult >> 32), 128-bit product. Written anew when the VM goes on after it stood still, which may have
	 * been between two loads of the guest: what it read counts if the sequence number was the same before and after
	 */
	uint64_t tsc_hz;
	uint64_t tsc_mult;
	uint64_t tsc_base;
	uint64_t clock_base_ns[LV_CLOCKS];
	uint32_t clock_sequence;
	uint32_t restored; /* LV_RESTORED_*: what the present generation demands */
	/* processor */
	uint64_t xcr0; /* state components that are enabled */
	uint64_t generation; /* a random number, another one in each VM and after every restore and clone; 0: not configured yet */
	uint32_t xsave_size;
	uint32_t cpu_features; /* AT_HWCAP: EDX of CPUID leaf 1, which takes an exit to ask */
	uint8_t random_seed[32];
	/* what to run: strings, each ended by a zero byte, argv first and then the environment */
	uint64_t args;     /* guest address */
	uint32_t args_size; /* bytes, the last of them zero */
	uint32_t argc, envc;
	uint32_t uid, gid;
	uint32_t mountc; /* behind the environment: words as of parse/mount_word.h */
	char program[256]; /* path of the program in the image */
	char cwd[256];
	char hostname[64];
	uint32_t device_count;
	uint32_t record; /* LV_RECORD_*: what is to be said of the image's files (abi/used_files.h) */
	struct lv_device device[LV_MAX_DEVICES];
	struct lv_net6_config net6; /* of its network */
};
static_assert(offsetof(struct lv_device_page, program) == 208, "device page layout");
static_assert(offsetof(struct lv_device_page, device) == 792, "device page layout");
static_assert(offsetof(struct lv_device_page, net6) == 3608, "device page layout");
static_assert(sizeof(struct lv_device_page) <= 4096, "the device page is one page");

#endif
