/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the VM: static from the device page, or by DHCP. */
#include "libos/core/libos.h"
#include "libos/fs/fs.h"
#include "libos/net/hooks.h"
#include "libos/net/neighbour.h"
#include "libos/net/net_config.h"
#include "libos/net/text_file.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/nd6.h"
#include "lwip/netif.h"
#include "lwip/prot/dhcp.h"

static const struct lv_net_config *config(void)
{
	for (uint32_t i = 0; i < device_page->device_count && i < LV_MAX_DEVICES; i++)
		if (device_page->device[i].type == LV_DEV_NET)
			return &device_page->device[i].config.net;
	return NULL;
}

static void write_name_server(uint32_t dns)
{
	char text[64];
	const uint8_t *b = (const uint8_t *)&dns;
	int n = snprintf(text, sizeof(text), "nameserver %u.%u.%u.%u\n", b[0], b[1], b[2], b[3]);
	static struct text_file file = { .path = "/etc/resolv.conf" };
	if (dns)
		text_file_set(&file, text, n);
}

static void write_hosts(void)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 %s\n", device_page->hostname);
	static struct text_file file = { .path = "/etc/hosts" };
	text_file_set(&file, text, n);
}

void net_config_resolver(void)
{
	const struct lv_net_config *net = config();
	write_hosts(); /* the machine's own name resolves without a network, too */
	if (net)
		write_name_server(net->dns);
}

/* lwIP's DHCP client reports name servers through the interface of its DNS client, which is not built. */
void dns_setserver(u8_t number, const ip_addr_t *server)
{
	if (number == 0 && server && IP_IS_V4(server))
		write_name_server(ip4_addr_get_u32(ip_2_ip4(server)));
}

void dns_init(void)
{
}

static void set_static(struct netif *netif, const struct lv_net_config *net)
{
	ip4_addr_t ip = { net->ip }, mask = { net->netmask }, gateway = { net->gateway };
	netif_set_addr(netif, &ip, &mask, &gateway);
}

static bool go_together(uint32_t ip, const uint8_t mac[6])
{
	uint8_t of_ip[6];
	lv_mac_of_ip(of_ip, ip);
	return ip && memcmp(mac, of_ip, sizeof(of_ip)) == 0;
}

bool net_config_is_known(const struct netif *netif)
{
	return go_together(ip4_addr_get_u32(netif_ip4_addr(netif)), netif->hwaddr);
}

bool net_config_will_be_known(void)
{
	const struct lv_net_config *net = config();
	return net && go_together(net->ip, net->mac);
}

/* Switches learn from it at which port we are; it asks for the network's own address, which is nobody's, so that no VM is woken. */
void net_config_show(struct netif *netif)
{
	const ip4_addr_t network = {ip4_addr_get_u32(netif_ip4_addr(netif)) & ip4_addr_get_u32(netif_ip4_netmask(netif))};
	etharp_request(netif, &network);
}

/* Addresses that were made of the old one are the other VM's. */
static void renew_mac(struct netif *netif, const uint8_t *mac)
{
	memcpy(netif->hwaddr, mac, 6);
	etharp_cleanup_netif(netif);
	for (s8_t i = 1; i < LWIP_IPV6_NUM_ADDRESSES; i++)
		netif_ip6_addr_set_state(netif, i, IP6_ADDR_INVALID);
	netif_create_ip6_linklocal_address(netif, 1);
	nd6_restart_netif(netif);
}

/* No DHCPRELEASE: the lease is the other VM's. */
static void forget_lease(struct netif *netif)
{
	if (netif_dhcp_data(netif))
		netif_dhcp_data(netif)->state = DHCP_STATE_OFF;
}

static void renew_lease(struct netif *netif, bool same_mac)
{
	if (same_mac && netif_dhcp_data(netif)) {
		dhcp_network_changed(netif); /* asks whether it may keep the address */
		return;
	}
	forget_lease(netif);
	netif_set_addr(netif, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4);
	dhcp_start(netif);
}

#define GIVEN 1 /* its place; the link-local address is the first */

/* Who has an address by hand takes none of those that routers offer; routers themselves, if it names none. */
static void set_static6(struct netif *netif)
{
	ip6_addr_t ip = { 0 };
	memcpy(ip.addr, device_page->net6.ip, sizeof(ip.addr));
	bool given = !ip6_addr_isany(&ip);
	netif->ip6_autoconfig_enabled = !given;
	if (!given)
		return;
	netif_ip6_addr_set(netif, GIVEN, &ip);
	netif_ip6_addr_set_valid_life(netif, GIVEN, IP6_ADDR_LIFE_STATIC);
	netif_ip6_addr_set_state(netif, GIVEN, IP6_ADDR_PREFERRED);
}

const ip6_addr_t *net_gateway6(struct netif *netif, const ip6_addr_t *to)
{
	static ip6_addr_t gateway;
	memcpy(gateway.addr, device_page->net6.gateway, sizeof(gateway.addr));
	if (ip6_addr_isany(&gateway) || netif != netif_default)
		return NULL;
	ip6_addr_assign_zone(&gateway, IP6_UNICAST, netif);
	return &gateway;
}

void net_config_renew(struct netif *netif)
{
	const struct lv_net_config *net = config();
	if (!net)
		return;
	bool same_mac = memcmp(netif->hwaddr, net->mac, sizeof(net->mac)) == 0;
	if (!same_mac)
		renew_mac(netif, net->mac);
	if (net->ip) {
		forget_lease(netif);
		set_static(netif, net); /* ends the connections of the old address, if it is another one */
		if (net_config_is_known(netif))
			net_config_show(netif);
		else
			etharp_gratuitous(netif);
	} else {
		renew_lease(netif, same_mac);
	}
	set_static6(netif);
	if (same_mac) /* new ones are probed for first, which says the same */
		neighbour_announce(netif);
}

void net_config_start(struct netif *netif)
{
	const struct lv_net_config *net = config();
	set_static6(netif);
	netif_set_hostname(netif, device_page->hostname);
	if (!net->ip) {
		netif_set_up(netif);
		netif_set_link_up(netif);
		dhcp_start(netif);
		return;
	}
	set_static(netif, net);
}
