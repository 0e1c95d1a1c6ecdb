/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/random_config.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static unsigned next(unsigned *seed, unsigned below)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 8) % below;
}

/* Half of them plain, the others any bytes but zero. */
static char *word(unsigned *seed)
{
	char bytes[40];
	size_t size = next(seed, sizeof(bytes));
	bool plain = next(seed, 2);
	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(plain ? 'a' + next(seed, 26) : 1 + next(seed, 255));
	return strndup(bytes, size);
}

static char *word_or_none(unsigned *seed)
{
	return next(seed, 3) ? word(seed) : NULL;
}

static void words(struct strings *list, unsigned *seed)
{
	for (unsigned n = next(seed, 8); n; n--)
		strings_take(list, word(seed));
}

static void random_net(struct net_spec *net, unsigned *seed)
{
	net->kind = next(seed, 4);
	if (net->kind == NET_NONE)
		return;
	net->host_loopback = next(seed, 2);
	net->spoof = next(seed, 2);
	net->name = word_or_none(seed);
	net->queues = 1 + next(seed, NET_QUEUES);
	for (int i = 0; i < 6; i++)
		net->mac[i] = (uint8_t)(next(seed, 256) & ~(i ? 0u : 1u));
	/* passt always has an address: without one it gets its own. */
	net->ip = next(seed, 3) || net->kind == NET_PASST ? htonl(1 + next(seed, 1u << 24)) : 0;
	net->mask = htonl(next(seed, 1u << 24));
	net->gateway = htonl(next(seed, 1u << 24));
	net->dns = htonl(next(seed, 1u << 24));
	for (int i = 0; i < 32 && next(seed, 2); i++)
		(i < 16 ? net->ip6 : net->gateway6)[i % 16] = (uint8_t)next(seed, 256);
	net->mtu = (uint16_t)(576 + next(seed, 65536 - 576));
	net->ports = next(seed, 5);
	net->port = net->ports ? calloc(net->ports, sizeof(*net->port)) : NULL;
	for (size_t i = 0; i < net->ports; i++)
		net->port[i] = (struct net_port){ .host_ip = next(seed, 2) ? htonl(next(seed, 1u << 24)) : 0, .host = (uint16_t)(1 + next(seed, 65535)),
						  .guest = (uint16_t)(1 + next(seed, 65535)), .protocol = next(seed, 2) };
}

static void random_guest(struct config_guest *guest, unsigned *seed)
{
	guest->kernel = word_or_none(seed);
	if (!next(seed, 2))
		return;
	guest->is_linux = true;
	guest->bare = next(seed, 2);
	guest->kernel_path = word_or_none(seed);
	guest->initrd = word_or_none(seed);
	guest->append = word_or_none(seed);
	guest->cpus = 1 + next(seed, 32);
	guest->rng = next(seed, 2);
	guest->balloon = next(seed, 2);
}

void random_config(struct vm_config *config, unsigned seed)
{
	config_init(config);
	for (int i = 0; i < STATE_ID; i++)
		config->id[i] = "0123456789abcdef"[next(&seed, 16)];
	config->name = word_or_none(&seed);
	config->created_ns = (uint64_t)next(&seed, 1u << 24) << next(&seed, 39);
	config->image = word_or_none(&seed);
	config->program = word_or_none(&seed);
	words(&config->args, &seed);
	words(&config->env, &seed);
	words(&config->labels, &seed);
	config->pid_file = word_or_none(&seed);
	config->cwd = word_or_none(&seed);
	config->hostname = word_or_none(&seed);
	config->stop_signal = word_or_none(&seed);
	config->uid = next(&seed, 1u << 24) << 8;
	config->gid = next(&seed, 1u << 24);
	config->memory = (uint64_t)next(&seed, 1u << 24) << next(&seed, 30);
	random_guest(&config->guest, &seed);
	random_net(&config->net, &seed);
	config->disks = next(&seed, CONFIG_DISKS + 1);
	for (size_t i = 0; i < config->disks; i++) {
		config->disk[i].path = word_or_none(&seed);
		config->disk[i].serial = word_or_none(&seed);
		config->disk[i].read_only = next(&seed, 2);
		config->disk[i].overlay = next(&seed, 2);
	}
	config->mounts = next(&seed, CONFIG_MOUNTS + 1);
	for (size_t i = 0; i < config->mounts; i++)
		config->mount[i] = (struct config_mount){ .path = word_or_none(&seed), .kind = next(&seed, 3), .size = (uint64_t)next(&seed, 1u << 24) << next(&seed, 30),
							  .mode = next(&seed, 010000) };
	config->prefault = next(&seed, 3);
	config->detached = next(&seed, 2);
	config->remove = next(&seed, 2);
	config->terminal = next(&seed, 2);
	config->keeps_stdin = next(&seed, 2);
	config->restart.policy = next(&seed, 4);
	config->restart.most = next(&seed, RESTART_MOST);
}

