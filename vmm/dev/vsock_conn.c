/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of the vsock device: their table, their life, and the host's ends of them. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "vmm/dev/vsock.h"

#define SECOND 1000000000ull
#define GREETING_TIME (5 * SECOND)
#define ANSWER_TIME (10 * SECOND)  /* of a guest that was asked, or told that the host has gone */
#define LEAVING_TIME (60 * SECOND) /* of a host that does not read */
#define ROOM_LARGE (256u << 10)
#define ROOM_SMALL (32u << 10)
#define LARGE 32 /* connections: so what hostile peers can make us keep is bounded by some 15 MiB */
#define FIRST_PORT (1u << 30)
#define HANG_UP EPOLLPRI /* a Unix socket is never that, but who waits for anything hears of a hang-up */

/* ---- the table ---- */

static void host_ready(void *context, uint32_t events);

struct vsock_conn *vsock_conn_new(struct vsock *vsock, int fd, enum vsock_state state, bool by_guest)
{
	struct vsock_conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return NULL;
	}
	conn->watch = (struct loop_watch){ .fd = fd, .ready = host_ready, .context = conn };
	conn->vsock = vsock;
	conn->state = state;
	conn->by_guest = by_guest;
	conn->room = vsock->count < LARGE ? ROOM_LARGE : ROOM_SMALL;
	conn->next = vsock->all;
	conn->self = &vsock->all;
	if (conn->next)
		conn->next->self = &conn->next;
	vsock->all = conn;
	vsock->count++;
	vsock->by_guest += by_guest;
	vsock_listener_watch(vsock);
	return conn;
}

static struct vsock_conn **bucket_of(struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	return &vsock->bucket[(host_port * 31 + guest_port) % VSOCK_BUCKETS];
}

void vsock_conn_name(struct vsock_conn *conn, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn **bucket = bucket_of(conn->vsock, host_port, guest_port);

	conn->host_port = host_port;
	conn->guest_port = guest_port;
	conn->next_hash = *bucket;
	*bucket = conn;
}

static void forget_name(struct vsock_conn *conn)
{
	struct vsock_conn **at = bucket_of(conn->vsock, conn->host_port, conn->guest_port);

	while (*at && *at != conn)
		at = &(*at)->next_hash;
	if (*at)
		*at = conn->next_hash;
}

struct vsock_conn *vsock_conn_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn *conn = *bucket_of(vsock, host_port, guest_port);

	while (conn && (conn->host_port != host_port || conn->guest_port != guest_port))
		conn = conn->next_hash;
	return conn;
}

static void close_host(struct vsock_conn *conn)
{
	if (conn->watch.fd >= 0) {
		loop_update(conn->vsock->device.set->loop, &conn->watch, 0);
		close(conn->watch.fd);
	}
	conn->watch.fd = -1;
	vsock_unix_drop(&conn->rest);
	conn->forwarded = conn->received;
}

static void unqueue(struct vsock_conn *conn)
{
	struct vsock *vsock = conn->vsock;

	if (!conn->queued)
		return;
	*(conn->prev_ready ? &conn->prev_ready->next_ready : &vsock->first_ready) = conn->next_ready;
	*(conn->next_ready ? &conn->next_ready->prev_ready : &vsock->last_ready) = conn->prev_ready;
	conn->queued = false;
}

void vsock_conn_free(struct vsock_conn *conn)
{
	struct vsock *vsock = conn->vsock;

	close_host(conn);
	unqueue(conn);
	forget_name(conn);
	*conn->self = conn->next;
	if (conn->next)
		conn->next->self = conn->self;
	vsock->count--;
	vsock->by_guest -= conn->by_guest;
	free(conn);
	vsock_listener_watch(vsock);
}

void vsock_conn_free_all(struct vsock *vsock)
{
	while (vsock->all)
		vsock_conn_free(vsock->all);
}

/* ---- packets that wait for the guest ---- */

