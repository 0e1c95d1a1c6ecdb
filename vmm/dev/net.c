/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: frames between two queues and a tap or passt. What the host sends stays in the host's queue until
 * the guest has room for the largest frame; what the guest sends waits in its ring while the host takes nothing.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/device.h"
#include "vmm/host/passt.h"
#include "vmm/host/tap.h"

#define QUEUE_SIZE 256
#define RX_BATCH 64 /* frames before the guest is told and others get their turn */
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define ETHERNET 18 /* header with a VLAN tag */
#define BUFFER_MIN 64
#define FRAME_MAX (65535 + ETHERNET)

static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "header of every frame");

struct buffer { /* a receive buffer that the guest gave, not yet filled */
	uint16_t head;
	struct iovec iov;
};

struct net {
	struct device device;
	struct lv_net_config config;
	int fd; /* -1: the other side has gone */
	bool paused;
	bool tx_blocked;
	struct loop_watch watch;
	unsigned first, count; /* buffer[first % QUEUE_SIZE] ... */
	size_t room;           /* bytes in them */
	uint32_t frame_max;    /* with its header */
	struct buffer buffer[QUEUE_SIZE];
	struct passt *passt; /* NULL: tap */
};

static struct net *net_of(struct device *device)
{
	return (struct net *)device;
}

static struct buffer *buffer_at(struct net *net, unsigned i)
{
	return &net->buffer[(net->first + i) % QUEUE_SIZE];
}

/* ---- host to guest ---- */

static bool enough_room(const struct net *net)
{
	/* A guest that posts its whole ring and still has less gets what fits. */
	return net->room >= net->frame_max || net->count == QUEUE_SIZE;
}

static bool refill(struct net *net)
{
	struct chain *chain = &net->device.set->chain;

	while (!enough_room(net) && device_pop(&net->device, LV_NET_RX, chain)) {
		if (chain->writable != 1 || chain->readable || chain->write_len < BUFFER_MIN) {
			device_break(&net->device, "a receive buffer is not one writable part of 64 bytes or more");
			return false;
		}
		*buffer_at(net, net->count++) = (struct buffer){ chain->head, chain->iov[0] };
		net->room += chain->write_len;
	}
	return enough_room(net);
}

/* n bytes, header first, lie in the oldest buffers: hands them over. */
static void deliver(struct net *net, size_t n)
{
	struct virtio_net_hdr_v1 *header = buffer_at(net, 0)->iov.iov_base;
	uint16_t used = 0;

	while (n) {
		struct buffer *buffer = buffer_at(net, 0);
		size_t part = n < buffer->iov.iov_len ? n : buffer->iov.iov_len;

		device_push(&net->device, LV_NET_RX, buffer->head, part);
		net->room -= buffer->iov.iov_len;
		net->first++;
		net->count--;
		n -= part;
		used++;
	}
	memcpy(&header->num_buffers, &used, sizeof(used));
}

static int receive_tap(struct net *net)
{
	struct iovec iov[QUEUE_SIZE];
	ssize_t n;

	for (unsigned i = 0; i < net->count; i++)
		iov[i] = buffer_at(net, i)->iov;
	n = readv(net->fd, iov, net->count);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
	if ((size_t)n > HEADER)
		deliver(net, n);
	return 0;
}

static void scatter(struct net *net, const void *header, const uint8_t *frame, size_t len)
{
	size_t skip = HEADER; /* every buffer has room for the header */

	memcpy(buffer_at(net, 0)->iov.iov_base, header, HEADER);
	for (unsigned i = 0; len; i++, skip = 0) {
		struct iovec *iov = &buffer_at(net, i)->iov;
		size_t part = len < iov->iov_len - skip ? len : iov->iov_len - skip;

		memcpy((char *)iov->iov_base + skip, frame, part);
		frame += part;
		len -= part;
	}
}

static int receive_passt(struct net *net)
{
	const struct virtio_net_hdr_v1 header = { 0 };
	const uint8_t *frame;
	int len = passt_receive(net->passt, &frame);

	if (len < 0)
		return len;
	if (len + HEADER > net->room)
		return 0; /* larger than all that the guest has: dropped */
	scatter(net, &header, frame, len);
	deliver(net, len + HEADER);
	return 0;
}

