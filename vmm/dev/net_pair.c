/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One receive and one transmit queue of the network device, and the host's descriptor behind them. What the host sends stays
 * in the host's queue while the guest has no buffers; what the guest sends waits in its ring while the host takes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/dev/net_pair.h"
#include "vmm/host/tap.h"

#define RX_BATCH 64 /* frames before the guest is told and others get their turn */
#define FEW 8 /* frames that the other side has before the batch is at its end: guest, host and loop are at work at the same time */
#define BUFFER_MIN 64
#define PATIENCE_NS 20000000 /* with a guest that has no room for a frame */
#define FRAME_MAX (65535 + NET_ETHERNET)

static_assert(sizeof(struct virtio_net_hdr_v1) == 12, "header of every frame");
static_assert(NET_ANSWERS_BYTES <= NET_FILTER_BYTES, "one beginning of a frame for both");

static unsigned rx_of(const struct net_pair *pair)
{
	return 2 * pair->index + LV_NET_RX;
}

static unsigned tx_of(const struct net_pair *pair)
{
	return 2 * pair->index + LV_NET_TX;
}

static struct net_buffer *buffer_at(struct net_pair *pair, unsigned i)
{
	return &pair->buffer[(pair->first + i) % NET_QUEUE];
}

/* ---- host to guest ---- */

/* Without MRG_RXBUF a frame lies in one buffer, or nowhere. */
static unsigned buffers_for_frame(const struct net_pair *pair)
{
	return pair->device->features & NET_BIT(MRG_RXBUF) || pair->count < 2 ? pair->count : 1;
}

static size_t room_for_frame(struct net_pair *pair)
{
	return buffers_for_frame(pair) == pair->count ? pair->room : buffer_at(pair, 0)->iov.iov_len;
}

/* Collects buffers for the largest frame, or all there are. False: nothing can be received now. */
static bool refill(struct net_pair *pair)
{
	struct chain *chain = &pair->device->set->chain;

	while (pair->room < pair->frame_max && pair->count < NET_QUEUE && device_pop(pair->device, rx_of(pair), chain)) {
		if (chain->writable != 1 || chain->readable || chain->write_len < BUFFER_MIN) {
			device_break(pair->device, "a receive buffer is not one writable part of 64 bytes or more");
			return false;
		}
		*buffer_at(pair, pair->count++) = (struct net_buffer){ chain->head, chain->iov[0] };
		pair->room += chain->write_len;
	}
	return pair->count && !pair->pending.len;
}

/* n bytes, header first, lie in the oldest buffers: hands them over. */
static void deliver(struct net_pair *pair, size_t n)
{
	struct virtio_net_hdr_v1 *header = buffer_at(pair, 0)->iov.iov_base;
	uint16_t used = 0;

	while (n) {
		struct net_buffer *buffer = buffer_at(pair, 0);
		size_t part = n < buffer->iov.iov_len ? n : buffer->iov.iov_len;

		device_push(pair->device, rx_of(pair), buffer->head, part);
		pair->room -= buffer->iov.iov_len;
		pair->first++;
		pair->count--;
		n -= part;
		used++;
	}
	memcpy(&header->num_buffers, &used, sizeof(used));
}

/* Writes bytes into the buffers, from the offset-th byte of all of them on. */
static void scatter(struct net_pair *pair, size_t offset, const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; len; i++) {
		const struct iovec *iov = &buffer_at(pair, i)->iov;
		size_t part = offset < iov->iov_len ? iov->iov_len - offset : 0;

		part = part < len ? part : len;
		memcpy((char *)iov->iov_base + offset, bytes, part);
		bytes += part;
		len -= part;
		offset -= offset < iov->iov_len ? offset : iov->iov_len;
	}
}

/* Hands the frame over if there is room for it by now. */
static void place_pending(struct net_pair *pair)
{
	size_t len = pair->pending.len;
	bool fits = len <= room_for_frame(pair);

	if (!len || (!fits && pair->device->features & NET_BIT(MRG_RXBUF)))
		return;
	pair->pending.len = 0;
	if (!fits)
		return; /* it never will: lost */
	scatter(pair, pair->pending.placed, pair->pending.rest, len - pair->pending.placed);
	deliver(pair, len);
}

/* A frame is there, but not all of it has found room: it waits a while for more buffers, as the guest is told by a doorbell. */
static void set_pending(struct net_pair *pair, size_t len, size_t placed, const uint8_t *rest)
{
	pair->pending.len = len;
	pair->pending.placed = placed;
	pair->pending.rest = rest;
	place_pending(pair);
	if (pair->pending.len)
		loop_timer_set(pair->device->set->loop, &pair->patience, clock_now() + PATIENCE_NS);
}

