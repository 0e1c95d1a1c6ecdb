/* SPDX-License-Identifier: Apache-2.0 */
/* One receive and one transmit queue of a network device, and the host's descriptor behind them: moves frames. net.c is the device. */
#ifndef LV_VMM_DEV_NET_PAIR_H
#define LV_VMM_DEV_NET_PAIR_H

#include <linux/virtio_net.h>

#include "vmm/dev/net_answers.h"
#include "vmm/dev/net_filter.h"
#include "vmm/device.h"
#include "vmm/host/passt.h"

#define NET_QUEUE 256
#define NET_HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define NET_ETHERNET 18 /* header with a VLAN tag */
#define NET_BIT(feature) (1ull << VIRTIO_NET_F_##feature)

struct net_buffer { /* a receive buffer that the guest gave, not yet filled */
	uint16_t head;
	struct iovec iov;
};

struct net_pair {
	struct device *device;
	unsigned index; /* its queues are 2 * index and the next */
	int fd; /* -1: the other side has gone */
	bool paused;
	uint32_t frame_max; /* with its header; by the device, before frames move */
	struct net_filter filter; /* off, if the device sets nothing */
	struct net_answers answers; /* of passt */
	bool tx_blocked; /* until the host's end takes something */
	bool tx_held;    /* until passt has read what it has */
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
	struct loop_timer held;     /* for an answer in passt's place, or tx_held */
	struct passt *passt;        /* NULL: tap */
};

/* Owns fd from now on. */
void net_pair_init(struct net_pair *pair, struct device *device, unsigned index, int fd);
int net_pair_open_passt(struct net_pair *pair); /* fd is passt's, not a tap's. 0 or -ENOMEM */
void net_pair_free(struct net_pair *pair);
void net_pair_reset(struct net_pair *pair);
/* Of a pair that is paused: buffers that are not filled go back to the ring; a frame under way is lost. */
void net_pair_quiesce(struct net_pair *pair);

/* As device_ops.process, of either queue. */
bool net_pair_receive(struct net_pair *pair);
bool net_pair_send(struct net_pair *pair);
/* Waits for what matters of the host's end now. */
void net_pair_watch(struct net_pair *pair);
/* Sends what the guest has queued, as far as the host takes it. */
void net_pair_flush(struct net_pair *pair);

#endif
