/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records, in this order: what kind of VM it is and with which devices, its host, its vCPUs, what its kind of guest has, its devices, the end.
 * Loading walks over all of them first, then checks what can be checked without touching anything, and only then maps memory.
 */
#include "vmm/state/vm_saved.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "vmm/state/host_record.h"
#include "vmm/state/pager.h"
#include "vmm/state/ram_file.h"
#include "vmm/state/ram_runs.h"
#include "vmm/state/registers.h"
#include "vmm/state/stream.h"
#include "vmm/vcpu.h"
#include "vmm/vm_state.h"

#define VM_TAG STREAM_TAG("LVVM")
#define VM_VERSION 1 /* of the whole: raised when a record is added, taken away, or means something else */
#define END_TAG STREAM_TAG("END.")
#define END_VERSION 1
#define FIRST_ROOM (64u << 10)

/* ---- writing ---- */

static void save_device(const struct device *device, struct stream *stream)
{
	stream_put32(stream, device->ops->type);
	stream_put32(stream, device->queues);
	stream_put64(stream, device->features);
}

static int save_head(const struct vm *vm, struct stream *stream)
{
	stream_begin(stream, VM_TAG, VM_VERSION);
	stream_put32(stream, vm->guest->kind);
	stream_put32(stream, vm->vcpu_count);
	stream_put64(stream, ram_file_base(&vm->mem));
	stream_put64(stream, ram_file_size(&vm->mem));
	stream_put32(stream, vm->devices.count);
	for (unsigned i = 0; i < vm->devices.count; i++)
		save_device(vm->devices.device[i], stream);
	return stream_end(stream);
}

static int save_vcpus(struct vm *vm, struct stream *stream, struct error *error)
{
	int err = 0;

	for (unsigned i = 0; !err && i < vm->vcpu_count; i++)
		err = registers_save(&vm->vcpu[i], &vm->msrs, stream, error);
	return err;
}

static int save_end(struct stream *stream)
{
	stream_begin(stream, END_TAG, END_VERSION);
	return stream_end(stream);
}

/* No part of it changes the VM, so that it can be done once more, into a larger buffer. */
static int write_all(struct vm *vm, struct stream *stream, struct error *error)
{
	int err = save_head(vm, stream);

	if (!err)
		err = host_save(vm, stream);
	if (!err)
		err = save_vcpus(vm, stream, error);
	if (!err)
		err = vm->guest->save(vm, stream);
	if (!err)
		err = devices_save(&vm->devices, stream);
	return err ? err : save_end(stream);
}

static int write_into(struct vm *vm, size_t room, void **bytes, size_t *size, struct error *error)
{
	*bytes = malloc(room);
	if (!*bytes)
		return error_set(error, -ENOMEM, "no memory for the state");
	struct stream stream = stream_writer(*bytes, room);
	int err = write_all(vm, &stream, error);

	*size = stream.at;
	if (err)
		free(*bytes);
	return err;
}

int vm_saved_write(struct vm *vm, void **bytes, size_t *size, struct error *error)
{
	int err = -ENOSPC;

	if (!vm->guest->save)
		return error_set(error, -EOPNOTSUPP, "a VM of this kind (%s) cannot be saved yet", vm->guest->name);
	for (size_t room = FIRST_ROOM; err == -ENOSPC && room <= VM_SAVED_MOST; room *= 4)
		err = write_into(vm, room, bytes, size, error);
	return err && !(error->code) ? error_set(error, err, "the state of the VM: %s", strerror(-err)) : err;
}

/* ---- reading: what can be checked before anything is touched ---- */

struct saved {
	struct stream stream;
	uint64_t base, size; /* of memory */
	struct registers *vcpu; /* one for each */
};