void vsock_conn_still_ready(struct vsock_conn *conn)
{
	struct vsock *vsock = conn->vsock;

	if (conn->queued || !conn->pending)
		return;
	conn->queued = true;
	conn->next_ready = NULL;
	conn->prev_ready = vsock->last_ready;
	*(conn->prev_ready ? &conn->prev_ready->next_ready : &vsock->first_ready) = conn;
	vsock->last_ready = conn;
}

void vsock_conn_want(struct vsock_conn *conn, unsigned op)
{
	conn->pending |= 1u << op;
	vsock_conn_still_ready(conn);
}

struct vsock_conn *vsock_conn_next_ready(struct vsock *vsock)
{
	struct vsock_conn *conn = vsock->first_ready;

	if (conn)
		unqueue(conn);
	return conn;
}

static bool is_pending(const struct vsock_conn *conn, unsigned op)
{
	return conn->pending & 1u << op;
}

/* ---- time ---- */

static void set_alarm(struct vsock *vsock, uint64_t at)
{
	if (vsock->alarm && vsock->alarm <= at)
		return;
	vsock->alarm = at;
	loop_timer_set(vsock->device.set->loop, &vsock->timer, at);
}

static void set_deadline(struct vsock_conn *conn, uint64_t from_now)
{
	conn->deadline = clock_now() + from_now;
	set_alarm(conn->vsock, conn->deadline);
}

void vsock_conn_reset(struct vsock_conn *conn)
{
	close_host(conn);
	conn->state = VSOCK_CLOSED;
	conn->deadline = 0;
	conn->pending = 0;
	vsock_conn_want(conn, VIRTIO_VSOCK_OP_RST);
}

static void expire(struct vsock_conn *conn)
{
	if (conn->state == VSOCK_GREETING || conn->state == VSOCK_LEAVING)
		vsock_conn_free(conn);
	else
		vsock_conn_reset(conn);
}

void vsock_alarm(void *context)
{
	struct vsock *vsock = context;
	uint64_t now = clock_now();

	vsock->alarm = 0;
	vsock->no_descriptors = false;
	vsock_listener_watch(vsock);
	for (struct vsock_conn *conn = vsock->all, *next; conn; conn = next) {
		next = conn->next;
		if (!conn->deadline)
			continue;
		if (vsock->paused || conn->deadline > now)
			set_alarm(vsock, conn->deadline > now ? conn->deadline : now + SECOND);
		else
			expire(conn);
	}
	device_run(&vsock->device, VSOCK_RX);
}

/* ---- what is waited for ---- */

uint32_t vsock_conn_credit(const struct vsock_conn *conn)
{
	uint32_t under_way = conn->sent - conn->peer_forwarded;

	return under_way < conn->peer_room ? conn->peer_room - under_way : 0;
}

static bool may_read(const struct vsock_conn *conn)
{
	return conn->state == VSOCK_OPEN && conn->watch.fd >= 0 && !(conn->host_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) &&
	       !(conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV);
}

static uint32_t events_of(const struct vsock_conn *conn)
{
	uint32_t events = conn->rest.count ? EPOLLOUT : 0;

	if (conn->state == VSOCK_GREETING)
		return EPOLLIN;
	if (conn->state == VSOCK_ASKED)
		return HANG_UP;
	if (may_read(conn) && !is_pending(conn, VIRTIO_VSOCK_OP_RW) && vsock_conn_credit(conn))
		return events | EPOLLIN;
	/* While there is more to read, a hang-up is no news; after the end of file it is the next that can come. */
	return conn->state == VSOCK_OPEN && !may_read(conn) ? events | HANG_UP : events;
}

void vsock_conn_watch(struct vsock_conn *conn)
{
	if (conn->watch.fd >= 0)
		loop_update(conn->vsock->device.set->loop, &conn->watch, conn->vsock->paused ? 0 : events_of(conn));
}

void vsock_listener_watch(struct vsock *vsock)
{
	bool on = vsock->running && !vsock->paused && vsock->count < VSOCK_CONNECTIONS && !vsock->no_descriptors;

	if (vsock->listener.fd >= 0)
		loop_update(vsock->device.set->loop, &vsock->listener, on ? EPOLLIN : 0);
}

