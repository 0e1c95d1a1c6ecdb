/* SPDX-License-Identifier: Apache-2.0 */
#include "node/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/link_passt.h"
#include "node/link_tap.h"

#define READY_MS 5000

static const struct link_ops *const kinds[] = { [NET_PASST] = &link_passt, [NET_TAP] = &link_tap, [NET_BRIDGE] = &link_tap };

static int check_port(const struct net_port *port, struct error *error)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port->host), .sin_addr = { port->host_ip } };
	int one = 1, fd = socket(AF_INET, (port->protocol == NET_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(error, -errno, "socket: %s", strerror(errno));
	if (port->protocol == NET_TCP)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	int err = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	close(fd);
	const char *kind = port->protocol == NET_UDP ? "UDP port" : "port";
	if (err == -EADDRINUSE)
		return error_set(error, err, "%s %u is in use on the host", kind, port->host);
	if (err == -EACCES)
		return error_set(error, err, "%s %u is reserved for root; allow it with: sudo sysctl net.ipv4.ip_unprivileged_port_start=%u",
				 kind, port->host, port->host);
	if (err == -EADDRNOTAVAIL)
		return error_set(error, err, "the host has no address %s", inet_ntoa(address.sin_addr));
	return err ? error_set(error, err, "%s %u: %s", kind, port->host, strerror(-err)) : 0;
}

int link_check_ports(const struct net_spec *spec, struct error *error)
{
	int err = 0;
	for (size_t i = 0; i < spec->ports && !err; i++)
		err = check_port(&spec->port[i], error);
	return err;
}

int link_open(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error)
{
	*link = NET_LINK_NONE;
	link->ops = kinds[spec->kind];
	int err = link->ops ? link->ops->open(spec, log_fd, link, error) : 0;
	if (err)
		link_close(link);
	return err;
}

int link_adopt_tap(int tap, struct net_link *link, struct error *error)
{
	*link = NET_LINK_NONE;
	link->ops = &link_tap;
	int err = link_tap_adopt(tap, link, error);
	if (err)
		link_close(link);
	return err;
}

int link_adopt_passt(int fd, int ready, pid_t passt, struct net_link *link, struct error *error)
{
	*link = NET_LINK_NONE;
	link->ops = &link_passt;
	link->fd = fd;
	link->ready = ready;
	link->helper = (struct spawned){ .pid = passt, .pidfd = (int)syscall(SYS_pidfd_open, passt, 0) };
	if (link->helper.pidfd >= 0)
		return 0;
	int err = error_set(error, -errno, "passt has ended before it was needed: %s", strerror(errno));
	link_close(link);
	return err;
}

int link_wait(struct net_link *link, struct error *error)
{
	char pid[16];
	if (link->ready < 0)
		return 0;
	struct pollfd poll_fd = { .fd = link->ready, .events = POLLIN };
	if (poll(&poll_fd, 1, READY_MS) != 1)
		return error_set(error, -ETIMEDOUT, "passt did not get ready within %d s", READY_MS / 1000);
	ssize_t n = read(link->ready, pid, sizeof(pid));
	close(link->ready);
	link->ready = -1;
	return n > 0 ? 0 : error_set(error, -EIO, "passt could not start");
}

int link_wake(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error)
{
	return link->ops->wake(spec, log_fd, link, error);
}

/* An Ethernet frame: IPv6, which passt is not started for, or ARP that asks for the sender's own address. */
static bool is_announcement(const uint8_t *frame, size_t size)
{
	static const uint8_t ipv6[] = { 0x86, 0xdd }, arp_ipv4[] = { 0x08, 0x06, 0, 1, 8, 0, 6, 4 };
	if (size >= 14 && !memcmp(frame + 12, ipv6, sizeof(ipv6)))
		return true;
	return size >= 42 && !memcmp(frame + 12, arp_ipv4, sizeof(arp_ipv4)) && !memcmp(frame + 28, frame + 38, 4);
}

#define FRAMES_A_CALL 64 /* a guest that announces itself without end must not keep the caller from its signals */

bool link_has_traffic(int peer)
{
	uint8_t bytes[4 + 1514]; /* length, big-endian, and a frame */
	for (unsigned frames = 0; frames < FRAMES_A_CALL; frames++) {
		ssize_t n = recv(peer, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
		if (n <= 0)
			return false;
		size_t size = (size_t)bytes[2] << 8 | bytes[3];
		if (n < 4 || bytes[0] || bytes[1] || (size_t)n < 4 + size || !is_announcement(bytes + 4, size))
			return true;
		if (recv(peer, bytes, 4 + size, MSG_DONTWAIT) != (ssize_t)(4 + size))
			return true;
	}
	return false; /* the rest is still there, and will be looked at again */
}

/* ---- after the caller ---- */

enum { PEER = 3, MONITOR, HELPER }; /* descriptors of the process that stays */

/* Nothing of the caller may stay open here: its standard output may be a pipe that somebody reads to its end. */
static int keep_only(int log_fd, const int given[3])
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL); /* what the caller holds back it does for itself */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = log_fd >= 0 ? log_fd : null, high[3];
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		return -errno;
	for (int i = 0; i < 3; i++) /* out of the way of their places */
		if ((high[i] = given[i] < 0 ? -1 : fcntl(given[i], F_DUPFD_CLOEXEC, 64)) < 0 && given[i] >= 0)
			return -errno;
	for (int i = 0; i < 3; i++) {
		close(PEER + i);
		if (high[i] >= 0 && dup3(high[i], PEER + i, O_CLOEXEC) < 0)
			return -errno;
	}
	return syscall(SYS_close_range, HELPER + 1u, ~0u, 0u) || chdir("/") ? -errno : 0;
}

