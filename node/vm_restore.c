/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_restore.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/vm_records.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "node/config_open.h"
#include "tinyx/file_digest.h"
#include "node/launch.h"
#include "node/libos_build.h"
#include "node/save_chain.h"
#include "node/vm_again.h"
#include "node/vm_info.h"
#include "node/vm_policy.h"
#include "node/vm_row.h"
#include "tinyx/cache.h"
#include "tinyx/image_file.h"

#define PAGE 4096u

/* ---- is all of it here? ---- */

static int check_libos(const struct save_manifest *manifest, struct error *error)
{
	uint8_t build[LV_BUILD_ID];
	char hex[2 * LV_BUILD_ID + 1];
	int err = manifest->guest == LV_GUEST_LIBOS ? libos_build_here(build, error) : 1;
	if (err)
		return err < 0 ? err : 0;
	hex_print(build, sizeof(build), hex);
	if (!strcmp(hex, manifest->libos_build))
		return 0;
	return error_set(error, -ESTALE, "it was saved with the library OS %.12s, and here is %.12s: only the one that it was saved with can go on with it (LIGHTVM_LIBOS=FILE)",
			 manifest->libos_build, hex);
}

/* The file that is open: it is the one that the VM gets, whatever lies at its path by then. */
static int check_kernel(const struct save_manifest *manifest, const struct vm_config *config, struct error *error)
{
	char hex[FILE_DIGEST_HEX + 1];
	const char *path = config->guest.kernel_path;
	if (!*manifest->kernel_sha256 || config->guest.kernel_fd < 0)
		return 0;
	int err = file_digest_of(config->guest.kernel_fd, path, hex, error);
	if (err || !strcmp(hex, manifest->kernel_sha256))
		return err;
	return error_set(error, -ESTALE, "its kernel %s is another one by now: SHA-256 is %.12s, it was %.12s", path, hex, manifest->kernel_sha256);
}

/* An image that was packed anew since lies in the cache all the same, under its digest, as long as there is room. */
static char *cached_image(const char *sha256)
{
	char *dir = *sha256 ? cache_dir() : NULL, *path = dir ? alloc_format("%s/images/%s.lvm", dir, sha256) : NULL;
	free(dir);
	if (path && !access(path, R_OK))
		return path;
	free(path);
	return NULL;
}

/* *right: it is the one that was saved. */
static int open_image(struct vm_config *config, const struct save_manifest *manifest, bool *right, struct error *error)
{
	struct image image;
	*right = false;
	int err = image_open(&image, config->image, error);
	if (!err)
		*right = !strcmp(image.sha256, manifest->image_sha256) && image.size == manifest->image_size;
	if (*right && (config->image_fd = fcntl(image.fd, F_DUPFD_CLOEXEC, 3)) < 0)
		err = error_set(error, -errno, "%s: %s", config->image, strerror(errno));
	image_close(&image);
	return err;
}

static int find_image(struct vm_config *config, const struct save_manifest *manifest, struct error *error)
{
	bool right;
	if (!config->image)
		return 0;
	int err = open_image(config, manifest, &right, error);
	if (!err && right)
		return 0;
	char *cached = cached_image(manifest->image_sha256);
	if (cached) {
		free(config->image);
		config->image = cached;
		if (!(err = open_image(config, manifest, &right, error)) && right)
			return 0;
	}
	const char *digest = *manifest->image_sha256 ? manifest->image_sha256 : "none";
	if (err)
		return error_prefix(error, "its image (SHA-256 %.12s) is not here any more", digest);
	return error_set(error, -ESTALE, "its image %s is another one by now: %.12s is its SHA-256, not %.12s", config->image, digest, digest);
}

static int check_cpu(const struct save_manifest *manifest, struct error *error)
{
	struct cpu_words here;
	cpu_words_read(&here);
	return cpu_words_fit(&manifest->cpu, &here, error);
}

static int check_all(const struct save_manifest *manifest, const struct restore_wish *wish, struct vm_config *config, struct error *error)
{
	int err = config->guest.is_linux == (manifest->guest == LV_GUEST_LINUX) ? 0 : error_set(error, -EINVAL, "guest: the configuration says another kind");
	if (!err)
		err = check_cpu(manifest, error);
	if (!err)
		err = check_libos(manifest, error);
	return err || wish->image_later ? err : find_image(config, manifest, error);
}

/* ---- what is to be ---- */

static int change_net(const struct restore_wish *wish, struct vm_config *config, struct error *error)
{
	struct net_request request = wish->net;
	bool had = config->net.kind != NET_NONE;
	request.id = config->id;
	if (!had && net_asked(&request))
		return error_set(error, -EINVAL, "it was saved without a network, and cannot get one: its program goes on with the devices that it had");
	int err = net_change(&config->net, &request, error);
	if (!err && had && config->net.kind == NET_NONE)
		err = error_set(error, -EINVAL, "--net none: it was saved with a network device, which its program goes on with; its other end may be passt, tap:NAME or bridge:NAME");
	return err;
}

