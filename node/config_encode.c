/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config_encode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/records_write.h"

#define GUEST_CID 3

/* The place of a descriptor in the list; LV_VM_NO_FD for none, or when there is no more room, which is seen at the end. */
static int32_t put_fd(struct fd_list *fds, int fd)
{
	if (fd < 0)
		return LV_VM_NO_FD;
	if (fds->count < LV_VM_FDS_MAX)
		fds->fd[fds->count] = fd;
	return (int32_t)fds->count++;
}

static uint32_t flags_of(const struct vm_config *config)
{
	const struct config_guest *guest = &config->guest;
	return (guest->bare ? LV_VM_SERIAL : config->terminal ? LV_VM_TTY : 0) | (guest->rng ? LV_VM_RNG : 0) |
	       (guest->balloon ? LV_VM_BALLOON : 0) | (guest->kernel_kept ? LV_VM_KERNEL_KEPT : 0) |
	       (config->detached && !config->tied ? 0 : LV_VM_ATTACHED);
}

static void put_machine(const struct vm_config *config, const struct monitor_files *files, uint64_t start_ns, struct text *out, struct fd_list *fds)
{
	const struct config_guest *guest = &config->guest;
	struct lv_vm_machine machine = { .memory = config_machine_memory(config), .start_ns = start_ns, .image_ns = config->image_ns, .cpus = guest->cpus, .flags = flags_of(config) | files->own,
		.libos = put_fd(fds, files->libos), .image = put_fd(fds, config->image_fd), .kernel = put_fd(fds, guest->kernel_fd),
		.initrd = put_fd(fds, guest->bare ? guest->initrd_fd : files->initrd), .control = put_fd(fds, files->control),
		.status = put_fd(fds, files->status), .log = put_fd(fds, files->log), .cpuid = put_fd(fds, files->cpuid),
		.in = put_fd(fds, files->in), .out = put_fd(fds, files->out), .err = put_fd(fds, files->err), .messages = put_fd(fds, files->messages), .claim = files->claim };
	if (!guest->is_linux) {
		machine.uid = config->uid;
		machine.gid = config->gid;
	}
	records_add(out, LV_VM_MACHINE, &machine, sizeof(machine));
}

static void put_mounts(const struct vm_config *config, struct text *out)
{
	for (size_t i = 0; i < config->mounts; i++) {
		char *word = config_mount_word(&config->mount[i], (unsigned)i);
		if (word)
			records_add_string(out, LV_VM_MOUNT, word);
		out->failed |= !word;
		free(word);
	}
}

/* The program, and what it is given: the library OS knows these from the monitor, our PID 1 from its archive. */
static void put_program(const struct vm_config *config, struct text *out)
{
	records_add_string(out, LV_VM_PROGRAM, config->program);
	records_add_string(out, LV_VM_CWD, config->cwd);
	records_add_string(out, LV_VM_HOSTNAME, config->hostname);
	for (size_t i = 0; i < config->args.count; i++)
		records_add_string(out, LV_VM_ARG, config->args.item[i]);
	for (size_t i = 0; i < config->env.count; i++)
		records_add_string(out, LV_VM_ENV, config->env.item[i]);
	put_mounts(config, out);
}

static void put_net(const struct net_spec *spec, const struct net_link *link, struct text *out, struct fd_list *fds)
{
	struct lv_vm_net net = { .passt = spec->kind == NET_PASST, .spoof = spec->kind == NET_PASST ? spec->host_loopback : spec->spoof, .answers = net_answers_loopback(spec),
		.config = { .mtu = (uint16_t)(spec->mtu ? spec->mtu : link->mtu), .ip = spec->ip, .netmask = spec->mask, .gateway = spec->gateway, .dns = spec->dns } };
	if (link->fd < 0)
		return;
	memcpy(net.config.mac, spec->mac, sizeof(net.config.mac));
	memcpy(net.config6.ip, spec->ip6, sizeof(net.config6.ip));
	memcpy(net.config6.gateway, spec->gateway6, sizeof(net.config6.gateway));
	net.fd[0] = put_fd(fds, link->fd);
	for (unsigned i = 1; i < LV_VM_NET_QUEUES; i++)
		net.fd[i] = i <= link->mores ? put_fd(fds, link->more[i - 1]) : LV_VM_NO_FD;
	records_add(out, LV_VM_NET, &net, sizeof(net));
}