static void watch_host(struct net *net)
{
	uint32_t events = 0;

	if (net->fd < 0)
		return;
	if (!net->paused && enough_room(net))
		events |= EPOLLIN;
	if (!net->paused && net->tx_blocked)
		events |= EPOLLOUT;
	loop_update(net->device.set->loop, &net->watch, events);
}

/* passt or the interface has gone: as if the cable were pulled. */
static void link_down(struct net *net)
{
	loop_update(net->device.set->loop, &net->watch, 0);
	close(net->fd);
	net->fd = -1;
	net->tx_blocked = false;
	strncpy(net->device.stats.error, "the host's end of the network has gone", sizeof(net->device.stats.error) - 1);
	device_run(&net->device, LV_NET_TX);
}

static int receive_batch(struct net *net)
{
	int r = 0;

	for (unsigned n = 0; n < RX_BATCH && !r && refill(net); n++)
		r = net->passt ? receive_passt(net) : receive_tap(net);
	device_publish(&net->device, LV_NET_RX);
	return r == -EAGAIN ? 0 : r;
}

static void receive(struct net *net)
{
	if (receive_batch(net))
		link_down(net);
	else
		device_run(&net->device, LV_NET_RX);
}

/* Frames that came together with earlier ones are already in our buffer: the socket will not announce them again. */
static bool frames_wait(const struct net *net)
{
	return net->passt && net->fd >= 0 && passt_waiting(net->passt);
}

static bool rx_process(struct net *net)
{
	int r = 0;

	refill(net);
	if (!net->paused && frames_wait(net))
		r = receive_batch(net);
	if (device_broken(&net->device) || net->paused)
		return false;
	if (r)
		link_down(net);
	watch_host(net);
	if (enough_room(net) && frames_wait(net))
		device_kick(&net->device);
	return !enough_room(net);
}

/* ---- guest to host ---- */

/* Takes the header off the front of the chain; what is left is the frame. */
static bool take_header(struct chain *chain, struct virtio_net_hdr_v1 *header)
{
	size_t got = 0;

	for (unsigned i = 0; i < chain->readable && got < HEADER; i++) {
		struct iovec *part = &chain->iov[i];
		size_t n = part->iov_len < HEADER - got ? part->iov_len : HEADER - got;

		memcpy((char *)header + got, part->iov_base, n);
		part->iov_base = (char *)part->iov_base + n;
		part->iov_len -= n;
		got += n;
	}
	chain->read_len -= got;
	return got == HEADER;
}

/* What the guest asks of the host's offloads must be agreed on, and stay inside the frame. */
static const char *header_fault(const struct virtio_net_hdr_v1 *header, uint64_t features, uint32_t len)
{
	uint32_t checksum_end = (uint32_t)header->csum_start + header->csum_offset + 2;
	bool partial = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (header->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return "a sent frame has unknown header flags";
	if (partial && (!(features & LV_NET_F_CSUM) || checksum_end > len))
		return "a sent frame wants a checksum outside of itself, or one that was not agreed on";
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return len > FRAME_MAX ? "a sent frame is too long" : NULL;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_TCPV4 || !(features & LV_NET_F_HOST_TSO4))
		return "a sent frame wants a segmentation that was not agreed on";
	if (!partial || !header->gso_size || header->hdr_len > len || len > FRAME_MAX)
		return "a sent frame wants an impossible segmentation";
	return NULL;
}

static int send_tap(struct net *net, struct virtio_net_hdr_v1 *header, const struct chain *chain)
{
	struct iovec iov[QUEUE_MAX + 1] = { { header, HEADER } };

	memcpy(iov + 1, chain->iov, chain->readable * sizeof(*iov));
	if (writev(net->fd, iov, chain->readable + 1) >= 0)
		return 0;
	/* An interface that is down or refuses a frame loses it, as a wire would. */
	return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : errno == EBADFD ? -EBADFD : 0;
}

static int send_frame(struct net *net, struct chain *chain)
{
	struct virtio_net_hdr_v1 header;
	const char *fault = take_header(chain, &header) ? header_fault(&header, net->device.features, chain->read_len)
							: "a sent frame without its header";

	if (fault) {
		device_break(&net->device, fault);
		return -EPROTO;
	}
	header.num_buffers = 0;
	if (net->fd < 0 || chain->read_len < PASST_FRAME_MIN)
		return 0;
	if (!net->passt)
		return send_tap(net, &header, chain);
	int r = passt_send(net->passt, chain->iov, chain->readable, chain->read_len);
	return r == -EINVAL ? 0 : r;
}