/* Disks go on as they are now: what was written to them after the save is not what the VM remembers of them. */
static int check_disks(const struct save *save, const struct vm_config *config, struct error *error)
{
	struct stat st;
	for (size_t i = 0; i < config->disks; i++) {
		const struct config_disk *disk = &config->disk[i];
		if (fstat(disk->fd, &st) || !S_ISREG(st.st_mode))
			continue;
		uint64_t changed = (uint64_t)st.st_mtim.tv_sec * NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
		if (changed > save->manifest.saved_ns)
			return error_set(error, -ESTALE, "its disk %s was written to after it was saved: what its program remembers of it is wrong. Put back the disk as it was then (a copy made "
							 "right after \"lightvm save\"), with its times (cp -p); then restore again", disk->path);
	}
	return 0;
}

static int open_state(const struct save *save, struct vm_config *config, struct error *error)
{
	if ((config->state.state = save_open_state(save, error)) < 0)
		return config->state.state;
	config->state.pages = save->pages < 0 ? -1 : fcntl(save->pages, F_DUPFD_CLOEXEC, 3);
	if (save->pages >= 0 && config->state.pages < 0)
		return error_set(error, -errno, "%s: %s", save->path, strerror(errno));
	struct save_chain chain = { .count = 0 };
	int err = (config->state.memory = save_open_memory(save, error)) < 0 ? config->state.memory : save_chain_open(&chain, save, error);
	memcpy(config->state.below, chain.memory, sizeof(chain.memory));
	config->state.below_count = chain.count; /* the configuration's to close */
	return err;
}

static void apply(const struct restore_wish *wish, struct vm_config *config)
{
	config->detached = !wish->attached;
	config->keeps_stdin = wish->attached ? false : config->keeps_stdin || wish->keeps_stdin;
	config->remove |= wish->remove;
	if (wish->attached || wish->remove)
		config->restart = (struct config_restart){ 0 };
	if (wish->name) {
		free(config->name);
		config->name = alloc_copy(wish->name);
	}
	if (wish->hostname) {
		free(config->hostname);
		config->hostname = alloc_copy(wish->hostname);
	}
	config->state.flags = (wish->advance ? LV_RESTORE_ADVANCE : 0) | (wish->paused ? LV_RESTORE_PAUSED : 0) | (wish->whole ? LV_RESTORE_WHOLE : 0);
}

/* A Linux guest goes on in the machine that it had, whatever it may use of it. */
static int take_machine(const struct save_manifest *manifest, struct vm_config *config, struct error *error)
{
	const uint64_t bytes = manifest->memory_limit;
	char size[24];
	if (manifest->guest != LV_GUEST_LINUX)
		return 0;
	if (bytes / PAGE < config->memory / PAGE) /* of half a page nobody has any use */
		return error_set(error, -EINVAL, "memory_limit: %llu is less than what the VM may use (%s)", (unsigned long long)bytes, size_print(config->memory, size, sizeof(size)));
	config->state.machine_memory = bytes;
	return 0;
}

int restore_config(const struct save *save, const struct restore_wish *wish, struct vm_config *config, struct error *error)
{
	const struct save_manifest *manifest = &save->manifest;
	int err = config_from_json(config, manifest->config, error);
	if (!err && strcmp(config->id, manifest->id))
		err = error_set(error, -EINVAL, "config.id: not the id of the saved VM");
	if (err)
		return error_prefix(error, "%s: config", save->path);
	uint32_t ip = config->net.ip;
	apply(wish, config);
	err = change_net(wish, config, error);
	/* passt answers for the others, and knows nothing of what was. */
	if (config->net.kind == NET_PASST || config->net.ip != ip)
		config->state.flags |= LV_RESTORE_RESET_CONNECTIONS;
	if (!err)
		err = config_validate(config, error);
	if (!err)
		err = check_all(manifest, wish, config, error);
	if (!err)
		err = take_machine(manifest, config, error);
	if (!err && !wish->image_later)
		err = wish->disks_later ? config_open_files(config, error) : config_open(config, error);
	if (!err && !wish->image_later)
		err = check_kernel(manifest, config, error);
	if (!err && !wish->image_later && !wish->disks_later)
		err = check_disks(save, config, error);
	if (!err)
		err = open_state(save, config, error);
	return !err ? 0 : error_names(error, save->path) ? err : error_prefix(error, "%s", save->path);
}

/* ---- where it goes on ---- */

struct going_on {
	const struct state *state;
	const struct save *save;
	struct vm_config config;
	struct vm_dir vm;
	bool in_place;
	struct lv_status before; /* in place: to be put back, as are the following */
	struct lv_report report;
	char link[PATH_MAX];
};

