/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: frames between pairs of queues and a tap or passt (net_pair.c). One pair; with a tap that was opened
 * several times (IFF_MULTI_QUEUE), up to NET_PAIRS_MAX for Linux drivers, which choose how many by the control queue.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/dev/net_pair.h"
#include "vmm/host/tap.h"
#include "vmm/state/stream.h"

#define CONTROL_QUEUE 64

struct net {
	struct device device;
	struct lv_net_config config;
	struct lv_net6_config config6;
	uint64_t offered;
	uint64_t told; /* the features that the tap was told; UINT64_MAX: none yet */
	unsigned pairs, used; /* used: frames come to so many of them */
	struct net_pair *pair;
};

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
	net->used = n;
	for (unsigned i = 0; i < net->pairs; i++) {
		struct net_pair *pair = &net->pair[i];
		bool detached = i >= n;

		if (net->pairs == 1 || pair->fd < 0 || pair->detached == detached)
			continue;
		if (tap_attach(pair->fd, !detached) == 0)
			pair->detached = detached;
	}
}

/* The one command that is offered: how many pairs the driver uses. */
static bool command(struct net *net, const struct chain *chain)
{
	struct {
		struct virtio_net_ctrl_hdr header;
		uint8_t pairs[2];
	} request;
	uint16_t pairs;

	if (chain_copy_in(chain, 0, &request, sizeof(request)) < sizeof(request) ||
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

static bool has_ip6(const struct net *net)
{
	static const uint8_t none[sizeof(net->config6.ip)];

	return memcmp(net->config6.ip, none, sizeof(none));
}

/* The library OS has no IPv6 address but the one that it was given and those that it makes of its MAC address; a Linux guest may have any. A filter is of the tap, not of a queue. */
static void choose(const struct net *net)
{
	bool is_libos = net->device.set->transport == &page_transport;

	/* What cannot filter (a macvtap) brings more than is wanted, which the guest drops. */
	tap_choose(net->pair[0].fd, net->config.mac, net->config.ip, has_ip6(net) ? net->config6.ip : NULL, is_libos);
}

static int open_pairs(struct net *net, const struct device_config *config)
{
	if (config->net.answers && net_answers_init(&net->pair[0].answers, net->config.gateway))
		return -ENOMEM;
	if (config->net.passt)
		return net_pair_open_passt(&net->pair[0]);
	for (unsigned i = 0; i < net->pairs; i++) {
		int r = tap_setup(net->pair[i].fd, &net->offered);

		if (r)
			return r;
	}
	if (!config->net.spoof)
		choose(net);
	return 0;
}

/* Of every pair the receive and transmit queue; then, with several, the control queue. */
static void add_queues(struct net *net)
{
	for (unsigned i = 0; i < 2 * net->pairs; i++)
		device_add_queue(&net->device, NET_QUEUE, i % 2);
	if (net->pairs > 1)
		device_add_queue(&net->device, CONTROL_QUEUE, 2);
}

static void close_all(const struct device_config *config)
{
	close(config->net.fd);
	for (unsigned i = 0; i < config->net.more; i++)
		close(config->net.more_fd[i]);
}

static int net_init(struct device *device, const struct device_config *config)
{
	struct net *net = net_of(device);

	net->config = config->net.config;
	net->config6 = config->net.config6;
	net->pairs = 1 + config->net.more;
	net->pair = calloc(net->pairs, sizeof(*net->pair));
	if (!net->pair) {
		close_all(config);
		return -ENOMEM;
	}
	add_queues(net);
	net_pair_init(&net->pair[0], device, 0, config->net.fd);
	for (unsigned i = 1; i < net->pairs; i++)
		net_pair_init(&net->pair[i], device, i, config->net.more_fd[i - 1]);
	for (unsigned i = 0; i < net->pairs; i++) {
		net->pair[i].filter = (struct net_filter){ .off = config->net.spoof, .alone = config->net.passt, .ip = net->config.ip };
		memcpy(net->pair[i].filter.mac, net->config.mac, sizeof(net->config.mac));
		net->pair[i].filter.has_ip6 = has_ip6(net);
		memcpy(net->pair[i].filter.ip6, net->config6.ip, sizeof(net->config6.ip));
	}
	int r = open_pairs(net, config);
	net->told = UINT64_MAX;
	net->offered |= NET_BIT(MRG_RXBUF);
	if (net->pairs > 1)
		net->offered |= NET_BIT(CTRL_VQ) | NET_BIT(MQ);
	return r;
}

static int net_describe(struct device *device, struct lv_device *entry)
{
	entry->config.net = net_of(device)->config;
	device->set->page->net6 = net_of(device)->config6;
	device->features = (net_of(device)->offered & PAGE_FEATURES) | LV_DEVICE_EVENT_IDX;
	return net_of(device)->pairs > 1 ? -ENOTSUP : 0;
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
	for (unsigned i = 0; i < net->pairs; i++)
		net->pair[i].frame_max = NET_HEADER + (passt ? PASST_FRAME_MAX : NET_ETHERNET + (segments ? 65535u : net->config.mtu));
	if (!passt && net->pair[0].fd >= 0 && features != net->told)
		tap_set_offloads(net->pair[0].fd, features); /* of the tap, not of one queue; a library OS' monitor may do so before it runs only */
	net->told = features;
}

static void set_paused(struct net *net, bool on)
{
	for (unsigned i = 0; i < net->pairs; i++)
		net->pair[i].paused = on;
}

/* The host is watched once the guest has buffers. */
static int net_start(struct device *device)
{
	struct net *net = net_of(device);

	set_paused(net, false);
	set_features(net);
	use_pairs(net, net->used ? net->used : 1); /* of a state that was loaded, as many as its driver used */
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

	set_paused(net, on);
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

	for (unsigned i = 0; net->pair && i < net->pairs; i++)
		net_pair_free(&net->pair[i]);
	free(net->pair);
}

static void net_quiesce(struct device *device)
{
	struct net *net = net_of(device);

	for (unsigned i = 0; i < net->pairs; i++)
		net_pair_quiesce(&net->pair[i]);
}

#define NET_TAG STREAM_TAG("NETW")
#define NET_VERSION 1

/* Frames under way are lost, as they may be; addresses are the configuration's. */
static int net_save(const struct device *device, struct stream *stream)
{
	const struct net *net = (const struct net *)device;

	stream_begin(stream, NET_TAG, NET_VERSION);
	stream_put32(stream, net->pairs);
	stream_put32(stream, net->used);
	return stream_end(stream);
}

static int net_load(struct device *device, struct stream *stream)
{
	struct net *net = net_of(device);

	stream_begin(stream, NET_TAG, NET_VERSION);
	uint32_t pairs = stream_get32(stream), used = stream_get32(stream);
	int err = stream_end(stream);
	if (err)
		return err;
	if (pairs != net->pairs || used > pairs)
		return stream_refuse(stream);
	net->used = used;
	return 0;
}

const struct device_ops net_ops = {
	.type = LV_DEV_NET,
	.name = "net",
	.failure = "network device (a tap must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR)",
	.size = sizeof(struct net),
	.init = net_init,
	.describe = net_describe,
	.start = net_start,
	.process = net_process,
	.pause = net_pause,
	.reset = net_reset,
	.drain = net_drain,
	.quiesce = net_quiesce,
	.save = net_save,
	.load = net_load,
	.offer = net_offer,
	.configuration = net_configuration,
	.free = net_free,
};
