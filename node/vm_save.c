/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_save.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/file.h"
#include "tinyx/file_digest.h"
#include "node/monitor_control.h"
#include "node/record.h"
#include "node/save_chain.h"
#include "node/save_file.h"
#include "node/save_files.h"
#include "node/vm_end.h"
#include "node/vm_policy.h"
#include "tinyx/cache.h"
#include "tinyx/image_file.h"
#include "tinyx/plan.h"

#define STALL_MS 30000 /* without a byte written */
#define LOOK_MS 1000
#define END_MS 5000

/* ---- the monitor's part ---- */

static int refusal(const struct vm_info *info, int err, const char *why, struct error *error)
{
	const char *id = info->dir.id;
	if (err == -EPROTONOSUPPORT || (err == -EOPNOTSUPP && !*why))
		return error_set(error, -EOPNOTSUPP, "VM %s was started by an older lightvm, whose monitor cannot save; start it anew for this", id);
	if (err == -ECONNREFUSED || err == -ENOENT || err == -ECONNRESET)
		return error_set(error, -ESRCH, "VM %s has ended", id);
	if (err == -EBUSY)
		return error_set(error, err, "VM %s is being saved by another command", id);
	if (err == -ETIMEDOUT)
		return error_set(error, err, "VM %s: nothing was written for %d s: it was not saved, and goes on", id, STALL_MS / 1000);
	if (err == -ENOSPC)
		return error_set(error, err, "VM %s: there is no room for its memory: it was not saved, and goes on", id);
	return error_set(error, err, "VM %s: it was not saved, and goes on: %s", id, *why ? why : strerror(-err));
}

static uint64_t written(int state, int memory)
{
	struct stat a = { 0 }, b = { 0 };
	fstat(state, &a);
	fstat(memory, &b);
	return (uint64_t)a.st_size + (uint64_t)b.st_blocks;
}

/* As long as there is progress. */
static int await_answer(int connection, int state, int memory)
{
	struct pollfd poll_fd = { .fd = connection, .events = POLLIN };
	uint64_t before = 0, end = deadline_in(STALL_MS);
	for (;;) {
		int n = poll(&poll_fd, 1, LOOK_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		uint64_t now = written(state, memory);
		if (now != before)
			end = deadline_in(STALL_MS);
		else if (!deadline_left(end))
			return -ETIMEDOUT;
		before = now;
	}
}

static int close_refused(const struct vm_info *info, int *connection, int err, const char *why, struct error *error)
{
	if (*connection >= 0)
		close(*connection);
	*connection = -1;
	return refusal(info, err, why, error);
}

/* On a connection that there is, or a new one; closed where that fails. */
static int ask(const struct vm_info *info, int *connection, enum lv_control_op op, int64_t what, const int fds[3], struct error *error)
{
	if (*connection < 0)
		*connection = control_connect(info->dir.dir, CONTROL_PATIENCE_MS);
	int err = *connection < 0 ? *connection : control_send(*connection, op, what, fds, fds[2] >= 0 ? 3 : 2);
	return err ? close_refused(info, connection, err, "", error) : 0;
}

static int hear(const struct vm_info *info, int *connection, enum lv_control_op op, int state, int memory, struct error *error)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	int err = answer ? await_answer(*connection, state, memory) : -ENOMEM;
	if (!err)
		err = control_finish(*connection, op, answer);
	if (err)
		close_refused(info, connection, err, answer ? answer->why : "", error);
	free(answer);
	return err ? error->code : 0;
}

int vm_save_to(const struct vm_info *info, int state, int memory, int base, struct error *error)
{
	const int fds[] = { state, memory, base };
	int connection = -1, err = ask(info, &connection, LV_CTL_SAVE, base >= 0 ? LV_SAVE_DIRTY_ONLY : 0, fds, error);
	if (!err)
		err = hear(info, &connection, LV_CTL_SAVE, state, memory, error);
	return err ? err : connection;
}

