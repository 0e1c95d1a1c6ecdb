/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of the VM: static from the device page, or by DHCP. */
#include "libos/core/libos.h"
#include "libos/fs/fs.h"
#include "libos/net/net_config.h"
#include "libos/net/text_file.h"

#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/netif.h"

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
	if (dns)
		text_file_make("/etc/resolv.conf", text, n);
}

static void write_hosts(void)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 %s\n", device_page->hostname);
	text_file_make("/etc/hosts", text, n);
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

bool net_config_is_known(const struct netif *netif)
{
	uint8_t mac[6];
	lv_mac_of_ip(mac, ip4_addr_get_u32(netif_ip4_addr(netif)));
	return !ip4_addr_isany(netif_ip4_addr(netif)) && memcmp(netif->hwaddr, mac, sizeof(mac)) == 0;
}

/* Switches learn from it at which port we are; it asks for the network's own address, which is nobody's, so that no VM is woken. */
void net_config_show(struct netif *netif)
{
	const ip4_addr_t network = {ip4_addr_get_u32(netif_ip4_addr(netif)) & ip4_addr_get_u32(netif_ip4_netmask(netif))};
	etharp_request(netif, &network);
}

void net_config_renew(struct netif *netif)
{
	const struct lv_net_config *net = config();
	bool same = net && memcmp(netif->hwaddr, net->mac, sizeof(net->mac)) == 0;
	if (!net || (same && (!net->ip || net->ip == ip4_addr_get_u32(netif_ip4_addr(netif)))))
		return;
	memcpy(netif->hwaddr, net->mac, sizeof(net->mac));
	etharp_cleanup_netif(netif);
	netif_create_ip6_linklocal_address(netif, 1);
	if (net->ip) {
		set_static(netif, net); /* ends the connections of the old address */
		if (net_config_is_known(netif))
			net_config_show(netif);
		else
			etharp_gratuitous(netif);
	} else { /* no DHCPRELEASE: the lease is the other VM's */
		netif_set_addr(netif, IP4_ADDR_ANY4, IP4_ADDR_ANY4, IP4_ADDR_ANY4);
		dhcp_start(netif);
	}
	net_config_resolver();
}

void net_config_start(struct netif *netif)
{
	const struct lv_net_config *net = config();
	netif_set_hostname(netif, device_page->hostname);
	if (!net->ip) {
		netif_set_up(netif);
		netif_set_link_up(netif);
		dhcp_start(netif);
		return;
	}
	set_static(netif, net);
}
