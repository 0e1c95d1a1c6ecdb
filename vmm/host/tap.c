/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "abi/device_page.h"

#define HEADER_SIZE 12 /* of struct virtio_net_hdr_v1 */

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
	*features = LV_NET_F_CSUM | LV_NET_F_HOST_TSO4;
	if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) == 0)
		*features |= LV_NET_F_GUEST_CSUM | LV_NET_F_GUEST_TSO4;
	return 0;
}
