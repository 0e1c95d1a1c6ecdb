/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of the network device share: net.c is the device, net_pair.c moves the frames of a pair of queues. */
#ifndef LV_VMM_DEV_NET_H
#define LV_VMM_DEV_NET_H

#include <linux/virtio_net.h>

#include "vmm/device.h"
#include "vmm/host/passt.h"

#define NET_QUEUE 256
#define NET_HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define NET_ETHERNET 18 /* header with a VLAN tag */
#define NET_BIT(feature) (1ull << VIRTIO_NET_F_##feature)

struct net;

struct net_buffer { /* a receive buffer that the guest gave, not yet filled */
	uint16_t head;
	struct iovec iov;
};

struct net_pair {
	struct net *net;
	struct device *device;
	unsigned index; /* its queues are 2 * index and the next */
	int fd; /* -1: the other side has gone */
	bool tx_blocked;
	bool detached; /* the tap sends it nothing, and the driver does not use it */
	struct loop_watch watch;
	unsigned first, count; /* buffer[first % NET_QUEUE] ... */
	size_t room;           /* bytes in them */
	struct net_buffer buffer[NET_QUEUE];
	struct { /* a frame that was received and waits for buffers */
		size_t len;            /* with its header; 0: none */
		size_t placed;         /* bytes that already lie in the buffers */
		const uint8_t *rest;   /* the others */
	} pending;
	struct loop_timer patience; /* for pending */
	uint8_t *overflow;          /* tap: where the rest of a frame goes that is larger than the buffers; NULL until needed */
	struct passt *passt;        /* NULL: tap */
};

struct net {
	struct device device;
	struct lv_net_config config;
	uint64_t offered;
	bool paused;
	uint32_t frame_max; /* with its header */
	unsigned pairs;
	struct net_pair pair[]; /* one; NET_PAIRS_MAX of a device with several */
};

/* Owns fd from now on. */
void net_pair_init(struct net_pair *pair, struct net *net, unsigned index, int fd);
int net_pair_open_passt(struct net_pair *pair); /* fd is passt's, not a tap's. 0 or -ENOMEM */
void net_pair_free(struct net_pair *pair);
void net_pair_reset(struct net_pair *pair);

/* As device_ops.process, of either queue. */
bool net_pair_receive(struct net_pair *pair);
bool net_pair_send(struct net_pair *pair);
/* Waits for what matters of the host's end now. */
void net_pair_watch(struct net_pair *pair);
/* Sends what the guest has queued, as far as the host takes it. */
void net_pair_flush(struct net_pair *pair);

#endif
