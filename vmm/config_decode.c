/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/config_decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/used_files.h"
#include "abi/vm_records.h"
#include "parse/mount_word.h"
#include "parse/record_reader.h"

#define MTU_LEAST 576

_Static_assert(LV_VM_MOUNTS_MAX == VM_MOUNTS_MAX, "as many mounts on both sides");
_Static_assert(LV_VM_NET_QUEUES == NET_PAIRS_MAX, "as many queues on both sides");

struct decoder {
	struct records_reader reader;
	struct machine_config *config;
	const int *fds;
	unsigned count;
	uint64_t taken; /* bit i: descriptor i has its place */
	bool has_machine, has_vsock, has_state, has_pages, has_pager, has_files, has_prefault;
};

static int refuse(struct decoder *decoder, const char *why)
{
	return records_refuse(&decoder->reader, why);
}

static int take_fd(struct decoder *decoder, int32_t place, int *fd)
{
	if (place == LV_VM_NO_FD)
		return 0;
	if (place < 0 || (unsigned)place >= decoder->count)
		return refuse(decoder, "it names a descriptor that did not come");
	if (decoder->taken & 1ull << place)
		return refuse(decoder, "it names a descriptor twice");
	decoder->taken |= 1ull << place;
	*fd = decoder->fds[place];
	return 0;
}

static int take_machine(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_machine machine;
	struct machine_config *c = decoder->config;
	int err = records_struct(&decoder->reader, record, &machine, sizeof(machine), &decoder->has_machine);
	if (err)
		return err;
	const struct { int32_t place; int *fd; } places[] = { { machine.libos, &c->libos_fd }, { machine.image, &c->image_fd },
		{ machine.kernel, &c->kernel_fd }, { machine.initrd, &c->initrd_fd }, { machine.control, &c->control_fd },
		{ machine.status, &c->status_fd }, { machine.log, &c->log_fd }, { machine.cpuid, &c->cpuid_fd },
		{ machine.in, &c->console.in }, { machine.out, &c->console.out }, { machine.err, &c->console.err }, { machine.messages, &c->messages_fd } };
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]) && !err; i++) {
		if (*places[i].fd >= 0 && places[i].place != LV_VM_NO_FD)
			return refuse(decoder, "it has a file that the monitor was started with");
		err = take_fd(decoder, places[i].place, places[i].fd);
	}
	if (!err && c->libos_fd >= 0 && machine.memory > c->memory && machine.libos == LV_VM_NO_FD)
		return refuse(decoder, "it wants more memory than the monitor was started with");
	c->memory = machine.memory;
	c->start_ns = machine.start_ns;
	c->image_ns = machine.image_ns;
	c->cpus = machine.cpus;
	c->uid = machine.uid;
	c->gid = machine.gid;
	c->console.own = (machine.flags & LV_VM_OWN_IN ? CONSOLE_IN : 0) | (machine.flags & LV_VM_OWN_OUT ? CONSOLE_OUT : 0) |
			 (machine.flags & LV_VM_OWN_ERR ? CONSOLE_ERR : 0);
	c->attached = machine.flags & LV_VM_ATTACHED;
	c->claim = machine.claim;
	c->serial = machine.flags & LV_VM_SERIAL;
	c->tty = machine.flags & LV_VM_TTY;
	c->rng = machine.flags & LV_VM_RNG;
	c->balloon = machine.flags & LV_VM_BALLOON;
	c->kernel_kept = machine.flags & LV_VM_KERNEL_KEPT;
	if (!err && (machine.claim >= LV_CLAIMS || machine.reserved))
		return refuse(decoder, "how it came by its monitor is not known");
	if (!err && (!c->cpus || c->cpus > VM_MAX_CPUS))
		return refuse(decoder, "its number of vCPUs is impossible");
	return err;
}

/* ---- devices ---- */

static struct device_config *new_device(struct decoder *decoder, enum lv_device_type type)
{
	struct machine_config *c = decoder->config;
	if (c->device_count == sizeof(c->device) / sizeof(c->device[0])) {
		refuse(decoder, "it has more devices than a VM can have");
		return NULL;
	}
	struct device_config *device = &c->device[c->device_count++];
	*device = (struct device_config){ .type = type };
	return device;
}

