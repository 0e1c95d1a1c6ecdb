/* SPDX-License-Identifier: Apache-2.0 */
/* tap devices: an existing one is opened; with the right to do so a new one is made, and put into a bridge. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/link_tap.h"

#define VNET_HEADER 12 /* struct virtio_net_hdr_v1 */

static int no_rights(const char *name, struct error *error)
{
	return error_set(error, -EPERM,
			 "--net: no right to make or open tap device %s; let its administrator run: sudo ip tuntap add %s mode tap user $USER",
			 name, name);
}

/* queues: several descriptors can be one device; all of them must say so. */
static int attach(int fd, struct ifreq *request, bool queues, struct error *error)
{
	int header = VNET_HEADER;
	request->ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues ? IFF_MULTI_QUEUE : 0));
	if (ioctl(fd, TUNSETIFF, request)) {
		if (errno == EPERM || errno == EACCES)
			return no_rights(request->ifr_name, error);
		if (errno == EINVAL && if_nametoindex(request->ifr_name))
			return error_set(error, -EINVAL, "--net: tap device %s was made %s multi_queue; %s", request->ifr_name,
					 queues ? "without" : "with", queues ? "leave queues= out, or make it anew" : "say queues=2, 3 or 4");
		return error_set(error, -errno, "--net: tap device %s: %s", request->ifr_name,
				 errno == EBUSY ? "another VM uses it" : strerror(errno));
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &header))
		return error_set(error, -errno, "--net: tap device %s: header size: %s", request->ifr_name, strerror(errno));
	return 0;
}

/* A device that is down drops everything. One that somebody prepared for us may be up already, and we need no right. */
static int bring_up(int control, struct ifreq *request, struct error *error)
{
	if (ioctl(control, SIOCGIFFLAGS, request))
		return error_set(error, -errno, "--net: %s: %s", request->ifr_name, strerror(errno));
	if (request->ifr_flags & IFF_UP)
		return 0;
	request->ifr_flags |= IFF_UP;
	if (!ioctl(control, SIOCSIFFLAGS, request))
		return 0;
	return error_set(error, -errno, "--net: %s is down and cannot be brought up (%s); run: sudo ip link set %s up", request->ifr_name,
			 strerror(errno), request->ifr_name);
}

static int join_bridge(int control, const char *tap, const char *bridge, struct error *error)
{
	struct ifreq request = { 0 };
	strcpy(request.ifr_name, bridge);
	request.ifr_ifindex = (int)if_nametoindex(tap);
	if (!ioctl(control, SIOCBRADDIF, &request))
		return 0;
	if (errno == EPERM)
		return error_set(error, -EPERM, "--net bridge:%s needs the right CAP_NET_ADMIN; run as root, or prepare a tap: sudo ip tuntap add "
						"lvm0 mode tap user $USER && sudo ip link set lvm0 master %s up",
				 bridge, bridge);
	if (errno == EOPNOTSUPP || errno == EINVAL)
		return error_set(error, -errno, "--net bridge:%s: it is not a bridge", bridge);
	return error_set(error, -errno, "--net bridge:%s: %s", bridge, strerror(errno));
}

static int get_mtu(int control, const char *name, unsigned *mtu, struct error *error)
{
	struct ifreq request = { 0 };
	strcpy(request.ifr_name, name);
	if (ioctl(control, SIOCGIFMTU, &request))
		return error_set(error, -errno, "--net: the MTU of %s: %s", name, strerror(errno));
	*mtu = (unsigned)request.ifr_mtu;
	return 0;
}

/* A tap of ours is as its bridge before it goes in: a bridge takes the smallest MTU of its ports. */
static int suit_bridge(int control, const char *tap, const char *bridge, unsigned mtu, struct error *error)
{
	struct ifreq request = { 0 };
	int err = mtu ? 0 : get_mtu(control, bridge, &mtu, error);
	strcpy(request.ifr_name, tap);
	request.ifr_mtu = (int)mtu;
	if (!err && ioctl(control, SIOCSIFMTU, &request) && errno != EPERM)
		err = error_set(error, -errno, "--net bridge:%s: an MTU of %u for %s: %s", bridge, mtu, tap, strerror(errno));
	return err;
}

static int open_queue(struct ifreq *request, bool queues, struct error *error)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(error, -errno, "/dev/net/tun: %s; \"lightvm doctor\" tells how to repair that", strerror(errno));
	int err = attach(fd, request, queues, error);
	if (err)
		close(fd);
	return err ? err : fd;
}

static int open_more(struct ifreq *request, unsigned count, struct net_link *link, struct error *error)
{
	while (link->mores < count) {
		int fd = open_queue(request, true, error);
		if (fd < 0)
			return fd;
		link->more[link->mores++] = fd;
	}
	return 0;
}

int link_tap_open(const struct net_spec *spec, const char *name, struct net_link *link, struct error *error)
{
	const char *bridge = spec->kind == NET_BRIDGE ? spec->name : NULL;
	struct ifreq request = { 0 };
	if (bridge && !if_nametoindex(bridge))
		return error_set(error, -ENODEV, "--net bridge:%s: there is no such bridge; make it with: sudo ip link add %s type bridge", bridge, bridge);
	strcpy(request.ifr_name, !bridge ? spec->name : name ? name : "lvm%d"); /* the kernel fills in a free number */
	link->fd = open_queue(&request, spec->queues > 1, error);
	if (link->fd < 0)
		return link->fd;
	int err = open_more(&request, spec->queues - 1, link, error);
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (!err && bridge)
		err = suit_bridge(control, request.ifr_name, bridge, spec->mtu, error);
	if (!err && bridge)
		err = join_bridge(control, request.ifr_name, bridge, error);
	if (!err)
		err = bring_up(control, &request, error);
	if (!err)
		err = get_mtu(control, request.ifr_name, &link->mtu, error);
	close(control);
	return err;
}

int link_tap_adopt(int tap, struct net_link *link, struct error *error)
{
	struct ifreq request = { 0 };
	link->fd = fcntl(tap, F_DUPFD_CLOEXEC, 3);
	if (link->fd < 0 || ioctl(link->fd, TUNGETIFF, &request))
		return error_set(error, -errno, "--net: the tap device that is open already: %s", strerror(errno));
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = get_mtu(control, request.ifr_name, &link->mtu, error);
	close(control);
	return err;
}

static int tap_open(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error)
{
	return link_tap_open(spec, NULL, link, error);
}

const struct link_ops link_tap = { .open = tap_open };
