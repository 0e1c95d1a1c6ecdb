/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/ioctl.h>

#define HEADER_SIZE 12 /* of struct virtio_net_hdr_v1 */
#define BIT(feature) (1ull << VIRTIO_NET_F_##feature)
#define RECEIVED (BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN))

int tap_setup(int fd, uint64_t *features)
{
	struct ifreq ifr = { 0 };
	int size = HEADER_SIZE, flags = fcntl(fd, F_GETFL);

	if (flags < 0 || ioctl(fd, TUNGETIFF, &ifr) < 0)
		return -errno;
	if ((ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) != (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
		return -EINVAL;
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	/* Every kernel that has what the monitor needs takes all of these; to try costs as much as to set what the driver wants in the end, for which the kernel goes over all of the device. */
	*features = BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | RECEIVED;
	return 0;
}

int tap_set_offloads(int fd, uint64_t features)
{
	unsigned offloads = 0;

	/* Segments come with partial checksums: without those there are none. */
	if (features & BIT(GUEST_CSUM))
		offloads = TUN_F_CSUM | (features & BIT(GUEST_TSO4) ? TUN_F_TSO4 : 0) | (features & BIT(GUEST_TSO6) ? TUN_F_TSO6 : 0);
	if (offloads & (TUN_F_TSO4 | TUN_F_TSO6) && features & BIT(GUEST_ECN))
		offloads |= TUN_F_TSO_ECN;
	return ioctl(fd, TUNSETOFFLOAD, offloads) < 0 ? -errno : 0;
}

/* Of a frame's bytes: destination, type; ARP's sender and target. */
enum { TO_HIGH = 0, TO_LOW = 2, TYPE = 12, ARP_SENDER = 28, ARP_TARGET = 38 };
/* Places in the filter. */
enum { UNICAST = 2, OTHERS = 4, IPV6 = 6, NEIGHBOUR = 11, GIVEN = 12, BROADCAST = 13, ARP = 16, PASS = 21, DROP = 22 };
#define LOAD(at, size, from) [at] = { BPF_LD | BPF_ABS | BPF_##size, 0, 0, from }
#define JUMP(at, test, value, yes, no) [at] = { BPF_JMP | BPF_##test, (yes) - (at) - 1, (no) - (at) - 1, value }

int tap_choose(int fd, const uint8_t mac[6], uint32_t ip, const uint8_t ip6[16], bool alone)
{
	const uint32_t high = (uint32_t)mac[0] << 8 | mac[1];
	const uint32_t low = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5];
	const uint32_t given = ip6 ? (uint32_t)ip6[13] << 16 | (uint32_t)ip6[14] << 8 | ip6[15] : low & 0x00ffffff;
	struct sock_filter steps[] = {
		LOAD(0, H, TO_HIGH),
		JUMP(1, JEQ, high, UNICAST, OTHERS),
		LOAD(UNICAST, W, TO_LOW),
		JUMP(3, JEQ, low, PASS, DROP),
		JUMP(OTHERS, JSET, 0x0100, 5, DROP), /* to a group */
		JUMP(5, JEQ, 0x3333, IPV6, BROADCAST),
		LOAD(IPV6, W, TO_LOW),
		JUMP(7, JEQ, 0x00000002, DROP, 8),  /* all routers */
		JUMP(8, JEQ, 0x00000016, DROP, 9),  /* MLDv2 */
		JUMP(9, JGE, 0xff000000, 10, PASS), /* who has an address that ends in these three bytes? */
		[10] = { BPF_ALU | BPF_AND, 0, 0, 0x00ffffff },
		JUMP(NEIGHBOUR, JEQ, low & 0x00ffffff, PASS, GIVEN),
		JUMP(GIVEN, JEQ, given, PASS, alone ? DROP : PASS),
		JUMP(BROADCAST, JEQ, 0xffff, 14, PASS),
		LOAD(14, H, TYPE),
		JUMP(15, JEQ, ETH_P_ARP, ip ? ARP : PASS, PASS),
		LOAD(ARP, W, ARP_TARGET),
		JUMP(17, JEQ, ntohl(ip), PASS, 18),
		[18] = { BPF_MISC | BPF_TAX, 0, 0, 0 },
		LOAD(19, W, ARP_SENDER),
		JUMP(20, JEQ | BPF_X, 0, PASS, DROP), /* it tells of itself */
		[PASS] = { BPF_RET, 0, 0, UINT32_MAX },
		[DROP] = { BPF_RET, 0, 0, 0 },
	};
	const struct sock_fprog program = { sizeof(steps) / sizeof(*steps), steps };

	return ioctl(fd, TUNATTACHFILTER, &program) < 0 ? -errno : 0;
}

int tap_attach(int fd, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}
