/* SPDX-License-Identifier: Apache-2.0 */
#include "node/tap_wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_MAX 65536 /* frames; more than any queue is long */
#define TCP_ENDS 0x05   /* FIN, RST */

/* Of a frame's bytes. */
enum { TO_HIGH = 0, TO_LOW = 2, TYPE = 12, IP = 14, IP_FRAGMENT = 20, IP_PROTOCOL = 23, ARP_OPERATION = 20, IP_TARGET = 30, ARP_TARGET = 38, TCP_FLAGS = 13 };
/* Places in the filter. */
enum { OURS = 9, PASS = 22, DROP = 23 };
#define LOAD(at, size, from) [at] = { BPF_LD | BPF_ABS | BPF_##size, 0, 0, from }
#define JUMP(at, test, value, yes, no) [at] = { BPF_JMP | BPF_##test, (yes) - (at) - 1, (no) - (at) - 1, value }

int tap_expect(int tap, const uint8_t mac[6], uint32_t ip)
{
	const uint32_t high = (uint32_t)mac[0] << 8 | mac[1];
	const uint32_t low = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5];
	struct sock_filter steps[] = {
		LOAD(0, H, TO_HIGH),
		JUMP(1, JEQ, high, OURS, 2),
		JUMP(2, JEQ, 0xffff, 3, DROP),
		LOAD(3, H, TYPE),
		/* A neighbour that knows us, and only looks whether we are still there, asks us alone: it can wait for that. */
		JUMP(4, JEQ, ETH_P_ARP, 5, DROP),
		LOAD(5, H, ARP_OPERATION),
		JUMP(6, JEQ, 1, 7, DROP),
		LOAD(7, W, ARP_TARGET),
		JUMP(8, JEQ, ntohl(ip), PASS, DROP),
		LOAD(OURS, W, TO_LOW),
		JUMP(10, JEQ, low, 11, DROP),
		LOAD(11, H, TYPE),
		JUMP(12, JEQ, ETH_P_IP, 13, DROP),
		LOAD(13, W, IP_TARGET),
		JUMP(14, JEQ, ntohl(ip), 15, DROP),
		LOAD(15, B, IP_PROTOCOL),
		JUMP(16, JEQ, IPPROTO_TCP, 17, PASS),
		LOAD(17, H, IP_FRAGMENT),
		JUMP(18, JSET, 0x1fff, PASS, 19),
		[19] = { BPF_LDX | BPF_B | BPF_MSH, 0, 0, IP },
		[20] = { BPF_LD | BPF_B | BPF_IND, 0, 0, IP + TCP_FLAGS },
		JUMP(21, JSET, TCP_ENDS, DROP, PASS),
		[PASS] = { BPF_RET, 0, 0, UINT32_MAX },
		[DROP] = { BPF_RET, 0, 0, 0 },
	};
	const struct sock_fprog program = { sizeof(steps) / sizeof(*steps), steps };
	return ioctl(tap, TUNATTACHFILTER, &program) < 0 ? -errno : 0;
}

void tap_drain(int tap)
{
	char frame[2048]; /* a longer one is cut */
	for (int i = 0; i < DRAIN_MAX && read(tap, frame, sizeof(frame)) >= 0; i++)
		;
}

/* What the kernel counts as received of an interface, whose number it is: what came out of the VM. */
static int ask_received(int netlink, int index, uint64_t *packets)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} ask = { .head = { .nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST }, .info = { .ifi_index = index } };
	_Alignas(struct nlmsghdr) char answer[8192];
	if (send(netlink, &ask, sizeof(ask), 0) < 0)
		return -errno;
	ssize_t n = recv(netlink, answer, sizeof(answer), 0);
	const struct nlmsghdr *head = (const void *)answer;
	if (n < 0 || !NLMSG_OK(head, (unsigned)n) || head->nlmsg_type != RTM_NEWLINK)
		return n < 0 ? -errno : -EPROTO;
	unsigned left = head->nlmsg_len - NLMSG_LENGTH(sizeof(ask.info));
	for (const struct rtattr *at = IFLA_RTA((struct ifinfomsg *)NLMSG_DATA(head)); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		struct rtnl_link_stats64 stats;
		if (at->rta_type != IFLA_STATS64 || RTA_PAYLOAD(at) < offsetof(struct rtnl_link_stats64, tx_packets))
			continue;
		memcpy(&stats, RTA_DATA(at), offsetof(struct rtnl_link_stats64, tx_packets));
		*packets = stats.rx_packets;
		return 0;
	}
	return -ENODATA;
}

int tap_sent(const char *name, uint64_t *packets)
{
	int index = (int)if_nametoindex(name);
	if (!index)
		return -ENODEV;
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int err = netlink < 0 ? -errno : ask_received(netlink, index, packets);
	if (netlink >= 0)
		close(netlink);
	return err;
}
