/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_clone.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/vm_records.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/parallel.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/save_parts.h"
#include "node/shared_random.h"
#include "node/vm_save.h"
#include "tinyx/image_file.h"

#define PROCESSORS_MOST 1024u
#define THREADS_EACH 2 /* of a processor: half of it is waiting for a monitor */

struct cloning {
	const struct state *state;
	const struct vm_info *info;
	const struct clone_wish *wish;
	struct clone *clones;
	struct image image;
	int state_fd, memory_fd; /* for reading */
	uint64_t start_ns;
};

/* ---- what all of them have ---- */

/* A file in memory, sealed when both are written: that nobody changes it is what they rely on. */
static int memory_pair(int fds[2], struct error *error)
{
	fds[0] = memfd_create("lightvm state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	fds[1] = memfd_create("lightvm memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fds[0] < 0 || fds[1] < 0 ? error_set(error, -errno, "memfd_create: %s", strerror(errno)) : 0;
}

static int for_reading(int fd, struct error *error)
{
	int again = save_reopen_for_reading(fd);
	return again < 0 ? error_set(error, -errno, "a clone's memory: %s", strerror(errno)) : again;
}

static int take_state(struct cloning *cloning, struct error *error)
{
	int fds[2] = { -1, -1 }, err = memory_pair(fds, error);
	int connection = err ? -1 : vm_save_to(cloning->info, fds[0], fds[1], -1, error);
	if (!err && connection < 0)
		err = connection;
	if (connection >= 0)
		close(connection); /* it goes on */
	for (int i = 0; i < 2 && !err; i++)
		if (fcntl(fds[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
			err = error_set(error, -errno, "a clone's memory cannot be sealed: %s", strerror(errno));
	if (!err)
		err = (cloning->state_fd = for_reading(fds[0], error)) < 0 ? cloning->state_fd : 0;
	if (!err)
		err = (cloning->memory_fd = for_reading(fds[1], error)) < 0 ? cloning->memory_fd : 0;
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

static int check_random(const struct cloning *cloning, struct error *error)
{
	const struct vm_info *info = cloning->info;
	char *found = cloning->wish->accept_shared_random ? NULL : shared_random_in(&cloning->image, config_string(info->config, "program"));
	if (!found)
		return 0;
	error_set(error, -EPERM, "VM %s has %s, whose random numbers, keys too, would be the same in every clone that was seeded before: nothing can tell it. If none that "
				 "matter come from it: --accept-shared-random", info->dir.id, found);
	free(found);
	return -EPERM;
}

/* Disks cannot be two VMs' at once, and a tap is one's. */
static int check_shared(const struct cloning *cloning, const struct vm_config *config, struct error *error)
{
	const char *id = config->id;
	const struct net_request *net = &cloning->wish->net;
	for (size_t i = 0; i < config->disks; i++)
		if (!config->disk[i].read_only)
			return error_set(error, -EBUSY, "VM %s writes to disk %s, which clones cannot share; only disks with ,ro can be cloned", id, config->disk[i].path);
	if (config->net.kind == NET_TAP && (!net->net || cloning->wish->count > 1) && !(net->net && strncmp(net->net, "tap:", 4)))
		return error_set(error, -EBUSY, "VM %s has the tap %s, which is for one VM: give clones --net bridge:NAME, or one of them --net tap:OTHER", id, config->net.name);
	bool shares = config->net.kind == NET_TAP || config->net.kind == NET_BRIDGE;
	if (shares && config->net.ip && !net->ip)
		return error_set(error, -EADDRINUSE, "VM %s has an address of its own: give clones others: --ip FIRST, and each has one higher than the one before", id);
	if (shares && net_has_ip6(&config->net) && !net->ip6)
		return error_set(error, -EADDRINUSE, "VM %s has an IPv6 address of its own: give clones others: --ip6 FIRST, and each has one higher than the one before", id);
	if (config->guest.is_linux && config->net.kind != NET_NONE)
		return error_set(error, -EOPNOTSUPP, "VM %s is a Linux guest with a network, whose addresses its kernel keeps: only with --net none can one be cloned yet", id);
	if (config->guest.is_linux && cloning->wish->paused)
		return error_set(error, -EINVAL, "--paused: VM %s is a Linux guest, whose clones PID 1 tells who they are: they have to run for that", id);
	return 0;
}

static int open_image(struct cloning *cloning, struct error *error)
{
	struct save_manifest manifest = { 0 };
	/* It is looked at as for a save: that it is the one that the VM has. */
	int err = vm_save_describe(cloning->info, &manifest, error);
	save_manifest_free(&manifest);
	return err ? err : image_open(&cloning->image, config_string(cloning->info->config, "image"), error);
}

/* ---- one of them ---- */

static int higher_address(struct net_spec *net, unsigned by, struct error *error)
{
	uint32_t ip = ntohl(net->ip) + by, mask = ntohl(net->mask);
	char first[INET_ADDRSTRLEN];
	if ((ip & mask) != (ntohl(net->ip) & mask) || (ip & ~mask) == ~mask)
		return error_set(error, -ERANGE, "--ip: the %u. address behind %s is not of its network any more", by, inet_ntop(AF_INET, &net->ip, first, sizeof(first)));
	net->ip = htonl(ip);
	return 0;
}

static int higher_address6(struct net_spec *net, unsigned by, struct error *error)
{
	unsigned sum = by;
	for (int i = 15; i >= 8 && sum; i--, sum >>= 8) {
		sum += net->ip6[i];
		net->ip6[i] = (uint8_t)sum;
	}
	return sum ? error_set(error, -ERANGE, "--ip6: the %u. address behind the first is not of its network any more", by) : 0;
}

/* Ports of the VM itself are taken; only those that were asked for are forwarded. */
static int change_net(const struct cloning *cloning, unsigned i, struct vm_config *config, struct error *error)
{
	struct net_request request = cloning->wish->net;
	struct net_spec *net = &config->net;
	request.id = config->id;
	free(net->port);
	net->port = NULL;
	net->ports = 0;
	if (net->kind == NET_NONE)
		return net_asked(&request) ? error_set(error, -EINVAL, "the VM has no network, and its clones cannot get one") : 0;
	int err = net_change(net, &request, error);
	if (!err && net->kind == NET_NONE)
		err = error_set(error, -EINVAL, "--net none: the VM has a network device, which its clones go on with");
	if (!err && i && request.ip)
		err = higher_address(net, i, error);
	if (!err && i && request.ip6)
		err = higher_address6(net, i, error);
	for (size_t p = 0; p < net->ports && !err; p++) {
		if (net->port[p].host + i > UINT16_MAX)
			err = error_set(error, -ERANGE, "-p: there is no port %u for the %u. clone", net->port[p].host + i, i + 1);
		net->port[p].host = (uint16_t)(net->port[p].host + i);
	}
	if (!err && (!request.mac || i))
		net_renew(net, config->id);
	return err;
}

/* Its host name is its id where the VM's was. */
static void change_names(const struct cloning *cloning, unsigned i, struct vm_config *config)
{
	const struct clone_wish *wish = cloning->wish;
	const char *prefix = wish->name ? wish->name : config->name;
	char *name = !prefix ? NULL : wish->name && wish->count == 1 ? alloc_copy(prefix) : alloc_format("%s-%u", prefix, i + 1);
	bool own_host = !strcmp(config->hostname, cloning->info->dir.id);
	free(config->name);
	config->name = name;
	if (own_host || name) {
		free(config->hostname);
		config->hostname = alloc_copy(name ? name : config->id);
	}
}

static int prepare(const struct cloning *cloning, unsigned i, struct vm_config *config, struct error *error)
{
	int err = config_from_json(config, cloning->info->config, error);
	if (!err)
		err = vm_new_id(config->id, error);
	if (err)
		return err;
	config->created_ns = clock_wall();
	config->detached = true;
	config->remove = cloning->wish->remove;
	config->restart = (struct config_restart){ 0 };
	free(config->pid_file);
	config->pid_file = NULL;
	change_names(cloning, i, config);
	err = change_net(cloning, i, config, error);
	config->image_fd = fcntl(cloning->image.fd, F_DUPFD_CLOEXEC, 3);
	config->state = (struct config_state){ .state = fcntl(cloning->state_fd, F_DUPFD_CLOEXEC, 3), .memory = fcntl(cloning->memory_fd, F_DUPFD_CLOEXEC, 3), .pages = -1, .pager = { -1, -1 },
		.machine_memory = config->guest.is_linux ? cloning->info->status.ram_size : 0,
		.flags = LV_RESTORE_CLONE | LV_RESTORE_RESET_CONNECTIONS | (cloning->wish->paused ? LV_RESTORE_PAUSED : 0) | (cloning->wish->whole ? LV_RESTORE_WHOLE : 0) };
	if (!err && (config->image_fd < 0 || config->state.state < 0 || config->state.memory < 0))
		err = error_set(error, -errno, "a clone: %s", strerror(errno));
	if (!err)
		err = config_validate(config, error);
	return err ? err : config_open(config, error); /* a kernel, and disks that none of them writes to */
}

static int start(const struct cloning *cloning, const struct vm_config *config, struct error *error)
{
	struct vm_dir vm = VM_DIR_NONE;
	bool failed = false;
	int err = launch_create(cloning->state, config, &vm, error);
	if (!err) {
		err = launch_quietly(&vm, config, cloning->start_ns, &failed, error);
		if (failed)
			vm_remove(cloning->state, &vm, config->name, NULL);
	}
	vm_close(&vm);
	return err;
}

static void make_one(void *context, size_t i)
{
	struct cloning *cloning = context;
	struct clone *clone = &cloning->clones[i];
	struct vm_config config;
	config_init(&config);
	int err = prepare(cloning, (unsigned)i, &config, &clone->error);
	memcpy(clone->id, config.id, sizeof(clone->id));
	snprintf(clone->name, sizeof(clone->name), "%s", config.name ? config.name : "");
	if (!err)
		err = start(cloning, &config, &clone->error);
	if (err && !clone->error.code)
		error_set(&clone->error, err, "%s", strerror(-err));
	config_free(&config);
}

/* ---- all ---- */

static int check(const struct cloning *cloning, struct error *error)
{
	struct vm_config config;
	const struct clone_wish *wish = cloning->wish;
	config_init(&config);
	int err = config_from_json(&config, cloning->info->config, error);
	if (!err && (wish->count < 1 || wish->count > CLONES_MAX))
		err = error_set(error, -ERANGE, "%u clones are not 1 to %d", wish->count, CLONES_MAX);
	if (!err && wish->name && !vm_name_valid(wish->name))
		err = error_set(error, -EINVAL, "--name: \"%.80s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", wish->name);
	if (!err)
		err = check_shared(cloning, &config, error);
	config_free(&config);
	return err;
}

static int answer(const struct cloning *cloning, struct error *error)
{
	for (unsigned i = 0; i < cloning->wish->count; i++)
		if (cloning->clones[i].error.code)
			return error_set(error, cloning->clones[i].error.code, "clone %u: %s", i + 1, cloning->clones[i].error.text);
	return 0;
}

int vm_clone(const struct state *state, struct vm_info *info, const struct clone_wish *wish, uint64_t start_ns, struct clone *clones, struct error *error)
{
	struct cloning cloning = { state, info, wish, clones, IMAGE_CLOSED, -1, -1, start_ns };
	int err = vm_save_check(info, error);
	memset(clones, 0, wish->count * sizeof(*clones));
	if (!err)
		err = check(&cloning, error);
	if (!err)
		err = open_image(&cloning, error);
	if (!err)
		err = check_random(&cloning, error);
	if (!err)
		err = take_state(&cloning, error);
	for (unsigned i = 0; i < wish->count && err; i++)
		clones[i].error.code = err;
	if (!err) {
		parallel_each(wish->count, parallel_processors(PROCESSORS_MOST) * THREADS_EACH, make_one, &cloning);
		err = answer(&cloning, error);
	}
	if (cloning.state_fd >= 0)
		close(cloning.state_fd);
	if (cloning.memory_fd >= 0)
		close(cloning.memory_fd);
	image_close(&cloning.image);
	return err;
}
