/* SPDX-License-Identifier: Apache-2.0 */
/* The VMs of a service: started and stopped in tasks, watched by the descriptors of their monitors. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/service.h"
#include "daemon/tell.h"
#include "node/vm_end.h"
#include "node/vm_port.h"
#include "node/vm_wish.h"

#define STOP_MS 10000
#define PORT_TRIES 4 /* a port that was free may be another's when passt takes it */

/* ---- in the task ---- */

/* Where the VM is reached from here: a port of the loopback that leads to it, or its own address. ahead: the port that its passt has already; 0: none. */
static int reach(struct vm_config *config, const struct service_def *def, uint16_t ahead, uint32_t *ip, uint16_t *port, struct error *error)
{
	struct net_spec *net = &config->net;
	*ip = net->ip;
	*port = def->guest_port;
	if (net->kind == NET_NONE)
		return error_set(error, -EINVAL, "a VM without a network cannot be connected to; leave \"net\" out, or use per_connection");
	if (net->kind != NET_PASST)
		return net->ip ? 0 : error_set(error, -EINVAL, "a VM on a tap or bridge needs an address (ip) to be connected to");
	struct net_port *ports = alloc_again(net->port, (net->ports + 1) * sizeof(*ports));
	*ip = htonl(INADDR_LOOPBACK);
	*port = ahead ? ahead : service_free_port();
	if (!ports || !*port)
		return error_set(error, ports ? -EADDRINUSE : -ENOMEM, "no free port on the loopback");
	net->port = ports;
	net->port[net->ports++] = (struct net_port){ .host_ip = *ip, .host = *port, .guest = def->guest_port, .protocol = NET_TCP };
	return 0;
}

static json_t *wish_of(const struct service_def *def)
{
	json_t *wish = json_deep_copy(def->vm), *labels = json_object_get(wish, "labels");
	char *label = alloc_format("%s=%s", SERVICE_LABEL, def->name);
	json_object_set_new(wish, "remove", json_true());
	if (!json_is_array(labels)) {
		json_object_set_new(wish, "labels", json_array());
		labels = json_object_get(wish, "labels");
	}
	json_array_append_new(labels, json_string(label));
	free(label);
	return wish;
}

static int await(const struct service_def *def, const char *id, struct error *error)
{
	struct state state;
	struct vm_info info = { .dir = VM_DIR_NONE };
	int err = state_open(&state, false, error);
	if (!err && (err = vm_info_open(&state, id, &info)))
		error_set(error, err, "VM %s has gone before it listened", id);
	if (!err)
		err = vm_await_port(&info, def->guest_port, (int)def->wait_ms, error);
	if (err && info.dir.dir >= 0) {
		vm_end(&info, 0, NULL);
		vm_info_remove(&state, &info, NULL);
	}
	vm_info_close(&info);
	state_close(&state);
	return err;
}

/* What the process has been given: a connection, or the link of its network. */
struct start_given {
	int client;           /* -1: none */
	struct net_link *link; /* NULL: none */
	uint16_t port;        /* of a passt; 0: none */
};

static int start_once(const struct service *service, uint64_t asked_ns, const struct start_given *given, char *answer, size_t room, struct error *error)
{
	const struct service_def *def = &service->def;
	const bool relayed = given->client < 0 && !service_by_address(service);
	struct vm_config config;
	uint32_t ip = 0;
	uint16_t port = 0;
	json_t *wish = wish_of(def);
	config_init(&config);
	int err = wish_config(&config, wish, NULL, error);
	config.stream_fd = given->client;
	config.link = given->link;
	if (!err && relayed)
		err = reach(&config, def, given->port, &ip, &port, error);
	if (!err)
		err = wish_start(&config, asked_ns, error);
	if (!err && relayed)
		err = await(def, config.id, error);
	snprintf(answer, room, "0 %s %u %u", config.id, ip, port);
	config_free(&config);
	json_decref(wish);
	return err;
}

static void say(int out, int err, const char *answer, const char *problem)
{
	struct text said = { 0 };
	if (err)
		text_format(&said, "%d %s", err, problem);
	else
		text_put(&said, answer);
	fd_write(out, said.data, said.size);
	text_free(&said);
}