static uint32_t first_word(const struct stream *stream, unsigned number)
{
	const uint8_t *at = stream->bytes + 4 * number;

	return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

/* All of it is there and as it was written. */
static int check_whole(const struct stream *stream, struct error *error)
{
	if (stream->size < 8 || first_word(stream, 0) != VM_TAG)
		return error_set(error, -EPROTO, "the file with the state is none");
	if (first_word(stream, 1) > VM_VERSION)
		return error_set(error, -EPROTO, "the state is of version %u, and this monitor knows %u", first_word(stream, 1), VM_VERSION);
	int err = stream_check(stream);
	return err ? error_set(error, err, "the state is damaged: %s", err == -EBADMSG ? "a checksum is wrong" : "it is not whole") : 0;
}

static int check_device(const struct device *device, unsigned number, struct stream *stream, struct error *error)
{
	const uint32_t type = stream_get32(stream), queues = stream_get32(stream);
	const uint64_t features = stream_get64(stream), lacks = features & ~device_possible_features(device);

	if (type != device->ops->type)
		return error_set(error, -EINVAL, "its device %u is a %s, and the configuration has a %s there", number, device_type_name(type), device->ops->name);
	if (queues != device->queues)
		return error_set(error, -EINVAL, "its device %u (%s) has %u queues, and the configuration's has %u", number, device->ops->name, queues, device->queues);
	return lacks ? error_set(error, -EINVAL, "its device %u (%s) uses what the host's does not have: features %#llx", number, device->ops->name, (unsigned long long)lacks) : 0;
}

static int check_devices(const struct vm *vm, struct stream *stream, struct error *error)
{
	const uint32_t count = stream_get32(stream);
	int err = 0;

	if (count != vm->devices.count)
		return error_set(error, -EINVAL, "it has %u devices, and the configuration has %u", count, vm->devices.count);
	for (unsigned i = 0; !err && i < count; i++)
		err = check_device(vm->devices.device[i], i, stream, error);
	return err;
}

static int pass_devices(struct stream *stream)
{
	const uint32_t count = stream_get32(stream);

	if (count > LV_MAX_DEVICES)
		return stream_refuse(stream);
	for (unsigned i = 0; i < count; i++) {
		stream_get32(stream);
		stream_get32(stream);
		stream_get64(stream);
	}
	return 0;
}

static int check_head(const struct vm *vm, struct saved *saved, bool ahead, struct error *error)
{
	struct stream *stream = &saved->stream;

	stream_begin(stream, VM_TAG, VM_VERSION);
	const uint32_t kind = stream_get32(stream), vcpus = stream_get32(stream);
	saved->base = stream_get64(stream);
	saved->size = stream_get64(stream);
	if (kind != vm->guest->kind)
		return error_set(error, -EINVAL, "it is of another kind of guest than the configuration (%s)", vm->guest->name);
	if (vcpus != vm->vcpu_count)
		return error_set(error, -EINVAL, "it has %u vCPUs, and the configuration has %u", vcpus, vm->vcpu_count);
	int err = ahead ? pass_devices(stream) : check_devices(vm, stream, error);
	return err ? err : stream_end(stream);
}

static int check_difference(int fd, uint64_t *size, const char *which, struct error *error)
{
	struct ram_runs runs;
	int err = ram_runs_read(&runs, fd, size);

	ram_runs_free(&runs);
	return err ? error_set(error, err == -EPROTO ? -EINVAL : err, "the file with %s is no difference from another one, or is damaged: %s", which, strerror(-err)) : 0;
}

static bool is_difference(int fd)
{
	uint64_t size;

	return !check_difference(fd, &size, "", &(struct error){ 0 });
}

/* A chain: the lowest is whole, and the others are differences, or it would be some other VM's memory. */
static int check_chain(const struct machine_config *config, const struct saved *saved, struct error *error)
{
	uint64_t size;
	int err = check_difference(config->memory_fd, &size, "its memory", error);

	if (!err && size != saved->size)
		err = error_set(error, -EINVAL, "the file with its memory has %llu bytes of it instead of %llu", (unsigned long long)size, (unsigned long long)saved->size);
	for (unsigned i = 1; !err && i < config->below_count; i++)
		err = check_difference(config->below_fd[i], &size, "a memory below it", error);
	if (!err && is_difference(config->below_fd[0]))
		err = error_set(error, -EINVAL, "the lowest memory holds only what changed since another one");
	return err;
}

static int check_memory(const struct machine_config *config, const struct saved *saved, struct error *error)
{
	const int fd = config->memory_fd;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "its memory is no regular file");
	if (config->below_count)
		return check_chain(config, saved, error);
	if ((uint64_t)st.st_size > saved->size && is_difference(fd))
		return error_set(error, -EINVAL, "its memory holds only what changed since another one, which is missing");
	if ((uint64_t)st.st_size != saved->size)
		return error_set(error, -EINVAL, "the file with its memory has %llu bytes instead of %llu", (unsigned long long)st.st_size, (unsigned long long)saved->size);
	return 0;
}

static int read_vcpus(const struct vm *vm, struct saved *saved)
{
	int err = 0;

	saved->vcpu = calloc(vm->vcpu_count, sizeof(*saved->vcpu));
	if (!saved->vcpu)
		return -ENOMEM;
	for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
		err = registers_read(&saved->vcpu[i], &saved->stream);
		if (!err && (saved->vcpu[i].index != i || (saved->vcpu[i].wait.underway && !vm->guest->on_wait)))
			err = stream_refuse(&saved->stream);
	}
	return err;
}

static int check(struct vm *vm, struct saved *saved, bool ahead, struct error *error)
{
	int err = check_whole(&saved->stream, error);

	if (!err)
		err = check_head(vm, saved, ahead, error);
	if (!err)
		err = check_memory(vm->config, saved, error);
	if (!err)
		err = host_check(vm, &saved->stream, error);
	return err ? err : read_vcpus(vm, saved);
}

