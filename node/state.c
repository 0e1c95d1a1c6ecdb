/* SPDX-License-Identifier: Apache-2.0 */
#include "node/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "base/file.h"
#include "base/owned_dir.h"
#include "node/kept.h"

#define LOCK_MS 500 /* for others to end their look at a lock */
#define LOCK_RETRY_MS 5
#define LEFTOVER_SECONDS 60 /* a start that has not become visible after this long was killed */

/*
 * logind deletes /run/user/UID when the last session ends, and VMs that run on would be lost with their records: only a directory that
 * somebody else chose is used.
 */
static const char *runtime_dir(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char logind[32];
	snprintf(logind, sizeof(logind), "/run/user/%u", (unsigned)geteuid());
	return runtime && runtime[0] == '/' && strcmp(runtime, logind) ? runtime : NULL;
}

static char *temporary_path(void)
{
	return alloc_format("/tmp/lightvm-%u", (unsigned)geteuid());
}

static char *state_path(void)
{
	const char *chosen = getenv("LIGHTVM_STATE"), *runtime = runtime_dir(), *kept = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	if (chosen && chosen[0] == '/')
		return alloc_copy(chosen);
	if (runtime)
		return alloc_format("%s/lightvm", runtime);
	if (!geteuid())
		return alloc_copy("/run/lightvm");
	if (kept && kept[0] == '/')
		return alloc_format("%s/lightvm", kept);
	return home && home[0] == '/' ? alloc_format("%s/.local/state/lightvm", home) : temporary_path();
}

/* Where versions before this one put what is now at state->path: what still runs there is found, until it is removed. */
static int open_old(struct state *state)
{
	bool short_of_memory = false;
	char *places[STATE_OLD] = { alloc_format("/run/user/%u/lightvm", (unsigned)geteuid()), geteuid() ? temporary_path() : NULL };
	for (size_t i = 0; i < STATE_OLD; i++) {
		bool old = places[i] && !getenv("LIGHTVM_STATE") && !runtime_dir() && strcmp(places[i], state->path);
		int fd = old ? owned_dir_open(places[i], false, NULL) : -1;
		state->old[i] = fd < 0 ? -1 : fd;
		short_of_memory |= fd == -ENOMEM || (!places[i] && (i == 0 || geteuid()));
		free(places[i]);
	}
	return short_of_memory ? -ENOMEM : 0;
}

