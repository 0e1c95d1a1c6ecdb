/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device: streams between the guest and Unix sockets of the host. This half speaks with the guest. Each packet
 * of the guest is one chain of the transmit queue and is answered by at most one RST, or by what a connection has to say;
 * what the host sends is read straight into the guest's buffers, when it has room and not before.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/dev/vsock.h"
#include "vmm/state/stream.h"

#define QUEUE_SIZE 256
#define EVENT_SIZE 8
#define HEADER ((uint32_t)sizeof(struct virtio_vsock_hdr))
#define PACKET_MAX (64u << 10)
#define REPORT_NS 5000000 /* until the guest hears that a packet was taken, if it hears nothing else */
#define F_STREAM 0 /* bit of the feature; the kernel's header lacks its name */

static_assert(sizeof(struct virtio_vsock_hdr) == 44, "header of every packet");

static struct vsock *vsock_of(struct device *device)
{
	return (struct vsock *)device;
}

/* ---- to the guest ---- */

/* Parts without their first HEADER bytes and cut to room bytes: their count. */
static unsigned behind_header(const struct chain *chain, struct iovec *part, uint32_t room)
{
	uint32_t skip = HEADER;
	unsigned n = 0;

	for (unsigned i = 0; i < chain->writable && room; i++) {
		struct iovec iov = chain_writable(chain)[i];
		uint32_t over = skip < iov.iov_len ? skip : iov.iov_len;

		skip -= over;
		iov.iov_base = (char *)iov.iov_base + over;
		iov.iov_len -= over;
		iov.iov_len = iov.iov_len < room ? iov.iov_len : room;
		room -= iov.iov_len;
		if (iov.iov_len)
			part[n++] = iov;
	}
	return n;
}

static void put_header(const struct chain *chain, const struct virtio_vsock_hdr *header)
{
	chain_copy_out(chain, 0, header, HEADER);
}

static uint32_t read_payload(struct vsock_conn *conn, const struct chain *chain)
{
	struct iovec part[QUEUE_MAX];
	uint32_t room = chain->write_len - HEADER, credit = vsock_conn_credit(conn);

	room = room < credit ? room : credit;
	room = room < PACKET_MAX ? room : PACKET_MAX;
	return vsock_conn_read(conn, part, behind_header(chain, part, room), room);
}

