/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/guest_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/dhcp.h"
#include "guest/report.h"

/* The first interface that is not loopback: a VM has one. */
static int find_interface(int fd, struct ifreq *request)
{
	struct if_nameindex *list = if_nameindex();
	int found = -ENODEV;
	for (struct if_nameindex *item = list; item && item->if_name && found; item++) {
		snprintf(request->ifr_name, sizeof(request->ifr_name), "%s", item->if_name);
		/* Ethernet only: kernels bring tunnels that nobody asked for. */
		if (!ioctl(fd, SIOCGIFHWADDR, request) && request->ifr_hwaddr.sa_family == 1)
			found = 0;
	}
	if (list)
		if_freenameindex(list);
	return found;
}

static int interface_up(int fd, const char *name)
{
	struct ifreq request = { 0 };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return -errno;
	request.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &request) ? -errno : 0;
}

static int set_address(int fd, const char *name, unsigned long what, uint32_t address)
{
	struct ifreq request = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = address };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	memcpy(&request.ifr_addr, &in, sizeof(in));
	return ioctl(fd, (int)what, &request) ? -errno : 0;
}

static int set_mtu(int fd, const char *name, uint32_t mtu)
{
	struct ifreq request = { .ifr_mtu = (int)mtu };
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	return ioctl(fd, SIOCSIFMTU, &request) ? -errno : 0;
}

static int add_route(int fd, uint32_t gateway)
{
	struct sockaddr_in any = { .sin_family = AF_INET }, via = { .sin_family = AF_INET, .sin_addr.s_addr = gateway };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	memcpy(&route.rt_dst, &any, sizeof(any));
	memcpy(&route.rt_genmask, &any, sizeof(any));
	memcpy(&route.rt_gateway, &via, sizeof(via));
	return ioctl(fd, SIOCADDRT, &route) && errno != EEXIST ? -errno : 0;
}

static void write_file(const char *path, const char *text, int flags)
{
	mkdir("/etc", 0755);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0644);
	if (fd < 0 && errno == EEXIST)
		return;
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		report_error("write", path, errno);
	if (fd >= 0)
		close(fd);
}

/* A link may lead to a resolver that does not run here; the file itself is what counts. */
static void write_resolver(uint32_t dns)
{
	char text[64], word[INET_ADDRSTRLEN];
	if (!dns)
		return;
	snprintf(text, sizeof(text), "nameserver %s\n", inet_ntop(AF_INET, &dns, word, sizeof(word)));
	unlink("/etc/resolv.conf");
	write_file("/etc/resolv.conf", text, O_TRUNC);
}

/*
 * The kernel says by ARP who it is when an interface with an address comes up: passt and bridges then know where to send
 * what comes from outside, although the guest has sent nothing yet.
 */
static void announce_when_up(const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/arp_notify", name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		report_error("network: announce", path, errno);
	if (fd >= 0)
		close(fd);
}

/* What passt's socket cannot hold it drops, to send it again after a second: a window that is small enough is ten times faster. */
static void suit_passt(void)
{
	static const char window[] = "4096 131072 262144\n";
	int file = open("/proc/sys/net/ipv4/tcp_rmem", O_WRONLY | O_CLOEXEC);
	if (file < 0 || write(file, window, sizeof(window) - 1) < 0)
		report_error("network: TCP's window", "tcp_rmem", errno);
	if (file >= 0)
		close(file);
}

static int configure(int fd, const char *name, const struct lv_guest_net *net)
{
	int err = net->mtu ? set_mtu(fd, name, net->mtu) : 0;
	if (!err)
		err = set_address(fd, name, SIOCSIFADDR, net->ip);
	if (!err && net->netmask)
		err = set_address(fd, name, SIOCSIFNETMASK, net->netmask);
	if (!err)
		err = interface_up(fd, name);
	if (!err && net->gateway)
		err = add_route(fd, net->gateway);
	if (!err && net->flags & LV_GUEST_NET_PASST)
		suit_passt();
	return err;
}