static int take_net(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_net net;
	int err = records_struct(&decoder->reader, record, &net, sizeof(net), NULL);
	struct device_config *device = err ? NULL : new_device(decoder, LV_DEV_NET);
	if (!device)
		return -EINVAL;
	device->net.fd = -1;
	device->net.passt = net.passt;
	device->net.spoof = net.spoof;
	device->net.answers = net.answers;
	device->net.config = net.config;
	device->net.config6 = net.config6;
	err = take_fd(decoder, net.fd[0], &device->net.fd);
	for (unsigned i = 1; i < LV_VM_NET_QUEUES && net.fd[i] != LV_VM_NO_FD && !err; i++)
		err = take_fd(decoder, net.fd[i], &device->net.more_fd[device->net.more++]);
	if (!err && (device->net.fd < 0 || net.passt > 1 || net.spoof > 1 || (net.passt && device->net.more)))
		return refuse(decoder, "a network has no descriptor, or passt several");
	if (!err && (net.answers > 1 || (net.answers && (!net.passt || net.spoof || !net.config.gateway))))
		return refuse(decoder, "answers to the host's loopback need a passt that is filtered, and its gateway");
	if (!err && (net.config.mtu < MTU_LEAST || net.config.mac[0] & 1))
		return refuse(decoder, "a network's MTU is too small, or its address is for many");
	return err;
}

static int take_disk(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_disk disk;
	int err = records_struct(&decoder->reader, record, &disk, sizeof(disk), NULL);
	struct device_config *device = err ? NULL : new_device(decoder, LV_DEV_BLOCK);
	if (!device)
		return -EINVAL;
	device->block = (struct device_block){ .fd = -1, .lock = -1, .read_only = disk.read_only };
	_Static_assert(sizeof(device->block.serial) == sizeof(disk.serial), "serial number");
	memcpy(device->block.serial, disk.serial, sizeof(disk.serial));
	err = take_fd(decoder, disk.fd, &device->block.fd);
	if (!err)
		err = take_fd(decoder, disk.lock, &device->block.lock);
	if (!err && (device->block.fd < 0 || disk.read_only > 1))
		return refuse(decoder, "a disk has no descriptor");
	return !err && device->block.lock < 0 ? refuse(decoder, "a disk has no lock") : err;
}

static int take_vsock(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_vsock vsock;
	int err = records_struct(&decoder->reader, record, &vsock, sizeof(vsock), &decoder->has_vsock);
	struct device_config *device = err ? NULL : new_device(decoder, LV_DEV_VSOCK);
	if (!device)
		return -EINVAL;
	device->vsock.listener = -1;
	device->vsock.cid = vsock.cid;
	err = take_fd(decoder, vsock.listener, &device->vsock.listener);
	if (!err && (device->vsock.listener < 0 || vsock.cid < 3 || vsock.cid >= UINT32_MAX))
		return refuse(decoder, "a vsock has no socket, or an impossible address");
	return err;
}

static int take_volume(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_volume volume;
	int err = records_struct(&decoder->reader, record, &volume, sizeof(volume), NULL);
	struct device_config *device = err ? NULL : new_device(decoder, LV_DEV_FS);
	if (!device)
		return -EINVAL;
	device->fs.fd = -1;
	device->fs.read_only = volume.read_only;
	_Static_assert(sizeof(device->fs.tag) == sizeof(volume.tag), "tag of a volume");
	memcpy(device->fs.tag, volume.tag, sizeof(volume.tag));
	err = take_fd(decoder, volume.fd, &device->fs.fd);
	if (!err && (device->fs.fd < 0 || volume.read_only > 1 || !volume.tag[0] || volume.tag[sizeof(volume.tag) - 1]))
		return refuse(decoder, "a volume has no socket, or no name");
	return err;
}

static int take_state(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_state state;
	struct machine_config *c = decoder->config;
	int err = records_struct(&decoder->reader, record, &state, sizeof(state), &decoder->has_state);
	if (!err)
		err = take_fd(decoder, state.state, &c->state_fd);
	if (!err)
		err = take_fd(decoder, state.memory, &c->memory_fd);
	c->restore = err ? 0 : state.flags;
	if (!err && (c->state_fd < 0 || c->memory_fd < 0))
		return refuse(decoder, "a state has no descriptor, or its memory has none");
	return !err && (state.flags & ~LV_RESTORE_FLAGS || state.reserved) ? refuse(decoder, "how the state is to be restored is not known") : err;
}