static struct virtio_vsock_hdr header_of(struct vsock_conn *conn, unsigned op, uint32_t len)
{
	/* Every packet tells the room that the guest has at our side. */
	conn->told = conn->forwarded;
	conn->pending &= ~(1u << VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	return (struct virtio_vsock_hdr){
		.src_cid = VSOCK_HOST_CID, .dst_cid = conn->vsock->cid, .src_port = conn->host_port, .dst_port = conn->guest_port,
		.len = len, .type = VIRTIO_VSOCK_TYPE_STREAM, .op = op,
		.flags = op == VIRTIO_VSOCK_OP_SHUTDOWN ? conn->host_shut : 0,
		.buf_alloc = conn->room, .fwd_cnt = conn->forwarded,
	};
}

/* What the connection has to say first; VIRTIO_VSOCK_OP_INVALID: nothing. It is not pending any more. */
static unsigned take_pending(struct vsock_conn *conn)
{
	static const uint8_t order[] = { VIRTIO_VSOCK_OP_RST, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE,
					 VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_OP_RW, VIRTIO_VSOCK_OP_CREDIT_UPDATE,
					 VIRTIO_VSOCK_OP_CREDIT_REQUEST };

	for (unsigned i = 0; i < sizeof(order); i++)
		if (conn->pending & 1u << order[i]) {
			conn->pending &= ~(1u << order[i]);
			return order[i];
		}
	return VIRTIO_VSOCK_OP_INVALID;
}

/* Fills the chain with the next packet of a connection: its bytes, or 0 if there was nothing to say after all. */
static uint32_t put_packet(struct vsock_conn *conn, const struct chain *chain)
{
	unsigned op = take_pending(conn);
	uint32_t len = op == VIRTIO_VSOCK_OP_RW ? read_payload(conn, chain) : 0;
	struct virtio_vsock_hdr header;

	if (op == VIRTIO_VSOCK_OP_INVALID || (op == VIRTIO_VSOCK_OP_RW && !len))
		return 0;
	header = header_of(conn, op, len);
	put_header(chain, &header);
	return HEADER + len;
}

static uint32_t put_reply(struct vsock *vsock, const struct chain *chain)
{
	put_header(chain, &vsock->reply[vsock->first_reply]);
	vsock->first_reply = (vsock->first_reply + 1) % VSOCK_REPLIES;
	vsock->replies--;
	return HEADER;
}

static uint32_t put_next(struct vsock *vsock, const struct chain *chain)
{
	struct vsock_conn *conn;
	uint32_t n;

	if (vsock->replies)
		return put_reply(vsock, chain);
	conn = vsock_conn_next_ready(vsock);
	n = put_packet(conn, chain);
	if (conn->state == VSOCK_CLOSED)
		vsock_conn_free(conn); /* that was its RST */
	else
		vsock_conn_still_ready(conn);
	return n;
}

static bool something_to_say(const struct vsock *vsock)
{
	return vsock->replies || vsock->first_ready;
}

/* A buffer of the guest: false if there is none, or none that can be used. */
static bool take_buffer(struct vsock *vsock, struct chain *chain)
{
	if (!device_pop(&vsock->device, VSOCK_RX, chain))
		return false;
	if (!chain->readable && chain->write_len > HEADER)
		return true;
	device_break(&vsock->device, "a vsock receive buffer is not writable memory for a header and more");
	return false;
}

static bool rx_process(struct vsock *vsock)
{
	struct chain *chain = &vsock->device.set->chain;
	bool have = false;

	for (unsigned n = 0; n < QUEUE_SIZE && !vsock->paused && something_to_say(vsock);) {
		uint32_t len;

		if (!have && !(have = take_buffer(vsock, chain)))
			break;
		len = put_next(vsock, chain);
		if (!len)
			continue; /* and that connection is off the list */
		device_push(&vsock->device, VSOCK_RX, chain->head, len);
		have = false;
		n++;
	}
	if (have)
		device_unpop(&vsock->device, VSOCK_RX, 0);
	if (queue_unpublished(&vsock->device.queue[VSOCK_RX]))
		device_publish_all(&vsock->device);
	if (vsock->stalled && vsock->replies < VSOCK_REPLIES && !device_broken(&vsock->device))
		device_kick(&vsock->device);
	return something_to_say(vsock);
}

/* ---- from the guest ---- */

/* The caller has seen to it that there is room. */
static void reply_reset(struct vsock *vsock, const struct virtio_vsock_hdr *to)
{
	if (to->op == VIRTIO_VSOCK_OP_RST)
		return;
	vsock->reply[(vsock->first_reply + vsock->replies++) % VSOCK_REPLIES] = (struct virtio_vsock_hdr){
		.src_cid = to->dst_cid, .dst_cid = to->src_cid, .src_port = to->dst_port, .dst_port = to->src_port,
		.type = to->type, .op = VIRTIO_VSOCK_OP_RST,
	};
}

static void refuse(struct vsock_conn *conn, const struct virtio_vsock_hdr *header)
{
	reply_reset(conn->vsock, header);
	vsock_conn_free(conn);
}

static void take_credit(struct vsock_conn *conn, const struct virtio_vsock_hdr *header)
{
	conn->peer_room = header->buf_alloc;
	conn->peer_forwarded = header->fwd_cnt;
	vsock_conn_watch(conn);
}

static void open_for_guest(struct vsock *vsock, const struct virtio_vsock_hdr *header)
{
	bool room = vsock->count < VSOCK_CONNECTIONS && vsock->by_guest < VSOCK_BY_GUEST;
	int fd = room && vsock->outgoing ? vsock_unix_dial(header->dst_port) : -ENOENT;
	struct vsock_conn *conn = fd >= 0 ? vsock_conn_new(vsock, fd, VSOCK_OPEN, true) : NULL;

	if (!conn) {
		reply_reset(vsock, header);
		return;
	}
	vsock_conn_name(conn, header->dst_port, header->src_port);
	vsock_conn_want(conn, VIRTIO_VSOCK_OP_RESPONSE);
	take_credit(conn, header);
}

static void take_payload(struct vsock_conn *conn, const struct virtio_vsock_hdr *header, const struct chain *payload)
{
	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND ||
	    !vsock_conn_write(conn, payload->iov, payload->readable, payload->read_len))
		refuse(conn, header);
}

static void take_shutdown(struct vsock_conn *conn, const struct virtio_vsock_hdr *header)
{
	if (((conn->guest_shut | header->flags) & VSOCK_BOTH) == VSOCK_BOTH)
		reply_reset(conn->vsock, header);
	vsock_conn_shut(conn, header->flags);
}

