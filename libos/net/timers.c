/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lwIP's periodic work, driven by one timer that runs only while there is something to time. An idle VM must not wake
 * up, so: TCP ticks while a connection waits for something, the protocols below it tick until some time after the last
 * activity, DHCP while it has a lease to keep. Missed ticks of a pause are counted before the stack is used again.
 */
#include "libos/core/libos.h"
#include "libos/net/net.h"
#include "libos/net/tcp_socket.h"
#include "libos/net/unreachable.h"

#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/ip4_frag.h"
#include "lwip/ip6_frag.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/prot/dhcp.h"
#include "lwip/timeouts.h"

#define MS 1000000ull
#define FAST (TCP_FAST_INTERVAL * MS)
#define SLOW (TCP_SLOW_INTERVAL * MS)
#define SECOND (1000 * MS)
#define QUIET (20 * SECOND)     /* the longest that ARP, neighbour discovery and reassembly have something to do */
#define MIN_RTO 2               /* slow ticks: shorter than a peer's delayed acknowledgement would resend for nothing */

static struct timer tick;
static uint64_t last_fast, last_slow, last_second, last_dhcp_fine, last_dhcp_coarse, last_activity;

static bool pcb_needs_fast(const struct tcp_pcb *pcb)
{
	return (pcb->flags & (TF_ACK_DELAY | TF_CLOSEPEND)) || pcb->refused_data;
}

static bool pcb_needs_slow(const struct tcp_pcb *pcb)
{
	if (pcb->unacked || pcb->unsent || pcb->ooseq || pcb->persist_backoff)
		return true;
	if (pcb->state == FIN_WAIT_2)
		return pcb->flags & TF_RXCLOSED;
	return pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT;
}

static bool is_deferred(const struct tcp_pcb *pcb)
{
	const struct tcp_socket *t = pcb->state >= ESTABLISHED ? pcb->callback_arg : NULL;
	return t && t->deferred_to;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a && a < b ? a : b;
}

static uint64_t tcp_next(void)
{
	uint64_t next = 0;
	if (tcp_tw_pcbs)
		next = last_slow + SLOW;
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next) {
		if (pcb_needs_fast(pcb))
			return last_fast + FAST;
		if (pcb_needs_slow(pcb) || is_deferred(pcb))
			next = earliest(next, last_slow + SLOW);
		else if (ip_get_option(pcb, SOF_KEEPALIVE))
			next = earliest(next, last_slow + SECOND);
	}
	return next;
}

static struct dhcp *dhcp_of_device(void)
{
	return netif_default ? netif_dhcp_data(netif_default) : NULL;
}

static uint64_t dhcp_next(void)
{
	struct dhcp *dhcp = dhcp_of_device();
	if (!dhcp)
		return 0;
	return dhcp->state == DHCP_STATE_BOUND ? last_dhcp_coarse + DHCP_COARSE_TIMER_SECS * SECOND
					       : last_dhcp_fine + DHCP_FINE_TIMER_MSECS * MS;
}

static void arm(uint64_t now)
{
	uint64_t next = tcp_next();
	uint64_t dhcp = dhcp_next();
	if (now < last_activity + QUIET)
		next = earliest(next, last_second + SECOND);
	if (dhcp)
		next = earliest(next, dhcp);
	if (next)
		timer_set(&tick, MAX(next, now + 1));
}

static void run_slow(uint64_t now)
{
	/* Ticks that nobody needed: only the clock of the others moves. */
	tcp_ticks += (now - last_slow) / SLOW - 1;
	last_slow = now - (now - last_slow) % SLOW;
	timewait_limit();
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->rto < MIN_RTO)
			pcb->rto = MIN_RTO;
	tcp_slowtmr();
	unreachable_patience();
}

static void run_second(uint64_t now)
{
	for (uint64_t missed = MIN((now - last_second) / SECOND, 300); missed; missed--)
		etharp_tmr();
	last_second = now;
	unreachable_tick();
	ip_reass_tmr();
	nd6_tmr();
	ip6_reass_tmr();
}

static void run_dhcp(uint64_t now)
{
	if (now >= last_dhcp_fine + DHCP_FINE_TIMER_MSECS * MS) {
		last_dhcp_fine = now;
		dhcp_fine_tmr();
	}
	while (now >= last_dhcp_coarse + DHCP_COARSE_TIMER_SECS * SECOND) {
		last_dhcp_coarse += DHCP_COARSE_TIMER_SECS * SECOND;
		dhcp_coarse_tmr();
	}
}

/* No answer of the program carried the acknowledgement that is sent now. */
static void note_late(struct tcp_socket *t)
{
	if (t)
		t->answers = false;
}

static void run_fast(uint64_t now)
{
	last_fast = now;
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		if (pcb->state >= ESTABLISHED && pcb->flags & TF_ACK_DELAY)
			note_late(pcb->callback_arg);
	tcp_fasttmr();
}

static void run(uint64_t now)
{
	if (now >= last_fast + FAST)
		run_fast(now);
	if (now >= last_slow + SLOW)
		run_slow(now);
	if (now >= last_second + SECOND)
		run_second(now);
	if (dhcp_of_device())
		run_dhcp(now);
}

static void on_tick(struct timer *timer)
{
	uint64_t now = clock_monotonic();
	run(now);
	arm(now);
}

void net_busy(void)
{
	uint64_t now = clock_monotonic();
	last_activity = now;
	if (now >= last_slow + 2 * SLOW)
		run(now);
	if (!tick.armed || tick.deadline > now + FAST)
		timer_set(&tick, now + FAST);
}

/* lwIP says so when a connection appears; the caller of lwIP has said so already. */
void tcp_timer_needed(void)
{
}

/* Called by lwip_init. */
void sys_timeouts_init(void)
{
	tick.fire = on_tick;
	last_fast = last_slow = last_second = last_dhcp_fine = last_dhcp_coarse = last_activity = clock_monotonic();
}
