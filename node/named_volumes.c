/* SPDX-License-Identifier: Apache-2.0 */
#include "node/named_volumes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "node/kept.h"
#include "node/state.h"
#include "node/vm_config.h"

bool named_volume_is(const char *word)
{
	return vm_name_valid(word);
}

static int check_name(const char *name, struct error *error)
{
	return vm_name_valid(name) ? 0 : error_set(error, -EINVAL, "volume: \"%.80s\" is not 1 to 63 letters, digits, \".\", \"-\" and \"_\"", name);
}

/* What is made there is root's in the VM, as a new directory is. */
static int make(int dir, const char *name, bool *made, struct error *error)
{
	int err = mkdirat(dir, name, 0755) && errno != EEXIST ? -errno : 0;
	if (made)
		*made = !err && errno != EEXIST;
	return err ? error_set(error, err, "volume %s: %s", name, strerror(-err)) : 0;
}

char *named_volume_path(const char *name, bool create, bool *made, struct error *error)
{
	struct stat st;
	int err = check_name(name, error), dir = err ? err : kept_open(KEPT_VOLUME, create, error);
	char *place = dir >= 0 ? kept_place(KEPT_VOLUME, error) : NULL, *path = place ? alloc_format("%s/%s", place, name) : NULL;
	errno = 0;
	if (path && create)
		err = make(dir, name, made, error);
	if (!err && (dir == -ENOENT || (path && (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode)))))
		err = error_set(error, -ENOENT, "there is no volume %s; lightvm volume ls lists them", name);
	if (dir >= 0)
		close(dir);
	free(place);
	if (err) {
		free(path);
		path = NULL;
	}
	return path;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int named_volumes(struct strings *names, struct error *error)
{
	int fd = kept_open(KEPT_VOLUME, false, error);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	if (!dir)
		return fd == -ENOENT ? 0 : fd < 0 ? fd : error_set(error, -errno, "volumes: %s", strerror(errno));
	while ((entry = readdir(dir)))
		if (vm_name_valid(entry->d_name))
			strings_add(names, entry->d_name);
	closedir(dir);
	if (names->count)
		qsort(names->item, names->count, sizeof(*names->item), by_name);
	return strings_error(names) ? error_set(error, -ENOMEM, "out of memory") : 0;
}

struct users {
	const struct state *state;
	const char *path;
	json_t *ids;
	char unread[STATE_ID + 1]; /* whose configuration cannot be read */
};

/* A VM that is gone, or is still being made and has no configuration yet, has no volume either. */
static int look_at(void *context, const char *id)
{
	struct users *users = context;
	struct vm_dir vm = VM_DIR_NONE;
	int err = vm_open(users->state, id, &vm);
	json_t *config = err ? NULL : config_read(vm.dir);
	if (!err && !config)
		err = faccessat(vm.dir, CONFIG_FILE, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT ? -ENOENT : -EIO;
	if (err && err != -ENOENT)
		snprintf(users->unread, sizeof(users->unread), "%s", id);
	const json_t *mounts = json_object_get(config, "mounts");
	for (size_t i = 0; i < json_array_size(mounts); i++)
		if (!strcmp(config_string(json_array_get(mounts, i), "source"), users->path)) {
			json_array_append_new(users->ids, json_string(id));
			break;
		}
	json_decref(config);
	vm_close(&vm);
	return err == -ENOENT ? 0 : err;
}

/* *ids: a new reference. Where it cannot be told who has the volume, nobody may take it away. */
static int users_of(const char *path, json_t **ids, struct error *error)
{
	struct state state = STATE_NONE;
	struct users users = { .state = &state, .path = path, .ids = json_array() };
	int err = state_open(&state, false, error), each = err ? 0 : state_each(&state, look_at, &users);
	state_close(&state);
	if (each && users.unread[0])
		err = error_set(error, each, "which volumes VM %s has cannot be told: its configuration cannot be read; lightvm rm removes it", users.unread);
	else if (each)
		err = error_set(error, each, "the records of VMs cannot be read: %s", strerror(-each));
	if (err && err != -ENOENT) {
		json_decref(users.ids);
		return err;
	}
	*ids = users.ids;
	return 0;
}

json_t *named_volume_view(const char *name, struct error *error)
{
	struct stat st;
	char *path = named_volume_path(name, false, NULL, error);
	json_t *view = NULL, *vms;
	if (path && stat(path, &st))
		error_set(error, -errno, "volume %s: %s", name, strerror(errno));
	else if (path && !users_of(path, &vms, error))
		view = json_pack("{s:s, s:s, s:I, s:o}", "name", name, "path", path, "changed_ns", (json_int_t)st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec, "vms", vms);
	free(path);
	return view;
}

static int check_unused(const char *name, const char *path, struct error *error)
{
	json_t *ids = NULL;
	int err = users_of(path, &ids, error);
	const char *user = json_string_value(json_array_get(ids, 0));
	if (user)
		err = error_set(error, -EBUSY, "volume %s: VM %s has it; remove that before", name, user);
	json_decref(ids);
	return err;
}

/*
 * Out of the way, and looked at once more: a VM whose record is written from now on does not find it, and says so; one whose record has come meanwhile is seen,
 * and keeps it.
 */
static int put_aside(int dir, const char *name, const char *aside, const char *path, struct error *error)
{
	int err = tree_remove(dir, aside); /* of somebody who was killed in the middle of this */
	if (err && err != -ENOENT)
		return error_set(error, err, "volume %s: %s", name, strerror(-err));
	if (renameat(dir, name, dir, aside))
		return error_set(error, -errno, "volume %s: %s", name, strerror(errno));
	err = check_unused(name, path, error);
	if (!err || !syscall(SYS_renameat2, dir, aside, dir, name, RENAME_NOREPLACE))
		return err;
	/* Somebody has made one of that name. Under this one nobody removes it. */
	char *kept = alloc_format("%s.kept", aside);
	const char *now = kept && !syscall(SYS_renameat2, dir, aside, dir, kept, RENAME_NOREPLACE) ? kept : aside;
	error_set(error, err, "volume %s: a VM took it meanwhile, and another one has its name: it is %s beside that", name, now);
	free(kept);
	return err;
}

int named_volume_remove(const char *name, struct error *error)
{
	char *path = named_volume_path(name, false, NULL, error), *aside = alloc_format(".%s", name);
	int dir = path ? kept_open(KEPT_VOLUME, false, error) : error->code, err = dir < 0 ? dir : 0;
	if (!err && !aside)
		err = error_set(error, -ENOMEM, "out of memory");
	if (!err)
		err = check_unused(name, path, error);
	if (!err)
		err = put_aside(dir, name, aside, path, error);
	if (!err && (err = tree_remove(dir, aside)))
		error_set(error, err, "volume %s: %s", name, strerror(-err));
	if (dir >= 0)
		close(dir);
	free(aside);
	free(path);
	return err;
}
