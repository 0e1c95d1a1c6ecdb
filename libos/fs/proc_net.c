/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net and /sys/class/net: interfaces, routes and sockets, as proc_pid_net(5) has them. */
#include "libos/fs/procfs.h"
#include "libos/mm/mm.h"
#include "libos/net/net.h"


#define RUNNING 0x40 /* IFF_RUNNING */

/* ---- interfaces ---- */

static void show_dev(struct text *text, int key)
{
	struct net_interface i;

	text_add(text, "Inter-|   Receive                                                |  Transmit\n"
		 " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n");
	for (int n = 1; net_interface(n, &i); n++)
		text_add(text, "%6s: %7lu %7lu    0    0    0     0          0         0 %8lu %7lu    0    0    0     0       0          0\n", i.name,
			 i.counts.rx_bytes, i.counts.rx_packets, i.counts.tx_bytes, i.counts.tx_packets);
}

static void route_line(struct text *text, const char *name, uint32_t to, uint32_t gateway, unsigned flags, uint32_t mask)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "%s\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0", name, to, gateway, flags, mask);

	text_bytes(text, line, (size_t)n);
	for (; n < 127; n++)
		text_bytes(text, " ", 1);
	text_bytes(text, "\n", 1);
}

static void show_route(struct text *text, int key)
{
	struct net_interface i;

	text_add(text, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n");
	for (int n = 1; net_interface(n, &i); n++) {
		if (i.loopback || !i.address)
			continue;
		if (i.gateway)
			route_line(text, i.name, 0, i.gateway, 3, 0);
		route_line(text, i.name, i.address & i.mask, 0, 1, i.mask);
	}
}

static void show_if_inet6(struct text *text, int key)
{
	struct net_interface i;

	for (int n = 1; net_interface(n, &i); n++) {
		for (int at = 0; at < i.address6_count; at++) {
			const uint8_t *address = i.address6[at];
			bool local = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;

			for (int b = 0; b < 16; b++)
				text_add(text, "%02x", address[b]);
			text_add(text, " %02x %02x %02x %02x %8s\n", i.index, i.loopback ? 128 : 64, i.loopback ? 0x10 : local ? 0x20 : 0, 0x80, i.name);
		}
	}
}

static void show_arp(struct text *text, int key)
{
	uint32_t ip;
	uint8_t hw[6];

	text_add(text, "IP address       HW type     Flags       HW address            Mask     Device\n");
	for (size_t at = 0; net_neighbour(at, &ip, hw); at++) {
		char name[20];

		if (!ip)
			continue;
		snprintf(name, sizeof(name), "%u.%u.%u.%u", ip & 255, ip >> 8 & 255, ip >> 16 & 255, ip >> 24);
		text_add(text, "%s%*s0x1         0x2         %02x:%02x:%02x:%02x:%02x:%02x     *        eth0\n", name, (int)(17 - strlen(name)), "", hw[0], hw[1],
			 hw[2], hw[3], hw[4], hw[5]);
	}
}

/* ---- sockets ---- */

struct listing {
	struct text *text;
	bool v6;
	int count, established;
};

static void address_text(struct text *text, bool v6, const uint32_t *ip, uint16_t port)
{
	for (int i = 0; i < (v6 ? 4 : 1); i++)
		text_add(text, "%08X", ip[i]);
	text_add(text, ":%04X ", port);
}

static void tell_inet(void *context, const struct net_endpoint *e)
{
	struct listing *list = context;

	if (e->v6 != list->v6)
		return;
	text_add(list->text, e->kind == NET_UDP ? "%5d: " : "%4d: ", list->count++);
	address_text(list->text, e->v6, e->local, e->local_port);
	address_text(list->text, e->v6, e->remote, e->remote_port);
	text_add(list->text, "%02X %08X:%08X 00:00000000 00000000 %5u        0 %lu %d %016lx", e->state, e->send_queue, e->receive_queue, e->uid, e->inode, e->refs, e->inode);
	if (e->kind == NET_UDP)
		text_add(list->text, " %u\n", e->drops);
	else
		text_add(list->text, " 20 4 30 10 -1\n");
}

static void show_sockets(struct text *text, enum net_kind kind, bool v6)
{
	struct listing list = { .text = text, .v6 = v6 };
	const char *wide = v6 ? "                        " : "";

	text_add(text, "%s local_address%s rem_address  %s st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode%s\n", kind == NET_UDP ? "   sl " : "  sl ", wide,
		 wide, kind == NET_UDP ? " ref pointer drops" : "");
	net_each_endpoint(kind, tell_inet, &list);
}

static void show_tcp(struct text *text, int key)
{
	show_sockets(text, NET_TCP, false);
}

static void show_tcp6(struct text *text, int key)
{
	show_sockets(text, NET_TCP, true);
}

static void show_udp(struct text *text, int key)
{
	show_sockets(text, NET_UDP, false);
}

static void show_udp6(struct text *text, int key)
{
	show_sockets(text, NET_UDP, true);
}

static void tell_unix(void *context, const struct net_endpoint *e)
{
	struct listing *list = context;
	char name[112];
	size_t len = MIN(e->name_len, sizeof(name) - 1);

	memcpy(name, e->name ? e->name : "", len);
	for (size_t i = 0; i < len; i++)
		if (!name[i])
			name[i] = i || e->name_len < 2 ? 0 : '@';
	name[len] = 0;
	text_add(list->text, "%016lx: %08X 00000000 %08X %04X %02X %5lu%s%s\n", e->inode, e->refs, e->listens ? 0x10000 : 0, e->type, e->state, e->inode,
		 name[0] ? " " : "", name);
}

static void show_unix(struct text *text, int key)
{
	struct listing list = { .text = text };

	text_add(text, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	net_each_endpoint(NET_UNIX, tell_unix, &list);
}

static void tell_count(void *context, const struct net_endpoint *e)
{
	struct listing *list = context;

	list->count += e->v6 == list->v6 && e->state != 6;
	list->established += e->state == 1 || e->state == 8;
}

static struct listing count(enum net_kind kind, bool v6)
{
	struct listing list = { .v6 = v6 };

	net_each_endpoint(kind, tell_count, &list);
	return list;
}

static void show_sockstat(struct text *text, int key)
{
	int tcp = count(NET_TCP, false).count, udp = count(NET_UDP, false).count, unix_ones = count(NET_UNIX, false).count;

	text_add(text, "sockets: used %d\nTCP: inuse %d orphan 0 tw 0 alloc %d mem 0\nUDP: inuse %d mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
		 tcp + udp + unix_ones + count(NET_TCP, true).count + count(NET_UDP, true).count, tcp, tcp, udp);
}

static void show_sockstat6(struct text *text, int key)
{
	text_add(text, "TCP6: inuse %d\nUDP6: inuse %d\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n", count(NET_TCP, true).count,
		 count(NET_UDP, true).count);
}

/* The stack counts packets only: the rest of the columns is there for those who look for it, and zero. */
static void show_snmp(struct text *text, int key)
{
	uint64_t in = net_counts[0].rx_packets + net_counts[1].rx_packets, out = net_counts[0].tx_packets + net_counts[1].tx_packets;

	text_add(text, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards "
		 "OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\nIp: 2 64 %lu 0 0 0 0 0 %lu %lu 0 0 0 0 0 0 0 0 0\n", in, in,
		 out);
	text_add(text, "Icmp: InMsgs InErrors InCsumErrors OutMsgs OutErrors\nIcmp: 0 0 0 0 0\nTcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails "
		 "EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\nTcp: 1 200 120000 -1 0 0 0 0 %d 0 0 0 0 0 0\n",
		 count(NET_TCP, false).established);
	text_add(text, "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\nUdp: 0 0 0 0 0 0 0 0 0\n"
		 "UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\nUdpLite: 0 0 0 0 0 0 0 0 0\n");
}

static void show_netstat(struct text *text, int key)
{
	text_add(text, "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed ListenOverflows ListenDrops TCPTimeouts\nTcpExt: 0 0 0 0 0 0\n"
		 "IpExt: InOctets OutOctets\nIpExt: %lu %lu\n", net_counts[0].rx_bytes + net_counts[1].rx_bytes, net_counts[0].tx_bytes + net_counts[1].tx_bytes);
}

const struct node proc_net_files[] = {
	PROC_FILE("dev", show_dev), PROC_FILE("route", show_route), PROC_FILE("if_inet6", show_if_inet6), PROC_FILE("arp", show_arp),
	PROC_FILE("tcp", show_tcp), PROC_FILE("tcp6", show_tcp6), PROC_FILE("udp", show_udp), PROC_FILE("udp6", show_udp6), PROC_FILE("unix", show_unix),
	PROC_FILE("sockstat", show_sockstat), PROC_FILE("sockstat6", show_sockstat6), PROC_FILE("snmp", show_snmp), PROC_FILE("netstat", show_netstat), { 0 },
};

/* ---- /sys/class/net: the key is the interface's number ---- */

#define OF_INTERFACE(name_, format, ...)                       \
	static void show_##name_(struct text *text, int key)   \
	{                                                      \
		struct net_interface i;                        \
		if (net_interface(key, &i))                    \
			text_add(text, format "\n", __VA_ARGS__); \
	}
OF_INTERFACE(address, "%02x:%02x:%02x:%02x:%02x:%02x", i.hardware[0], i.hardware[1], i.hardware[2], i.hardware[3], i.hardware[4], i.hardware[5])
OF_INTERFACE(mtu, "%u", i.mtu)
OF_INTERFACE(flags, "0x%x", i.flags)
OF_INTERFACE(index, "%d", i.index)
OF_INTERFACE(type, "%d", i.loopback ? 772 : 1)
OF_INTERFACE(state, "%s", i.loopback ? "unknown" : i.flags & RUNNING ? "up" : "down")
OF_INTERFACE(rx_bytes, "%lu", i.counts.rx_bytes)
OF_INTERFACE(rx_packets, "%lu", i.counts.rx_packets)
OF_INTERFACE(tx_bytes, "%lu", i.counts.tx_bytes)
OF_INTERFACE(tx_packets, "%lu", i.counts.tx_packets)

static const struct node statistics[] = {
	PROC_FILE("rx_bytes", show_rx_bytes), PROC_FILE("rx_packets", show_rx_packets), PROC_FILE("tx_bytes", show_tx_bytes),
	PROC_FILE("tx_packets", show_tx_packets), PROC_FIXED("rx_errors", "0"), PROC_FIXED("tx_errors", "0"), PROC_FIXED("rx_dropped", "0"),
	PROC_FIXED("tx_dropped", "0"), PROC_FIXED("collisions", "0"), PROC_FIXED("multicast", "0"), { 0 },
};
static const struct node interface_files[] = {
	PROC_FILE("address", show_address), PROC_FILE("mtu", show_mtu), PROC_FILE("flags", show_flags), PROC_FILE("ifindex", show_index),
	PROC_FILE("type", show_type), PROC_FILE("operstate", show_state), PROC_FIXED("carrier", "1"), PROC_FIXED("tx_queue_len", "1000"),
	PROC_DIR("statistics", statistics), { 0 },
};

/* The names are those of the interfaces. */
static bool name_of(int index, char name[16])
{
	struct net_interface i;

	if (!net_interface(index, &i))
		return false;
	memcpy(name, i.name, sizeof(i.name));
	return true;
}

static const struct node interface = { .name = "interface", .mode = S_IFDIR | 0555, .children = interface_files };

static int next_interface(int from)
{
	struct net_interface i;

	from = MAX(from, 1);
	return net_interface(from, &i) ? from : -1;
}

const struct node sys_class[] = { { .name = "net", .mode = S_IFDIR | 0555, PROC_MORE_(.numbered = &interface, .next = next_interface, .number_name = name_of) }, { 0 } };
