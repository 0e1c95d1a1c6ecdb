/* SPDX-License-Identifier: Apache-2.0 */
#include "node/clone_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/device_page.h"
#include "abi/layout.h"
#include "node/vm_config.h"
#include "node/vm_save.h"

#define VALUE 64
#define EACH (3 + 2 * LV_MAX_DEVICES) /* values of one VM, at most */

struct value {
	const char *what;
	char bytes[VALUE]; /* zeroes behind it */
	const char *id;
};

struct values {
	struct value *list;
	size_t count;
};

static void add(struct values *values, const char *id, const char *what, const void *bytes, size_t size)
{
	struct value *value = &values->list[values->count++];
	*value = (struct value){ .what = what, .id = id };
	memcpy(value->bytes, bytes, size < VALUE ? size : VALUE);
}

/* Its device page, which it cannot write to, in its own memory. */
static int read_page(const struct vm_info *info, struct lv_device_page *page, struct error *error)
{
	int state = memfd_create("lightvm verify", MFD_CLOEXEC), memory = memfd_create("lightvm verify", MFD_CLOEXEC);
	int err = state < 0 || memory < 0 ? error_set(error, -errno, "memfd_create: %s", strerror(errno)) : 0;
	int connection = err ? -1 : vm_save_to(info, state, memory, -1, error);
	if (!err && connection < 0)
		err = connection;
	if (!err && (pread(memory, page, sizeof(*page), LV_DEVICE - LV_BASE) != (ssize_t)sizeof(*page) || page->size != sizeof(*page)))
		err = error_set(error, -EPROTO, "VM %s: its memory has no device page that this lightvm reads", info->dir.id);
	const int fds[] = { connection, state, memory };
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}

/* Behind passt each has a network of its own. */
static bool has_own_network(const struct vm_info *info)
{
	return !strcmp(config_string(json_object_get(info->config, "net"), "kind"), "passt");
}

static int add_vm(struct values *values, const char *id, const struct vm_info *info, struct error *error)
{
	struct lv_device_page page;
	if (info->status.guest != LV_GUEST_LIBOS)
		return error_set(error, -EOPNOTSUPP, "VM %s is a Linux guest: what it knows of itself cannot be read", id);
	int err = read_page(info, &page, error);
	if (err)
		return err;
	add(values, id, "the random seed", page.random_seed, sizeof(page.random_seed));
	add(values, id, "the generation", &page.generation, sizeof(page.generation));
	add(values, id, "the host name", page.hostname, strnlen(page.hostname, sizeof(page.hostname)));
	for (uint32_t i = 0; i < page.device_count && i < LV_MAX_DEVICES; i++) {
		const struct lv_net_config *net = &page.device[i].config.net;
		if (page.device[i].type != LV_DEV_NET)
			continue;
		add(values, id, "a hardware address", net->mac, sizeof(net->mac));
		if (net->ip && !has_own_network(info))
			add(values, id, "an address", &net->ip, sizeof(net->ip));
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct value *x = a, *y = b;
	int order = strcmp(x->what, y->what);
	return order ? order : memcmp(x->bytes, y->bytes, VALUE);
}

static int find_shared(struct values *values, struct error *error)
{
	qsort(values->list, values->count, sizeof(*values->list), compare);
	for (size_t i = 1; i < values->count; i++) {
		const struct value *one = &values->list[i - 1], *other = &values->list[i];
		if (!compare(one, other))
			return error_set(error, -ENOTUNIQ, "VMs %s and %s share %s", one->id, other->id, one->what);
	}
	return 0;
}

int clones_verify(const struct state *state, const char *const *ids, size_t count, struct error *error)
{
	struct values values = { .list = alloc_zero(count * EACH * sizeof(*values.list)) };
	int err = values.list ? 0 : error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count && !err; i++) {
		struct vm_info info;
		err = vm_info_open(state, ids[i], &info);
		err = err ? error_set(error, err, "VM %s is gone", ids[i]) : !info.alive ? vm_not_alive(&info, error) : add_vm(&values, ids[i], &info, error);
		vm_info_close(&info);
	}
	if (!err)
		err = find_shared(&values, error);
	free(values.list);
	return err;
}