int vm_save_ask(const struct vm_info *info, int *connection, int state, int memory, int64_t what, struct error *error)
{
	const int fds[] = { state, memory, -1 };
	return ask(info, connection, LV_CTL_LOOK, what, fds, error);
}

int vm_save_look(const struct vm_info *info, int *connection, int state, int memory, struct error *error)
{
	return hear(info, connection, LV_CTL_LOOK, state, memory, error);
}

/* ---- the manifest ---- */

/* An image in the cache is named by its digest. Another file may have been put in the place of the one that the VM has. */
static int image_unchanged(const struct vm_info *info, const struct image *image, const char *path, struct error *error)
{
	struct stat st;
	const char *base = strrchr(path, '/');
	bool by_digest = base && image->sha256[0] && !strncmp(base + 1, image->sha256, IMAGE_HEX);
	if (by_digest || fstat(image->fd, &st))
		return 0;
	uint64_t changed = (uint64_t)st.st_ctim.tv_sec * NS_PER_S + (uint64_t)st.st_ctim.tv_nsec;
	if (changed <= info->status.start_realtime_ns)
		return 0;
	return error_set(error, -ESTALE, "VM %s: its image %s was changed or replaced since it started: a restore would have another one; it was not saved, and goes on",
			 info->dir.id, path);
}

static int describe_image(const struct vm_info *info, struct save_manifest *manifest, struct error *error)
{
	struct image image;
	const char *path = config_string(info->config, "image");
	if (!*path)
		return 0;
	int err = image_open(&image, path, error);
	if (!err)
		err = image_unchanged(info, &image, path, error);
	if (!err) {
		manifest->image_size = image.size;
		memcpy(manifest->image_sha256, image.sha256, sizeof(image.sha256));
	}
	image_close(&image);
	return err;
}

static int describe_kernel(const struct vm_info *info, struct save_manifest *manifest, struct error *error)
{
	const char *path = config_string(json_object_get(info->config, "linux"), "kernel");
	return *path ? file_digest(path, manifest->kernel_sha256, error) : 0;
}

static int describe_files(int state, int memory, struct save_manifest *manifest, struct error *error)
{
	struct stat a, b;
	if (fstat(state, &a) || fstat(memory, &b))
		return error_set(error, -errno, "the saved files: %s", strerror(errno));
	manifest->saved_ns = clock_wall();
	manifest->state_size = (uint64_t)a.st_size;
	manifest->memory_size = (uint64_t)b.st_size;
	manifest->memory_taken = (uint64_t)b.st_blocks * 512;
	return 0;
}

/* What a Linux guest may use was perhaps lowered since (vm_limit_memory), for it and for its next start; its machine has what it has. */
static uint64_t memory_limit(const struct vm_info *info)
{
	const struct lv_status *status = &info->status;
	return status->guest == LV_GUEST_LINUX ? status->ram_size : (uint64_t)json_integer_value(json_object_get(info->config, "memory"));
}

int vm_save_describe(const struct vm_info *info, struct save_manifest *manifest, struct error *error)
{
	const char *name = config_string(info->config, "name");
	const struct lv_status *status = &info->status;
	*manifest = (struct save_manifest){ .guest = status->guest == LV_GUEST_LINUX ? LV_GUEST_LINUX : LV_GUEST_LIBOS,
		.memory_limit = memory_limit(info), .memory_used = status->memory_used };
	strcpy(manifest->id, info->dir.id);
	manifest->name = *name ? alloc_copy(name) : NULL;
	if (manifest->guest == LV_GUEST_LIBOS)
		hex_print(status->libos_build, LV_BUILD_ID, manifest->libos_build);
	for (uint32_t i = 0; i < status->device_count && i < LV_MAX_DEVICES; i++)
		strings_add(&manifest->devices, device_name(status->device[i].type));
	cpu_words_read(&manifest->cpu);
	manifest->config = json_incref(info->config);
	int err = describe_image(info, manifest, error);
	if (!err)
		err = describe_kernel(info, manifest, error);
	if (!err && strings_error(&manifest->devices))
		err = error_set(error, -ENOMEM, "out of memory");
	return err;
}

