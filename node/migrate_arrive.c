/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_arrive.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/migrate.h"
#include "base/clock.h"
#include "base/file.h"
#include "node/migrate_disks.h"
#include "node/migrate_kernels.h"
#include "node/migrate_movable.h"
#include "node/migrate_sweep.h"
#include "node/vm_restore.h"

struct arriving *arriving_new(void)
{
	struct arriving *vm = alloc_zero(sizeof(*vm));
	if (!vm)
		return NULL;
	vm->record = MIGRATE_RECORD_NONE;
	vm->save = SAVE_NONE;
	vm->dir = VM_DIR_NONE;
	vm->shell = SHELL_NONE;
	vm->theirs = vm->initrd = -1;
	vm->launch = LAUNCH_NONE;
	vm->coming = COMING_NONE;
	vm->cache = CACHE_NONE;
	vm->image = STAGE_NONE;
	config_init(&vm->config);
	return vm;
}

int arriving_begin(struct arriving *vm, const struct state *state, const uint8_t uuid[LV_MIGRATE_UUID], const struct migrate_places *places, struct error *error)
{
	vm->state = state;
	vm->places = *places;
	vm->save.path = alloc_copy("the VM that comes");
	vm->save.state = memfd_create("state", MFD_CLOEXEC);
	vm->save.memory = memfd_create("memory", MFD_CLOEXEC);
	if (vm->save.state < 0 || vm->save.memory < 0)
		return error_set(error, -errno, "memory for a VM that comes: %s", strerror(errno));
	return migrate_record_create(state, uuid, &vm->record, error);
}

/* ---- the offer ---- */

/* The source's path means nothing here: an image is known by what is in it. */
static int place_image(struct save_manifest *manifest, bool *wants_image, struct error *error)
{
	char *dir = cache_dir(), *path = dir ? alloc_format("%s/images/%s.lvm", dir, manifest->image_sha256) : NULL;
	free(dir);
	if (!path)
		return error_set(error, -ENOMEM, "out of memory");
	*wants_image = access(path, R_OK) != 0;
	json_object_set_new(manifest->config, "image", json_string(path));
	free(path);
	return 0;
}

static int check_network(const struct net_spec *net, struct error *error)
{
	if (net->kind == NET_BRIDGE && !if_nametoindex(net->name))
		return error_set(error, -ENODEV, "there is no bridge \"%s\" here", net->name);
	return link_check_ports(net, error);
}

static int check_place(const struct arriving *vm, struct error *error)
{
	struct vm_dir there;
	char id[STATE_ID + 1];
	const struct vm_config *config = &vm->config;
	if (!vm_open(vm->state, config->id, &there)) {
		vm_close(&there);
		return error_set(error, -EEXIST, "there is a VM %s here already", config->id);
	}
	if (config->name && vm_name_find(vm->state, config->name, id))
		return error_set(error, -EEXIST, "there is a VM with the name \"%s\" here already", config->name);
	return 0;
}

/* Everything but the image, which may not have come yet. */
static int check_rest(struct arriving *vm, struct error *error)
{
	const struct restore_wish wish = { .paused = true, .image_later = true };
	int err = restore_config(&vm->save, &wish, &vm->config, error);
	if (!err)
		err = migrate_disks_check(&vm->config, vm->disks, vm->places.disks, error);
	if (!err)
		err = check_network(&vm->config.net, error);
	return err ? err : check_place(vm, error);
}

/* With the image, too. */
static int take_config(struct arriving *vm, struct error *error)
{
	const struct restore_wish wish = { .paused = true, .disks_later = true };
	config_free(&vm->config);
	config_init(&vm->config);
	if (vm->initrd >= 0 && (vm->config.guest.initrd_fd = fcntl(vm->initrd, F_DUPFD_CLOEXEC, 3)) < 0)
		return error_set(error, -errno, "its initial RAM disk: %s", strerror(errno));
	int err = restore_config(&vm->save, &wish, &vm->config, error);
	vm->whole = !err;
	return err;
}