/* ---- how the host's side begins and ends ---- */

static int take_client(struct vsock *vsock, int fd)
{
	struct vsock_conn *conn = vsock_conn_new(vsock, fd, VSOCK_GREETING, false);

	if (!conn)
		return -ENOMEM;
	set_deadline(conn, GREETING_TIME);
	vsock_conn_watch(conn);
	return 0;
}

int vsock_take_client(struct device *device, int fd)
{
	return take_client((struct vsock *)device, fd);
}

void vsock_accept(void *context, uint32_t events)
{
	struct vsock *vsock = context;
	int fd = accept4(vsock->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		vsock->no_descriptors = true;
		vsock_listener_watch(vsock);
		set_alarm(vsock, clock_now() + SECOND);
		return;
	}
	take_client(vsock, fd);
}

static uint32_t free_port(struct vsock *vsock, uint32_t guest_port)
{
	do {
		if (vsock->next_port < FIRST_PORT || vsock->next_port >= 2 * FIRST_PORT)
			vsock->next_port = FIRST_PORT;
	} while (vsock_conn_find(vsock, vsock->next_port++, guest_port));
	return vsock->next_port - 1;
}

static void greet(struct vsock_conn *conn)
{
	uint32_t port;
	int r = vsock_unix_greeting(conn->watch.fd, &conn->line, &port);

	if (r == -EAGAIN)
		return;
	if (r) {
		vsock_conn_free(conn);
		return;
	}
	conn->state = VSOCK_ASKED;
	vsock_conn_name(conn, free_port(conn->vsock, port), port);
	set_deadline(conn, ANSWER_TIME);
	vsock_conn_want(conn, VIRTIO_VSOCK_OP_REQUEST);
	vsock_conn_watch(conn);
}

void vsock_conn_opened(struct vsock_conn *conn)
{
	if (vsock_unix_welcome(conn->watch.fd, conn->host_port)) {
		vsock_conn_reset(conn);
		return;
	}
	conn->state = VSOCK_OPEN;
	conn->deadline = 0;
	vsock_conn_watch(conn);
}

static bool hung_up(int fd)
{
	struct pollfd poll_fd = { .fd = fd };

	return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLHUP | POLLERR);
}

/* The host will not send or not receive any more, or neither. */
static void host_shut(struct vsock_conn *conn, uint8_t what)
{
	if ((conn->host_shut | what) == conn->host_shut)
		return;
	conn->host_shut |= what;
	if (conn->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV) {
		vsock_unix_drop(&conn->rest);
		conn->forwarded = conn->received;
	}
	if (conn->host_shut == VSOCK_BOTH) {
		close_host(conn);
		set_deadline(conn, ANSWER_TIME);
	}
	vsock_conn_want(conn, VIRTIO_VSOCK_OP_SHUTDOWN);
	vsock_conn_watch(conn);
}

/* ---- bytes ---- */

uint32_t vsock_conn_read(struct vsock_conn *conn, const struct iovec *part, unsigned parts, uint32_t room)
{
	ssize_t n;

	if (!may_read(conn) || !room)
		return 0;
	n = readv(conn->watch.fd, part, parts);
	if (n > 0) {
		conn->sent += n;
		if ((uint32_t)n == room && vsock_conn_credit(conn))
			conn->pending |= 1u << VIRTIO_VSOCK_OP_RW; /* there may be more */
		else if (!vsock_conn_credit(conn))
			conn->pending |= 1u << VIRTIO_VSOCK_OP_CREDIT_REQUEST;
		vsock_conn_watch(conn);
		return n;
	}
	if (n == 0)
		host_shut(conn, hung_up(conn->watch.fd) ? VSOCK_BOTH : VIRTIO_VSOCK_SHUTDOWN_SEND);
	else if (errno == EAGAIN || errno == EINTR)
		vsock_conn_watch(conn);
	else
		host_shut(conn, VSOCK_BOTH);
	return 0;
}