/* What the user said goes first. */
static void merge(struct lv_guest_net *net, const struct lv_guest_net *given)
{
	if (given->dns)
		net->dns = given->dns;
	if (given->gateway)
		net->gateway = given->gateway;
	if (given->mtu)
		net->mtu = given->mtu;
}

/* The interface, ready to be given an address: its name and its MAC address. */
static int interface_prepare(int fd, struct ifreq *request)
{
	char name[IFNAMSIZ];
	int err = find_interface(fd, request);
	if (err)
		return report_error("network: there is no interface", NULL, err);
	snprintf(name, sizeof(name), "%.15s", request->ifr_name);
	announce_when_up(name);
	return 0;
}

/* With the address that it was told. */
static void interface_configure(int fd, const struct lv_guest_net *net)
{
	struct ifreq request = { 0 };
	if (interface_prepare(fd, &request))
		return;
	int err = configure(fd, request.ifr_name, net);
	if (err)
		report_error("network: configure", request.ifr_name, err);
	write_resolver(net->dns);
}

/* ---- an address by DHCP ---- */

#define AGAIN_FIRST_S 3 /* doubled up to the next one: a server may come later, and a bridge may let nothing through at first */
#define AGAIN_MOST_S 60
#define RENEW_MOST_S 86400
#define LEASE_FOR_EVER 0xffffffffu

bool net_wants_lease(const struct guest_config *config)
{
	return config->has_net && !config->net.ip;
}

static void wait_seconds(unsigned seconds)
{
	poll(NULL, 0, (int)seconds * 1000);
}

/* Asks once. 0 with the seconds until it has to be asked again (0: never), or a negative errno. */
static int lease_once(int fd, const struct ifreq *interface, const struct lv_guest_net *given, unsigned *again, const char **step)
{
	struct dhcp_lease lease = { 0 };
	*step = "network: bring up";
	int err = interface_up(fd, interface->ifr_name);
	if (!err) {
		*step = "network: no address by DHCP on";
		err = dhcp_ask(interface->ifr_name, (const uint8_t *)interface->ifr_hwaddr.sa_data, &lease);
	}
	if (err)
		return err;
	merge(&lease.net, given);
	*step = "network: configure";
	err = configure(fd, interface->ifr_name, &lease.net);
	write_resolver(lease.net.dns);
	bool endless = !lease.lease_s || lease.lease_s == LEASE_FOR_EVER;
	*again = endless ? 0 : lease.lease_s / 2 > RENEW_MOST_S ? RENEW_MOST_S : lease.lease_s / 2 + 1;
	return err;
}

void net_keep_lease(const struct guest_config *config, int told)
{
	struct ifreq interface = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned again = 0, pause = AGAIN_FIRST_S;
	bool first = true;
	if (fd < 0 || interface_prepare(fd, &interface))
		return;
	do {
		const char *step;
		int err = lease_once(fd, &interface, &config->net, &again, &step);
		if (err && first)
			report_error(step, interface.ifr_name, err);
		if (err)
			again = pause;
		pause = !err ? AGAIN_FIRST_S : pause * 2 < AGAIN_MOST_S ? pause * 2 : AGAIN_MOST_S;
		if (first)
			close(told);
		first = false;
		if (again)
			wait_seconds(again);
	} while (again);
	close(fd);
}

/* One that the image has stays. */
static void write_hosts(const char *hostname)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "127.0.0.1 localhost\n::1 localhost ip6-localhost\n");
	if (hostname && *hostname)
		snprintf(text + n, sizeof(text) - (size_t)n, "127.0.1.1 %.256s\n", hostname);
	write_file("/etc/hosts", text, O_EXCL);
}

void net_up(const struct guest_config *config)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		/* A kernel without a network is no fault where none was asked for. */
		if (config->has_net)
			report_error("network: this kernel has none", NULL, errno);
		return;
	}
	int err = interface_up(fd, "lo");
	if (err)
		report_error("network: bring up", "lo", err);
	write_hosts(config->hostname);
	if (config->has_net && config->net.ip)
		interface_configure(fd, &config->net);
	close(fd);
}
