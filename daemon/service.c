/* SPDX-License-Identifier: Apache-2.0 */
/* What comes to a service, and what becomes of it. */
#include "daemon/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/tell.h"

#define AT_A_TIME 64     /* connections, before others get their turn */
#define FIRST_DELAY_MS 100
#define LAST_DELAY_MS 10000
#define SHORT_MS 100     /* of descriptors or tasks: then it is tried again */
/*
 * passt (of 2023) sends a guest the first packet of a connection once: if hundreds come at the same time some are dropped, and these clients are reset after
 * ten seconds. So many are on their way at once.
 */
#define OPENING 48
#define OPENING_MS 50    /* then it is taken for open */
#define TRIES 3          /* VMs that a connection is handed to */

static struct loop *loop_of(const struct service *service)
{
	return &service->services->daemon->loop;
}

/* ---- accepting, and not for now ---- */

void service_hold_off(struct service *service, uint64_t milliseconds)
{
	loop_update(loop_of(service), &service->listen, 0);
	if (milliseconds)
		loop_timer_set(loop_of(service), &service->again, clock_now() + milliseconds * NS_PER_MS);
}

static bool is_full(const struct service *service)
{
	return service->def.per_connection || service_by_address(service) ? service->vms >= service->def.max : service->open >= SERVICE_CONNECTIONS;
}

static void accept_again(struct service *service)
{
	if (service_by_address(service) && service->listen.fd < 0 && !service->removed && !service->again.deadline && !is_full(service))
		address_listen_again(service);
	else if (!service->removed && service->listen.fd >= 0 && !service->again.deadline && !is_full(service) &&
	    !service->services->daemon->ending && loop_update(loop_of(service), &service->listen, EPOLLIN))
		service_hold_off(service, SHORT_MS);
}

void service_accept_again(void *context)
{
	accept_again(context);
}

static void failed(struct service *service, const char *vm, const char *problem)
{
	service->failed++;
	service->delay_ms = !service->delay_ms ? FIRST_DELAY_MS : service->delay_ms < LAST_DELAY_MS / 2 ? service->delay_ms * 2 : LAST_DELAY_MS;
	free(service->error);
	service->error = alloc_copy(problem);
	daemon_tell(service->services->daemon, EVENT_SERVICE, vm, service->def.name, "failed", "its VM does not start: %s; the next try is in %u ms at the soonest",
		    problem, service->delay_ms);
	service_hold_off(service, service->delay_ms);
}

/* ---- connections that are relayed ---- */

static void reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void set_idle(struct instance *instance)
{
	if (instance->state == INSTANCE_READY && !instance->ended && !instance->connections)
		loop_timer_set(loop_of(instance->service), &instance->idle, clock_now() + instance->service->def.idle_ms * NS_PER_MS);
}

static void look_soon(struct service *service)
{
	if (service->waiting)
		loop_timer_set(loop_of(service), &service->look, clock_now());
}

static void on_opened(void *context)
{
	struct connection *connection = context;
	loop_timer_set(loop_of(connection->service), &connection->opened, 0);
	if (!connection->opening)
		return;
	connection->opening = false;
	if (connection->instance)
		connection->instance->opening--;
	look_soon(connection->service);
}

static void leave_instance(struct connection *connection)
{
	struct instance *instance = connection->instance;
	on_opened(connection);
	connection->instance = NULL;
	if (instance && !--instance->connections)
		set_idle(instance);
}

/* Neither held nor relayed any more. */
static void forget(struct connection *connection)
{
	struct service *service = connection->service;
	leave_instance(connection);
	*connection->before = connection->next;
	if (connection->next)
		connection->next->before = connection->before;
	else
		service->last = connection->before;
	service->open--;
	free(connection);
	accept_again(service);
	service_free_when_over(service);
}

static void hand_on(struct connection *connection, struct instance *instance);

/* The one that has least to do, and how much that is. */
static struct instance *least(const struct service *service)
{
	struct instance *found = NULL;
	for (struct instance *instance = service->instances; instance; instance = instance->next)
		if (instance->state == INSTANCE_READY && !instance->ended && (!found || instance->connections < found->connections))
			found = instance;
	return found;
}

/* VMs that serve, or will. */
static unsigned count(const struct service *service, bool only_starting)
{
	unsigned n = 0;
	for (const struct instance *instance = service->instances; instance; instance = instance->next)
		n += !instance->ended && (instance->state == INSTANCE_STARTING || (!only_starting && instance->state == INSTANCE_READY));
	return n;
}

void service_start_another(struct service *service, const char *why)
{
	if (count(service, true) || count(service, false) >= service->def.max || service->again.deadline || service->removed)
		return;
	int err = instance_start(service, -1);
	if (err)
		service_hold_off(service, SHORT_MS);
	else
		daemon_tell(service->services->daemon, EVENT_SERVICE, NULL, service->def.name, "start", "%s: a VM is started", why);
}

/* Held until there is a VM, or handed on. */
static void place(struct connection *connection)
{
	struct service *service = connection->service;
	struct instance *instance = least(service);
	if (!instance || instance->connections >= service->def.share)
		service_start_another(service, "somebody has connected");
	if (!instance || instance->opening >= OPENING) {
		service->waiting++;
		return;
	}
	hand_on(connection, instance);
}

static void on_relay_done(void *context, bool refused, int client)
{
	struct connection *connection = context;
	leave_instance(connection);
	connection->client = client;
	if (refused && ++connection->tries < TRIES && !connection->service->removed) {
		place(connection);
		return;
	}
	if (refused)
		reset(client);
	forget(connection);
}