static int take_below(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_below below;
	struct machine_config *c = decoder->config;
	bool again = false;
	if (c->below_count == LV_VM_BELOW_MAX)
		return refuse(decoder, "a memory is a difference from too many others");
	int *fd = &c->below_fd[c->below_count++];
	*fd = -1;
	int err = records_struct(&decoder->reader, record, &below, sizeof(below), &again);
	if (!err)
		err = take_fd(decoder, below.memory, fd);
	return !err && (*fd < 0 || below.reserved) ? refuse(decoder, "a memory below another one has no descriptor") : err;
}

static int take_pages(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_pages pages;
	struct machine_config *c = decoder->config;
	int err = records_struct(&decoder->reader, record, &pages, sizeof(pages), &decoder->has_pages);
	if (!err)
		err = take_fd(decoder, pages.fd, &c->pages_fd);
	return !err && (c->pages_fd < 0 || pages.reserved) ? refuse(decoder, "pages have no descriptor") : err;
}

static int take_pager(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_pager pager;
	struct machine_config *c = decoder->config;
	int err = records_struct(&decoder->reader, record, &pager, sizeof(pager), &decoder->has_pager);
	if (!err)
		err = take_fd(decoder, pager.device, &c->pager.device);
	if (!err)
		err = take_fd(decoder, pager.listener, &c->pager.listener);
	return !err && (c->pager.device < 0 || c->pager.listener < 0) ? refuse(decoder, "what waits for memory has no descriptor") : err;
}

static int take_files(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_files files;
	struct machine_config *c = decoder->config;
	int err = records_struct(&decoder->reader, record, &files, sizeof(files), &decoder->has_files);
	if (!err)
		err = take_fd(decoder, files.fd, &c->files_fd);
	c->record = err ? 0 : files.record;
	return !err && (c->files_fd < 0 || !files.record || files.record & ~LV_RECORD_KNOWN) ? refuse(decoder, "what is to be said of the image's files is not known, or has no descriptor") : err;
}

static int take_prefault(struct decoder *decoder, const struct record *record)
{
	struct lv_vm_prefault prefault;
	struct machine_config *c = decoder->config;
	int err = records_struct(&decoder->reader, record, &prefault, sizeof(prefault), &decoder->has_prefault);
	if (!err)
		err = take_fd(decoder, prefault.fd, &c->prefault_fd);
	c->prefault_always = !err && prefault.flags & LV_PREFAULT_ALWAYS;
	return !err && (c->prefault_fd < 0 || prefault.flags & ~LV_PREFAULT_ALWAYS) ? refuse(decoder, "which pages it is to have ahead is not known, or has no descriptor") : err;
}

/* ---- all of them ---- */

static int take_env(struct decoder *decoder, const struct record *record)
{
	struct machine_config *c = decoder->config;
	const char *pair = NULL;
	int err = records_string(&decoder->reader, record, &pair);
	if (!err && (c->envc == VM_ENV_MAX || !strchr(pair, '=')))
		return refuse(decoder, "it has too many variables, or one that is not NAME=VALUE");
	if (!err)
		c->env[c->envc++] = pair;
	return err;
}

static int take_mount(struct decoder *decoder, const struct record *record)
{
	struct machine_config *c = decoder->config;
	struct mount_word mount;
	const char *word = NULL;
	int err = records_string(&decoder->reader, record, &word);
	if (!err && (c->mountc == VM_MOUNTS_MAX || mount_word_read(word, &mount)))
		return refuse(decoder, "it has too many mounts, or one that is none");
	if (!err)
		c->mount[c->mountc++] = word;
	return err;
}

static int take_arg(struct decoder *decoder, const struct record *record)
{
	const char *arg = NULL;
	int err = records_string(&decoder->reader, record, &arg);
	if (!err)
		decoder->config->argv[decoder->config->argc++] = (char *)arg;
	return err;
}

