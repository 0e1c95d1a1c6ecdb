/* SPDX-License-Identifier: Apache-2.0 */
/* Names of VMs: links, names/NAME, to their directories. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "node/state.h"

#define NAME_PATH 80

/* False: it is no name. */
static bool name_path(char path[NAME_PATH], const char *name)
{
	return vm_name_valid(name) && snprintf(path, NAME_PATH, "names/%s", name) < NAME_PATH;
}

/* Its VM claimed it and is about to be shown. */
static bool is_hidden(const struct state *state, const char *id)
{
	char hidden[32];
	snprintf(hidden, sizeof(hidden), "vms/.%.*s", STATE_ID, id);
	return !faccessat(state->dir, hidden, F_OK, AT_SYMLINK_NOFOLLOW);
}

/* "lightvm create --rm": it has not been there yet. */
static bool waits_for_start(const struct vm_dir *vm)
{
	struct lv_status status;
	return !vm_status(vm, &status) && status.state == LV_STATE_CREATED && !status.pid;
}

/* A name whose VM is gone, or whose VM has ended and was to be removed (--rm), is free. */
static bool name_is_stale(const struct state *state, const char *name, char *id)
{
	char target[64], path[NAME_PATH];
	ssize_t n = name_path(path, name) ? readlinkat(state->dir, path, target, sizeof(target) - 1) : -1;
	if (n <= 0)
		return true;
	target[n] = 0;
	if (n < STATE_ID)
		return true;
	memcpy(id, target + n - STATE_ID, STATE_ID + 1);
	struct vm_dir vm;
	/* Hidden first: it may be shown between the two looks. */
	if (is_hidden(state, id))
		return false;
	if (vm_open(state, id, &vm))
		return true;
	bool stale = !vm_alive(&vm) && !faccessat(vm.dir, STATE_LITTER, F_OK, 0) && !waits_for_start(&vm);
	if (stale)
		vm_remove(state, &vm, name, NULL);
	vm_close(&vm);
	return stale;
}

/*
 * In the place of a name that is free but there. Under a lock, since of two that find it so the second would take the first one's away; who
 * finds no name there needs none.
 */
static int take_over(const struct state *state, const char *name, const char *path, const char *target, char *other)
{
	int names = openat(state->dir, "names", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = names < 0 ? -errno : -EEXIST;
	if (names >= 0 && flock(names, LOCK_EX))
		err = -errno;
	if (err == -EEXIST && name_is_stale(state, name, other)) {
		unlinkat(state->dir, path, 0);
		err = symlinkat(target, state->dir, path) ? -errno : 0;
	}
	if (names >= 0)
		close(names);
	return err;
}

int vm_claim_name(const struct state *state, const struct vm_dir *vm, const char *name, struct error *error)
{
	char path[NAME_PATH], target[32], other[STATE_ID + 1] = "";
	if (!name_path(path, name))
		return error_set(error, -EINVAL, "the name \"%.80s\" is none", name);
	snprintf(target, sizeof(target), "../vms/%s", vm->id);
	int err = symlinkat(target, state->dir, path) ? -errno : 0;
	/* Whoever made the directories first may have been stopped between them. */
	if (err == -ENOENT) {
		err = state_make_below(state, error);
		if (err)
			return err;
		err = symlinkat(target, state->dir, path) ? -errno : 0;
	}
	if (err == -EEXIST)
		err = take_over(state, name, path, target, other);
	if (err == -EEXIST)
		return error_set(error, err, "the name \"%s\" is taken by VM %s; remove that one with: lightvm rm -f %s", name, other, name);
	return err ? error_set(error, err, "name \"%s\": %s", name, strerror(-err)) : 0;
}

bool vm_name_find(const struct state *state, const char *word, char *id)
{
	char target[64], path[NAME_PATH];
	bool is_name = name_path(path, word);
	ssize_t n = is_name ? readlinkat(state->dir, path, target, sizeof(target) - 1) : -1;
	for (size_t i = 0; i < STATE_OLD && n < 0 && is_name; i++)
		n = state->old[i] < 0 ? -1 : readlinkat(state->old[i], path, target, sizeof(target) - 1);
	if (n < STATE_ID)
		return false;
	target[n] = 0;
	strcpy(id, target + n - STATE_ID);
	return true;
}

void vm_drop_name(const struct state *state, const struct vm_dir *vm, const char *name)
{
	char path[NAME_PATH], target[64];
	if (!name_path(path, name))
		return;
	for (int i = -1; i < STATE_OLD; i++) {
		int place = i < 0 ? state->dir : state->old[i];
		ssize_t n = place < 0 ? -1 : readlinkat(place, path, target, sizeof(target) - 1);
		if (n >= STATE_ID && !memcmp(target + n - STATE_ID, vm->id, STATE_ID))
			unlinkat(place, path, 0);
	}
}

/* A name that leads to no VM, and to none that is about to be shown. */
static bool leads_nowhere(const struct state *state, const char *name)
{
	char id[STATE_ID + 1];
	struct vm_dir vm;
	if (!vm_name_find(state, name, id) || is_hidden(state, id))
		return false;
	int err = vm_open(state, id, &vm);
	vm_close(&vm);
	return err == -ENOENT;
}

unsigned state_prune_names(const struct state *state, bool dry)
{
	unsigned n = 0;
	int fd = openat(state->dir, "names", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *names = fd >= 0 && !flock(fd, LOCK_EX) ? fdopendir(fd) : NULL;
	for (struct dirent *entry; names && (entry = readdir(names));)
		if (leads_nowhere(state, entry->d_name) && (dry || !unlinkat(fd, entry->d_name, 0)))
			n++;
	if (names)
		closedir(names);
	else if (fd >= 0)
		close(fd);
	return n;
}

bool vm_name_valid(const char *name)
{
	size_t len = strlen(name);
	if (!len || len > STATE_NAME || !isalnum((unsigned char)name[0]))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr(".-_", *name))
			return false;
	return true;
}