/* A packet of an open connection. */
static void take_open(struct vsock_conn *conn, const struct virtio_vsock_hdr *header, const struct chain *payload)
{
	take_credit(conn, header);
	if (header->op == VIRTIO_VSOCK_OP_RW)
		take_payload(conn, header, payload);
	else if (header->op == VIRTIO_VSOCK_OP_SHUTDOWN)
		take_shutdown(conn, header);
	else if (header->op == VIRTIO_VSOCK_OP_CREDIT_REQUEST)
		vsock_conn_want(conn, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	else if (header->op != VIRTIO_VSOCK_OP_CREDIT_UPDATE)
		refuse(conn, header);
}

static void take_asked(struct vsock_conn *conn, const struct virtio_vsock_hdr *header)
{
	if (header->op != VIRTIO_VSOCK_OP_RESPONSE) {
		refuse(conn, header);
		return;
	}
	vsock_conn_opened(conn);
	take_credit(conn, header);
}

static void take_packet(struct vsock *vsock, const struct virtio_vsock_hdr *header, const struct chain *payload)
{
	struct vsock_conn *conn;

	if (header->src_cid != vsock->cid)
		return;
	if (header->dst_cid != VSOCK_HOST_CID || header->type != VIRTIO_VSOCK_TYPE_STREAM) {
		reply_reset(vsock, header);
		return;
	}
	conn = vsock_conn_find(vsock, header->dst_port, header->src_port);
	if (conn && header->op == VIRTIO_VSOCK_OP_RST)
		vsock_conn_free(conn);
	else if (conn && conn->state == VSOCK_OPEN)
		take_open(conn, header, payload);
	else if (conn && conn->state == VSOCK_ASKED)
		take_asked(conn, header);
	else if (!conn && header->op == VIRTIO_VSOCK_OP_REQUEST)
		open_for_guest(vsock, header);
	else if (!conn)
		reply_reset(vsock, header);
	/* one that is closed already has its RST under way */
}

/* Cuts the header off the front of the chain, and the rest to the length that it states. */
static bool split_packet(struct chain *chain, struct virtio_vsock_hdr *header)
{
	uint32_t left;

	if (!chain_take(chain, header, HEADER) || header->len > chain->read_len)
		return false;
	left = chain->read_len = header->len;
	for (unsigned i = 0; i < chain->readable; i++) {
		chain->iov[i].iov_len = chain->iov[i].iov_len < left ? chain->iov[i].iov_len : left;
		left -= chain->iov[i].iov_len;
	}
	return true;
}

/*
 * Nobody waits for the news that a packet was taken; an answer is what the guest is waiting for. So the news goes with the
 * next packet for the guest, by one interrupt; alone if there are many of them, or after a while.
 */
static void report_sent(struct vsock *vsock)
{
	struct queue *queue = &vsock->device.queue[VSOCK_TX];

	if (queue_unpublished(queue) >= queue->size / 4 || vsock->stalled || vsock->paused) {
		device_publish(&vsock->device, VSOCK_TX);
	} else if (queue_unpublished(queue) && !vsock->owes) {
		vsock->owes = true;
		loop_timer_set(vsock->device.set->loop, &vsock->owing, clock_now() + REPORT_NS);
	}
}

static void owing_over(void *context)
{
	struct vsock *vsock = context;

	vsock->owes = false;
	device_publish(&vsock->device, VSOCK_TX);
}

static bool tx_process(struct vsock *vsock)
{
	struct chain *chain = &vsock->device.set->chain;
	struct virtio_vsock_hdr header;

	vsock->stalled = false;
	for (unsigned n = 0; n < QUEUE_SIZE && !vsock->paused && vsock->replies < VSOCK_REPLIES; n++) {
		if (!device_pop(&vsock->device, VSOCK_TX, chain))
			break;
		if (!split_packet(chain, &header)) {
			device_break(&vsock->device, "a vsock packet is shorter than its header, or than that says");
			break;
		}
		take_packet(vsock, &header, chain);
		device_push(&vsock->device, VSOCK_TX, chain->head, 0);
	}
	if (!device_broken(&vsock->device) && !vsock->paused) {
		device_run(&vsock->device, VSOCK_RX);
		vsock->stalled = vsock->replies == VSOCK_REPLIES;
	}
	report_sent(vsock);
	if (device_broken(&vsock->device) || vsock->paused)
		return false;
	return !vsock->stalled;
}

/* ---- device operations ---- */

static bool listens(int fd)
{
	int domain = 0, type = 0, listening = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

static int vsock_init(struct device *device, const struct device_config *config)
{
	struct vsock *vsock = vsock_of(device);
	int flags = fcntl(config->vsock.listener, F_GETFL);

	device_add_queue(device, QUEUE_SIZE, VSOCK_RX);
	device_add_queue(device, QUEUE_SIZE, VSOCK_TX);
	device_add_queue(device, EVENT_SIZE, VSOCK_EVENT);
	vsock->cid = config->vsock.cid;
	vsock->outgoing = config->vsock.outgoing;
	vsock->listener = (struct loop_watch){ .fd = config->vsock.listener, .ready = vsock_accept, .context = vsock };
	vsock->timer = (struct loop_timer){ .fire = vsock_alarm, .context = vsock };
	vsock->owing = (struct loop_timer){ .fire = owing_over, .context = vsock };
	if (vsock->listener.fd < 0)
		return 0;
	if (flags < 0 || !listens(vsock->listener.fd))
		return flags < 0 ? -errno : -EINVAL;
	return fcntl(vsock->listener.fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static uint64_t vsock_offer(const struct device *device)
{
	return 1ull << F_STREAM;
}

static unsigned vsock_configuration(const struct device *device, uint8_t *space)
{
	struct virtio_vsock_config config = { .guest_cid = ((const struct vsock *)device)->cid };

	memcpy(space, &config, sizeof(config));
	return sizeof(config);
}

static int vsock_start(struct device *device)
{
	vsock_of(device)->running = true;
	vsock_of(device)->paused = false;
	vsock_listener_watch(vsock_of(device));
	return 0;
}

/* The one event there is: connections are gone, since the guest is on another host, or in another time (virtio 1.2, 5.10.6.7). */
static bool event_process(struct vsock *vsock)
{
	const struct virtio_vsock_event event = { .id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET };
	struct chain *chain = &vsock->device.set->chain;

	if (!vsock->moved || vsock->paused || !device_pop(&vsock->device, VSOCK_EVENT, chain))
		return vsock->moved && !vsock->paused; /* its other buffers wait */
	vsock->moved = false;
	device_push(&vsock->device, VSOCK_EVENT, chain->head, chain_copy_out(chain, 0, &event, sizeof(event)));
	device_publish(&vsock->device, VSOCK_EVENT);
	return false;
}

static bool vsock_process(struct device *device, unsigned queue)
{
	struct vsock *vsock = vsock_of(device);

	if (queue == VSOCK_EVENT)
		return event_process(vsock);
	return queue == VSOCK_RX ? rx_process(vsock) : tx_process(vsock);
}

static void vsock_pause(struct device *device, bool on)
{
	struct vsock *vsock = vsock_of(device);

	vsock->paused = on;
	vsock->running |= !on; /* a driver that came back after a reset */
	if (device_broken(device)) {
		vsock->replies = 0;
		vsock_conn_free_all(vsock); /* their peers learn it */
	}
	vsock_listener_watch(vsock);
	for (struct vsock_conn *conn = vsock->all; conn; conn = conn->next)
		vsock_conn_watch(conn);
	for (unsigned i = 0; !on && i < VSOCK_QUEUES; i++)
		device_run(device, i);
}

static void vsock_reset(struct device *device)
{
	struct vsock *vsock = vsock_of(device);

	vsock->running = vsock->stalled = false;
	vsock->replies = 0;
	vsock_conn_free_all(vsock);
	vsock_listener_watch(vsock);
}

/* What a host does not take at once is lost with the VM, as it would be with a machine. */
static bool vsock_drain(struct device *device)
{
	device_run(device, VSOCK_TX);
	return true;
}

/* No chain is kept between two calls; what was taken is told, with the other rings. */
static void vsock_quiesce(struct device *device)
{
}

#define VSOCK_TAG STREAM_TAG("VSOC")
#define VSOCK_VERSION 1

/* The guest's address. Connections end here: their other ends are processes of this host. */
static int vsock_save(const struct device *device, struct stream *stream)
{
	stream_begin(stream, VSOCK_TAG, VSOCK_VERSION);
	stream_put64(stream, ((const struct vsock *)device)->cid);
	return stream_end(stream);
}

/* The guest is told of another address by the same event. */
static int vsock_load(struct device *device, struct stream *stream)
{
	stream_begin(stream, VSOCK_TAG, VSOCK_VERSION);
	stream_get64(stream);
	int err = stream_end(stream);
	if (!err)
		vsock_of(device)->moved = true;
	return err;
}

static void vsock_rights(const struct device *device, struct device_rights *rights)
{
	const struct vsock *vsock = (const struct vsock *)device;

	rights->descriptors += VSOCK_CONNECTIONS;
	rights->accepts |= vsock->listener.fd >= 0;
	rights->dials |= vsock->outgoing;
}

static void vsock_free(struct device *device)
{
	struct vsock *vsock = vsock_of(device);

	vsock_reset(device);
	loop_timer_set(device->set->loop, &vsock->timer, 0);
	loop_timer_set(device->set->loop, &vsock->owing, 0);
	if (vsock->listener.fd >= 0)
		close(vsock->listener.fd);
}

const struct device_ops vsock_ops = {
	.type = LV_DEV_VSOCK,
	.name = "vsock",
	.failure = "vsock device (it wants a listening Unix stream socket)",
	.size = sizeof(struct vsock),
	.init = vsock_init,
	.start = vsock_start,
	.process = vsock_process,
	.pause = vsock_pause,
	.reset = vsock_reset,
	.drain = vsock_drain,
	.quiesce = vsock_quiesce,
	.save = vsock_save,
	.load = vsock_load,
	.rights = vsock_rights,
	.offer = vsock_offer,
	.configuration = vsock_configuration,
	.free = vsock_free,
};
