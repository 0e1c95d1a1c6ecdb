/* SPDX-License-Identifier: Apache-2.0 */
/* A library-OS guest on its way into a stream and out of it: what it has besides registers, memory and devices. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "abi/libos_header.h"
#include "abi/vm_records.h"
#include "base/error.h"
#include "vmm/state/pager.h"
#include "vmm/state/ram_diff.h"
#include "vmm/state/ram_file.h"
#include "vmm/state/stream.h"
#include "vmm/state/touched.h"
#include "vmm/vm.h"

#define LIBOS_TAG STREAM_TAG("LIBO")
#define LIBOS_VERSION 1
#define HUGE (2ull << 20)

struct saved_libos {
	uint32_t abi;
	uint8_t build[LV_BUILD_ID];
	uint64_t image_size;
	uint64_t ram_size, ram_limit, reach; /* bytes of RAM: what it has, may have, and has page tables for */
	uint64_t boot_next, more_next;
	struct libos_time clocks; /* when it was stopped */
};

int libos_save(struct vm *vm, struct stream *stream)
{
	const struct libos_guest *guest = &vm->libos;
	stream_begin(stream, LIBOS_TAG, LIBOS_VERSION);
	stream_put32(stream, LV_LIBOS_ABI);
	stream_put(stream, vm->status.record.libos_build, LV_BUILD_ID);
	stream_put64(stream, guest->image_size);
	stream_put64(stream, vm->ram_size);
	stream_put64(stream, vm->ram_limit);
	stream_put64(stream, guest->reach);
	stream_put64(stream, guest->boot_next);
	stream_put64(stream, guest->more_next);
	for (unsigned i = 0; i < LV_CLOCKS; i++)
		stream_put64(stream, guest->clock.stopped.ns[i]);
	return stream_end(stream);
}

static int read_saved(struct saved_libos *saved, struct stream *stream)
{
	stream_begin(stream, LIBOS_TAG, LIBOS_VERSION);
	saved->abi = stream_get32(stream);
	stream_get(stream, saved->build, LV_BUILD_ID);
	saved->image_size = stream_get64(stream);
	saved->ram_size = stream_get64(stream);
	saved->ram_limit = stream_get64(stream);
	saved->reach = stream_get64(stream);
	saved->boot_next = stream_get64(stream);
	saved->more_next = stream_get64(stream);
	for (unsigned i = 0; i < LV_CLOCKS; i++)
		saved->clocks.ns[i] = stream_get64(stream);
	return stream_end(stream);
}

/* ---- what can be checked before anything is touched ---- */

static bool memory_possible(const struct saved_libos *saved)
{
	return saved->ram_size && saved->ram_size % HUGE == 0 && saved->reach % HUGE == 0 && saved->ram_size <= saved->reach && saved->reach <= LV_RAM_MAX &&
	       saved->boot_next >= LV_RAM && saved->boot_next <= LV_RAM + LV_BOOT_SIZE && saved->more_next >= LV_RAM + LV_RAM_EARLY &&
	       saved->more_next <= LV_RAM + saved->ram_size;
}

static void write_build(char *text, const uint8_t *build)
{
	for (unsigned i = 0; i < LV_BUILD_ID; i++)
		sprintf(text + 2 * i, "%02x", build[i]);
}

static int check_build(const struct vm *vm, const struct saved_libos *saved, struct error *error)
{
	char theirs[2 * LV_BUILD_ID + 1], ours[2 * LV_BUILD_ID + 1];
	if (saved->abi != LV_LIBOS_ABI)
		return error_set(error, -EINVAL, "its library OS speaks version %u of the guest ABI, and this one %u", saved->abi, LV_LIBOS_ABI);
	if (memcmp(saved->build, vm->status.record.libos_build, LV_BUILD_ID) == 0)
		return 0;
	write_build(theirs, saved->build);
	write_build(ours, vm->status.record.libos_build);
	return error_set(error, -EINVAL, "it was saved with another library OS: build %s, and this one is %s", theirs, ours);
}