static bool overflow_ready(struct net_pair *pair)
{
	if (!pair->overflow)
		pair->overflow = malloc(pair->frame_max);
	return pair->overflow;
}

static int receive_tap(struct net_pair *pair)
{
	struct iovec iov[NET_QUEUE + 1];
	unsigned parts = buffers_for_frame(pair);
	size_t room = room_for_frame(pair);
	ssize_t n;

	for (unsigned i = 0; i < parts; i++)
		iov[i] = buffer_at(pair, i)->iov;
	if (room < pair->frame_max && overflow_ready(pair))
		iov[parts++] = (struct iovec){ pair->overflow, pair->frame_max };
	n = readv(pair->fd, iov, parts);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
	if ((size_t)n > room)
		set_pending(pair, n, room, pair->overflow);
	else if ((size_t)n > NET_HEADER)
		deliver(pair, n);
	return 0;
}

static int receive_passt(struct net_pair *pair)
{
	static const uint8_t header[NET_HEADER]; /* no offload was used */
	const uint8_t *frame;
	int len = passt_receive(pair->passt, &frame);

	if (len < 0)
		return len;
	net_answers_hear(&pair->answers, frame, len, clock_now());
	scatter(pair, 0, header, NET_HEADER);
	set_pending(pair, len + NET_HEADER, NET_HEADER, frame);
	return 0;
}

void net_pair_watch(struct net_pair *pair)
{
	uint32_t events = 0;

	if (pair->fd < 0)
		return;
	if (!pair->paused && pair->count && !pair->pending.len)
		events |= EPOLLIN;
	if (!pair->paused && pair->tx_blocked)
		events |= EPOLLOUT;
	loop_update(pair->device->set->loop, &pair->watch, events);
}

/* passt or the interface has gone: as if the cable were pulled. */
static void link_down(struct net_pair *pair)
{
	loop_update(pair->device->set->loop, &pair->watch, 0);
	close(pair->fd);
	pair->fd = -1;
	pair->tx_blocked = pair->tx_held = false;
	device_reconfigured(pair->device);
	strncpy(pair->device->stats.error, "the host's end of the network has gone", sizeof(pair->device->stats.error) - 1);
	device_run(pair->device, tx_of(pair));
}

/* left: so many frames more, until others get their turn. */
static int receive_batch(struct net_pair *pair, unsigned *left)
{
	int r = 0;

	for (unsigned n = 0; *left && !r && refill(pair); n++, --*left) {
		r = pair->passt ? receive_passt(pair) : receive_tap(pair);
		if (n % FEW == FEW - 1)
			device_publish(pair->device, rx_of(pair));
	}
	device_publish(pair->device, rx_of(pair));
	return r == -EAGAIN ? 0 : r;
}

static void receive(struct net_pair *pair)
{
	unsigned left = RX_BATCH;

	if (receive_batch(pair, &left))
		link_down(pair);
	else
		device_run(pair->device, rx_of(pair));
}

/* Frames that came together with earlier ones are already in our buffer: the socket will not announce them again. */
static bool frames_wait(const struct net_pair *pair)
{
	return pair->passt && pair->fd >= 0 && passt_waiting(pair->passt);
}

bool net_pair_receive(struct net_pair *pair)
{
	bool can = refill(pair);
	unsigned left = RX_BATCH;
	int r = 0;

	if (pair->pending.len) {
		place_pending(pair);
		can = refill(pair);
		device_publish(pair->device, rx_of(pair));
	}
	if (!pair->paused && can && frames_wait(pair))
		r = receive_batch(pair, &left);
	if (device_broken(pair->device) || pair->paused)
		return false;
	if (r)
		link_down(pair);
	can = refill(pair);
	net_pair_watch(pair);
	if (can && frames_wait(pair))
		device_kick(pair->device);
	return !can;
}

/* The guest has no room for this frame and makes none: lost, as on any network. */
static void patience_over(void *context)
{
	struct net_pair *pair = context;

	pair->pending.len = 0;
	device_run(pair->device, rx_of(pair));
}

