/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: frames between pairs of queues and a tap or passt (net_pair.c). One pair; with a tap that was opened
 * several times (IFF_MULTI_QUEUE), up to NET_PAIRS_MAX for Linux drivers, which choose how many by the control queue.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/dev/net.h"
#include "vmm/host/tap.h"

#define CONTROL_QUEUE 64
/* What libos speaks of all this, and the device page has names for. */
#define PAGE_FEATURES (LV_NET_F_CSUM | LV_NET_F_GUEST_CSUM | LV_NET_F_GUEST_TSO4 | LV_NET_F_HOST_TSO4 | LV_NET_F_MRG_RXBUF)

static struct net *net_of(struct device *device)
{
	return (struct net *)device;
}

/* ---- several pairs ---- */

/* Frames come to the first n of them only. The others are asleep; a failure leaves a queue where it was. */
static void use_pairs(struct net *net, unsigned n)
{
	for (unsigned i = 0; i < net->pairs; i++) {
		struct net_pair *pair = &net->pair[i];
		bool detached = i >= n;

		if (net->pairs == 1 || pair->fd < 0 || pair->detached == detached)
			continue;
		if (tap_attach(pair->fd, !detached) == 0)
			pair->detached = detached;
	}
}

static size_t gather(const struct chain *chain, uint8_t *to, size_t room)
{
	size_t got = 0;

	for (unsigned i = 0; i < chain->readable && got < room; i++) {
		size_t n = chain->iov[i].iov_len < room - got ? chain->iov[i].iov_len : room - got;

		memcpy(to + got, chain->iov[i].iov_base, n);
		got += n;
	}
	return got;
}