static void hand_on(struct connection *connection, struct instance *instance)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(instance->port), .sin_addr = { instance->ip } };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), client = connection->client;
	connection->instance = instance;
	connection->opening = true;
	connection->opened = (struct loop_timer){ .fire = on_opened, .context = connection };
	loop_timer_set(loop_of(connection->service), &connection->opened, clock_now() + OPENING_MS * NS_PER_MS);
	instance->connections++;
	instance->opening++;
	loop_timer_set(loop_of(connection->service), &instance->idle, 0);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd < 0 || (connect(fd, (struct sockaddr *)&address, sizeof(address)) && errno != EINPROGRESS)) {
		if (fd >= 0)
			close(fd);
		on_relay_done(connection, true, client);
		return;
	}
	connection->client = -1;
	connection->relay = (struct relay){ .loop = loop_of(connection->service), .pipes = &connection->service->services->pipes, .opened = on_opened, .done = on_relay_done,
		.context = connection };
	relay_start(&connection->relay, client, fd);
}

/* All that wait, first come first served. */
static void place_held(struct service *service)
{
	struct instance *instance;
	unsigned waiting = service->waiting;
	for (struct connection *next, *connection = service->connections; connection && waiting; connection = next) {
		next = connection->next;
		if (connection->client < 0 || connection->instance)
			continue;
		if (!(instance = least(service)) || instance->opening >= OPENING)
			return;
		waiting--;
		service->waiting--;
		hand_on(connection, instance);
	}
}

static void take(struct service *service, int fd)
{
	struct connection *connection = alloc_zero(sizeof(*connection));
	if (!connection) {
		reset(fd);
		return;
	}
	*connection = (struct connection){ .service = service, .client = fd, .next = NULL, .before = service->last };
	*service->last = connection;
	service->last = &connection->next;
	service->open++;
	place(connection);
}

/* ---- connections that get a VM each ---- */

static bool give_vm(struct service *service, int fd)
{
	int err = instance_start(service, fd);
	if (!err)
		return true;
	log_warn("service %s: a connection cannot be served now: %s", service->def.name, strerror(-err));
	reset(fd);
	service_hold_off(service, SHORT_MS);
	return false;
}

void service_on_connection(void *context, uint32_t events)
{
	struct service *service = context;
	for (int i = 0; i < AT_A_TIME && service->listen.armed; i++) {
		if (is_full(service)) {
			service_hold_off(service, 0);
			return;
		}
		int fd = accept4(service->listen.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				service_hold_off(service, SHORT_MS);
			return;
		}
		service->accepted++;
		if (!service->def.per_connection)
			take(service, fd);
		else if (!give_vm(service, fd))
			return;
	}
}

/* ---- what VMs have come to ---- */

void service_instance_ready(struct instance *instance)
{
	struct service *service = instance->service;
	service->delay_ms = 0;
	free(service->error);
	service->error = NULL;
	if (service->def.per_connection)
		return;
	unsigned long long ms = (clock_now() - instance->asked_ns) / NS_PER_MS;
	if (service_by_address(service))
		daemon_tell(service->services->daemon, EVENT_SERVICE, instance->id, service->def.name, "ready", "it runs after %llu ms", ms);
	else
		daemon_tell(service->services->daemon, EVENT_SERVICE, instance->id, service->def.name, "ready", "it listens after %llu ms; %u connections wait", ms,
			    service->waiting);
	if (service->removed) {
		instance_stop(instance);
	} else if (service_by_address(service)) {
		address_look_idle(instance);
	} else {
		place_held(service);
		set_idle(instance);
		ahead_look(service);
	}
}

void service_instance_failed(struct instance *instance, const char *problem)
{
	struct service *service = instance->service;
	failed(service, NULL, problem);
	if (least(service))
		return;
	for (struct connection *next, *connection = service->connections; connection; connection = next) {
		next = connection->next;
		if (connection->client < 0)
			continue;
		service->waiting--;
		reset(connection->client);
		forget(connection);
	}
}

void service_instance_gone(struct instance *instance)
{
	struct service *service = instance->service;
	for (struct connection *connection = service->connections; connection; connection = connection->next)
		if (connection->instance == instance)
			leave_instance(connection); /* its sockets tell the rest */
	instance->connections = 0;
	if (service_by_address(service))
		address_take_back(service, instance->state != INSTANCE_STOPPING);
	if (instance->id[0] && !service->def.per_connection)
		daemon_tell(service->services->daemon, EVENT_SERVICE, instance->id, service->def.name, "ended", "its VM has ended");
	loop_timer_set(loop_of(service), &service->look, clock_now());
}

void service_instance_idle(struct instance *instance)
{
	if (service_by_address(instance->service))
		address_look_idle(instance);
	else if (!instance->connections)
		instance_stop(instance);
}

/* After a VM has gone: others may come, or the rest may go. */
void service_look(void *context)
{
	struct service *service = context;
	accept_again(service);
	ahead_look(service);
	if (service->waiting && !least(service))
		service_start_another(service, "somebody has connected");
	place_held(service);
	service_free_when_over(service);
}

void service_reset_all(struct service *service)
{
	while (service->connections) {
		struct connection *connection = service->connections;
		if (connection->client >= 0) {
			service->waiting -= !connection->instance;
			reset(connection->client);
		} else {
			relay_cancel(&connection->relay);
		}
		service->connections = connection->next;
		if (connection->next)
			connection->next->before = &service->connections;
		leave_instance(connection);
		service->open--;
		free(connection);
	}
	service->last = &service->connections;
}