static int take(struct decoder *decoder, const struct record *record)
{
	struct machine_config *c = decoder->config;
	switch (record->type) {
	case LV_VM_MACHINE: return take_machine(decoder, record);
	case LV_VM_NAME: return records_string(&decoder->reader, record, &c->name);
	case LV_VM_PROGRAM: return records_string(&decoder->reader, record, &c->program);
	case LV_VM_ARG: return take_arg(decoder, record);
	case LV_VM_ENV: return take_env(decoder, record);
	case LV_VM_MOUNT: return take_mount(decoder, record);
	case LV_VM_CWD: return records_string(&decoder->reader, record, &c->cwd);
	case LV_VM_HOSTNAME: return records_string(&decoder->reader, record, &c->hostname);
	case LV_VM_APPEND: return records_string(&decoder->reader, record, &c->append);
	case LV_VM_NET: return take_net(decoder, record);
	case LV_VM_DISK: return take_disk(decoder, record);
	case LV_VM_VSOCK: return take_vsock(decoder, record);
	case LV_VM_VOLUME: return take_volume(decoder, record);
	case LV_VM_STATE: return take_state(decoder, record);
	case LV_VM_PAGES: return take_pages(decoder, record);
	case LV_VM_BELOW: return take_below(decoder, record);
	case LV_VM_FILES: return take_files(decoder, record);
	case LV_VM_PREFAULT: return take_prefault(decoder, record);
	case LV_VM_PAGER: return take_pager(decoder, record);
	default: return refuse(decoder, "a record is of an unknown type");
	}
}

static int check(struct decoder *decoder)
{
	uint64_t all = decoder->count == LV_VM_FDS_MAX ? ~0ull : (1ull << decoder->count) - 1;
	if (!decoder->has_machine)
		return refuse(decoder, "it has no machine");
	if (decoder->has_pager && (!decoder->has_state || decoder->has_pages || decoder->config->below_count))
		return refuse(decoder, "memory that is still to come is not a state's, or is one of several");
	if (decoder->has_pages && !decoder->has_state)
		return refuse(decoder, "it has pages, and no state");
	if (decoder->has_files && (decoder->has_state || decoder->config->kernel_fd >= 0))
		return refuse(decoder, "the image's files are asked for of a state, or of a kernel");
	if (decoder->has_prefault && (decoder->has_state || decoder->config->kernel_fd >= 0))
		return refuse(decoder, "pages are to be had ahead of a state, or of a kernel");
	if (decoder->config->below_count && !decoder->has_state)
		return refuse(decoder, "it has a memory below another one, and no state");
	return decoder->taken == all ? 0 : refuse(decoder, "a descriptor came that it does not name");
}

/* In memory that is there already, where they fit. All NULL. */
static char **room_for_arguments(struct machine_config *config, size_t count)
{
	if (count > sizeof(config->arguments) / sizeof(*config->arguments))
		return calloc(count, sizeof(char *));
	memset(config->arguments, 0, sizeof(config->arguments));
	return config->arguments;
}

int config_decode(struct machine_config *config, const void *bytes, size_t size, const int *fds, unsigned count, const char **why, unsigned *number)
{
	struct decoder decoder = { .config = config, .fds = fds, .count = count };
	struct record record;
	const char *cwd = config->cwd, *hostname = config->hostname, *append = config->append;
	config->argv = NULL;
	config->cwd = config->hostname = config->append = NULL;
	int err = records_open(&decoder.reader, bytes, size, LV_VM_RECORDS_MAGIC, LV_VM_RECORDS_VERSION, LV_VM_RECORDS_MAX);
	if (!err && count > LV_VM_FDS_MAX)
		err = refuse(&decoder, "it has too many descriptors");
	if (!err && !(config->argv = room_for_arguments(config, records_room(&decoder.reader) + 1))) {
		decoder.reader.why = "memory is short";
		err = -ENOMEM;
	}
	while (!err && (err = records_next(&decoder.reader, &record)) > 0)
		err = take(&decoder, &record);
	*number = err ? decoder.reader.number : 0;
	if (!err)
		err = check(&decoder);
	config->cwd = config->cwd ? config->cwd : cwd;
	config->hostname = config->hostname ? config->hostname : hostname;
	config->append = config->append ? config->append : append;
	*why = decoder.reader.why;
	return err;
}

void config_decode_free(struct machine_config *config)
{
	if (config->argv != config->arguments)
		free(config->argv);
	config->argv = NULL;
}
