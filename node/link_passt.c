/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt: networking without any rights. It ends by itself when its socket closes, which is when the monitor ends; it has been seen to spin
 * instead, so that its end is made certain (link.c, launch_reap). All
 * addresses are given, so that it works on a host without a default route and the guest needs no DHCP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/link_passt.h"
#include "base/spawn.h"

#define GATEWAY_MAC "52:55:0a:00:02:02"

static void add_ip(struct strings *argv, const char *option, uint32_t ip)
{
	char word[INET_ADDRSTRLEN];
	if (!ip)
		return;
	strings_add(argv, option);
	strings_add(argv, inet_ntop(AF_INET, &ip, word, sizeof(word)));
}

static void add_ports(struct strings *argv, const struct net_spec *spec)
{
	char ip[INET_ADDRSTRLEN];
	for (size_t i = 0; i < spec->ports; i++) {
		const struct net_port *port = &spec->port[i];
		strings_add(argv, port->protocol == NET_UDP ? "-u" : "-t");
		if (port->host_ip)
			strings_take(argv, alloc_format("%s/%u:%u", inet_ntop(AF_INET, &port->host_ip, ip, sizeof(ip)), port->host, port->guest));
		else
			strings_take(argv, alloc_format("%u:%u", port->host, port->guest));
	}
}

/* ready_fd -1: nobody waits for its start */
static void arguments(const struct net_spec *spec, int socket_fd, int ready_fd, struct strings *argv)
{
	static const char *const fixed[] = { "passt", "-f", "-q", "-4", "-M", GATEWAY_MAC };
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		strings_add(argv, fixed[i]);
	strings_take(argv, alloc_format("-F%d", socket_fd));
	if (ready_fd >= 0)
		strings_take(argv, alloc_format("-P/proc/self/fd/%d", ready_fd));
	/* Without it the gateway's address leads to services of the host that trust whoever reaches their loopback. */
	if (!spec->host_loopback && !net_answers_loopback(spec))
		strings_add(argv, "--no-map-gw");
	add_ip(argv, "-a", spec->ip);
	add_ip(argv, "-n", spec->mask);
	add_ip(argv, "-g", spec->gateway);
	add_ip(argv, "--dns-forward", spec->dns);
	add_ports(argv, spec);
}

static int passt_connect(struct net_link *link, struct error *error)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return error_set(error, -errno, "passt: %s", strerror(errno));
	/* passt drops what does not fit into its socket: a window of a few connections should. The kernel limits it to wmem_max. */
	int room = 4 << 20;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	link->fd = pair[0];
	link->peer = pair[1];
	return 0;
}

static int passt_start(const struct net_spec *spec, int log_fd, struct net_link *link, bool wait, struct error *error)
{
	int ready[2] = { -1, -1 };
	if (wait && pipe2(ready, O_CLOEXEC))
		return error_set(error, -errno, "passt: %s", strerror(errno));
	/* passt drops root before it opens its pid file, which this pipe stands for. */
	if (wait)
		fchmod(ready[1], 0666);
	struct strings argv = { 0 };
	arguments(spec, link->peer, ready[1], &argv);
	int keep[] = { link->peer, ready[1] };
	struct spawn spawn = { SPAWN_INIT, .argv = argv.item, .keep = keep, .keep_count = wait ? 2 : 1, .session = true,
		.die_with_us = !wait }; /* who starts it early may end before the VM, and leaves somebody who sees to its end */
	spawn.out = spawn.err = log_fd;
	int err = strings_error(&argv);
	err = err ? error_set(error, err, "out of memory") : spawn_start(&spawn, "passt", &link->helper, error);
	if (err == -ENOENT)
		error_set(error, err, "passt is not installed; run: sudo apt-get install passt (or use --net none)");
	strings_free(&argv);
	if (wait)
		close(ready[1]);
	close(link->peer);
	link->peer = -1;
	link->ready = ready[0];
	return err;
}

static int passt_open(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error)
{
	int err = passt_connect(link, error);
	return err || !spec->ports ? err : passt_start(spec, log_fd, link, true, error);
}

static int passt_wake(const struct net_spec *spec, int log_fd, struct net_link *link, struct error *error)
{
	return passt_start(spec, log_fd, link, false, error);
}

const struct link_ops link_passt = { .open = passt_open, .wake = passt_wake };
