/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the stack up, polls it, and gives lwIP what it asks of a system: time, randomness, memory, sums. */
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/net/hooks.h"
#include "libos/net/loopback.h"
#include "libos/net/net.h"
#include "libos/net/net_config.h"
#include "libos/proc/proc.h"

#include <asm/errno.h>

#include "lwip/dhcp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/sys.h"
#include "netif/ethernet.h"

#define LINGER (NS_PER_S / 2) /* how long the end of the VM waits for peers */
#define LOOPBACK_MTU 16128 /* a packet, its headers and its pbuf fit into four pages */

static bool is_up, is_used, is_another;
static struct netif *device;
static uint64_t isn_key[2];

u32_t sys_now(void)
{
	return clock_monotonic() / 1000000;
}

uint32_t net_random(void)
{
	uint32_t value;
	random_bytes(&value, sizeof(value));
	return value;
}

void *net_calloc(size_t count, size_t size)
{
	return kzalloc(count * size);
}

/* The Internet checksum (RFC 1071) of len bytes, not inverted, in network order as it lies in memory: 8 bytes a step. */
uint16_t net_checksum(const void *data, int len)
{
	const uint8_t *p = data;
	uint64_t sum = 0, carry = 0, word[4];
	for (; len >= 32; len -= 32, p += 32) {
		memcpy(word, p, 32);
		for (int i = 0; i < 4; i++)
			carry += __builtin_add_overflow(sum, word[i], &sum);
	}
	for (; len >= 2; len -= 2, p += 2) {
		uint16_t half;
		memcpy(&half, p, 2);
		carry += __builtin_add_overflow(sum, half, &sum);
	}
	if (len)
		carry += __builtin_add_overflow(sum, *p, &sum);
	if (__builtin_add_overflow(sum, carry, &sum))
		sum++;
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

static uint64_t mix(uint64_t hash, const void *data, size_t n)
{
	const uint8_t *p = data;
	while (n--)
		hash = ((hash ^ *p++) * 0x9e3779b97f4a7c15ull) ^ (hash >> 29);
	return hash;
}

static bool is_ours(const ip_addr_t *ip)
{
	struct netif *netif;
	NETIF_FOREACH(netif)
		if (IP_IS_V4(ip) ? ip4_addr_cmp(ip_2_ip4(ip), netif_ip4_addr(netif)) : netif_get_ip6_addr_match(netif, ip_2_ip6(ip)) >= 0)
			return true;
	return IP_IS_V4(ip) && ip4_addr_isloopback(ip_2_ip4(ip));
}

uint32_t net_initial_sequence(const ip_addr_t *local, uint16_t local_port, const ip_addr_t *remote, uint16_t remote_port)
{
	uint64_t hash = isn_key[0];
	hash = mix(hash, local, sizeof(*local));
	hash = mix(hash, remote, sizeof(*remote));
	hash = mix(hash, &local_port, sizeof(local_port));
	hash = mix(hash, &remote_port, sizeof(remote_port));
	hash = mix(hash, &isn_key[1], sizeof(isn_key[1]));
	/* A clock as fast as Linux', so that the next connection of the same ports begins beyond the last; over the loopback, certainly. */
	uint32_t isn = (uint32_t)(hash >> 32) + (uint32_t)(clock_monotonic() >> 6);
	for (const struct tcp_pcb *old = is_ours(remote) ? tcp_tw_pcbs : NULL; old; old = old->next)
		if (old->local_port == remote_port && old->remote_port == local_port && ip_addr_cmp_zoneless(&old->remote_ip, local) &&
		    TCP_SEQ_LT(isn, old->rcv_nxt))
			isn = old->rcv_nxt + 1;
	return isn;
}

static void loopback_up(void)
{
	struct netif *netif;
	NETIF_FOREACH(netif)
		if (netif->name[0] == 'l' && netif->name[1] == 'o')
			netif->mtu = netif->mtu6 = LOOPBACK_MTU;
}

static void device_up(void)
{
	device = virtio_net_open();
	if (!device)
		return;
	netif_set_default(device);
	netif_create_ip6_linklocal_address(device, 1);
	net_config_start(device);
	/* The stack tells everybody of an address; not of one whose owner everybody knows. */
	const uint8_t tells = net_config_is_known(device) ? NETIF_FLAG_ETHARP : 0;
	device->flags &= ~tells;
	netif_set_up(device);
	netif_set_link_up(device);
	device->flags |= tells;
	if (tells)
		net_config_show(device);
}

void net_up(void)
{
	if (is_up)
		return;
	is_up = true;
	random_bytes(isn_key, sizeof(isn_key));
	lwip_init();
	net_busy();
	loopback_up();
	device_up();
}

void net_early(void)
{
	if (!net_config_will_be_known())
		return;
	net_up();
	rings_flush(); /* there is room for what comes */
}

void net_use(void)
{
	is_used = true;
	net_up();
}

static bool poll_loopback(void)
{
	bool any = false;
	struct netif *netif;
	NETIF_FOREACH(netif)
		if (netif->loop_first) {
			net_busy();
			netif_poll(netif);
			loopback_take(netif, 0);
			any = true;
		}
	return any;
}

void net_deliver(void)
{
	while (poll_loopback()) /* an answer may take another interface */
		;
}

/* Of a clone nobody hears that it leaves connections: the VM that it is a copy of may have them still. */
static void renew(void)
{
	const uint32_t restored = device_page->restored;
	net_busy();
	if (restored & (LV_RESTORED_CLONE | LV_RESTORED_RESET_CONNECTIONS))
		tcp_reset_connections(!(restored & LV_RESTORED_CLONE));
	net_config_renew(device);
}

bool net_poll(void)
{
	if (is_another && device)
		renew();
	is_another = false;
	/* need_wake: nothing can run, so no socket will come of itself. */
	if (is_used || shared_page->need_wake)
		early_hold_end();
	bool any = virtio_net_poll();
	return poll_loopback() || any;
}

static bool have_device(void)
{
	for (uint32_t i = 0; i < device_page->device_count; i++)
		if (device_page->device[i].type == LV_DEV_NET)
			return true;
	return false;
}

static bool poll_all(struct poller *poller)
{
	if (!is_up) {
		if (!have_device())
			return false;
		net_up();
	}
	return net_poll();
}

/* ---- the end ---- */

static bool still_open(const struct tcp_pcb *pcb)
{
	return pcb->state == ESTABLISHED || pcb->state == CLOSE_WAIT || pcb->state == SYN_RCVD;
}

/* As the kernel closes the descriptors of a process that ends; nobody of the program looks at them any more. */
static void close_connections(void)
{
	struct tcp_pcb *pcb = tcp_active_pcbs;
	while (pcb) {
		if (!still_open(pcb)) {
			pcb = pcb->next;
			continue;
		}
		tcp_arg(pcb, NULL);
		tcp_recv(pcb, NULL);
		tcp_sent(pcb, NULL);
		tcp_err(pcb, NULL);
		if (tcp_close(pcb) != ERR_OK)
			tcp_abort(pcb);
		pcb = tcp_active_pcbs;
	}
}

static bool undelivered(void)
{
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->unsent || pcb->unacked)
			return true;
	return virtio_net_busy();
}