/* It runs, and is to run once more. */
static int beside(struct going_on *go, const struct restore_wish *wish, struct error *error)
{
	struct vm_config *config = &go->config;
	const char *own = config_string(go->save->manifest.config, "name");
	if (!wish->name || !strcmp(wish->name, own))
		return error_set(error, -EBUSY, "VM %s still runs; to have a second one beside it: lightvm restore --name NAME %s", *own ? own : go->vm.id, go->save->path);
	bool shares = config->net.kind == NET_TAP || config->net.kind == NET_BRIDGE;
	if (shares && config->net.ip && !wish->net.ip)
		return error_set(error, -EADDRINUSE, "VM %s still runs, with the same address: give this one another: --ip ADDRESS", *own ? own : go->vm.id);
	if (shares && net_has_ip6(&config->net) && !wish->net.ip6)
		return error_set(error, -EADDRINUSE, "VM %s still runs, with the same IPv6 address: give this one another: --ip6 ADDRESS", *own ? own : go->vm.id);
	vm_close(&go->vm);
	int err = vm_new_id(config->id, error);
	if (!err && !wish->net.mac)
		net_renew(&config->net, config->id);
	config->state.flags |= LV_RESTORE_CLONE | LV_RESTORE_RESET_CONNECTIONS;
	return err ? err : launch_create(go->state, config, &go->vm, error);
}

static void put_back(struct going_on *go)
{
	vm_put_back(&go->vm, &go->before, &go->report);
	if (go->link[0])
		(void)!symlinkat(go->link, go->vm.dir, STATE_SAVED);
}

/* What is there already is left alone, but for a VM that comes back with the machine: what is kept of it went when it ended. */
static int write_config(const struct going_on *go, const json_t *now, struct error *error)
{
	const struct vm_config *config = &go->config;
	json_t *json = config_to_json(config);
	bool same = json && config->restart.policy == RESTART_NO && json_equal(now, json);
	int err = same ? 0 : config_write_json(json, go->vm.dir, error);
	if (!err && !same)
		vm_row_replace(json, go->vm.dir);
	json_decref(json);
	return err;
}

/* As vm_start has it: under the VM's lock, since its name may change meanwhile; the one that it has now stays. */
static int renew(struct going_on *go, const struct restore_wish *wish, struct error *error)
{
	struct vm_config *config = &go->config;
	int lock = vm_lock(&go->vm, error), err = lock < 0 ? lock : 0;
	if (err)
		return err;
	json_t *now = config_read(go->vm.dir);
	const char *name = config_string(now, "name");
	if (!wish->name) {
		free(config->name);
		config->name = *name ? alloc_copy(name) : NULL;
	} else if (strcmp(wish->name, name)) {
		err = vm_claim_name(go->state, &go->vm, wish->name, error);
	}
	ssize_t n = readlinkat(go->vm.dir, STATE_SAVED, go->link, sizeof(go->link) - 1);
	go->link[n > 0 ? n : 0] = 0;
	vm_status(&go->vm, &go->before);
	vm_report(&go->vm, &go->report);
	if (!err)
		err = vm_renew(&go->vm, error);
	if (!err && wish->name && *name && strcmp(wish->name, name))
		vm_drop_name(go->state, &go->vm, name);
	if (!err && (err = write_config(go, now, error)))
		put_back(go);
	json_decref(now);
	close(lock);
	return err;
}

static int make_place(struct going_on *go, const struct restore_wish *wish, struct error *error)
{
	struct vm_config *config = &go->config;
	int err = vm_open(go->state, config->id, &go->vm);
	if (err)
		return launch_create(go->state, config, &go->vm, error);
	if (vm_runs(&go->vm))
		return beside(go, wish, error);
	go->in_place = true;
	return renew(go, wish, error);
}

static int go_on(struct going_on *go, uint64_t start_ns, restore_run *run, struct error *error)
{
	bool failed = false;
	policy_begin(&go->vm);
	if (go->in_place)
		vm_await_ports(&go->before, &go->config.net);
	int status = (run ? run : launch_quietly)(&go->vm, &go->config, start_ns, &failed, error);
	if (failed && go->in_place)
		put_back(go);
	else if (failed)
		vm_remove(go->state, &go->vm, go->config.name, NULL);
	return status;
}

int vm_restore(const struct state *state, const struct save *save, const struct restore_wish *wish, uint64_t start_ns, restore_run *run, char *id, int *status,
	       struct error *error)
{
	struct going_on *go = alloc_zero(sizeof(*go));
	if (!go)
		return error_set(error, -ENOMEM, "out of memory");
	go->state = state;
	go->save = save;
	go->vm = VM_DIR_NONE;
	config_init(&go->config);
	int err = restore_config(save, wish, &go->config, error);
	if (!err)
		err = make_place(go, wish, error);
	if (!err) {
		strcpy(id, go->config.id);
		*status = go_on(go, start_ns, run, error);
		err = *status < 0 ? *status : 0;
	}
	vm_close(&go->vm);
	config_free(&go->config);
	free(go);
	return err;
}
