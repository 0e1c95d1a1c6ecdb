/* SPDX-License-Identifier: Apache-2.0 */
/* The services that there are: kept on disk, listening, listed. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "daemon/keeper.h"
#include "daemon/listen.h"
#include "daemon/service.h"
#include "daemon/tell.h"
#include "node/kept.h"
#include "node/vm_info.h"
#include "node/vm_wish.h"

#define BACKLOG 4096 /* the kernel makes net.core.somaxconn of it */

/* ---- one ---- */

static struct service *find(const struct services *services, const char *name)
{
	for (struct service *service = services->first; service; service = service->next)
		if (!service->removed && !strcmp(service->def.name, name))
			return service;
	return NULL;
}

static void unlisten(struct service *service)
{
	struct loop *loop = &service->services->daemon->loop;
	loop_timer_set(loop, &service->again, 0);
	if (service->listen.fd < 0)
		return;
	loop_update(loop, &service->listen, 0);
	if (!service->passed)
		close(service->listen.fd);
	service->listen.fd = -1;
}

static void drop(struct service *service)
{
	unlisten(service);
	ahead_drop(service);
	service_reset_all(service);
	while (service->instances)
		instance_drop(service->instances);
	loop_timer_set(&service->services->daemon->loop, &service->look, 0);
	*service->before = service->next;
	if (service->next)
		service->next->before = service->before;
	service_def_free(&service->def);
	free(service->error);
	free(service);
}

void service_free_when_over(struct service *service)
{
	if (service->removed && !service->instances && !service->connections && !service->preparing)
		loop_timer_set(&service->services->daemon->loop, &service->look, clock_now());
}

static void on_look(void *context)
{
	struct service *service = context;
	if (service->removed && !service->instances && !service->connections && !service->preparing)
		drop(service);
	else
		service_look(service);
}

static struct service *make(struct services *services, const json_t *json, struct error *error)
{
	struct service *service = alloc_zero(sizeof(*service));
	if (!service) {
		error_set(error, -ENOMEM, "out of memory");
		return NULL;
	}
	*service = (struct service){ .ahead = AHEAD_NONE, .services = services, .next = services->first, .before = &services->first };
	service->listen = (struct loop_watch){ .fd = -1, .ready = service_on_connection, .context = service };
	service->again = (struct loop_timer){ .fire = service_accept_again, .context = service };
	service->look = (struct loop_timer){ .fire = on_look, .context = service };
	service->last = &service->connections;
	if (service->next)
		service->next->before = &service->next;
	services->first = service;
	if (!service_def_read(&service->def, json, error)) {
		service->listen.ready = service_by_address(service) ? address_on_packet : service_on_connection;
		return service;
	}
	drop(service);
	return NULL;
}

/* ---- where it listens ---- */

static int bind_port(const struct service_def *def, struct error *error)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(def->port), .sin_addr = { def->address } };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(address)) && !listen(fd, BACKLOG))
		return fd;
	int err = -errno;
	if (fd >= 0)
		close(fd);
	return error_set(error, err, "port %u of %s: %s", def->port, inet_ntoa(address.sin_addr), strerror(-err));
}

/* The service manager's socket of that name comes first. */
static int listen_for(struct service *service, struct error *error)
{
	struct services *services = service->services;
	int fd = -1;
	if (service_by_address(service))
		return address_listen(service, error);
	for (unsigned i = 0; i < services->passed_count; i++)
		if (!strcmp(services->passed[i].name, service->def.name))
			fd = services->passed[i].fd;
	service->passed = fd >= 0;
	if (fd < 0 && (fd = bind_port(&service->def, error)) < 0)
		return fd;
	service->listen.fd = fd;
	int err = loop_update(&services->daemon->loop, &service->listen, EPOLLIN);
	return err ? error_set(error, err, "service %s: %s", service->def.name, strerror(-err)) : 0;
}

/* ---- packing ahead: what can be done before anybody connects ---- */

static void prepare_work(void *context, int out)
{
	const struct service *service = context;
	struct vm_config config;
	struct error error = { 0 };
	struct text said = { 0 };
	config_init(&config);
	if (wish_config(&config, service->def.vm, NULL, &error))
		text_put(&said, error.text);
	fd_write(out, said.data, said.size);
	text_free(&said);
	config_free(&config);
}

static void prepared(void *context, struct text *said, int failed)
{
	struct service *service = context;
	service->preparing = false;
	if (said->size && !service->error) {
		service->error = alloc_copy(said->data);
		log_warn("service %s: its VM cannot be made as it is: %s", service->def.name, said->data);
	}
	service_free_when_over(service);
}