/* The guest is told that there is room again before it believes that there is none. */
static void tell_credit(struct vsock_conn *conn)
{
	if (conn->forwarded - conn->told >= conn->room / 4)
		vsock_conn_want(conn, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
}

/* What goes on once everything that the guest sent is out. */
static void all_out(struct vsock_conn *conn)
{
	if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND && conn->watch.fd >= 0)
		shutdown(conn->watch.fd, SHUT_WR);
}

/* After n bytes were sent out, or -n is what is wrong with the host's socket. */
static void sent_out(struct vsock_conn *conn, int64_t n)
{
	if (n < 0) {
		host_shut(conn, VIRTIO_VSOCK_SHUTDOWN_RCV);
	} else {
		conn->forwarded += n;
		vsock_conn_watch(conn);
	}
	tell_credit(conn);
}

bool vsock_conn_write(struct vsock_conn *conn, const struct iovec *part, unsigned parts, uint32_t len)
{
	int64_t n = len;

	conn->received += len;
	if (!(conn->host_shut & VIRTIO_VSOCK_SHUTDOWN_RCV))
		n = vsock_unix_send(conn->watch.fd, &conn->rest, conn->room, part, parts, len);
	if (n == -ENOSPC || n == -ENOMEM)
		return false;
	sent_out(conn, n);
	return true;
}

static void leave(struct vsock_conn *conn)
{
	unqueue(conn);
	forget_name(conn);
	conn->pending = 0;
	conn->state = VSOCK_LEAVING;
	set_deadline(conn, LEAVING_TIME);
	vsock_conn_watch(conn);
}

void vsock_conn_shut(struct vsock_conn *conn, uint32_t flags)
{
	conn->guest_shut |= flags & VSOCK_BOTH;
	if (conn->watch.fd >= 0 && conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RCV)
		shutdown(conn->watch.fd, SHUT_RD);
	if (!conn->rest.count)
		all_out(conn);
	if (conn->guest_shut != VSOCK_BOTH)
		vsock_conn_watch(conn);
	else if (conn->rest.count)
		leave(conn);
	else
		vsock_conn_free(conn);
}

void vsock_conn_flush(struct vsock_conn *conn)
{
	int64_t n = vsock_unix_flush(conn->watch.fd, &conn->rest);

	if (conn->state == VSOCK_LEAVING && (n < 0 || !conn->rest.count)) {
		vsock_conn_free(conn);
		return;
	}
	if (conn->state == VSOCK_LEAVING && n > 0)
		set_deadline(conn, LEAVING_TIME);
	if (n >= 0 && !conn->rest.count)
		all_out(conn);
	if (conn->state == VSOCK_OPEN)
		sent_out(conn, n);
}

/* ---- events of the host's socket ---- */

static void serve(struct vsock_conn *conn, uint32_t events)
{
	if (conn->rest.count && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		bool leaving = conn->state == VSOCK_LEAVING;

		vsock_conn_flush(conn);
		if (leaving)
			return;
	}
	if (may_read(conn) && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		vsock_conn_want(conn, VIRTIO_VSOCK_OP_RW);
	else if (conn->watch.fd >= 0 && events & (EPOLLERR | EPOLLHUP))
		host_shut(conn, VSOCK_BOTH);
}

static void host_ready(void *context, uint32_t events)
{
	struct vsock_conn *conn = context;
	struct vsock *vsock = conn->vsock;
	uint32_t host_port = conn->host_port, guest_port = conn->guest_port;

	if (conn->state == VSOCK_GREETING)
		greet(conn);
	else if (conn->state == VSOCK_ASKED)
		vsock_conn_reset(conn);
	else
		serve(conn, events);
	device_run(&vsock->device, VSOCK_RX);
	/* If the guest had no buffer for it, it waits for one, and not for the socket. It may be gone by now. */
	conn = vsock_conn_find(vsock, host_port, guest_port);
	if (conn)
		vsock_conn_watch(conn);
}