static int read_offer(struct arriving *vm, const void *text, size_t size, struct error *error)
{
	json_error_t where;
	json_t *offer = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
	const json_t *manifest = json_object_get(offer, "vm"), *paused = json_object_get(offer, "paused");
	int err = manifest && json_is_boolean(paused) ? 0 : error_set(error, -EPROTO, "the offer of the VM cannot be read");
	if (!err)
		err = save_manifest_from_json(&vm->save.manifest, manifest, error);
	if (!err && vm->save.manifest.parent.path) /* a path of the source's choice */
		err = error_set(error, -EINVAL, "parent: a VM arrives whole");
	if (!err && *vm->save.manifest.compressed.method)
		err = error_set(error, -EINVAL, "compressed: there is no file of a VM that arrives");
	vm->record.paused = json_is_true(paused);
	vm->disks = json_incref(json_object_get(offer, "disks"));
	if (!err)
		err = migrate_movable(vm->save.manifest.config, vm->save.manifest.id, error);
	if (!err)
		err = migrate_kernels_place(&vm->save.manifest, offer, vm->places.kernels, &vm->initrd, error);
	json_decref(offer);
	return err;
}

int arriving_offer(struct arriving *vm, const void *text, size_t size, bool *wants_image, struct error *error)
{
	struct save_manifest *manifest = &vm->save.manifest;
	int err = read_offer(vm, text, size, error);
	if (!err)
		migrate_localize(manifest->config);
	if (!err && manifest->image_size > LV_MIGRATE_IMAGE_MAX)
		err = error_set(error, -EFBIG, "its image has %llu bytes; the most is %llu", (unsigned long long)manifest->image_size, (unsigned long long)LV_MIGRATE_IMAGE_MAX);
	if (!err && *manifest->image_sha256)
		err = place_image(manifest, wants_image, error);
	if (!err)
		err = check_rest(vm, error);
	if (!err && !*wants_image)
		err = take_config(vm, error);
	return err;
}

/* ---- what comes ---- */

static int write_at(int fd, uint64_t offset, const void *data, size_t size, const char *what, struct error *error)
{
	int err = fd_write_at(fd, data, size, offset);
	return err ? error_set(error, err, "%s: %s", what, strerror(-err)) : 0;
}

static int open_image(struct arriving *vm, struct error *error)
{
	int err = cache_open(&vm->cache, true, error);
	if (!err && (err = stage_open(&vm->image, vm->cache.images)))
		error_set(error, err, "%s: the image that comes: %s", vm->cache.path, strerror(-err));
	return err;
}

int arriving_image(struct arriving *vm, uint64_t offset, const void *data, size_t size, struct error *error)
{
	int err = vm->image.fd < 0 ? open_image(vm, error) : 0;
	return err ? err : write_at(vm->image.fd, offset, data, size, "the image that comes", error);
}

/* The file that has come, by its descriptor: nobody has put another one in its place. */
static int check_image(const struct arriving *vm, struct error *error)
{
	struct image image;
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", vm->image.fd);
	int err = image_open(&image, path, error);
	if (!err)
		err = image_verify(&image, path, error);
	if (!err && strcmp(image.sha256, vm->save.manifest.image_sha256))
		err = error_set(error, -EBADMSG, "the image that came is %.12s, and not %.12s", image.sha256, vm->save.manifest.image_sha256);
	image_close(&image);
	return err;
}

static void close_image(struct arriving *vm)
{
	stage_close(&vm->image);
	cache_close(&vm->cache);
}

int arriving_image_end(struct arriving *vm, struct error *error)
{
	char name[IMAGE_HEX + 8];
	int err = check_image(vm, error);
	snprintf(name, sizeof(name), "%s.lvm", vm->save.manifest.image_sha256);
	if (!err && (err = stage_publish(&vm->image, name, 0644)))
		error_set(error, err, "%s/images/%s: %s", vm->cache.path, name, strerror(-err));
	close_image(vm);
	return err ? err : take_config(vm, error);
}

/* Its directory, hidden, and its name; on record before there is a monitor that is told what it is: whoever comes by finds it. */
static int prepare(struct arriving *vm, struct error *error)
{
	int err = launch_prepare(vm->state, &vm->config, &vm->dir, error);
	vm->prepared = !err;
	if (!err && vm->config.name)
		err = vm_claim_name(vm->state, &vm->dir, vm->config.name, error);
	memcpy(vm->record.id, vm->config.id, sizeof(vm->record.id));
	return err ? err : migrate_record_write(&vm->record, error);
}

int arriving_ahead(struct arriving *vm, struct error *error)
{
	if (!vm->whole || vm->shell.monitor.pid)
		return 0;
	int err = launch_ahead(vm->state, &vm->config, &vm->shell, &vm->theirs, error);
	return err ? err : prepare(vm, error);
}

