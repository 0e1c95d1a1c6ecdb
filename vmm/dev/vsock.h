/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the vsock device share: vsock.c speaks with the guest in packets (virtio 1.2, section 5.10),
 * vsock_conn.c keeps the connections and speaks with the host's sockets. All of it lives in the device loop.
 */
#ifndef LV_VMM_DEV_VSOCK_H
#define LV_VMM_DEV_VSOCK_H

#include <linux/virtio_vsock.h>

#include "vmm/device.h"
#include "vmm/host/vsock_unix.h"

#define VSOCK_HOST_CID 2
#define VSOCK_CONNECTIONS 256
#define VSOCK_BY_GUEST 192 /* of them, so that the host still gets in while a guest hoards */
#define VSOCK_REPLIES 64
#define VSOCK_BUCKETS 64
#define VSOCK_BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

enum { VSOCK_RX = 0, VSOCK_TX = 1, VSOCK_EVENT = 2, VSOCK_QUEUES = 3 };

enum vsock_state {
	VSOCK_GREETING, /* a client of ours whose first line is awaited; unknown to the guest */
	VSOCK_ASKED,    /* the guest was asked, and has not answered yet */
	VSOCK_OPEN,
	VSOCK_CLOSED,   /* only the RST for the guest is left to send */
	VSOCK_LEAVING,  /* the guest is done with it; what it sent goes out to a slow host yet */
};

struct vsock_conn {
	struct loop_watch watch; /* fd -1: the host's side is closed */
	struct vsock *vsock;
	struct vsock_conn *next, **self;             /* of all */
	struct vsock_conn *next_hash;                /* from VSOCK_ASKED to VSOCK_CLOSED */
	struct vsock_conn *next_ready, *prev_ready;  /* while pending is not 0 */
	bool queued;
	bool by_guest;
	enum vsock_state state;
	uint32_t host_port, guest_port;
	uint32_t pending; /* 1 << VIRTIO_VSOCK_OP_*: packets that the guest shall get */
	/* to the guest: what it has room for, by its last word, and what it was sent */
	uint32_t peer_room, peer_forwarded, sent;
	/* from the guest: what it may send ahead, what came, what the host's socket took, what the guest knows of that */
	uint32_t room, received, forwarded, told;
	uint8_t guest_shut, host_shut; /* VIRTIO_VSOCK_SHUTDOWN_*: what either side will do no more */
	uint64_t deadline; /* CLOCK_MONOTONIC in ns; 0: none */
	struct vsock_unix_line line; /* while VSOCK_GREETING */
	struct vsock_unix_rest rest;
};

struct vsock {
	struct device device;
	uint64_t cid;
	bool outgoing; /* the guest may connect to sockets of the host */
	bool running, paused;
	bool moved;    /* it was loaded elsewhere: the guest has yet to hear that its connections are gone */
	bool stalled;  /* the transmit queue waits until replies have gone */
	bool no_descriptors; /* accept failed: the listener is left alone until the alarm */
	struct loop_watch listener;
	struct loop_timer timer;
	struct loop_timer owing; /* what was sent is reported by then */
	bool owes;               /* it is armed */
	uint64_t alarm; /* what timer is set to */
	struct vsock_conn *all, *bucket[VSOCK_BUCKETS];
	struct vsock_conn *first_ready, *last_ready;
	unsigned count, by_guest;
	uint32_t next_port;
	struct virtio_vsock_hdr reply[VSOCK_REPLIES]; /* RSTs that belong to no connection */
	unsigned first_reply, replies;
};

/* ---- vsock_conn.c ---- */
/* Takes fd, as if it had come from the listener. Negative: there is no room. In the loop thread. */
int vsock_take_client(struct device *device, int fd);
/* Takes fd over, also when it fails: NULL. */
struct vsock_conn *vsock_conn_new(struct vsock *vsock, int fd, enum vsock_state state, bool by_guest);
void vsock_conn_free(struct vsock_conn *conn);
void vsock_conn_free_all(struct vsock *vsock);
/* Makes it known by its ports. */
void vsock_conn_name(struct vsock_conn *conn, uint32_t host_port, uint32_t guest_port);
struct vsock_conn *vsock_conn_find(struct vsock *vsock, uint32_t host_port, uint32_t guest_port);

/* The guest shall get a packet of this kind. */
void vsock_conn_want(struct vsock_conn *conn, unsigned op);
/* The next connection with pending packets, taken off the list; NULL: none. */
struct vsock_conn *vsock_conn_next_ready(struct vsock *vsock);
void vsock_conn_still_ready(struct vsock_conn *conn); /* back to its end */

/* Waits for what matters of the host's socket now. */
void vsock_conn_watch(struct vsock_conn *conn);
void vsock_listener_watch(struct vsock *vsock);
void vsock_alarm(void *vsock); /* the timer's callback */
void vsock_accept(void *vsock, uint32_t events); /* the listener's */

/* Bytes that the guest has room for. */
uint32_t vsock_conn_credit(const struct vsock_conn *conn);
/* Reads at most room bytes from the host into parts: bytes; 0: nothing now. Sees to what follows. */
uint32_t vsock_conn_read(struct vsock_conn *conn, const struct iovec *part, unsigned parts, uint32_t room);
/* The guest sent len bytes. False: more than it was allowed to. */
bool vsock_conn_write(struct vsock_conn *conn, const struct iovec *part, unsigned parts, uint32_t len);
/* The guest accepted the client. */
void vsock_conn_opened(struct vsock_conn *conn);
/* The guest will not send, not receive, or neither: then it is forgotten or leaves. */
void vsock_conn_shut(struct vsock_conn *conn, uint32_t flags);
/* Sends out what waits, as far as the host takes it. */
void vsock_conn_flush(struct vsock_conn *conn);
/* Closes the host's side at once; the guest gets a RST. */
void vsock_conn_reset(struct vsock_conn *conn);

#endif
