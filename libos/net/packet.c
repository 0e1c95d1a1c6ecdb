/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that wait to be read. */
#include "libos/net/inet.h"

#include "lwip/ip.h"
#include "lwip/netif.h"

/* What lwIP knows of the packet that it gives away now. */
static void note(struct packet *packet)
{
	packet->to = *ip_current_dest_addr();
	packet->time = clock_realtime();
	packet->interface = netif_get_index(ip_current_input_netif());
	packet->ttl = ip_current_is_v6() ? IP6H_HOPLIM(ip6_current_header()) : IPH_TTL(ip4_current_header());
	packet->tos = ip_current_is_v6() ? IP6H_TC(ip6_current_header()) : IPH_TOS(ip4_current_header());
}

bool packet_push(struct packet_queue *queue, struct pbuf *p, const ip_addr_t *from, uint16_t port)
{
	struct packet *packet = kmalloc(sizeof(*packet));
	if (!packet)
		return false;
	*packet = (struct packet){.pbuf = p, .port = port};
	if (from) {
		packet->from = *from;
		note(packet);
	}
	if (queue->first)
		queue->last->next = packet;
	else
		queue->first = packet;
	queue->last = packet;
	queue->bytes += p->tot_len;
	queue->count++;
	return true;
}

void packet_pop(struct packet_queue *queue)
{
	struct packet *packet = queue->first;
	queue->first = packet->next;
	queue->bytes -= packet->pbuf->tot_len;
	queue->count--;
	pbuf_free(packet->pbuf);
	kfree(packet);
}

void packet_clear(struct packet_queue *queue)
{
	while (queue->first)
		packet_pop(queue);
}
