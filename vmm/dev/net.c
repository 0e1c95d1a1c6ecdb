/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: frames between two queues and a tap or passt. What the host sends stays in the host's queue while
 * the guest has no buffers; what the guest sends waits in its ring while the host takes nothing.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/device.h"
#include "vmm/host/passt.h"
#include "vmm/host/tap.h"

#define QUEUE_SIZE 256
#define RX_BATCH 64 /* frames before the guest is told and others get their turn */
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr_v1))
#define ETHERNET 18 /* header with a VLAN tag */
#define BUFFER_MIN 64
#define PATIENCE_NS 20000000 /* with a guest that has no room for a frame */
#define FRAME_MAX (65535 + ETHERNET)
#define BIT(feature) (1ull << VIRTIO_NET_F_##feature)
/* What libos speaks of all this, and the device page has names for. */
#define PAGE_FEATURES (LV_NET_F_CSUM | LV_NET_F_GUEST_CSUM | LV_NET_F_GUEST_TSO4 | LV_NET_F_HOST_TSO4 | LV_NET_F_MRG_RXBUF)

static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "header of every frame");

struct buffer { /* a receive buffer that the guest gave, not yet filled */
	uint16_t head;
	struct iovec iov;
};

struct net {
	struct device device;
	struct lv_net_config config;
	uint64_t offered;
	int fd; /* -1: the other side has gone */
	bool paused;
	bool tx_blocked;
	struct loop_watch watch;
	unsigned first, count; /* buffer[first % QUEUE_SIZE] ... */
	size_t room;           /* bytes in them */
	uint32_t frame_max;    /* with its header */
	struct buffer buffer[QUEUE_SIZE];
	struct { /* a frame that was received and waits for buffers */
		size_t len;            /* with its header; 0: none */
		size_t placed;         /* bytes that already lie in the buffers */
		const uint8_t *rest;   /* the others */
	} pending;
	struct loop_timer patience; /* for pending */
	uint8_t *overflow;          /* tap: where the rest of a frame goes that is larger than the buffers; NULL until needed */
	struct passt *passt;        /* NULL: tap */
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

/* Without MRG_RXBUF a frame lies in one buffer, or nowhere. */
static unsigned buffers_for_frame(const struct net *net)
{
	return net->device.features & BIT(MRG_RXBUF) || net->count < 2 ? net->count : 1;
}

static size_t room_for_frame(struct net *net)
{
	return buffers_for_frame(net) == net->count ? net->room : buffer_at(net, 0)->iov.iov_len;
}

/* Collects buffers for the largest frame, or all there are. False: nothing can be received now. */
static bool refill(struct net *net)
{
	struct chain *chain = &net->device.set->chain;

	while (net->room < net->frame_max && net->count < QUEUE_SIZE && device_pop(&net->device, LV_NET_RX, chain)) {
		if (chain->writable != 1 || chain->readable || chain->write_len < BUFFER_MIN) {
			device_break(&net->device, "a receive buffer is not one writable part of 64 bytes or more");
			return false;
		}
		*buffer_at(net, net->count++) = (struct buffer){ chain->head, chain->iov[0] };
		net->room += chain->write_len;
	}
	return net->count && !net->pending.len;
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

/* Writes bytes into the buffers, from the offset-th byte of all of them on. */
static void scatter(struct net *net, size_t offset, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; len; i++) {
		const struct iovec *iov = &buffer_at(net, i)->iov;
		size_t part = offset < iov->iov_len ? iov->iov_len - offset : 0;

		part = part < len ? part : len;
		memcpy((char *)iov->iov_base + offset, bytes, part);
		bytes += part;
		len -= part;
		offset -= offset < iov->iov_len ? offset : iov->iov_len;
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* Hands the frame over if there is room for it by now. */
static void place_pending(struct net *net)
{
	size_t len = net->pending.len;
	bool fits = len <= room_for_frame(net);

	if (!len || (!fits && net->device.features & BIT(MRG_RXBUF)))
		return;
	net->pending.len = 0;
	if (!fits)
		return; /* it never will: lost */
	scatter(net, net->pending.placed, net->pending.rest, len - net->pending.placed);
	deliver(net, len);
}

/* A frame is there, but not all of it has found room: it waits a while for more buffers, as the guest is told by a doorbell. */
static void set_pending(struct net *net, size_t len, size_t placed, const uint8_t *rest)
{
	net->pending.len = len;
	net->pending.placed = placed;
	net->pending.rest = rest;
	place_pending(net);
	if (net->pending.len)
		loop_timer_set(net->device.set->loop, &net->patience, now_ns() + PATIENCE_NS);
}

static bool overflow_ready(struct net *net)
{
	if (!net->overflow)
		net->overflow = malloc(net->frame_max);
	return net->overflow;
}

static int receive_tap(struct net *net)
{
	struct iovec iov[QUEUE_SIZE + 1];
	unsigned parts = buffers_for_frame(net);
	size_t room = room_for_frame(net);
	ssize_t n;

	for (unsigned i = 0; i < parts; i++)
		iov[i] = buffer_at(net, i)->iov;
	if (room < net->frame_max && overflow_ready(net))
		iov[parts++] = (struct iovec){ net->overflow, net->frame_max };
	n = readv(net->fd, iov, parts);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
	if ((size_t)n > room)
		set_pending(net, n, room, net->overflow);
	else if ((size_t)n > HEADER)
		deliver(net, n);
	return 0;
}

static int receive_passt(struct net *net)
{
	static const uint8_t header[HEADER]; /* no offload was used */
	const uint8_t *frame;
	int len = passt_receive(net->passt, &frame);

	if (len < 0)
		return len;
	scatter(net, 0, header, HEADER);
	set_pending(net, len + HEADER, HEADER, frame);
	return 0;
}

static void watch_host(struct net *net)
{
	uint32_t events = 0;

	if (net->fd < 0)
		return;
	if (!net->paused && net->count && !net->pending.len)
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
	device_reconfigured(&net->device);
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
	bool can = refill(net);
	int r = 0;

	if (net->pending.len) {
		place_pending(net);
		can = refill(net);
		device_publish(&net->device, LV_NET_RX);
	}
	if (!net->paused && can && frames_wait(net))
		r = receive_batch(net);
	if (device_broken(&net->device) || net->paused)
		return false;
	if (r)
		link_down(net);
	can = refill(net);
	watch_host(net);
	if (can && frames_wait(net))
		device_kick(&net->device);
	return !can;
}

/* The guest has no room for this frame and makes none: lost, as on any network. */
static void patience_over(void *context)
{
	struct net *net = context;

	net->pending.len = 0;
	device_run(&net->device, LV_NET_RX);
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

static bool agreed(uint8_t gso_type, uint64_t features)
{
	uint8_t type = gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	uint64_t needed = type == VIRTIO_NET_HDR_GSO_TCPV4 ? BIT(HOST_TSO4) : type == VIRTIO_NET_HDR_GSO_TCPV6 ? BIT(HOST_TSO6) : 0;

	return needed && features & needed && (type == gso_type || features & BIT(HOST_ECN));
}

/* What the guest asks of the host's offloads must be agreed on, and stay inside the frame. */
static const char *header_fault(const struct virtio_net_hdr_v1 *header, uint64_t features, uint32_t len)
{
	uint32_t checksum_end = (uint32_t)header->csum_start + header->csum_offset + 2;
	bool partial = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (header->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return "a sent frame has unknown header flags";
	if (partial && (!(features & BIT(CSUM)) || checksum_end > len))
		return "a sent frame wants a checksum outside of itself, or one that was not agreed on";
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return len > FRAME_MAX ? "a sent frame is too long" : NULL;
	if (!agreed(header->gso_type, features))
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
	return 0;
}

static int net_init(struct device *device, const struct device_config *config)
{
	struct net *net = net_of(device);
	int r;

	net->patience = (struct loop_timer){ .watch.fd = -1, .fire = patience_over, .context = net };
	net->fd = config->net.fd;
	net->config = config->net.config;
	net->watch = (struct loop_watch){ .fd = net->fd, .ready = host_ready, .context = net };
	if (config->net.passt)
		r = init_passt(net, net->fd);
	else
		r = tap_setup(net->fd, &net->offered);
	net->offered |= BIT(MRG_RXBUF);
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

	return net->offered | BIT(MAC) | BIT(STATUS) | (net->config.mtu ? BIT(MTU) : 0);
}

static unsigned net_configuration(const struct device *device, uint8_t *space)
{
	const struct net *net = (const struct net *)device;
	struct virtio_net_config config = { .status = net->fd >= 0 ? VIRTIO_NET_S_LINK_UP : 0, .max_virtqueue_pairs = 1,
					    .mtu = net->config.mtu };

	memcpy(config.mac, net->config.mac, sizeof(config.mac));
	memcpy(space, &config, offsetof(struct virtio_net_config, speed));
	return offsetof(struct virtio_net_config, speed);
}

/* By what the driver took. */
static void set_features(struct net *net)
{
	uint64_t features = net->device.features;
	bool segments = features & (BIT(GUEST_TSO4) | BIT(GUEST_TSO6)) && features & BIT(MRG_RXBUF);

	if (!segments)
		features &= ~(BIT(GUEST_TSO4) | BIT(GUEST_TSO6));
	net->frame_max = HEADER + (net->passt ? PASST_FRAME_MAX : ETHERNET + (segments ? 65535u : net->config.mtu));
	if (!net->passt && net->fd >= 0)
		tap_set_offloads(net->fd, features);
}

/* The host is watched once the guest has buffers. */
static int net_start(struct device *device)
{
	net_of(device)->paused = false;
	set_features(net_of(device));
	return 0;
}

static bool net_process(struct device *device, unsigned queue)
{
	return queue == LV_NET_RX ? rx_process(net_of(device)) : tx_process(net_of(device));
}

static void net_pause(struct device *device, bool on)
{
	struct net *net = net_of(device);

	net->paused = on;
	if (!on)
		set_features(net); /* another driver may have come after a reset */
	watch_host(net);
	for (unsigned i = 0; !on && i < 2; i++)
		device_run(device, i);
}

static void net_reset(struct device *device)
{
	struct net *net = net_of(device);

	net->count = 0;
	net->room = 0;
	net->pending.len = 0;
	net->tx_blocked = false;
	free(net->overflow); /* the next driver's frames may be larger */
	net->overflow = NULL;
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
	loop_timer_fini(device->set->loop, &net->patience);
	free(net->overflow);
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
	.offer = net_offer,
	.configuration = net_configuration,
	.free = net_free,
};