static void prepare(struct service *service)
{
	service->prepare = (struct task){ .work = prepare_work, .done = prepared, .context = service, .keep = -1 };
	service->preparing = !task_start(service->services->daemon->tasks, &service->prepare);
}

/* ---- adding and removing ---- */

int services_add(struct services *services, const json_t *json, struct error *error)
{
	struct service *service = make(services, json, error);
	if (!service)
		return error->code;
	const char *name = service->def.name;
	int err = wish_check(service->def.vm, error) ? error_prefix(error, "vm") : 0;
	for (struct service *other = service->next; other && !err; other = other->next)
		if (!other->removed && !strcmp(other->def.name, name))
			err = error_set(error, -EEXIST, "there is a service \"%s\" already", name);
	if (!err)
		err = listen_for(service, error);
	json_t *definition = err ? NULL : service_def_write(&service->def);
	if (!err)
		err = definition ? kept_write(services->kept, name, definition, error) : error_set(error, -ENOMEM, "out of memory");
	json_decref(definition);
	if (err) {
		drop(service);
		return err;
	}
	prepare(service);
	if (service_by_address(service))
		daemon_tell(services->daemon, EVENT_SERVICE, NULL, name, "add", "it waits for packets to %s", inet_ntoa((struct in_addr){ service->def.net.ip }));
	else
		daemon_tell(services->daemon, EVENT_SERVICE, NULL, name, "add", "it listens on port %u", service->def.port);
	return 0;
}

int services_remove(struct services *services, const char *name, struct error *error)
{
	struct service *service = find(services, name);
	if (!service)
		return error_set(error, -ENOENT, "there is no service \"%.100s\"", name);
	kept_remove(services->kept, name);
	unlisten(service);
	ahead_drop(service);
	service->removed = true;
	service_reset_all(service);
	for (struct instance *instance = service->instances; instance; instance = instance->next)
		if (!service->def.per_connection) /* a connection that has a VM keeps it to its end */
			instance_stop(instance);
	daemon_tell(services->daemon, EVENT_SERVICE, NULL, name, "remove", "its VMs are stopped");
	service_free_when_over(service);
	return 0;
}

/* ---- showing ---- */

static json_t *vms_json(const struct service *service)
{
	static const char *const states[] = { "starting", "ready", "stopping" };
	json_t *array = json_array();
	for (const struct instance *instance = service->instances; instance; instance = instance->next)
		json_array_append_new(array, json_pack("{s:s?, s:s, s:i}", "id", instance->id[0] ? instance->id : NULL, "state", states[instance->state],
						       "connections", (int)instance->connections));
	return array;
}

static json_t *service_json(const struct service *service)
{
	json_t *json = service_def_write(&service->def);
	json_t *now = json_pack("{s:o, s:i, s:i, s:I, s:I, s:I, s:s?, s:b}", "vms", vms_json(service), "connections",
				(int)(service->def.per_connection ? service->vms : service->open), "waiting", (int)service->waiting, "accepted",
				(json_int_t)service->accepted, "started", (json_int_t)service->started, "failed", (json_int_t)service->failed, "error",
				service->error, "passed", service->passed);
	if (json && now && !json_object_set_new(json, "now", now))
		return json;
	json_decref(json);
	return NULL;
}

json_t *services_json(struct services *services, const char *name, struct error *error)
{
	struct service *one = name ? find(services, name) : NULL;
	if (name && !one) {
		error_set(error, -ENOENT, "there is no service \"%.100s\"", name);
		return NULL;
	}
	json_t *json = one ? service_json(one) : json_array();
	for (struct service *service = services->first; service && !one; service = service->next)
		if (!service->removed)
			json_array_append_new(json, service_json(service));
	if (!json)
		error_set(error, -ENOMEM, "out of memory");
	return json;
}

/* ---- coming to life ---- */

static int load(void *context, const char *name)
{
	struct services *services = context;
	struct error error = { 0 };
	json_t *json = kept_read(services->kept, name, &error);
	struct service *service = json && !find(services, name) ? make(services, json, &error) : NULL;
	int err = service && strcmp(service->def.name, name) ? error_set(&error, -EINVAL, "its name is %s", service->def.name) : 0;
	if (service && !err && !service_by_address(service)) /* a VM may have the tap still */
		err = listen_for(service, &error);
	if (service && err)
		drop(service);
	if (error.text[0])
		log_error("service %s is not there: %s", name, error.text);
	json_decref(json);
	return 0;
}

