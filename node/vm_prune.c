/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/vm_policy.h"

struct pruning {
	const struct state *state;
	bool dry;
	bool (*passes)(void *context, const struct vm_info *info);
	void (*removed)(void *context, const struct vm_info *info);
	void *context;
	struct vm_pruned *pruned;
	struct error *error;
	int err; /* the first */
};

/* What the files of a directory take on disk; there is none below it. */
static uint64_t taken(int dir)
{
	uint64_t bytes = 0;
	struct stat st;
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
	for (struct dirent *entry; files && (entry = readdir(files));)
		if (!fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && !S_ISDIR(st.st_mode))
			bytes += (uint64_t)st.st_blocks * 512;
	if (files)
		closedir(files);
	else if (fd >= 0)
		close(fd);
	return bytes;
}

/* Its lock is held while it goes: one that starts at this moment waits, and finds nothing. */
static int take_away(struct pruning *pruning, struct vm_info *info)
{
	struct error error = { 0 };
	int lock = vm_hold_ended(&info->dir);
	if (lock == -EBUSY)
		return 1;
	int err = vm_info_remove(pruning->state, info, &error);
	if (lock >= 0)
		close(lock);
	if (err && !pruning->err)
		pruning->err = error_set(pruning->error, err, "%s", error.text);
	return err;
}

static int prune_one(void *context, const char *id)
{
	struct pruning *pruning = context;
	struct vm_info info;
	int err = vm_info_open(pruning->state, id, &info);
	if (!err && !info.alive && info.state != VM_SAVED && !policy_waits(&info) && (!pruning->passes || pruning->passes(pruning->context, &info))) {
		uint64_t bytes = taken(info.dir.dir);
		if (pruning->dry || !take_away(pruning, &info)) {
			pruning->pruned->vms++;
			pruning->pruned->bytes += bytes;
			if (pruning->removed && !pruning->dry)
				pruning->removed(pruning->context, &info);
		}
	}
	vm_info_close(&info);
	return 0;
}

int vm_prune(const struct state *state, bool dry, bool (*passes)(void *context, const struct vm_info *info),
	     void (*removed)(void *context, const struct vm_info *info), void *context, struct vm_pruned *pruned, struct error *error)
{
	struct pruning pruning = { state, dry, passes, removed, context, pruned, error, 0 };
	*pruned = (struct vm_pruned){ 0 };
	int err = state_each(state, prune_one, &pruning);
	if (err)
		return error_set(error, err, "%s: %s", state->path, strerror(-err));
	pruned->names = state_prune_names(state, dry);
	return pruning.err;
}