static bool is_full(const struct vm_config *config)
{
	return config->guest.is_linux && config->net.kind != NET_NONE && config->net.ports && config->disks && config->mounts;
}

void full_config(struct vm_config *config)
{
	unsigned seed = 1;
	for (random_config(config, seed); !is_full(config); random_config(config, ++seed))
		config_free(config);
}

/* ---- comparing ---- */

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool same_list(const struct strings *a, const struct strings *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (strcmp(a->item[i], b->item[i]))
			return false;
	return a->count == b->count;
}

#define NUMBER(field) if (a->field != b->field) return #field
#define TEXT(field) if (!same_text(a->field, b->field)) return #field
#define LIST(field) if (!same_list(&a->field, &b->field)) return #field

static char *net_difference(const struct net_spec *a, const struct net_spec *b)
{
	NUMBER(kind);
	NUMBER(host_loopback);
	NUMBER(spoof);
	TEXT(name);
	NUMBER(queues);
	NUMBER(ports);
	NUMBER(ip);
	NUMBER(mask);
	NUMBER(gateway);
	NUMBER(dns);
	NUMBER(mtu);
	if (memcmp(a->mac, b->mac, sizeof(a->mac)))
		return "mac";
	if (memcmp(a->ip6, b->ip6, sizeof(a->ip6)))
		return "ip6";
	if (memcmp(a->gateway6, b->gateway6, sizeof(a->gateway6)))
		return "gateway6";
	for (size_t i = 0; i < a->ports; i++) {
		NUMBER(port[i].host_ip);
		NUMBER(port[i].host);
		NUMBER(port[i].guest);
		NUMBER(port[i].protocol);
	}
	return NULL;
}

static char *guest_difference(const struct config_guest *a, const struct config_guest *b)
{
	NUMBER(is_linux);
	NUMBER(bare);
	NUMBER(cpus);
	NUMBER(rng);
	NUMBER(balloon);
	TEXT(kernel);
	TEXT(kernel_path);
	TEXT(initrd);
	TEXT(append);
	return NULL;
}

char *config_difference(const struct vm_config *a, const struct vm_config *b)
{
	TEXT(id);
	TEXT(name);
	NUMBER(created_ns);
	TEXT(image);
	TEXT(program);
	LIST(args);
	LIST(env);
	LIST(labels);
	TEXT(pid_file);
	TEXT(cwd);
	TEXT(hostname);
	TEXT(stop_signal);
	NUMBER(uid);
	NUMBER(gid);
	NUMBER(memory);
	NUMBER(disks);
	NUMBER(mounts);
	for (size_t i = 0; i < a->mounts; i++) {
		TEXT(mount[i].path);
		NUMBER(mount[i].kind);
		NUMBER(mount[i].size);
		NUMBER(mount[i].mode);
	}
	NUMBER(prefault);
	NUMBER(detached);
	NUMBER(remove);
	NUMBER(terminal);
	NUMBER(keeps_stdin);
	NUMBER(restart.policy);
	NUMBER(restart.most);
	for (size_t i = 0; i < a->disks; i++) {
		TEXT(disk[i].path);
		TEXT(disk[i].serial);
		NUMBER(disk[i].read_only);
		NUMBER(disk[i].overlay);
	}
	char *why = guest_difference(&a->guest, &b->guest);
	return why ? why : net_difference(&a->net, &b->net);
}