/* The one command that is offered: how many pairs the driver uses. */
static bool command(struct net *net, const struct chain *chain)
{
	struct {
		struct virtio_net_ctrl_hdr header;
		uint8_t pairs[2];
	} request;
	uint16_t pairs;

	if (gather(chain, (uint8_t *)&request, sizeof(request)) < sizeof(request) ||
	    request.header.class != VIRTIO_NET_CTRL_MQ || request.header.cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return false;
	memcpy(&pairs, request.pairs, sizeof(pairs));
	if (!(net->device.features & NET_BIT(MQ)) || !pairs || pairs > net->pairs)
		return false;
	use_pairs(net, pairs);
	return true;
}

static bool control(struct net *net, unsigned queue)
{
	struct chain *chain = &net->device.set->chain;

	for (unsigned n = 0; n < CONTROL_QUEUE && device_pop(&net->device, queue, chain); n++) {
		if (!chain->writable) {
			device_break(&net->device, "a network command without room for its answer");
			return false;
		}
		*(uint8_t *)chain_writable(chain)->iov_base = command(net, chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
		device_push(&net->device, queue, chain->head, 1);
	}
	device_publish(&net->device, queue);
	return !device_broken(&net->device);
}

/* Behind the last pair that the driver knows of. */
static unsigned control_queue(const struct net *net)
{
	return net->device.features & NET_BIT(MQ) ? 2 * net->pairs : 2;
}

/* ---- device operations ---- */

static int open_pairs(struct net *net, const struct device_config *config)
{
	if (config->net.passt)
		return net_pair_open_passt(&net->pair[0]);
	for (unsigned i = 0; i < net->pairs; i++) {
		int r = tap_setup(net->pair[i].fd, &net->offered);

		if (r)
			return r;
	}
	return 0;
}

static int net_init(struct device *device, const struct device_config *config)
{
	struct net *net = net_of(device);

	net->config = config->net.config;
	net->pairs = 1 + config->net.more;
	net_pair_init(&net->pair[0], net, 0, config->net.fd);
	for (unsigned i = 1; i < net->pairs; i++)
		net_pair_init(&net->pair[i], net, i, config->net.more_fd[i - 1]);
	int r = open_pairs(net, config);
	net->offered |= NET_BIT(MRG_RXBUF);
	if (net->pairs > 1)
		net->offered |= NET_BIT(CTRL_VQ) | NET_BIT(MQ);
	return r;
}

static void net_describe(struct device *device, struct lv_device *entry)
{
	entry->config.net = net_of(device)->config;
	device->features = net_of(device)->offered & PAGE_FEATURES;
}

static uint64_t net_offer(const struct device *device)
{
	const struct net *net = (const struct net *)device;

	return net->offered | NET_BIT(MAC) | NET_BIT(STATUS) | (net->config.mtu ? NET_BIT(MTU) : 0);
}

static unsigned net_configuration(const struct device *device, uint8_t *space)
{
	const struct net *net = (const struct net *)device;
	struct virtio_net_config config = { .status = net->pair[0].fd >= 0 ? VIRTIO_NET_S_LINK_UP : 0,
					    .max_virtqueue_pairs = net->pairs, .mtu = net->config.mtu };

	memcpy(config.mac, net->config.mac, sizeof(config.mac));
	memcpy(space, &config, offsetof(struct virtio_net_config, speed));
	return offsetof(struct virtio_net_config, speed);
}

/* By what the driver took. */
static void set_features(struct net *net)
{
	uint64_t features = net->device.features;
	bool passt = net->pair[0].passt;
	bool segments = features & (NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_TSO6)) && features & NET_BIT(MRG_RXBUF);

	if (!segments)
		features &= ~(NET_BIT(GUEST_TSO4) | NET_BIT(GUEST_TSO6));
	net->frame_max = NET_HEADER + (passt ? PASST_FRAME_MAX : NET_ETHERNET + (segments ? 65535u : net->config.mtu));
	if (!passt && net->pair[0].fd >= 0)
		tap_set_offloads(net->pair[0].fd, features); /* of the tap, not of one queue */
}

/* The host is watched once the guest has buffers. */
static int net_start(struct device *device)
{
	net_of(device)->paused = false;
	set_features(net_of(device));
	use_pairs(net_of(device), 1);
	return 0;
}

static bool net_process(struct device *device, unsigned queue)
{
	struct net *net = net_of(device);

	if (device->features & NET_BIT(CTRL_VQ) && queue == control_queue(net))
		return control(net, queue);
	if (queue / 2 >= net->pairs)
		return false;
	return queue % 2 == LV_NET_RX ? net_pair_receive(&net->pair[queue / 2]) : net_pair_send(&net->pair[queue / 2]);
}

static void net_pause(struct device *device, bool on)
{
	struct net *net = net_of(device);

	net->paused = on;
	if (!on)
		set_features(net); /* another driver may have come after a reset */
	for (unsigned i = 0; i < net->pairs; i++)
		net_pair_watch(&net->pair[i]);
	for (unsigned i = 0; !on && i < 2 * net->pairs; i++)
		device_run(device, i);
}

static void net_reset(struct device *device)
{
	struct net *net = net_of(device);

	for (unsigned i = 0; i < net->pairs; i++)
		net_pair_reset(&net->pair[i]);
	use_pairs(net, 1);
}

/* What the guest sent before it ended, its last FIN and RST above all, still goes out, as far as the host takes it at once. */
static bool net_drain(struct device *device)
{
	struct net *net = net_of(device);

	for (unsigned i = 0; i < net->pairs; i++)
		net_pair_flush(&net->pair[i]);
	return true;
}

static void net_free(struct device *device)
{
	struct net *net = net_of(device);

	for (unsigned i = 0; i < net->pairs; i++)
		net_pair_free(&net->pair[i]);
}

static bool has_several(const struct device_config *config)
{
	return config->net.more;
}

#define COMMON .type = LV_DEV_NET, .name = "net", \
	.failure = "network device (a tap must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR)", \
	.init = net_init, .start = net_start, .process = net_process, .pause = net_pause, .reset = net_reset, .drain = net_drain, \
	.offer = net_offer, .configuration = net_configuration, .free = net_free

const struct device_ops net_ops = {
	COMMON,
	.size = sizeof(struct net) + sizeof(struct net_pair),
	.queues = 2,
	.queue_size = { NET_QUEUE, NET_QUEUE },
	.describe = net_describe,
};

static const uint8_t pairs_slot[2 * NET_PAIRS_MAX + 1] = { 0, 1, 0, 1, 0, 1, 0, 1, 2 }; /* where a queue is counted */

/* The receive and transmit queue of every pair, then the control queue: of as many pairs as there are. */
const struct device_ops net_pairs_ops = {
	COMMON,
	.accepts = has_several,
	.size = sizeof(struct net) + NET_PAIRS_MAX * sizeof(struct net_pair),
	.queues = 2 * NET_PAIRS_MAX + 1,
	.stats_slot = pairs_slot,
	.queue_size = { NET_QUEUE, NET_QUEUE, NET_QUEUE, NET_QUEUE, NET_QUEUE, NET_QUEUE, NET_QUEUE, NET_QUEUE, CONTROL_QUEUE },
};
static_assert(NET_PAIRS_MAX == 4, "sizes of the queues");
