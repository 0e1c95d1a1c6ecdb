/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/tap.h"

#include <errno.h>
#include <fcntl.h>
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
	*features = BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN);
	if (tap_set_offloads(fd, RECEIVED) == 0)
		*features |= RECEIVED;
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

int tap_attach(int fd, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) < 0 ? -errno : 0;
}