/* 0: there is one, or it is another kind of service; then link is none. */
static int adopt_link(const struct instance *instance, struct start_given *given, struct net_link *link, struct error *error)
{
	const struct task *task = &instance->task;
	int err = 0;
	if (service_by_address(instance->service))
		err = link_adopt_tap(task->keep, link, error);
	else if (instance->ahead.port)
		err = link_adopt_passt(task->keep, task->more, instance->ahead.link.helper.pid, link, error);
	if (!err && link->fd >= 0)
		given->link = link;
	return err;
}

static void start_work(void *context, int out)
{
	const struct instance *instance = context;
	const struct service *service = instance->service;
	struct net_link link = NET_LINK_NONE;
	struct start_given given = { .client = service->def.per_connection ? instance->task.keep : -1, .port = instance->ahead.port };
	struct error error = { 0 };
	char answer[64];
	int err = adopt_link(instance, &given, &link, &error);
	if (!err)
		err = start_once(service, instance->asked_ns, &given, answer, sizeof(answer), &error);
	if (given.port && err) { /* a passt that was started before: its port was taken, or it has ended */
		given = (struct start_given){ .client = -1 };
		err = -EADDRINUSE;
	}
	for (int i = 0; i < PORT_TRIES && err == -EADDRINUSE && given.client < 0; i++)
		err = start_once(service, instance->asked_ns, &given, answer, sizeof(answer), &error);
	say(out, err, answer, error.text);
}

static void stop_work(void *context, int out)
{
	const struct instance *instance = context;
	struct error error = { 0 };
	struct state state;
	struct vm_info info = { .dir = VM_DIR_NONE };
	int err = state_open(&state, false, &error);
	if (!err && !vm_info_open(&state, instance->id, &info))
		err = vm_end(&info, STOP_MS, &error);
	vm_info_close(&info);
	state_close(&state);
	say(out, err, "0", error.text);
}

/* ---- in the loop ---- */

static struct loop *loop_of(const struct instance *instance)
{
	return &instance->service->services->daemon->loop;
}

static void free_when_over(struct instance *instance)
{
	if (!instance->ended || instance->busy)
		return;
	service_instance_gone(instance);
	instance_drop(instance);
}

static void let_go(struct instance *instance)
{
	loop_timer_set(loop_of(instance), &instance->idle, 0);
	if (instance->process.fd >= 0) {
		loop_update(loop_of(instance), &instance->process, 0);
		close(instance->process.fd);
	}
	if (instance->client >= 0)
		close(instance->client);
	instance->process.fd = instance->client = -1;
}

void instance_drop(struct instance *instance)
{
	let_go(instance);
	*instance->before = instance->next;
	if (instance->next)
		instance->next->before = instance->before;
	instance->service->vms--;
	free(instance);
}

/* Its monitor has ended: what it leaves goes. */
static void over(struct instance *instance)
{
	struct vm_info info;
	let_go(instance);
	instance->ended = true;
	if (!vm_info_open(&instance->service->services->state, instance->id, &info) && !info.alive)
		vm_info_remove(&instance->service->services->state, &info, NULL);
	vm_info_close(&info);
	free_when_over(instance);
}

static void on_end(void *context, uint32_t events)
{
	over(context);
}

/* True: it runs. */
static bool watch(struct instance *instance)
{
	struct vm_info info;
	int fd = vm_info_open(&instance->service->services->state, instance->id, &info) ? -ESRCH : vm_monitor_open(&info);
	vm_info_close(&info);
	instance->process = (struct loop_watch){ .fd = fd < 0 ? -1 : fd, .ready = on_end, .context = instance };
	if (fd >= 0 && !loop_update(loop_of(instance), &instance->process, EPOLLIN))
		return true;
	over(instance);
	return false;
}