int state_make_below(const struct state *state, struct error *error)
{
	static const char *const below[] = { "vms", "names" };
	for (int i = 0; i < 2; i++) {
		int fd = owned_dir_openat(state->dir, state->path, below[i], true, error);
		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

/* What it is for, and what helps: the path alone says neither. */
static int no_place(struct error *error)
{
	return error_prefix(error, "the records of VMs have no place (LIGHTVM_STATE=DIR names another)");
}

int state_open(struct state *state, bool create, struct error *error)
{
	*state = (struct state){ .path = state_path(), .dir = -1, .old = { -1, -1 } };
	if (!state->path || open_old(state))
		return error_set(error, -ENOMEM, "out of memory");
	int fd = owned_dir_open(state->path, false, error);
	if (fd == -ENOENT && (create || state->old[0] >= 0 || state->old[1] >= 0)) {
		state->dir = fd = owned_dir_open(state->path, true, error);
		return fd < 0 ? no_place(error) : state_make_below(state, error);
	}
	if (fd < 0)
		return fd == -ENOENT ? fd : no_place(error);
	state->dir = fd;
	return 0;
}

void state_close(struct state *state)
{
	free(state->path);
	if (state->dir >= 0)
		close(state->dir);
	for (size_t i = 0; i < STATE_OLD; i++)
		if (state->old[i] >= 0)
			close(state->old[i]);
	*state = STATE_NONE;
}

void vm_close(struct vm_dir *vm)
{
	if (vm->status >= 0)
		close(vm->status);
	if (vm->dir >= 0)
		close(vm->dir);
	*vm = VM_DIR_NONE;
}

static int open_files(int place, const char *path, int flags, struct vm_dir *vm)
{
	vm->dir = openat(place, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (vm->dir < 0)
		return -errno;
	vm->status = openat(vm->dir, "status", flags | O_CLOEXEC, 0600);
	return vm->status < 0 ? -errno : 0;
}

int vm_new_id(char *id, struct error *error)
{
	uint8_t random[STATE_ID / 2];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return error_set(error, -EIO, "no random numbers: %s", strerror(errno));
	hex_print(random, sizeof(random), id);
	return 0;
}

int vm_create(const struct state *state, const char *id, struct vm_dir *vm, struct error *error)
{
	char path[32];
	*vm = VM_DIR_NONE;
	strcpy(vm->id, id);
	snprintf(path, sizeof(path), "vms/.%s", id);
	int err = mkdirat(state->dir, path, 0700) ? -errno : 0;
	if (err == -ENOENT) {
		err = state_make_below(state, error);
		if (err)
			return err;
		err = mkdirat(state->dir, path, 0700) ? -errno : 0;
	}
	if (!err)
		err = open_files(state->dir, path, O_RDWR | O_CREAT | O_EXCL, vm);
	if (!err && flock(vm->status, LOCK_EX | LOCK_NB))
		err = -errno;
	return err ? error_set(error, err, "%s/%s: %s", state->path, path, strerror(-err)) : 0;
}

int vm_publish(const struct state *state, const struct vm_dir *vm, const char *name, struct error *error)
{
	char hidden[32], path[32];
	int err = name ? vm_claim_name(state, vm, name, error) : 0;
	if (err)
		return err;
	snprintf(hidden, sizeof(hidden), "vms/.%s", vm->id);
	snprintf(path, sizeof(path), "vms/%s", vm->id);
	return renameat(state->dir, hidden, state->dir, path) ? error_set(error, -errno, "%s: %s", path, strerror(errno)) : 0;
}

int vm_mark_litter(const struct vm_dir *vm, struct error *error)
{
	int fd = openat(vm->dir, STATE_LITTER, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(error, -errno, "VM %s: %s: %s", vm->id, STATE_LITTER, strerror(errno));
	close(fd);
	return 0;
}

int vm_mark_created(const struct vm_dir *vm, struct error *error)
{
	struct lv_status record = { .magic = LV_STATUS_MAGIC, .version = LV_STATUS_VERSION, .size = LV_STATUS_SIZE(0), .state = LV_STATE_CREATED };
	if (pwrite(vm->status, &record, record.size, 0) == (ssize_t)record.size)
		return 0;
	return error_set(error, errno ? -errno : -EIO, "VM %s: status: %s", vm->id, strerror(errno));
}

/* -EBUSY: it is held for longer than any look takes. */
static int take_lock(int fd)
{
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_RETRY_MS) {
		if (errno != EWOULDBLOCK)
			return -errno;
		if (waited >= LOCK_MS)
			return -EBUSY;
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return 0;
}

int vm_lock(const struct vm_dir *vm, struct error *error)
{
	int fd = openat(vm->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = fd < 0 ? -errno : take_lock(fd);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return error_set(error, err, "VM %s: %s", vm->id, err == -EBUSY ? "another command changes its configuration" : strerror(-err));
}

int vm_hold_ended(const struct vm_dir *vm)
{
	int fd = openat(vm->dir, "status", O_RDWR | O_CLOEXEC | O_NOFOLLOW), err = fd < 0 ? -errno : take_lock(fd);
	if (!err)
		return fd;
	if (fd >= 0)
		close(fd);
	return err;
}

int vm_renew(struct vm_dir *vm, struct error *error)
{
	static const char *const old[] = { "control", "vsock", "monitor.log", STATE_SAVED };
	int status = openat(vm->dir, "status", O_RDWR | O_CLOEXEC | O_NOFOLLOW), err = 0;
	if (status < 0)
		return error_set(error, -errno, "VM %s: status: %s", vm->id, strerror(errno));
	/* Whoever looks whether it lives holds the lock for a moment: only a monitor, or another start, holds it for longer. */
	err = take_lock(status);
	if (err == -EBUSY)
		error_set(error, err, "VM %s still runs", vm->id);
	else if (err)
		error_set(error, err, "VM %s: status: %s", vm->id, strerror(-err));
	if (!err && ftruncate(status, 0))
		err = error_set(error, -errno, "VM %s: status: %s", vm->id, strerror(errno));
	if (err) {
		close(status);
		return err;
	}
	for (size_t i = 0; i < sizeof(old) / sizeof(*old); i++)
		unlinkat(vm->dir, old[i], 0);
	close(vm->status);
	vm->status = status;
	return 0;
}

void vm_put_back(struct vm_dir *vm, const struct lv_status *record, const struct lv_report *report)
{
	struct lv_status copy = *record;
	if (record->magic != LV_STATUS_MAGIC)
		return;
	copy.version = LV_STATUS_VERSION; /* whatever it was read from */
	copy.size = LV_STATUS_SIZE(copy.device_count);
	(void)!pwrite(vm->status, report, sizeof(*report), LV_REPORT_OFFSET);
	(void)!pwrite(vm->status, &copy, copy.size, 0);
}

/* It does not come back when the machine does. */
static void forget(const char *id)
{
	int dir = kept_open(KEPT_VM, false, NULL);
	if (dir < 0)
		return;
	kept_remove(dir, id);
	close(dir);
}

void vm_abandon(const struct state *state, const struct vm_dir *vm)
{
	char hidden[32];
	snprintf(hidden, sizeof(hidden), "vms/.%s", vm->id);
	tree_remove(state->dir, hidden);
	forget(vm->id);
}

int vm_open(const struct state *state, const char *id, struct vm_dir *vm)
{
	char path[32];
	*vm = VM_DIR_NONE;
	if (strlen(id) != STATE_ID || strspn(id, "0123456789abcdef") != STATE_ID)
		return -ENOENT;
	strcpy(vm->id, id);
	snprintf(path, sizeof(path), "vms/%s", id);
	int err = open_files(state->dir, path, O_RDONLY, vm);
	for (size_t i = 0; i < STATE_OLD && err; i++) {
		vm_close(vm);
		strcpy(vm->id, id);
		if (state->old[i] >= 0)
			err = open_files(state->old[i], path, O_RDONLY, vm);
	}
	if (err)
		vm_close(vm);
	return err;
}

struct prefix_search {
	const char *prefix;
	char found[STATE_ID + 1];
	int count;
};

static int match_prefix(void *context, const char *id)
{
	struct prefix_search *search = context;
	if (text_starts(id, search->prefix)) {
		strcpy(search->found, id);
		search->count++;
	}
	return 0;
}

int vm_find(const struct state *state, const char *word, struct vm_dir *vm, struct error *error)
{
	char id[STATE_ID + 1];
	*vm = VM_DIR_NONE;
	if (vm_name_find(state, word, id) && !vm_open(state, id, vm))
		return 0;
	if (!vm_open(state, word, vm))
		return 0;
	struct prefix_search search = { .prefix = word };
	size_t len = strlen(word);
	if (len && len < STATE_ID && strspn(word, "0123456789abcdef") == len)
		state_each(state, match_prefix, &search);
	if (search.count > 1)
		return error_set(error, -EEXIST, "\"%s\" is the beginning of %d ids; give more digits", word, search.count);
	if (!search.count || vm_open(state, search.found, vm))
		return error_set(error, -ENOENT, "there is no VM \"%s\"; \"lightvm ps -a\" lists them", word);
	return 0;
}

/* Where it lies. */
static int place_of(const struct state *state, const char *path)
{
	for (size_t i = 0; i < STATE_OLD; i++)
		if (state->old[i] >= 0 && faccessat(state->dir, path, F_OK, 0) && !faccessat(state->old[i], path, F_OK, 0))
			return state->old[i];
	return state->dir;
}

/* What nearly all have, without a look at what there is: it is most of what the end of a VM costs whoever removes it. False: there is more. */
static bool remove_plain(const struct vm_dir *vm, int place, const char *path)
{
	static const char *const files[] = { "row", "control", "config.json", "status" };
	for (size_t i = 0; i < sizeof(files) / sizeof(*files) && vm->dir >= 0; i++)
		unlinkat(vm->dir, files[i], 0);
	return vm->dir >= 0 && !unlinkat(place, path, AT_REMOVEDIR);
}

int vm_remove(const struct state *state, struct vm_dir *vm, const char *name, struct error *error)
{
	char path[32];
	snprintf(path, sizeof(path), "vms/%s", vm->id);
	int place = place_of(state, path);
	if (name)
		vm_drop_name(state, vm, name);
	int err = remove_plain(vm, place, path) ? 0 : tree_remove(place, path);
	forget(vm->id);
	return err ? error_set(error, err, "%s/%s: %s", state->path, path, strerror(-err)) : 0;
}

bool vm_alive(const struct vm_dir *vm)
{
	/* A lock of our own on our own open file; the monitor's is on another. */
	if (flock(vm->status, LOCK_SH | LOCK_NB))
		return errno == EWOULDBLOCK;
	flock(vm->status, LOCK_UN);
	return false;
}

bool vm_runs(const struct vm_dir *vm)
{
	struct lv_status status;
	for (uint64_t end = deadline_in(VM_RELEASE_MS); vm_alive(vm); poll(NULL, 0, LOCK_RETRY_MS))
		if (vm_status(vm, &status) || status.state != LV_STATE_EXITED || !deadline_left(end))
			return true;
	return false;
}

int vm_status(const struct vm_dir *vm, struct lv_status *status)
{
	return status_read(vm->status, status);
}

int vm_report(const struct vm_dir *vm, struct lv_report *report)
{
	return report_read(vm->status, report);
}

/* vms/.ID: a start in progress, or what a killed one left. */
static void leftover(int vms, const char *name)
{
	struct stat st;
	int64_t now = (int64_t)(clock_wall() / NS_PER_S);
	if (!fstatat(vms, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode) && now - st.st_mtim.tv_sec > LEFTOVER_SECONDS)
		tree_remove(vms, name);
}

static int each_in(int place, int (*each)(void *context, const char *id), void *context)
{
	int fd = openat(place, "vms", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *vms = fd >= 0 ? fdopendir(fd) : NULL;
	int err = vms ? 0 : -errno;
	if (!vms && fd >= 0)
		close(fd);
	if (!vms)
		return err == -ENOENT ? 0 : err;
	for (struct dirent *entry; !err && (entry = readdir(vms));) {
		if (entry->d_name[0] != '.')
			err = each(context, entry->d_name);
		else if (strlen(entry->d_name) == STATE_ID + 1)
			leftover(dirfd(vms), entry->d_name);
	}
	closedir(vms);
	return err;
}

int state_each(const struct state *state, int (*each)(void *context, const char *id), void *context)
{
	int err = each_in(state->dir, each, context);
	for (size_t i = 0; i < STATE_OLD && !err; i++)
		err = state->old[i] < 0 ? 0 : each_in(state->old[i], each, context);
	return err;
}
