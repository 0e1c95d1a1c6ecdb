/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passt takes longer to start than a VM does, most of it to fill 20 MB with what it may need. So it is started as soon as a connection comes, before anything else
 * is, and for the services that were used last ahead of the next connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/service.h"
#include "node/pressure.h"
#include "node/vm_wish.h"

#define MOST 4 /* services: each costs what a passt does */

uint16_t service_free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool found = fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !getsockname(fd, (struct sockaddr *)&address, &size);
	if (fd >= 0)
		close(fd);
	return found ? ntohs(address.sin_port) : 0;
}

/* Has it nothing but the one port that we publish? */
static int spec_of(const struct service *service, struct net_spec *spec)
{
	struct error error = { 0 };
	int err = service->def.per_connection || service_by_address(service) ? -EOPNOTSUPP : wish_net(spec, json_object_get(service->def.vm, "net"), "0", &error);
	if (!err && (spec->kind != NET_PASST || spec->ports))
		err = -EOPNOTSUPP;
	if (!err && !(spec->port = alloc_zero(sizeof(*spec->port))))
		err = -ENOMEM;
	if (!err)
		spec->port[spec->ports++] = (struct net_port){ .host_ip = htonl(INADDR_LOOPBACK), .host = service_free_port(), .guest = service->def.guest_port, .protocol = NET_TCP };
	return err ? err : spec->port->host ? 0 : -EADDRINUSE;
}

void ahead_drop(struct service *service)
{
	struct ahead *ahead = &service->ahead;
	if (ahead->ended.armed)
		loop_update(&service->services->daemon->loop, &ahead->ended, 0);
	link_close(&ahead->link);
	ahead->ended.fd = -1;
	ahead->port = 0;
}

static void on_end(void *context, uint32_t events)
{
	ahead_drop(context);
}

/* What it says is said again, and read, by the one that the VM's start tries if this one does not serve. */
static void make(struct service *service)
{
	struct ahead *ahead = &service->ahead;
	struct net_spec spec = { 0 };
	struct error error = { 0 };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (!spec_of(service, &spec) && !link_open(&spec, null, &ahead->link, &error))
		ahead->port = spec.port->host;
	ahead->ended = (struct loop_watch){ .fd = ahead->port ? ahead->link.helper.pidfd : -1, .ready = on_end, .context = service };
	if (ahead->port && loop_update(&service->services->daemon->loop, &ahead->ended, EPOLLIN))
		ahead_drop(service);
	net_free(&spec);
	if (null >= 0)
		close(null);
}

bool ahead_take(struct service *service, struct ahead *taken)
{
	if (!service->ahead.port)
		make(service);
	if (!service->ahead.port)
		return false;
	loop_update(&service->services->daemon->loop, &service->ahead.ended, 0);
	*taken = service->ahead;
	service->ahead = AHEAD_NONE;
	return true;
}

/* Of those that have one, the one that was used longest ago, if there are as many as there may be. */
static struct service *oldest(const struct services *services)
{
	struct service *found = NULL;
	unsigned n = 0;
	for (struct service *service = services->first; service; service = service->next) {
		if (!service->ahead.port)
			continue;
		n++;
		if (!found || service->used_ns < found->used_ns)
			found = service;
	}
	return n < MOST ? NULL : found;
}

void ahead_look(struct service *service)
{
	struct service *old = oldest(service->services);
	if (!service->used_ns || service->removed || service->ahead.port || service->vms >= service->def.max || service->services->daemon->ending || memory_pressed())
		return;
	if (old && old->used_ns > service->used_ns)
		return;
	if (old)
		ahead_drop(old);
	make(service);
}
