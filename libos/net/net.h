/* SPDX-License-Identifier: Apache-2.0 */
/* The network stack as a whole: lwIP, its timers, its interfaces. */
#ifndef LV_NET_NET_H
#define LV_NET_NET_H

#include "libos/core/libos.h"

struct netif;

void net_init(void); /* at boot: the pollers; nothing that costs */
/* Brings lwIP and the device up; called by whoever needs the network first. A program that never does pays nothing. */
void net_up(void);
/*
 * Before the program begins: one whose address is its own (a tap or a bridge, with --ip) is there to be asked at once, ARP and ping; perhaps that is what it was started for.
 * Others pay nothing.
 */
void net_early(void);
void net_process_ends(void); /* its descriptors are closed: sockets that only it could have received go, too */
extern size_t net_sockets_flying; /* in messages that were not received */
struct file;
void net_file_left(struct file *file); /* somebody has let go of a file that others have still; needed only if sockets are flying */
void net_use(void); /* the same, for a socket: from now on the end of the VM waits until what was sent has arrived */
/* Must be called before lwIP is entered with something to send or to open: lets the timers catch up and run. */
void net_busy(void);
/* All TCP connections but those to ourselves have ended: the program sees ECONNRESET, the peers a reset if they are to be told. Listeners go on. */
void tcp_reset_connections(bool tell);
/* Connections in TIME-WAIT that are more than are kept go, the oldest first. Not while lwIP is at work with a segment. */
void timewait_limit(void);
/* Looks at the receive ring and the loopback queues; true if anything was there. */
bool net_poll(void);
/*
 * What was sent over the loopback arrives now, with all that answers it: on Linux it has when the call returns. Called
 * last by each operation that may have sent something; a pcb may be gone afterwards, a socket that is held is not.
 */
void net_deliver(void);
/*
 * early_hold.c. A stack that is up before the program has a socket (net_early) answers questions for the VM: ARP, neighbours, ping. What is for the program waits until it
 * has a socket, or until the VM has nothing to do: the datagram that a VM was started for must not be refused because its program has not begun yet. As many
 * wait as a tap would keep: 512, of them 32 of more than 256 bytes; more are dropped.
 */
struct pbuf;
/* A packet of this protocol (IP_PROTO_*) has come from outside, p begins with its IP header: true if it is kept, and nobody else's. */
bool early_hold(struct pbuf *p, struct netif *from, uint8_t protocol);
/* What has waited comes in now; from here on nothing waits. */
void early_hold_end(void);
/* endpoints.c: for /proc/net. Addresses as they lie in packets. */
struct net_counts {
	uint64_t rx_bytes, rx_packets, tx_bytes, tx_packets;
};
extern struct net_counts net_counts[2]; /* of the loopback, of eth0 */
static inline void net_count(uint64_t *bytes, uint64_t *packets, size_t n)
{
	*bytes += n;
	++*packets;
}
void net_count_loopback(const struct netif *netif, size_t n); /* a packet of n bytes came in; does nothing if it is not the loopback */
#define NET_ADDRESSES6 3
struct net_interface {
	char name[16];
	int index;
	bool loopback;
	unsigned flags, mtu;
	uint8_t hardware[6];
	uint32_t address, mask, gateway;
	uint8_t address6[NET_ADDRESSES6][16];
	int address6_count;
	struct net_counts counts;
};
bool net_interface(int index, struct net_interface *interface); /* false: there is none with this number */
/* The entry of the table of neighbours; address 0: it is empty. False: the table ends before. */
bool net_neighbour(size_t at, uint32_t *address, uint8_t hardware[6]);
enum net_kind { NET_TCP, NET_UDP, NET_UNIX };
struct net_endpoint {
	enum net_kind kind;
	bool v6, listens;
	uint8_t state, type; /* as Linux numbers them; type of Unix sockets */
	uint32_t local[4], remote[4];
	uint16_t local_port, remote_port;
	uint32_t send_queue, receive_queue, drops, uid;
	int refs;
	uint64_t inode;
	const char *name; /* of Unix sockets, with a 0 in front if it is no path; NULL: none */
	size_t name_len;
};
typedef void net_tell(void *context, const struct net_endpoint *endpoint);
void net_each_endpoint(enum net_kind kind, net_tell *tell, void *context);
/* A datagram of the kernel for this netlink socket: 0, -EINVAL: it is none, -ENOBUFS. With n 0 it is only asked whether it is one. */
struct file;
int netlink_note(struct file *file, const void *bytes, size_t n);
/* A pair of connected stream sockets, as socketpair(2) makes them, with these status flags (O_NONBLOCK): 0 or -errno. */
int net_stream_pair(struct file *pair[2], uint32_t flags);
int64_t net_write(struct file *file, const void *data, size_t n); /* to one of them, without waiting and without SIGPIPE: bytes, or -errno */
void net_end_writing(struct file *file); /* shutdown(SHUT_WR) of one of them */
/* virtio_net.c: the driver. The device of the device page, or NULL. */
struct netif *virtio_net_open(void);
bool virtio_net_poll(void);
bool virtio_net_busy(void); /* frames wait to be taken by the device */

#endif