/* The service whose VM it is; one that a user gave the label is not. */
static struct service *service_of(const struct services *services, const struct vm_info *info)
{
	const json_t *labels = json_object_get(info->config, "labels");
	const char *name = NULL;
	for (size_t i = 0; i < json_array_size(labels); i++) {
		const char *label = json_string_value(json_array_get(labels, i));
		if (label && text_starts(label, SERVICE_LABEL "="))
			name = label + strlen(SERVICE_LABEL "=");
	}
	bool ours = json_is_true(json_object_get(info->config, "remove")) && json_is_true(json_object_get(info->config, "detached")) &&
		    json_is_null(json_object_get(info->config, "name"));
	return name && ours ? find(services, name) : NULL;
}

/* Those that a daemon before us left running serve on. */
static int adopt(void *context, const char *id)
{
	struct services *services = context;
	struct vm_info info;
	struct service *service = vm_info_open(&services->state, id, &info) ? NULL : service_of(services, &info);
	const json_t *net = service ? json_object_get(info.config, "net") : NULL, *port = json_array_get(json_object_get(net, "ports"), 0);
	const char *word = json_string_value(port ? json_object_get(port, "host_ip") : json_object_get(net, "ip"));
	struct in_addr ip = { 0 };
	if (service && !info.alive)
		vm_info_remove(&services->state, &info, NULL);
	else if (service && (service->def.per_connection || service_by_address(service) || (word && inet_aton(word, &ip))))
		instance_adopt(service, id, ip.s_addr, port ? (uint16_t)json_integer_value(json_object_get(port, "host")) : service->def.guest_port);
	vm_info_close(&info);
	return 0;
}

/* Who connects to it waits, and for what? */
static void tell_unused(const struct services *services)
{
	for (unsigned i = 0; i < services->passed_count; i++)
		if (!find(services, services->passed[i].name))
			log_warn("socket \"%.100s\" was passed, and there is no service of that name", services->passed[i].name);
}

static void services_stop(struct daemon *daemon, void *part)
{
	struct services *services = part;
	while (services->first)
		drop(services->first);
	relay_pipes_free(&services->pipes);
	while (services->passed_count) {
		close(services->passed[--services->passed_count].fd);
		free(services->passed[services->passed_count].name);
	}
	if (services->kept >= 0)
		close(services->kept);
	state_close(&services->state);
	free(services);
}

static int open_all(struct services *services, struct error *error)
{
	int err = state_open(&services->state, true, error);
	if (!err)
		services->kept = kept_open(KEPT_SERVICE, true, error);
	if (!err && services->kept < 0)
		err = services->kept;
	if (!err && kept_lock(services->kept, services->daemon->keeper ? KEEPER_LOCK_MS : 0))
		err = error_set(error, -EBUSY, "another lightvmd has them");
	return err;
}

static int services_start(struct daemon *daemon, void **part, struct error *error)
{
	struct error why = { 0 };
	struct services *services = daemon->worker && !daemon->keeper ? NULL : alloc_zero(sizeof(*services));
	if (!services)
		return 0;
	*services = (struct services){ .daemon = daemon, .state = STATE_NONE, .kept = -1 };
	int err = open_all(services, &why);
	if (err) {
		log_warn("there are no services: %s", why.text[0] ? why.text : strerror(-err));
		services_stop(daemon, services);
		return 0;
	}
	const unsigned room = sizeof(services->passed) / sizeof(*services->passed);
	while (services->passed_count < room) {
		int fd = listen_named(services->passed_count, &services->passed[services->passed_count].name);
		if (fd < 0)
			break;
		services->passed[services->passed_count++].fd = fd;
	}
	kept_each(services->kept, load, services);
	tell_unused(services);
	if (services->first)
		state_each(&services->state, adopt, services);
	for (struct service *service = services->first; service; service = service->next)
		if (service_by_address(service))
			service_accept_again(service);
	*part = services;
	return 0;
}

static bool services_busy(struct daemon *daemon, void *part)
{
	const struct services *services = part;
	return services && services->first;
}

const struct daemon_part service_part = { .name = "service", .start = services_start, .stop = services_stop, .busy = services_busy };

struct services *services_of(struct daemon *daemon, struct error *error)
{
	struct services *services = daemon_part_find(daemon, service_part.name);
	if (!services)
		error_set(error, -EOPNOTSUPP, "this lightvmd has no services; its log says why");
	return services;
}
