/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net device (virtio 1.2, section 5.1), as an lwIP interface. Frames are received into buffers that lwIP and the
 * sockets read in place, and sent from the pbufs in which TCP built them. A doorbell costs a trip to the host, so it
 * is rung when the scheduler runs out of work, or when half of the ring is full.
 */
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/mm/mm.h"
#include "libos/net/net.h"
#include "libos/net/tcp_segment.h"
#include "libos/net/virtio_net.h"

#include <asm/errno.h>

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/snmp.h"
#include "netif/ethernet.h"

#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2
#define GSO_TCPV4 1
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define PROTO_TCP 6
#define TX_PIECES 18 /* a chain of more pbufs is copied into one */

struct virtio_net_hdr { /* virtio_net_hdr_v1 */
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct virtio_net_hdr) == 12 && PBUF_LINK_ENCAPSULATION_HLEN == 12, "header of a frame");

struct virtio_net {
	const struct lv_device *device;
	struct netif netif;
	struct ring rx, tx;
	void *rx_cookie[RING_MOST], *tx_cookie[RING_MOST];
	bool stalled; /* TCP found the ring full */
};
static struct virtio_net *net;

static bool agreed(uint64_t feature)
{
	return net->device->features & feature;
}

/* ---- sending ---- */

static void tx_reap(void)
{
	struct pbuf *p;
	while ((p = ring_get_used(&net->tx, NULL)))
		pbuf_free(p);
}

static uint16_t be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

/* Where the TCP header of an unfragmented frame starts, or 0; the addresses in front of it are part of its checksum. */
static unsigned tcp_offset(const uint8_t *frame, unsigned len, unsigned *addresses, unsigned *address_bytes)
{
	if (len >= 54 && be16(frame + 12) == ETHERTYPE_IP4) {
		*addresses = 26;
		*address_bytes = 8;
		bool fragment = be16(frame + 20) & 0x3fff;
		return frame[23] == PROTO_TCP && !fragment ? 14 + 4 * (frame[14] & 15) : 0;
	}
	if (len >= 74 && be16(frame + 12) == ETHERTYPE_IP6) {
		*addresses = 22;
		*address_bytes = 32;
		return frame[20] == PROTO_TCP ? 54 : 0;
	}
	return 0;
}

/* The device sums the segment, we give it the sum of the pseudo header (virtio 1.2, section 5.1.6.2). */
static void offload(struct virtio_net_hdr *hdr, uint8_t *frame, unsigned first_len, unsigned len)
{
	unsigned addresses, address_bytes;
	unsigned start = tcp_offset(frame, first_len, &addresses, &address_bytes);
	if (!start || first_len < start + 18)
		return;
	uint32_t sum = net_checksum(frame + addresses, address_bytes);
	sum += __builtin_bswap16(PROTO_TCP) + __builtin_bswap16(len - start);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	uint16_t partial = sum;
	memcpy(frame + start + 16, &partial, 2);
	hdr->flags = HDR_NEEDS_CSUM;
	hdr->csum_start = start;
	hdr->csum_offset = 16;
	if (address_bytes == 8 && (hdr->gso_size = tcp_segment_cut(frame + 14, frame + start, len - 14))) {
		hdr->gso_type = GSO_TCPV4;
		hdr->hdr_len = start + 4 * (frame[start + 12] >> 4);
	}
}

static int tx_add(struct pbuf *p)
{
	struct ring_buffer piece[TX_PIECES];
	unsigned count = 0;
	for (struct pbuf *q = p; q; q = q->next) {
		if (count == TX_PIECES)
			return -EMSGSIZE;
		if (q->len)
			piece[count++] = (struct ring_buffer){.data = q->payload, .len = q->len};
	}
	net_count(&net_counts[1].tx_bytes, &net_counts[1].tx_packets, p->tot_len - sizeof(struct virtio_net_hdr));
	return ring_add(&net->tx, piece, count, p);
}