static bool tx_process(struct net *net)
{
	struct chain *chain = &net->device.set->chain;
	int r = 0;

	for (unsigned n = 0; n < QUEUE_SIZE && !net->paused && device_pop(&net->device, LV_NET_TX, chain); n++) {
		uint32_t len = chain->read_len;

		r = send_frame(net, chain);
		if (r == -EAGAIN) {
			queue_unpop(&net->device.queue[LV_NET_TX], 1);
			net->device.stats.requests[LV_NET_TX]--;
			net->device.stats.bytes[LV_NET_TX] -= len;
		}
		if (r)
			break;
		device_push(&net->device, LV_NET_TX, chain->head, 0);
	}
	device_publish(&net->device, LV_NET_TX);
	if (device_broken(&net->device) || net->paused)
		return false;
	if (!r && net->passt && net->fd >= 0)
		r = passt_flush(net->passt); /* half a frame may be left over, and no later one may come to push it */
	net->tx_blocked = r == -EAGAIN;
	watch_host(net);
	if (r && r != -EAGAIN)
		link_down(net);
	return !net->tx_blocked;
}

static void host_ready(void *context, uint32_t events)
{
	struct net *net = context;

	if (net->tx_blocked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		device_run(&net->device, LV_NET_TX);
	if (net->fd >= 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && !device_broken(&net->device))
		receive(net);
}

/* ---- device operations ---- */

static int init_passt(struct net *net, int fd)
{
	net->passt = malloc(sizeof(*net->passt));
	if (!net->passt)
		return -ENOMEM;
	passt_init(net->passt, fd);
	net->frame_max = HEADER + PASST_FRAME_MAX;
	return 0;
}

static int net_init(struct device *device, const struct device_config *config)
{
	struct net *net = net_of(device);
	int r;

	net->fd = config->net.fd;
	net->config = config->net.config;
	net->watch = (struct loop_watch){ .fd = net->fd, .ready = host_ready, .context = net };
	if (config->net.passt)
		r = init_passt(net, net->fd);
	else
		r = tap_setup(net->fd, &device->features);
	device->features |= LV_NET_F_MRG_RXBUF;
	if (!net->passt)
		net->frame_max = HEADER + ETHERNET + (device->features & LV_NET_F_GUEST_TSO4 ? 65535 : net->config.mtu);
	return r;
}

static void net_describe(struct device *device, struct lv_device *entry)
{
	entry->config.net = net_of(device)->config;
}

static int net_start(struct device *device)
{
	return 0; /* the host is watched once the guest has buffers */
}

static bool net_process(struct device *device, unsigned queue)
{
	return queue == LV_NET_RX ? rx_process(net_of(device)) : tx_process(net_of(device));
}

static void net_pause(struct device *device, bool on)
{
	struct net *net = net_of(device);

	net->paused = on;
	watch_host(net);
	for (unsigned i = 0; !on && i < 2; i++)
		device_run(device, i);
}

static void net_reset(struct device *device)
{
	struct net *net = net_of(device);

	net->count = 0;
	net->room = 0;
	net->tx_blocked = false;
}

/* What the guest sent before it ended, its last FIN and RST above all, still goes out, as far as the host takes it at once. */
static bool net_drain(struct device *device)
{
	struct net *net = net_of(device);

	device_run(device, LV_NET_TX);
	if (net->passt && net->fd >= 0)
		passt_flush(net->passt);
	return true;
}

static void net_free(struct device *device)
{
	struct net *net = net_of(device);

	if (net->fd >= 0) {
		loop_update(device->set->loop, &net->watch, 0);
		close(net->fd);
	}
	free(net->passt);
}

const struct device_ops net_ops = {
	.type = LV_DEV_NET,
	.name = "net",
	.failure = "network device (a tap must be opened with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR)",
	.size = sizeof(struct net),
	.queues = 2,
	.queue_size = { QUEUE_SIZE, QUEUE_SIZE },
	.init = net_init,
	.describe = net_describe,
	.start = net_start,
	.process = net_process,
	.pause = net_pause,
	.reset = net_reset,
	.drain = net_drain,
	.free = net_free,
};
