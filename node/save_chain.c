/* SPDX-License-Identifier: Apache-2.0 */
#include "node/save_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tinyx/file_digest.h"
#include "node/save_files.h"

/* ---- from one to the next ---- */

static int digest_of(const struct save *save, char *hex, struct error *error)
{
	char *path = alloc_format("%s/" SAVE_STATE, save->path);
	int err = path ? file_digest(path, hex, error) : error_set(error, -ENOMEM, "out of memory");
	free(path);
	return err;
}

int save_chain_parent(const struct save *save, struct save_parent *parent, struct error *error)
{
	int err = digest_of(save, parent->state_sha256, error);
	if (!err && !(parent->path = alloc_copy(save->path)))
		err = error_set(error, -ENOMEM, "out of memory");
	return err;
}

static int open_parent(struct save *save, const struct save_parent *parent, struct error *error)
{
	char hex[FILE_DIGEST_HEX + 1];
	int err = save_open(save, parent->path, error);
	if (!err)
		err = digest_of(save, hex, error);
	if (!err && strcmp(hex, parent->state_sha256))
		err = error_set(error, -ESTALE, "%s is another one by now: SHA-256 of its state is %.12s, it was %.12s", parent->path, hex, parent->state_sha256);
	return err ? error_prefix(error, "it holds only what changed since another saved VM") : 0;
}

static int add(struct save_chain *chain, const struct save *save, struct error *error)
{
	int err = save_is_plain(save, "nothing can be a difference from it", error), fd = err ? err : save_open_memory(save, error);
	if (fd < 0)
		return fd;
	chain->memory[chain->count++] = fd;
	return 0;
}

int save_chain_open(struct save_chain *chain, const struct save *save, struct error *error)
{
	struct save at = SAVE_NONE;
	const struct save_parent *parent = &save->manifest.parent;
	int err = 0;
	*chain = (struct save_chain){ .count = 0 };
	while (!err && parent->path) {
		struct save next = SAVE_NONE;
		if (chain->count == LV_VM_BELOW_MAX)
			err = error_set(error, -ELOOP, "it is a difference from more than %d others, each from the next; save the whole VM once", LV_VM_BELOW_MAX);
		else
			err = open_parent(&next, parent, error);
		if (!err)
			err = add(chain, &next, error);
		save_close(&at);
		at = next;
		parent = &at.manifest.parent;
	}
	save_close(&at);
	return err;
}

void save_chain_close(struct save_chain *chain)
{
	while (chain->count)
		close(chain->memory[--chain->count]);
}

/* ---- who needs whom ---- */

static bool same_file(const struct stat *a, int fd)
{
	struct stat b;
	return !fstat(fd, &b) && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

static int stat_memory(const char *path, struct stat *st)
{
	char *memory = alloc_format("%s/" SAVE_MEMORY, path);
	int err = memory && !lstat(memory, st) ? 0 : -ENOENT;
	free(memory);
	return err;
}

static bool lies_below(const struct save_chain *chain, const struct stat *st)
{
	for (unsigned i = 0; i < chain->count; i++)
		if (same_file(st, chain->memory[i]))
			return true;
	return false;
}

bool save_chain_uses(const struct save_chain *chain, const struct save *save, const char *path)
{
	struct stat st;
	return !stat_memory(path, &st) && (same_file(&st, save->memory) || lies_below(chain, &st));
}

struct need {
	struct stat memory;
	const char *path;
	struct error *error;
};

/* Of a chain that is broken what is left of it counts. */
static int needs(void *context, const char *name, struct save *save, const struct error *damage)
{
	struct need *need = context;
	struct error error = { 0 };
	struct save_chain chain = { .count = 0 };
	int err = 0;
	if (!damage && save->manifest.parent.path)
		save_chain_open(&chain, save, &error);
	if (lies_below(&chain, &need->memory))
		err = error_set(need->error, -EBUSY, "%s stays: %s, saved later, holds only what changed since; remove that before, with: lightvm checkpoint rm %s", need->path, name, name);
	save_chain_close(&chain);
	return err;
}

int save_needed(const char *path, struct error *error)
{
	struct need need = { .path = path, .error = error };
	if (stat_memory(path, &need.memory))
		return 0;
	return save_each(needs, &need) == -EBUSY ? -EBUSY : 0;
}

int save_give_up(const char *path, struct error *error)
{
	int err = save_needed(path, error);
	return err ? err : save_remove(path, error);
}