static void started(void *context, struct text *said, int failed)
{
	struct instance *instance = context;
	char *text = NULL;
	unsigned ip, port;
	long err = said->size ? strtol(said->data, &text, 10) : failed ? failed : -EIO;
	instance->busy = false;
	if (!err && sscanf(text, " %12s %u %u", instance->id, &ip, &port) != 3)
		err = -EPROTO;
	if (instance->client >= 0)
		close(instance->client); /* the VM has it */
	instance->client = -1;
	if (err) {
		instance->ended = true;
		service_instance_failed(instance, text && *text ? text + 1 : strerror((int)-err));
		free_when_over(instance);
		return;
	}
	instance->ip = ip;
	instance->port = (uint16_t)port;
	if (!watch(instance))
		return;
	instance->state = INSTANCE_READY;
	service_instance_ready(instance);
}

static void on_idle(void *context)
{
	service_instance_idle(context);
}

static struct instance *add(struct service *service)
{
	struct instance *instance = alloc_zero(sizeof(*instance));
	if (!instance)
		return NULL;
	*instance = (struct instance){ .service = service, .next = service->instances, .before = &service->instances, .client = -1,
		.ahead = AHEAD_NONE, .asked_ns = clock_now(), .process = { .fd = -1 } };
	instance->idle = (struct loop_timer){ .fire = on_idle, .context = instance };
	if (instance->next)
		instance->next->before = &instance->next;
	service->instances = instance;
	service->vms++;
	return instance;
}

int instance_start(struct service *service, int client)
{
	struct instance *instance = add(service);
	if (!instance)
		return -ENOMEM;
	/* One that waits for its program to listen may do so for long, and must not keep others from starting. */
	instance->task = (struct task){ .work = start_work, .done = started, .context = instance, .keep = client, .lasting = client < 0 };
	service->used_ns = clock_now();
	if (service_by_address(service)) {
		instance->task.keep = service->listen.fd;
	} else if (client < 0 && ahead_take(service, &instance->ahead)) {
		instance->task.keep = instance->ahead.link.fd;
		instance->task.more = instance->ahead.link.ready;
	}
	int err = task_start(service->services->daemon->tasks, &instance->task);
	link_close(&instance->ahead.link); /* the process has it; without one, passt ends */
	if (err) {
		instance_drop(instance);
		return err;
	}
	instance->client = client;
	instance->busy = true;
	service->started++;
	return 0;
}

/* Its start may have been under way when the daemon before us ended. */
static void adopt_work(void *context, int out)
{
	const struct instance *instance = context;
	struct error error = { 0 };
	char answer[64];
	snprintf(answer, sizeof(answer), "0 %s %u %u", instance->id, instance->ip, instance->port);
	say(out, await(&instance->service->def, instance->id, &error), answer, error.text);
}

void instance_adopt(struct service *service, const char *id, uint32_t ip, uint16_t port)
{
	struct instance *instance = add(service);
	if (!instance)
		return;
	memcpy(instance->id, id, STATE_ID);
	instance->ip = ip;
	instance->port = port;
	if (service->def.per_connection || service_by_address(service)) {
		if (!watch(instance))
			return;
		instance->state = INSTANCE_READY;
		if (service_by_address(service))
			address_look_idle(instance);
		return;
	}
	instance->task = (struct task){ .work = adopt_work, .done = started, .context = instance, .keep = -1, .lasting = true };
	instance->busy = !task_start(service->services->daemon->tasks, &instance->task);
	if (!instance->busy)
		instance_drop(instance);
}

static void stopped(void *context, struct text *said, int failed)
{
	struct instance *instance = context;
	instance->busy = false;
	if (failed || !said->size || strtol(said->data, NULL, 10))
		daemon_tell(instance->service->services->daemon, EVENT_SERVICE, instance->id, instance->service->def.name, "stop-failed", "its VM does not end: %s",
			    said->size ? said->data : strerror(failed ? -failed : EIO));
	free_when_over(instance);
}

void instance_stop(struct instance *instance)
{
	if (instance->state != INSTANCE_READY || instance->busy)
		return;
	loop_timer_set(loop_of(instance), &instance->idle, 0);
	instance->task = (struct task){ .work = stop_work, .done = stopped, .context = instance, .keep = -1 };
	if (task_start(instance->service->services->daemon->tasks, &instance->task)) {
		loop_timer_set(loop_of(instance), &instance->idle, clock_now() + NS_PER_S); /* tried again */
		return;
	}
	instance->state = INSTANCE_STOPPING;
	instance->busy = true;
}