/* One round of what the idle loop does, without giving another thread of the program its turn. */
static void wait_for_device(uint64_t end)
{
	rings_flush();
	shared_page->need_wake = 1;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!net_poll()) {
		uint64_t next = timers_next();
		shared_page->arg[1] = 0;
		hypercall(LV_HC_WAIT, next ? MIN(next, end) : end);
	}
	shared_page->need_wake = 0;
	timers_run();
}

/* Connections are closed, and what was sent leaves, before the VM ends. */
static void net_exit(void)
{
	uint64_t end = clock_monotonic() + LINGER;
	if (!is_used || !device)
		return;
	net_busy();
	close_connections();
	while (undelivered() && clock_monotonic() < end)
		wait_for_device(end);
}

/*
 * Connections of a twin must not begin with the same numbers, and it may have other addresses. This may be called while
 * lwIP is at work, which asks for random numbers: the addresses change when it is polled next. What files say of the VM does at once, also without a network.
 */
static void become_another(void)
{
	random_bytes(isn_key, sizeof(isn_key));
	is_another = true;
	net_config_resolver();
}

void net_init(void)
{
	static struct generation_hook generation = { .changed = become_another };
	generation_add(&generation);
	process_exit_first(net_exit);
	static struct poller poller = { .poll = poll_all };
	poller_add(&poller);
	net_config_resolver();
}