static int check_memory(const struct vm *vm, const struct saved_libos *saved, const struct saved_memory *memory, uint64_t limit, struct error *error)
{
	if (!memory_possible(saved) || memory->base != LV_BASE || memory->size < LV_RAM - LV_BASE + saved->ram_size)
		return error_set(error, -EPROTO, "what it says of its memory cannot be");
	if (limit < saved->ram_size)
		return error_set(error, -EINVAL, "it has %llu MiB of memory, and may have %llu", (unsigned long long)(saved->ram_size >> 20), (unsigned long long)(limit >> 20));
	if (limit > saved->reach || limit > vm->ram_limit)
		return error_set(error, -EINVAL, "it shall have up to %llu MiB of memory, and was made for %llu", (unsigned long long)(limit >> 20),
				 (unsigned long long)((saved->reach < vm->ram_limit ? saved->reach : vm->ram_limit) >> 20));
	return 0;
}

/* ---- its memory ---- */

/* More than the first slot has: what it got while it ran comes in one piece. */
static int add_grown(struct vm *vm, uint64_t ram_size)
{
	const uint64_t from = vm->ram_size;
	vm->ram_size = ram_size;
	return ram_size > from ? libos_add_ram(vm, from, ram_size - from) : 0;
}

#define KEPT_MOST 4u
struct kept {
	uint64_t from, to;
};

/*
 * Pages that this monitor has had since it booted libos, and that every guest touches at once: what was saved of them is read into them, so that neither
 * the host nor KVM has to find each anew, by a fault. A clone takes only the first, without which it does not get anywhere; of the others it shares those that it does not write.
 */
static unsigned kept_pages(const struct vm *vm, struct kept kept[KEPT_MOST])
{
	const struct libos_guest *guest = &vm->libos;
	const struct kept all[KEPT_MOST] = {
		{ LV_BASE, LV_DESC + LV_PAGE },
		{ LV_LIBOS, guest->hot_end },
		{ guest->boot_stack - LV_PAGE, guest->hot_data_end },
		{ LV_RAM, LV_RAM + LV_BOOT_SIZE + LV_HOT_HEAP },
	};
	unsigned count = 0;
	uint64_t end = LV_BASE;
	for (unsigned i = 0; i < (vm->config->restore & LV_RESTORE_CLONE ? 1 : KEPT_MOST); i++) {
		const struct kept one = { all[i].from & ~(LV_PAGE - 1), (all[i].to + LV_PAGE - 1) & ~(LV_PAGE - 1) };
		if (one.from < end || one.from >= one.to) /* one after the other: libos' header says where two of them are */
			continue;
		kept[count++] = one;
		end = one.to;
	}
	return count;
}

static int read_pages(struct vm *vm, int fd, const struct kept *kept)
{
	const size_t size = kept->to - kept->from;
	ssize_t n = pread(fd, libos_at(vm, kept->from), size, (off_t)(kept->from - LV_BASE));
	return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
}

static int map_range(struct vm *vm, int fd, uint64_t from, uint64_t to)
{
	return ram_file_map(libos_at(vm, from), to - from, fd, from - LV_BASE);
}

/* All of it is still to come, or may be: whoever touches a page waits until it is in the file. */
static int map_later(struct vm *vm, const struct mem_file *file)
{
	vm->mem.file_count = 0;
	int err = pager_map(vm->pager, &vm->mem, file);
	return err ? err : pager_start(vm->pager);
}

/* What libos has made of it in this monitor goes. */
static int map_memory(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	const struct mem_file file = { .hva = libos_at(vm, LV_BASE), .len = LV_RAM - LV_BASE + vm->ram_size, .fd = config->memory_fd };
	const int whole = config->below_count ? config->below_fd[0] : config->memory_fd;
	struct kept kept[KEPT_MOST];
	uint64_t at = LV_BASE;
	int err = 0;
	if (vm->pager)
		return map_later(vm, &file);
	for (unsigned i = 0, count = kept_pages(vm, kept); !err && i < count; i++) {
		err = map_range(vm, whole, at, kept[i].from);
		if (!err)
			err = read_pages(vm, whole, &kept[i]);
		at = kept[i].to;
	}
	if (!err)
		err = map_range(vm, whole, at, LV_BASE + file.len);
	vm->mem.file_count = 0;
	if (!err)
		err = ram_layers_put(&vm->mem, &file, config->below_fd, config->below_count);
	if (!err && config->restore & LV_RESTORE_WHOLE)
		ram_layers_copy(&vm->mem);
	return err;
}