static int check_memory(const struct arriving *vm, uint64_t total, struct error *error)
{
	const uint64_t most = config_machine_memory(&vm->config);
	if (total <= config_memory_file_most(vm->config.guest.is_linux, most))
		return 0;
	return error_set(error, -EFBIG, "%llu MiB come, which is more memory than the VM may have (%llu MiB)", (unsigned long long)(total >> 20), (unsigned long long)(most >> 20));
}

bool arriving_may_wait(const struct arriving *vm)
{
	return !vm->config.disks;
}

int arriving_lacking(struct arriving *vm, const struct lv_migrate_piece *piece, const uint8_t *bits, size_t size, struct error *error)
{
	int err = arriving_may_wait(vm) ? check_memory(vm, piece->total, error) :
		error_set(error, -EOPNOTSUPP, "memory that comes after the switch, of a VM with disks");
	return err ? err : coming_lacking(&vm->coming, piece, bits, size, error);
}

int arriving_memory(struct arriving *vm, uint64_t offset, const void *data, size_t size, uint64_t total, struct error *error)
{
	int err = check_memory(vm, total, error);
	return err ? err : write_at(vm->save.memory, offset, data, size, "memory of the VM that comes", error);
}

int arriving_state(struct arriving *vm, uint64_t offset, const void *data, size_t size, struct error *error)
{
	return write_at(vm->save.state, offset, data, size, "state of the VM that comes", error);
}

/* ---- it stands here ---- */

static void close_theirs(struct arriving *vm)
{
	if (vm->theirs >= 0)
		close(vm->theirs);
	vm->theirs = -1;
}

int arriving_later(struct arriving *vm, struct wire *wire, struct error *error)
{
	const uint64_t size = wire->migration.memory_size;
	if (ftruncate(vm->save.memory, (off_t)size))
		return error_set(error, -errno, "memory of the VM that comes: %s", strerror(errno));
	vm->config.state.pager.device = coming_device();
	if (vm->config.state.pager.device < 0)
		return error_set(error, vm->config.state.pager.device, "/dev/userfaultfd: %s", strerror(-vm->config.state.pager.device));
	vm->config.state.pager.listener = coming_begin(&vm->coming, wire, vm->dir.dir, vm->save.memory, size, error);
	return vm->config.state.pager.listener < 0 ? vm->config.state.pager.listener : 0;
}

int arriving_start(struct arriving *vm, uint64_t memory_size, struct error *error)
{
	if (ftruncate(vm->save.memory, (off_t)memory_size))
		return error_set(error, -errno, "memory of the VM that comes: %s", strerror(errno));
	int err = migrate_disks_open(&vm->config, vm->disks, vm->places.disks, error);
	if (err)
		return err;
	vm->launched = true;
	vm->config.shell = &vm->shell;
	err = launch_start(&vm->launch, &vm->config, &vm->dir, clock_now(), error);
	close_theirs(vm); /* from here on its end is heard */
	return err ? err : launch_settle(&vm->launch, error);
}

int arriving_commit(struct arriving *vm, struct error *error)
{
	vm->record.step = MIGRATE_HAS_COMMITTED;
	int err = migrate_record_write(&vm->record, error);
	if (err)
		return err;
	vm->committed = true;
	return migrate_finish(vm->state, &vm->record, error);
}

/* ---- the end ---- */

static void take_back(struct arriving *vm)
{
	if (vm->launched) {
		launch_kill(&vm->launch);
		launch_reap(&vm->launch);
	}
	if (vm->prepared && vm->config.name)
		vm_drop_name(vm->state, &vm->dir, vm->config.name);
	if (vm->prepared)
		vm_abandon(vm->state, &vm->dir);
	migrate_record_remove(&vm->record);
}

void arriving_free(struct arriving *vm)
{
	if (!vm)
		return;
	close_image(vm);
	shell_end(&vm->shell);
	close_theirs(vm);
	if (!vm->committed)
		take_back(vm);
	launch_end(&vm->launch);
	coming_free(&vm->coming);
	vm_close(&vm->dir);
	config_free(&vm->config);
	json_decref(vm->disks);
	if (vm->initrd >= 0)
		close(vm->initrd);
	save_close(&vm->save);
	migrate_record_close(&vm->record);
	free(vm);
}