/* ---- the whole ---- */

int vm_save_check(struct vm_info *info, struct error *error)
{
	if (!info->alive)
		return vm_not_alive(info, error);
	if (info->state != VM_RUNNING && info->state != VM_PAUSED)
		return error_set(error, -EAGAIN, "VM %s is still starting", info->dir.id);
	int err = vm_info_refresh(info, CONTROL_PATIENCE_MS);
	return err ? refusal(info, err, "", error) : 0;
}

/* A name leads to the state of one VM, until somebody says that it may be another's. */
static int check_owner(const struct vm_info *info, const char *path, struct error *error)
{
	struct save save;
	struct error none = { 0 };
	int err = save_open(&save, path, &none);
	bool other = !err && strcmp(save.manifest.id, info->dir.id) != 0;
	if (other)
		err = error_set(error, -EEXIST, "%s holds VM %s, saved before: remove that with: lightvm checkpoint rm %s; or give this one another name: --name NAME",
				path, save.manifest.id, strrchr(path, '/') + 1);
	save_close(&save);
	return other ? err : 0;
}

/* Of what is sent nothing stays: it is made where nobody's is. */
static char *passing_path(const struct vm_info *info, struct error *error)
{
	char *name = alloc_format("stream-%s", info->dir.id), *path = name ? save_place(name, true, error) : NULL;
	free(name);
	return path;
}

static char *choose_path(const struct vm_info *info, const struct save_wish *wish, struct error *error)
{
	if (wish->stream)
		return passing_path(info, error);
	const char *own = config_string(info->config, "name"), *name = wish->name ? wish->name : *own ? own : info->dir.id;
	if (wish->path)
		return path_clean("/", wish->path);
	if (!vm_name_valid(name)) {
		error_set(error, -EINVAL, "--name: \"%.80s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", name);
		return NULL;
	}
	char *path = save_place(name, true, error);
	if (path && !wish->name && check_owner(info, path, error)) {
		free(path);
		return NULL;
	}
	return path;
}

/* From here on a VM whose monitor ends of this is a saved one. The link before: who is killed in between leaves a VM that runs, and a link that says nothing. */
static int end_saved(const struct vm_info *info, int connection, const char *path, struct error *error)
{
	int handle = vm_monitor_open(info), err = policy_stop(info->dir.id, error);
	unlinkat(info->dir.dir, STATE_SAVED, 0);
	if (!err && symlinkat(path, info->dir.dir, STATE_SAVED))
		err = error_set(error, -errno, "VM %s: it was saved to %s, and goes on: %s", info->dir.id, path, strerror(errno));
	if (!err && (err = control_call(connection, LV_CTL_KILL, 0, NULL, 0, NULL)))
		error_set(error, err, "VM %s: it was saved to %s, but does not end: %s", info->dir.id, path, strerror(-err));
	if (!err && handle >= 0) {
		struct pollfd poll_fd = { .fd = handle, .events = POLLIN };
		poll(&poll_fd, 1, END_MS);
	}
	if (handle >= 0)
		close(handle);
	return err;
}

/* What it is to be a difference from: save_in() has it below. */
struct base {
	struct save save;
	struct save_chain chain;
};

static int open_base(struct base *base, const char *path, struct error *error)
{
	int err = path ? save_open(&base->save, path, error) : 0;
	if (!err && path)
		err = save_chain_open(&base->chain, &base->save, error);
	if (!err && path)
		err = save_is_plain(&base->save, "nothing can be a difference from it", error);
	if (!err && base->chain.count == LV_VM_BELOW_MAX)
		err = error_set(error, -ELOOP, "it is the last of %d saved VMs, each a difference from the one before, and there may be no more: save the whole VM once", LV_VM_BELOW_MAX + 1);
	return !err ? 0 : error_names(error, path) ? error_prefix(error, "--base") : error_prefix(error, "--base %s", path);
}

static void close_base(struct base *base)
{
	save_chain_close(&base->chain);
	save_close(&base->save);
}