static void put_disks(const struct vm_config *config, struct text *out, struct fd_list *fds)
{
	for (size_t i = 0; i < config->disks; i++) {
		const struct config_disk *disk = &config->disk[i];
		struct lv_vm_disk record = { .fd = put_fd(fds, disk->fd), .lock = put_fd(fds, disk->lock), .read_only = disk->read_only };
		if (disk->serial)
			memcpy(record.serial, disk->serial, strnlen(disk->serial, sizeof(record.serial)));
		records_add(out, LV_VM_DISK, &record, sizeof(record));
	}
}

static void put_volumes(const struct vm_config *config, const struct volume_links *links, struct text *out, struct fd_list *fds)
{
	unsigned next = 0;
	for (size_t i = 0; links && i < config->mounts; i++) {
		struct lv_vm_volume record = { .read_only = config->mount[i].frozen };
		if (config->mount[i].kind != MOUNT_VOLUME)
			continue;
		record.fd = put_fd(fds, links->fd[next++]);
		snprintf(record.tag, sizeof(record.tag), MOUNT_TAG, (unsigned)i);
		records_add(out, LV_VM_VOLUME, &record, sizeof(record));
	}
}

static void put_state(const struct config_state *state, struct text *out, struct fd_list *fds)
{
	struct lv_vm_state record = { .state = put_fd(fds, state->state), .memory = put_fd(fds, state->memory), .flags = state->flags };
	if (state->state < 0)
		return;
	records_add(out, LV_VM_STATE, &record, sizeof(record));
	struct lv_vm_pages pages = { .fd = put_fd(fds, state->pages) };
	if (state->pages >= 0)
		records_add(out, LV_VM_PAGES, &pages, sizeof(pages));
	struct lv_vm_pager pager = { .device = put_fd(fds, state->pager.device), .listener = put_fd(fds, state->pager.listener) };
	if (state->pager.device >= 0)
		records_add(out, LV_VM_PAGER, &pager, sizeof(pager));
	for (unsigned i = state->below_count; i-- > 0;) {
		struct lv_vm_below below = { .memory = put_fd(fds, state->below[i]) };
		records_add(out, LV_VM_BELOW, &below, sizeof(below));
	}
}

int config_encode(const struct vm_config *config, const struct monitor_files *files, uint64_t start_ns, struct text *out, struct fd_list *fds, struct error *error)
{
	records_begin(out, LV_VM_RECORDS_MAGIC, LV_VM_RECORDS_VERSION);
	put_machine(config, files, start_ns, out, fds);
	records_add_string(out, LV_VM_NAME, config->name ? config->name : config->id);
	if (!config->guest.is_linux)
		put_program(config, out);
	else if (config->guest.append)
		records_add_string(out, LV_VM_APPEND, config->guest.append);
	put_net(&config->net, files->link, out, fds);
	put_disks(config, out, fds);
	put_volumes(config, files->volumes, out, fds);
	put_state(&config->state, out, fds);
	if (files->prefault >= 0) {
		struct lv_vm_prefault record = { .fd = put_fd(fds, files->prefault), .flags = config->prefault == PREFAULT_ALL ? LV_PREFAULT_ALWAYS : 0 };
		records_add(out, LV_VM_PREFAULT, &record, sizeof(record));
	}
	if (files->files >= 0) {
		struct lv_vm_files record = { .fd = put_fd(fds, files->files), .record = config->record };
		records_add(out, LV_VM_FILES, &record, sizeof(record));
	}
	if (files->vsock >= 0) {
		struct lv_vm_vsock vsock = { .listener = put_fd(fds, files->vsock), .cid = GUEST_CID };
		records_add(out, LV_VM_VSOCK, &vsock, sizeof(vsock));
	}
	records_end(out);
	if (text_error(out))
		return error_set(error, -ENOMEM, "out of memory");
	if (fds->count > LV_VM_FDS_MAX)
		return error_set(error, -E2BIG, "the VM needs %u descriptors; a monitor takes %d", fds->count, LV_VM_FDS_MAX);
	if (out->size > LV_VM_RECORDS_MAX)
		return error_set(error, -E2BIG, "arguments and environment take %zu bytes; a VM can have %u", out->size, LV_VM_RECORDS_MAX);
	return 0;
}