/* It ends by itself when its socket does, or is made to: nobody else would. */
static void end_helper(int helper)
{
	struct pollfd poll_fd = { .fd = helper, .events = POLLIN };
	if (helper >= 0 && poll(&poll_fd, 1, LINK_END_MS) == 0)
		syscall(SYS_pidfd_send_signal, helper, SIGKILL, NULL, 0);
}

/* Starts passt once there is traffic, if that was put off, and sees to its end when the monitor has ended. */
static void mind(const struct net_spec *spec, struct net_link *link)
{
	struct error error = { 0 };
	struct pollfd fds[] = { { .fd = link->peer, .events = POLLIN }, { .fd = MONITOR, .events = POLLIN }, { .events = POLLIN } };
	for (;;) {
		fds[0].fd = link->peer;
		fds[2].fd = link->helper.pidfd;
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			return;
		if (fds[1].revents) {
			end_helper(link->helper.pidfd);
			return;
		}
		if (fds[2].revents) {
			dprintf(STDERR_FILENO, "lightvm: passt ended, the network is gone\n");
			return;
		}
		if (fds[0].revents & ~POLLIN)
			return;
		if (fds[0].revents && link_has_traffic(link->peer) && link->ops->wake(spec, STDERR_FILENO, link, &error))
			return;
	}
}

int link_leave(const struct net_spec *spec, int log_fd, int monitor, struct net_link *link, struct error *error)
{
	const int given[] = { link->peer, monitor, link->helper.pidfd };
	if (link->peer < 0 && link->helper.pidfd < 0)
		return 0;
	pid_t child = fork();
	if (child == 0) {
		struct net_link mine = { .ops = link->ops, .fd = -1, .ready = -1, .peer = link->peer < 0 ? -1 : PEER,
			.helper = { .pid = link->helper.pid, .pidfd = link->helper.pidfd < 0 ? -1 : HELPER } };
		if (!keep_only(log_fd, given)) {
			setsid();
			mind(spec, &mine);
		}
		_exit(EXIT_FAILURE);
	}
	if (child < 0)
		return error_set(error, -errno, "fork: %s", strerror(errno));
	if (link->peer >= 0)
		close(link->peer);
	link->peer = -1;
	spawned_leave(&link->helper);
	link->helper = (struct spawned){ .pid = child, .pidfd = (int)syscall(SYS_pidfd_open, child, 0) };
	return 0;
}

void link_close(struct net_link *link)
{
	int *fds[] = { &link->fd, &link->peer, &link->ready };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	while (link->mores)
		close(link->more[--link->mores]);
	spawned_leave(&link->helper);
}
