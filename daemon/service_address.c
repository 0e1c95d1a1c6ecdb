/* SPDX-License-Identifier: Apache-2.0 */
/* Services by address: a tap of the daemon's own is the VM's place on the network, whether there is a VM or not. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/service.h"
#include "node/link.h"
#include "node/link_tap.h"
#include "node/tap_wait.h"

#define AGAIN_MS 1000 /* there may be a bridge, then */
#define LOOKS 4       /* in the time after which a VM is idle */

/* On a bridge it is named by the address, so that a daemon that comes later knows it, and there are not two. */
static void name_of(const struct net_spec *net, char name[IFNAMSIZ])
{
	if (net->kind == NET_BRIDGE)
		snprintf(name, IFNAMSIZ, "lvs%08x", ntohl(net->ip));
	else
		snprintf(name, IFNAMSIZ, "%s", net->name);
}

int address_listen(struct service *service, struct error *error)
{
	const struct net_spec *net = &service->def.net;
	struct net_link link = NET_LINK_NONE;
	char name[IFNAMSIZ];
	name_of(net, name);
	int err = link_tap_open(net, name, &link, error);
	if (!err && (err = tap_expect(link.fd, net->mac, net->ip)))
		error_set(error, err, "tap device %s: its filter: %s", name, strerror(-err));
	service->listen.fd = err ? -1 : link.fd;
	if (!err && (err = loop_update(&service->services->daemon->loop, &service->listen, EPOLLIN))) {
		service->listen.fd = -1;
		error_set(error, err, "service %s: %s", service->def.name, strerror(-err));
	}
	if (err)
		link_close(&link);
	return err;
}

void address_listen_again(struct service *service)
{
	struct error error = { 0 };
	int err = address_listen(service, &error);
	if (err && !service->error)
		log_warn("service %s waits for its network: %s", service->def.name, error.text);
	free(service->error);
	service->error = err ? alloc_copy(error.text) : NULL;
	if (err)
		service_hold_off(service, AGAIN_MS);
}

/* It is not read: who is started for it does that. */
void address_on_packet(void *context, uint32_t events)
{
	struct service *service = context;
	service_hold_off(service, 0);
	service_start_another(service, "a packet has come for its address");
}

void address_take_back(struct service *service, bool ended)
{
	const struct net_spec *net = &service->def.net;
	int err = service->listen.fd < 0 ? 0 : tap_expect(service->listen.fd, net->mac, net->ip);
	if (err)
		log_warn("service %s: the filter of its tap: %s", service->def.name, strerror(-err));
	if (service->listen.fd >= 0 && ended)
		tap_drain(service->listen.fd);
}

void address_look_idle(struct instance *instance)
{
	const struct service *service = instance->service;
	const uint64_t idle = service->def.idle_ms * NS_PER_MS, now = clock_now();
	uint64_t sent = 0;
	char name[IFNAMSIZ];
	name_of(&service->def.net, name);
	if (tap_sent(name, &sent) || sent != instance->sent || !instance->sent_ns) {
		instance->sent = sent;
		instance->sent_ns = now;
	}
	if (now - instance->sent_ns >= idle)
		instance_stop(instance);
	else
		loop_timer_set(&service->services->daemon->loop, &instance->idle, now + (idle > LOOKS * NS_PER_MS ? idle / LOOKS : NS_PER_MS));
}
