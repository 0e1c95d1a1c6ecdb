/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/encoded.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "node/config_encode.h"
#include "tests/unit/random_config.h"

/* What config_validate would have refused. */
static void make_sound(struct vm_config *config)
{
	struct strings env = { 0 };
	for (size_t i = 0; i < config->env.count; i++)
		strings_take(&env, alloc_format("V%zu=%s", i, config->env.item[i]));
	strings_free(&config->env);
	config->env = env;
	config->program = config->program ? config->program : strdup("/p");
	config->cwd = config->cwd ? config->cwd : strdup("/");
	config->hostname = config->hostname ? config->hostname : strdup("h");
	for (size_t i = 0; i < config->mounts; i++) {
		free(config->mount[i].path);
		config->mount[i].path = alloc_format("/m%zu/x", i);
	}
	for (size_t i = 0; i < config->disks; i++)
		if (config->disk[i].serial && strlen(config->disk[i].serial) > 20)
			config->disk[i].serial[20] = 0;
	if (config->net.kind == NET_PASST)
		config->net.queues = 1;
}

static void want_net(const struct vm_config *config, const struct net_link *link, struct text *out)
{
	const struct net_spec *net = &config->net;
	if (link->fd < 0)
		return;
	text_format(out, "net %d", link->fd);
	for (unsigned i = 0; i < link->mores; i++)
		text_format(out, "+%d", link->more[i]);
	text_format(out, " %s%s %02x%02x%02x%02x%02x%02x %x %x %x %x %u ip6 %02x%02x %02x%02x\n", net->kind == NET_PASST ? "passt" : "tap",
		    net_answers_loopback(net) ? " answers" : "", net->mac[0], net->mac[1], net->mac[2], net->mac[3], net->mac[4], net->mac[5], net->ip, net->mask, net->gateway, net->dns, net->mtu, net->ip6[0], net->ip6[15], net->gateway6[0], net->gateway6[15]);
}

static char *want(const struct vm_config *c, const struct monitor_files *files, uint64_t start_ns)
{
	struct text out = { 0 };
	bool is_linux = c->guest.is_linux;
	text_format(&out, "name %s\nmemory %llu start %llu image %llu\n", c->name ? c->name : c->id, (unsigned long long)(c->state.machine_memory ? c->state.machine_memory : c->memory), (unsigned long long)start_ns, (unsigned long long)c->image_ns);
	text_format(&out, "files %d %d %d %d %d %d %d %d console %d %d %d messages %d claim %u\n", files->libos, c->image_fd, c->guest.kernel_fd, c->guest.bare ? c->guest.initrd_fd : files->initrd,
		    files->control, files->status, files->log, files->cpuid, files->in, files->out, files->err, files->messages, files->claim);
	text_format(&out, "cpus %u flags %d%d%d%d%d%d own %u user %u:%u\n", c->guest.cpus, c->guest.bare,
		    c->terminal && !c->guest.bare, c->guest.rng, c->guest.balloon, c->guest.kernel_kept, !c->detached, files->own / LV_VM_OWN_IN, is_linux ? 0 : c->uid, is_linux ? 0 : c->gid);
	text_format(&out, "program %s %s %s\n", is_linux ? "-" : c->program, is_linux ? "-" : c->cwd, is_linux ? "-" : c->hostname);
	for (size_t i = 0; i < c->args.count && !is_linux; i++)
		text_format(&out, "arg %s\n", c->args.item[i]);
	for (size_t i = 0; i < c->env.count && !is_linux; i++)
		text_format(&out, "env %s\n", c->env.item[i]);
	for (size_t i = 0; i < c->mounts && !is_linux; i++) {
		const struct config_mount *mount = &c->mount[i];
		if (mount->kind == MOUNT_TMPFS)
			text_format(&out, "mount tmpfs:%llu:%o %s\n", (unsigned long long)mount->size, mount->mode, mount->path);
		else
			text_format(&out, "mount %s %s\n", mount->kind == MOUNT_READ_ONLY ? "ro" : "rw", mount->path);
	}
	if (is_linux)
		text_format(&out, "append %s\n", c->guest.append ? c->guest.append : "");
	want_net(c, files->link, &out);
	for (size_t i = 0; i < c->disks; i++)
		text_format(&out, "disk %d %d %d %s\n", c->disk[i].fd, c->disk[i].lock, c->disk[i].read_only, c->disk[i].serial ? c->disk[i].serial : "");
	if (files->files >= 0)
		text_format(&out, "record %d %u\n", files->files, c->record);
	if (files->prefault >= 0)
		text_format(&out, "prefault %d %d\n", files->prefault, c->prefault == PREFAULT_ALL);
	if (files->vsock >= 0)
		text_format(&out, "vsock %d -1 3\n", files->vsock);
	return out.data;
}

void encode_random(struct encoded *encoded, unsigned seed)
{
	struct vm_config config;
	struct net_link link = NET_LINK_NONE;
	struct text out = { 0 };
	struct fd_list fds = { 0 };
	struct error error = { 0 };
	random_config(&config, seed);
	config.image_ns = 500 + seed;
	make_sound(&config);
	config.state.machine_memory = config.guest.is_linux && seed % 3 == 1 ? 2 * config.memory : 0;
	bool is_linux = config.guest.is_linux, ours = is_linux && !config.guest.bare;
	struct monitor_files files = { .link = &link, .libos = is_linux ? -1 : 101, .initrd = ours ? 102 : -1, .vsock = ours ? 103 : -1,
		.control = 105, .status = 106, .log = seed % 3 ? 107 : -1, .cpuid = seed % 5 ? 108 : -1,
		.in = seed % 2 ? 116 : -1, .out = seed % 2 ? 117 : -1, .err = seed % 7 ? 118 : -1, .messages = seed % 2 ? 119 : -1, .files = is_linux || seed % 4 ? -1 : 104, .prefault = is_linux || seed % 3 ? -1 : 113, .claim = seed % LV_CLAIMS, .own = seed % 8 * LV_VM_OWN_IN };
	config.image_fd = is_linux && seed % 2 ? -1 : 109;
	config.record = files.files < 0 ? 0 : 1 + seed % 3;
	config.guest.kernel_fd = is_linux ? 110 : -1;
	config.guest.kernel_kept = is_linux && seed % 4 == 1;
	config.guest.initrd_fd = config.guest.bare && seed % 2 ? 111 : -1;
	link.fd = config.net.kind == NET_NONE ? -1 : 112;
	for (unsigned i = 1; i < config.net.queues; i++)
		link.more[link.mores++] = 112 + (int)i;
	for (size_t i = 0; i < config.disks; i++)
		config.disk[i].fd = 120 + (int)i, config.disk[i].lock = 140 + (int)i;
	assert_int_equal(config_encode(&config, &files, 1000 + seed, &out, &fds, &error), 0);
	*encoded = (struct encoded){ .bytes = out.data, .size = out.size, .fds = fds.count, .want = want(&config, &files, 1000 + seed) };
	memcpy(encoded->fd, fds.fd, sizeof(encoded->fd));
	config.image_fd = config.guest.kernel_fd = config.guest.initrd_fd = -1;
	for (size_t i = 0; i < config.disks; i++)
		config.disk[i].fd = config.disk[i].lock = -1;
	config_free(&config);
}

void encoded_free(struct encoded *encoded)
{
	free(encoded->bytes);
	free(encoded->want);
}