/* Takes over the reference on p, whose payload starts with the frame and has room for the header in front. */
static int tx_send(struct pbuf *p)
{
	unsigned first_len = p->len, len = p->tot_len;
	uint8_t *frame = p->payload;
	pbuf_add_header(p, sizeof(struct virtio_net_hdr));
	struct virtio_net_hdr *hdr = p->payload;
	*hdr = (struct virtio_net_hdr){0};
	if (agreed(LV_NET_F_CSUM))
		offload(hdr, frame, first_len, len);
	int err = tx_add(p);
	pbuf_remove_header(p, sizeof(struct virtio_net_hdr));
	return err;
}

static err_t tx_copy(struct pbuf *p)
{
	struct pbuf *copy = pbuf_clone(PBUF_LINK, PBUF_RAM, p); /* the layer leaves room for a header */
	if (!copy)
		return ERR_MEM;
	shared_page->frames_copied++;
	if (tx_send(copy) == 0)
		return ERR_OK;
	pbuf_free(copy);
	return ERR_MEM;
}

static bool has_room_in_front(struct pbuf *p)
{
	if (pbuf_add_header(p, sizeof(struct virtio_net_hdr)))
		return false;
	pbuf_remove_header(p, sizeof(struct virtio_net_hdr));
	return true;
}

static bool has_room(void)
{
	return net->tx.free_count > TX_PIECES;
}

/* Where there is none, the device has to say when there is: what it gave back before it was asked to is seen here. */
static bool make_room(void)
{
	if (!has_room())
		tx_reap();
	if (has_room())
		return true;
	ring_kick(&net->tx);
	net->stalled = true;
	ring_listen(&net->tx, true);
	tx_reap();
	return has_room();
}

static err_t link_output(struct netif *netif, struct pbuf *p)
{
	struct ring *tx = &net->tx;
	if (ring_broken(tx))
		return ERR_IF;
	if (!make_room())
		return ERR_MEM;
	int err = -EMSGSIZE;
	if (has_room_in_front(p)) {
		pbuf_ref(p);
		err = tx_send(p);
		if (err < 0)
			pbuf_free(p);
	}
	if (err < 0 && tx_copy(p) != ERR_OK)
		return ERR_MEM;
	if (tx->free_count < tx->size / 2)
		ring_kick(tx);
	else
		ring_kick_later(tx);
	return ERR_OK;
}

/* TCP gave up when the ring was full, and no acknowledgement may come to remind it. True: it went on. */
static bool tx_resume(void)
{
	if (!net->stalled || net->tx.free_count < net->tx.size / 2 || !has_room())
		return false;
	net->stalled = false;
	ring_listen(&net->tx, false);
	for (struct tcp_pcb *pcb = tcp_active_pcbs, *next; pcb && !net->stalled; pcb = next) {
		next = pcb->next;
		if (pcb->unsent)
			tcp_output(pcb);
	}
	return true;
}

bool virtio_net_busy(void)
{
	if (!net)
		return false;
	ring_listen(&net->tx, true);
	tx_reap();
	return net->tx.free_count < net->tx.size && !ring_broken(&net->tx);
}

/* ---- receiving ---- */

static void check_sums(bool on)
{
	if (on)
		net->netif.chksum_flags |= NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP;
	else
		net->netif.chksum_flags &= ~(NETIF_CHECKSUM_CHECK_TCP | NETIF_CHECKSUM_CHECK_UDP);
}

/* Packets of our own that the stack loops back carry no sums, so they are checked for received frames only. */
static void deliver(struct pbuf *p, uint8_t flags)
{
	net_count(&net_counts[1].rx_bytes, &net_counts[1].rx_packets, p->tot_len);
	check_sums(!(flags & (HDR_NEEDS_CSUM | HDR_DATA_VALID)));
	if (net->netif.input(p, &net->netif) != ERR_OK)
		pbuf_free(p);
	check_sums(false);
}