static int get_pages(struct vm *vm, struct error *error)
{
	const struct machine_config *config = vm->config;
	return config->pages_fd < 0 ? 0 : touched_populate(&vm->mem, config->pages_fd, error);
}

static bool same_file(int a, int b)
{
	struct stat one, other;
	return !fstat(a, &one) && !fstat(b, &other) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* What was put in place ahead is what is asked for, and in the way in which it is. */
static int check_ahead(const struct vm *vm, uint64_t limit, struct error *error)
{
	const struct machine_config *config = vm->config;
	if (!same_file(config->image_fd, config->ahead_image_fd) || !same_file(config->state_fd, config->ahead_state_fd) || !same_file(config->memory_fd, config->ahead_memory_fd))
		return error_set(error, -EINVAL, "this monitor has the memory of another saved VM");
	if (config->below_count || vm->pager || !(config->restore & LV_RESTORE_CLONE))
		return error_set(error, -EINVAL, "this monitor is for clones of a whole memory");
	return limit == vm->ram_limit ? 0 : error_set(error, -EINVAL, "it shall have up to %llu MiB of memory, and this monitor was made for %llu", (unsigned long long)(limit >> 20),
							   (unsigned long long)(vm->ram_limit >> 20));
}

static int load_memory(struct vm *vm, const struct saved_libos *saved, uint64_t limit, struct error *error)
{
	int err = libos_map_saved(vm, limit, saved->ram_size);
	if (err)
		return error_set(error, err, "its memory, or its image, cannot be mapped: %s", strerror(-err));
	err = add_grown(vm, saved->ram_size);
	if (!err)
		err = map_memory(vm);
	return err ? error_set(error, err, "its memory cannot be mapped: %s", strerror(-err)) : get_pages(vm, error);
}

static uint64_t limit_of(const struct vm *vm)
{
	return (vm->config->memory + HUGE - 1) & ~(HUGE - 1);
}

static int read_and_check(struct vm *vm, struct saved_libos *saved, struct stream *stream, const struct saved_memory *memory, struct error *error)
{
	uint64_t image = 0;
	int err = read_saved(saved, stream);
	if (!err)
		err = check_build(vm, saved, error);
	if (!err)
		err = check_memory(vm, saved, memory, limit_of(vm), error);
	if (!err)
		err = libos_measure_image(vm->config->image_fd, &image);
	if (!err && image != saved->image_size)
		err = error_set(error, -EINVAL, "its image has %llu bytes, and the configuration's %llu", (unsigned long long)saved->image_size, (unsigned long long)image);
	return err;
}

/* The device page is the saved VM's then, but for what it says of this machine. */
static int place_memory(struct vm *vm, const struct saved_libos *saved, struct error *error)
{
	const uint64_t tsc_hz = vm->libos.device_page->tsc_hz;
	int err = load_memory(vm, saved, limit_of(vm), error);
	if (!err)
		vm->libos.device_page->tsc_hz = tsc_hz;
	return err;
}

int libos_load_ahead(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error)
{
	struct saved_libos saved;
	int err = read_and_check(vm, &saved, stream, memory, error);
	if (!err)
		err = place_memory(vm, &saved, error);
	vm->libos.ahead = !err;
	return err;
}

int libos_load(struct vm *vm, struct stream *stream, const struct saved_memory *memory, struct error *error)
{
	struct saved_libos saved;
	int err = read_and_check(vm, &saved, stream, memory, error);
	if (!err)
		err = vm->libos.ahead ? check_ahead(vm, limit_of(vm), error) : place_memory(vm, &saved, error);
	if (err)
		return err;
	vm->libos.reach = saved.reach;
	vm->libos.boot_next = saved.boot_next;
	vm->libos.more_next = saved.more_next;
	vm->libos.configured = true;
	err = libos_describe_restored(vm);
	if (err)
		return error_set(error, err, "its device page: %s", strerror(-err));
	err = libos_clock_restore(vm, &saved.clocks, vm->config->restore & LV_RESTORE_ADVANCE);
	return err ? error_set(error, err, "what it says of its clocks cannot be") : 0;
}