/* What is at path goes when the VM is saved there. */
static int check_place(const struct base *base, const char *path, struct error *error)
{
	if (base->save.memory >= 0 && save_chain_uses(&base->chain, &base->save, path))
		return error_set(error, -EEXIST, "%s cannot be replaced by what changed since: give that another name (--name NAME), or a directory", path);
	return save_needed(path, error);
}

/* An image that the cache removed, being full, would be one that the saved VM cannot go on without. */
static int keep_image(const struct save_manifest *manifest, const char *path, bool one, struct error *error)
{
	struct cache cache = CACHE_NONE;
	struct error none = { 0 };
	char *file = one ? alloc_copy(path) : alloc_format("%s/" SAVE_MANIFEST, path);
	int err = file ? 0 : -ENOMEM;
	/* Without a cache there is nothing to keep. */
	if (!err && *manifest->image_sha256 && !cache_open(&cache, false, &none))
		err = cache_keep_for(&cache, manifest->image_sha256, file);
	cache_close(&cache);
	free(file);
	return err ? error_set(error, err, "the image cache, which is to keep the image for %s: %s", path, strerror(-err)) : 0;
}

/* It is there, whole, for who looks for it. What is sent is the receiver's. */
static int publish(const struct save_wish *wish, struct save_draft *draft, const struct save_manifest *manifest, struct error *error)
{
	if (wish->stream)
		return save_file_write(wish->out, draft, manifest, "standard output", error);
	int err = wish->one ? save_file_publish(draft, manifest, error) : save_finish(draft, manifest, error);
	if (!err && !wish->one)
		err = save_publish(draft, error);
	return err ? err : keep_image(manifest, draft->path, wish->one, error);
}

/* One that is to go on does so while its memory is compressed, and the files are brought to the disk. */
static int save_in(const struct vm_info *info, const struct save_wish *wish, const struct base *base, struct save_draft *draft, struct error *error)
{
	struct save_manifest manifest;
	const bool leave_running = wish->leave_running;
	int connection = -1, err = vm_save_describe(info, &manifest, error);
	manifest.ended = !leave_running;
	if (!err && base->save.path)
		err = save_chain_parent(&base->save, &manifest.parent, error);
	if (!err && (connection = vm_save_to(info, draft->state, draft->memory, base->save.memory, error)) < 0)
		err = connection;
	if (!err)
		err = describe_files(draft->state, draft->memory, &manifest, error);
	if (leave_running && connection >= 0) {
		close(connection);
		connection = -1;
	}
	if (!err && (wish->compress || wish->one || wish->stream))
		err = save_compress(draft, &manifest, error);
	if (!err)
		err = publish(wish, draft, &manifest, error);
	if (!err && !leave_running)
		err = end_saved(info, connection, draft->path, error);
	if (connection >= 0)
		close(connection);
	save_manifest_free(&manifest);
	return err;
}

int vm_save(struct vm_info *info, const struct save_wish *wish, char **path, struct error *error)
{
	struct save_draft draft = SAVE_DRAFT_NONE;
	struct base base = { .save = SAVE_NONE };
	int err = vm_save_check(info, error);
	if (!err)
		err = open_base(&base, wish->base, error);
	*path = err ? NULL : choose_path(info, wish, error);
	if (!err && !*path)
		err = error->code ? error->code : error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = check_place(&base, *path, error);
	if (!err)
		err = (wish->one ? save_begin_file : save_begin)(&draft, *path, error);
	if (!err)
		err = save_in(info, wish, &base, &draft, error);
	close_base(&base);
	save_free(&draft);
	if (wish->stream) { /* where it was made, in the user's place, nothing is left */
		free(*path);
		*path = NULL;
	}
	return err;
}

const char *vm_save_note(const struct vm_info *info)
{
	const char *kind = config_string(json_object_get(info->config, "net"), "kind");
	return strcmp(kind, "passt") ? NULL : "its connections end here: passt makes new ones for what goes on; published ports come back with it";
}