static bool rx_frame(void)
{
	uint32_t len;
	struct pbuf *p = rx_buffer_take(&net->rx, &len);
	if (!p)
		return false;
	struct virtio_net_hdr hdr;
	if (len < sizeof(hdr)) {
		pbuf_free(p);
		return true;
	}
	memcpy(&hdr, p->payload, sizeof(hdr));
	pbuf_remove_header(p, sizeof(hdr));
	for (unsigned more = agreed(LV_NET_F_MRG_RXBUF) ? hdr.num_buffers : 1; more > 1; more--) {
		struct pbuf *next = rx_buffer_take(&net->rx, &len);
		if (!next)
			break;
		if (p->tot_len + len > 0xffff)
			pbuf_free(next);
		else
			pbuf_cat(p, next);
	}
	deliver(rx_buffer_shrink(p), hdr.flags);
	return true;
}

/* True: something was done. Then who means to wait polls again, and the last look at either ring is one that tells the device of our wait. */
bool virtio_net_poll(void)
{
	if (!net)
		return false;
	tx_reap();
	bool any = tx_resume(); /* also if it was another frame, sent since, that found the room */
	if (!ring_has_used(&net->rx))
		return any;
	net_busy();
	unsigned frames = 0;
	while (frames < net->rx.size && rx_frame())
		frames++;
	rx_buffer_refill(&net->rx);
	return true;
}

/* ---- setting up ---- */

static err_t netif_setup(struct netif *netif)
{
	const struct lv_net_config *config = &net->device->config.net;
	netif->name[0] = 'e';
	netif->name[1] = 't';
	memcpy(netif->hwaddr, config->mac, 6);
	netif->hwaddr_len = 6;
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	netif->output = etharp_output;
	netif->output_ip6 = ethip6_output;
	netif->linkoutput = link_output;
	netif->mtu = netif->mtu6 = config->mtu ? config->mtu : 1500;
	netif->chksum_flags = NETIF_CHECKSUM_ENABLE_ALL;
	check_sums(false);
	if (agreed(LV_NET_F_CSUM))
		netif->chksum_flags &= ~NETIF_CHECKSUM_GEN_TCP;
	if (agreed(LV_NET_F_CSUM) && agreed(LV_NET_F_HOST_TSO4) && netif->mtu <= 9000)
		tcp_segment_enable(netif);
	return ERR_OK;
}

/*
 * A device that gives segments of 64 KiB is a tap, of which a small window holds a few only: the sender would stand still while we are woken. A small VM
 * has no memory for what many programs may leave unread.
 */
#define WINDOW_MORE (672 * 1024u)
uint32_t net_window_more;

static void choose_window(void)
{
	net_window_more = agreed(LV_NET_F_GUEST_TSO4) ? MIN(WINDOW_MORE, device_page->ram_limit / 128) : 0;
}

struct netif *virtio_net_open(void)
{
	for (uint32_t i = 0; i < device_page->device_count && i < LV_MAX_DEVICES && !net; i++) {
		if (device_page->device[i].type != LV_DEV_NET || !(net = kzalloc(sizeof(*net))))
			continue;
		net->device = &device_page->device[i];
	}
	if (!net)
		return NULL;
	choose_window();
	ring_init(&net->rx, net->device, LV_NET_RX, net->rx_cookie, RING_MOST);
	ring_init(&net->tx, net->device, LV_NET_TX, net->tx_cookie, RING_MOST);
	ring_listen(&net->tx, false); /* frames that have left are taken back when one is sent, or received */
	unsigned packet = agreed(LV_NET_F_GUEST_TSO4) ? 0xffff : net->device->config.net.mtu;
	rx_buffer_start(&net->rx, agreed(LV_NET_F_MRG_RXBUF), packet + SIZEOF_ETH_HDR + sizeof(struct virtio_net_hdr));
	netif_add(&net->netif, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4, NULL, netif_setup, ethernet_input);
	return &net->netif;
}