/* What the guest sent is answered in passt's place, once passt has read it. */
static void see_to_answers(struct net_pair *pair)
{
	if (frames_wait(pair))
		device_run(pair->device, rx_of(pair));
	if (pair->passt && pair->fd >= 0 && !pair->held.deadline && (pair->tx_held || passt_ack_held(pair->passt)))
		loop_timer_set(pair->device->set->loop, &pair->held, clock_now() + PASST_ACK_NS);
}

static void look_again(void *context)
{
	struct net_pair *pair = context;

	if (pair->paused || device_broken(pair->device))
		return;
	if (pair->tx_held)
		device_run(pair->device, tx_of(pair));
	see_to_answers(pair);
}

/* ---- guest to host ---- */

static bool agreed(uint8_t gso_type, uint64_t features)
{
	uint8_t type = gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	uint64_t needed = type == VIRTIO_NET_HDR_GSO_TCPV4 ? NET_BIT(HOST_TSO4) : type == VIRTIO_NET_HDR_GSO_TCPV6 ? NET_BIT(HOST_TSO6) : 0;

	return needed && features & needed && (type == gso_type || features & NET_BIT(HOST_ECN));
}

/* What the guest asks of the host's offloads must be agreed on, and stay inside the frame. */
static const char *header_fault(const struct virtio_net_hdr_v1 *header, uint64_t features, uint32_t len)
{
	uint32_t checksum_end = (uint32_t)header->csum_start + header->csum_offset + 2;
	bool partial = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (header->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return "a sent frame has unknown header flags";
	if (partial && (!(features & NET_BIT(CSUM)) || checksum_end > len))
		return "a sent frame wants a checksum outside of itself, or one that was not agreed on";
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return len > FRAME_MAX ? "a sent frame is too long" : NULL;
	if (!agreed(header->gso_type, features))
		return "a sent frame wants a segmentation that was not agreed on";
	if (!partial || !header->gso_size || header->hdr_len > len || len > FRAME_MAX)
		return "a sent frame wants an impossible segmentation";
	return NULL;
}

/* A frame, or the rest of one whose start was copied out of the guest's memory. */
static int send_tap(struct net_pair *pair, struct virtio_net_hdr_v1 *header, void *start, size_t n, const struct chain *rest)
{
	struct iovec iov[QUEUE_MAX + 2] = { { header, NET_HEADER }, { start, n } };

	memcpy(iov + 2, rest->iov, rest->readable * sizeof(*iov));
	if (writev(pair->fd, iov, rest->readable + 2) >= 0)
		return 0;
	/* An interface that is down or refuses a frame loses it, as a wire would. */
	return errno == EAGAIN || errno == ENOBUFS ? -EAGAIN : errno == EBADFD ? -EBADFD : 0;
}

/* What is looked at is what is sent: the guest could put other addresses there meanwhile. */
static int send_checked(struct net_pair *pair, struct virtio_net_hdr_v1 *header, struct chain *chain)
{
	uint8_t start[NET_FILTER_BYTES];
	size_t n = pair->filter.off ? 0 : chain->read_len < sizeof(start) ? chain->read_len : sizeof(start);

	if (n && (!chain_take(chain, start, n) || !net_filter_passes(&pair->filter, start, n))) {
		device_note(pair->device, "frames under foreign addresses, or for bridges, were dropped (spoof=on)");
		return 0;
	}
	return send_tap(pair, header, start, n, chain);
}

/* The same: each of those who look at its headers looks at the copy. */
static int send_passt(struct net_pair *pair, struct chain *chain)
{
	uint8_t start[PASST_ACK_MAX];
	struct iovec iov[QUEUE_MAX + 1];
	const size_t len = chain->read_len, n = len < sizeof(start) ? len : sizeof(start);

	_Static_assert(sizeof(start) >= NET_FILTER_BYTES && sizeof(start) >= NET_ANSWERS_BYTES, "all that is looked at");
	if (!chain_take(chain, start, n))
		return 0;
	if (!pair->filter.off && !net_filter_passes(&pair->filter, start, n)) {
		device_note(pair->device, "packets for link-local addresses of the host's network were dropped (--net passt,host)");
		return 0;
	}
	if (!net_answers_pass(&pair->answers, start, n, clock_now())) {
		device_note(pair->device, "packets for the host's loopback that were no answers were dropped (--net passt,host)");
		return 0;
	}
	iov[0] = (struct iovec){ start, n };
	memcpy(iov + 1, chain->iov, chain->readable * sizeof(*iov));
	int r = passt_send(pair->passt, iov, chain->readable + 1, len);
	return r == -EINVAL ? 0 : r;
}

static int send_frame(struct net_pair *pair, struct chain *chain)
{
	struct virtio_net_hdr_v1 header;
	const char *fault = chain_take(chain, &header, NET_HEADER) ? header_fault(&header, pair->device->features, chain->read_len)
							: "a sent frame without its header";

	if (fault) {
		device_break(pair->device, fault);
		return -EPROTO;
	}
	header.num_buffers = 0;
	if (pair->fd < 0 || chain->read_len < PASST_FRAME_MIN)
		return 0;
	return pair->passt ? send_passt(pair, chain) : send_checked(pair, &header, chain);
}

/* What the host answers to the first of many frames does not wait for the last one. */
static bool time_to_receive(const struct net_pair *pair, unsigned sent)
{
	return sent % FEW == 0 && !pair->passt && pair->watch.events & EPOLLIN;
}

bool net_pair_send(struct net_pair *pair)
{
	struct chain *chain = &pair->device->set->chain;
	unsigned left = RX_BATCH;
	bool received = false;
	int r = 0;

	for (unsigned n = 0; n < NET_QUEUE && !pair->paused && device_pop(pair->device, tx_of(pair), chain); n++) {
		uint32_t len = chain->read_len;

		r = send_frame(pair, chain);
		if (r == -EAGAIN || r == -EBUSY)
			device_unpop(pair->device, tx_of(pair), len);
		else
			device_push(pair->device, tx_of(pair), chain->head, 0); /* sent, or lost with the link */
		if (!r && left && time_to_receive(pair, n + 1)) {
			r = receive_batch(pair, &left);
			received = true;
		}
		if (r)
			break;
	}
	device_publish(pair->device, tx_of(pair));
	if (device_broken(pair->device) || pair->paused)
		return false;
	if (received)
		device_run(pair->device, rx_of(pair)); /* which hears the guest's bell again */
	pair->tx_held = r == -EBUSY;
	if ((!r || pair->tx_held) && pair->passt && pair->fd >= 0)
		r = passt_flush(pair->passt); /* half a frame may be left over, and no later one may come to push it */
	pair->tx_blocked = r == -EAGAIN;
	net_pair_watch(pair);
	if (r && r != -EAGAIN)
		link_down(pair);
	see_to_answers(pair);
	return !pair->tx_blocked && !pair->tx_held;
}

static void host_ready(void *context, uint32_t events)
{
	struct net_pair *pair = context;

	if (pair->tx_blocked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		device_run(pair->device, tx_of(pair));
	if (pair->fd >= 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && !device_broken(pair->device))
		receive(pair);
}

/* ---- life ---- */

void net_pair_init(struct net_pair *pair, struct device *device, unsigned index, int fd)
{
	*pair = (struct net_pair){ .device = device, .index = index, .fd = fd, .filter.off = true };
	pair->patience = (struct loop_timer){ .fire = patience_over, .context = pair };
	pair->held = (struct loop_timer){ .fire = look_again, .context = pair };
	pair->watch = (struct loop_watch){ .fd = fd, .ready = host_ready, .context = pair };
}

int net_pair_open_passt(struct net_pair *pair)
{
	pair->passt = malloc(sizeof(*pair->passt));
	if (!pair->passt)
		return -ENOMEM;
	passt_init(pair->passt, pair->fd);
	return 0;
}

void net_pair_reset(struct net_pair *pair)
{
	pair->count = 0;
	pair->room = 0;
	pair->pending.len = 0;
	pair->tx_blocked = pair->tx_held = false;
	free(pair->overflow); /* the next driver's frames may be larger */
	pair->overflow = NULL;
}

void net_pair_quiesce(struct net_pair *pair)
{
	queue_unpop(&pair->device->queue[rx_of(pair)], pair->count);
	loop_timer_set(pair->device->set->loop, &pair->patience, 0);
	pair->count = 0;
	pair->room = 0;
	pair->pending.len = 0;
}

void net_pair_flush(struct net_pair *pair)
{
	device_run(pair->device, tx_of(pair));
	if (pair->passt && pair->fd >= 0)
		passt_flush(pair->passt);
}

void net_pair_free(struct net_pair *pair)
{
	if (pair->fd >= 0) {
		loop_update(pair->device->set->loop, &pair->watch, 0);
		close(pair->fd);
	}
	loop_timer_set(pair->device->set->loop, &pair->patience, 0);
	loop_timer_set(pair->device->set->loop, &pair->held, 0);
	free(pair->overflow);
	free(pair->passt);
	net_answers_free(&pair->answers);
}