/* ---- loading ---- */

/* What the vCPU was at when it left the guest is completed: KVM would go on with it otherwise. */
static void complete_exit(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	ioctl(vcpu->fd, KVM_RUN, 0); /* which answers EINTR */
}

static int load_devices(struct vm *vm, struct saved *saved, struct error *error)
{
	unsigned failed = 0;
	int err = devices_load(&vm->devices, &saved->stream, &failed);

	if (err)
		return error_set(error, err, "its device %u (%s) is not what the configuration has there", failed,
				 failed < vm->devices.count ? vm->devices.device[failed]->ops->name : "none");
	stream_begin(&saved->stream, END_TAG, END_VERSION);
	err = stream_end(&saved->stream);
	return !err && saved->stream.at != saved->stream.size ? stream_refuse(&saved->stream) : err;
}

/* They look at what has come meanwhile before they go on where they were. */
static int load_vcpus(struct vm *vm, const struct saved *saved, struct error *error)
{
	int err = 0;

	for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
		complete_exit(&vm->vcpu[i]);
		err = registers_load(&vm->vcpu[i], &saved->vcpu[i], &vm->msrs, error);
		vcpu_request(&vm->vcpu[i], VCPU_WAKE | VCPU_KICK);
	}
	return err;
}

static int load(struct vm *vm, struct saved *saved, struct error *error)
{
	int err = check(vm, saved, false, error);

	if (!err)
		err = pager_open(vm, error);
	if (!err)
		err = vm->guest->load(vm, &saved->stream, &(const struct saved_memory){ saved->base, saved->size }, error);
	if (!err)
		err = load_devices(vm, saved, error);
	return err ? err : load_vcpus(vm, saved, error);
}

/* Nothing waits in it, and it is loaded once more when the VM is asked for. */
static int load_ahead(struct vm *vm, struct saved *saved, struct error *error)
{
	int err = check(vm, saved, true, error);

	if (!err)
		err = vm->guest->load_ahead(vm, &saved->stream, &(const struct saved_memory){ saved->base, saved->size }, error);
	for (unsigned i = 0; !err && i < vm->vcpu_count; i++) {
		complete_exit(&vm->vcpu[i]);
		err = registers_load(&vm->vcpu[i], &saved->vcpu[i], &vm->msrs, error);
		vm->vcpu[i].wait.underway = false;
	}
	if (!err && vm->guest->warm)
		vm->guest->warm(vm);
	return err;
}

static int read_file(int fd, void **bytes, size_t *size, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "the state is no regular file");
	if (st.st_size > (off_t)VM_SAVED_MOST)
		return error_set(error, -EFBIG, "the state has %lld bytes; the most is %u", (long long)st.st_size, VM_SAVED_MOST);
	*size = (size_t)st.st_size;
	*bytes = malloc(*size + 1);
	if (!*bytes)
		return error_set(error, -ENOMEM, "no memory for the state");
	return pread(fd, *bytes, *size, 0) == (ssize_t)*size ? 0 : error_set(error, -EIO, "the state cannot be read");
}

/* Who read it had no words for it: where it is, is said here. What is in the stream is not: it may be anything. */
static int refuse_state(const struct stream *stream, int err, struct error *error)
{
	char tag[5] = "";

	if (!stream->err)
		return error_set(error, err, "the state: %s", strerror(-err));
	for (unsigned i = 0; i < 4; i++)
		tag[i] = stream->tag >> 8 * i;
	return error_set(error, err, "the state says what cannot be, in its record %s, before byte %zu of it", tag, stream->wrong - stream->record);
}

static int load_by(int (*loader)(struct vm *vm, struct saved *saved, struct error *error), struct vm *vm, struct error *error)
{
	struct saved saved = { .vcpu = NULL };
	void *bytes = NULL;
	size_t size = 0;
	int err = read_file(vm->config->state_fd, &bytes, &size, error);

	if (!err) {
		saved.stream = stream_reader(bytes, size);
		err = loader(vm, &saved, error);
	}
	if (err && !error->code)
		refuse_state(&saved.stream, err, error);
	free(saved.vcpu);
	free(bytes);
	return err;
}

int vm_saved_load(struct vm *vm, struct error *error)
{
	if (!vm->guest->load)
		return error_set(error, -EOPNOTSUPP, "a VM of this kind (%s) cannot be restored yet", vm->guest->name);
	return load_by(load, vm, error);
}

int vm_saved_load_ahead(struct vm *vm, struct error *error)
{
	if (!vm->guest->load_ahead)
		return error_set(error, -EOPNOTSUPP, "a VM of this kind (%s) cannot be restored ahead", vm->guest->name);
	return load_by(load_ahead, vm, error);
}
