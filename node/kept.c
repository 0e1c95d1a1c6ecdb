/* SPDX-License-Identifier: Apache-2.0 */
#include "node/kept.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/file.h"
#include "base/owned_dir.h"
#include "base/text.h"

#define FILE_MAX (4u << 20)
#define SUFFIX ".json"
#define MARK ".stopped"
#define LOCK_RETRY_MS 10

static const char *const places[] = { [KEPT_VM] = "restart", [KEPT_SERVICE] = "services", [KEPT_USER] = "users", [KEPT_SAVED] = "saved",
	[KEPT_HOST] = "hosts", [KEPT_VOLUME] = "volumes" };

static char *kept_path(struct error *error)
{
	const char *chosen = getenv("LIGHTVM_KEPT"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *path = NULL;
	if (chosen && chosen[0] == '/')
		path = alloc_copy(chosen);
	else if (!geteuid())
		path = alloc_copy("/var/lib/lightvm");
	else if (state && state[0] == '/')
		path = alloc_format("%s/lightvm", state);
	else if (home && home[0] == '/')
		path = alloc_format("%s/.local/state/lightvm", home);
	else
		error_set(error, -ENOTDIR, "neither XDG_STATE_HOME nor HOME says where to keep what outlives this run of the machine");
	if (!path && error && !error->code)
		error_set(error, -ENOMEM, "out of memory");
	return path;
}

int kept_open(enum kept_kind kind, bool create, struct error *error)
{
	struct error own = { 0 };
	char *path = kept_path(&own);
	if (!path && own.code == -ENOTDIR && !create)
		return -ENOENT; /* no place: nothing is kept */
	int dir = path ? owned_dir_open(path, create, &own) : own.code;
	int fd = dir < 0 ? dir : owned_dir_openat(dir, path, places[kind], create, &own);
	if (dir >= 0)
		close(dir);
	free(path);
	return fd < 0 && fd != -ENOENT ? error_set(error, fd, "%s", own.text) : fd;
}

char *kept_place(enum kept_kind kind, struct error *error)
{
	char *path = kept_path(error), *place = path ? alloc_format("%s/%s", path, places[kind]) : NULL;
	if (path && !place)
		error_set(error, -ENOMEM, "out of memory");
	free(path);
	return place;
}

static int name_of(char *buffer, size_t room, const char *name, const char *suffix)
{
	return strchr(name, '/') || name[0] == '.' || snprintf(buffer, room, "%s%s", name, suffix) >= (int)room ? -EINVAL : 0;
}

/* A power cut leaves the old file or the new one. */
static int write_synced(int dir, const char *path, const char *text)
{
	char beside[300];
	snprintf(beside, sizeof(beside), ".%s.new", path);
	int fd = openat(dir, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = fd < 0 ? -errno : fd_write(fd, text, strlen(text));
	if (!err && (fsync(fd) || renameat(dir, beside, dir, path) || fsync(dir)))
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (err)
		unlinkat(dir, beside, 0);
	return err;
}

int kept_write(int dir, const char *name, const json_t *json, struct error *error)
{
	char path[256];
	int err = name_of(path, sizeof(path), name, SUFFIX);
	char *text = err ? NULL : json_dumps(json, JSON_INDENT(2));
	if (!err)
		err = text ? write_synced(dir, path, text) : -ENOMEM;
	free(text);
	return err ? error_set(error, err, "keeping %.100s: %s", name, strerror(-err)) : 0;
}

json_t *kept_read(int dir, const char *name, struct error *error)
{
	char path[256], *data;
	size_t size;
	json_error_t where;
	int err = name_of(path, sizeof(path), name, SUFFIX);
	if (!err)
		err = file_read(dir, path, FILE_MAX, &data, &size);
	if (err) {
		error_set(error, err, "%.100s" SUFFIX ": %s", name, strerror(-err));
		return NULL;
	}
	json_t *json = json_loadb(data, size, JSON_REJECT_DUPLICATES, &where);
	free(data);
	if (json && json_is_object(json))
		return json;
	error_set(error, -EINVAL, "%.100s" SUFFIX ": line %d: %s", name, json ? 1 : where.line, json ? "not an object" : where.text);
	json_decref(json);
	return NULL;
}

int kept_lock(int dir, int milliseconds)
{
	for (uint64_t end = deadline_in(milliseconds); flock(dir, LOCK_EX | LOCK_NB);) {
		if (errno != EWOULDBLOCK || deadline_left(end) <= 0)
			return -errno;
		poll(NULL, 0, LOCK_RETRY_MS);
	}
	return 0;
}

static int stop_at(void *context, const char *name)
{
	return 1;
}

bool kept_any(int dir)
{
	return kept_each(dir, stop_at, NULL) == 1;
}

bool kept_has(int dir, const char *name)
{
	char path[256];
	return !name_of(path, sizeof(path), name, SUFFIX) && !faccessat(dir, path, F_OK, 0);
}

void kept_remove(int dir, const char *name)
{
	char path[256];
	if (!name_of(path, sizeof(path), name, SUFFIX))
		unlinkat(dir, path, 0);
	kept_mark(dir, name, false);
}

int kept_mark(int dir, const char *name, bool stopped)
{
	char path[256];
	int err = name_of(path, sizeof(path), name, MARK);
	if (err)
		return err;
	if (!stopped)
		return unlinkat(dir, path, 0) && errno != ENOENT ? -errno : 0;
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

bool kept_marked(int dir, const char *name)
{
	char path[256];
	return !name_of(path, sizeof(path), name, MARK) && !faccessat(dir, path, F_OK, 0);
}

int kept_each(int dir, int (*each)(void *context, const char *name), void *context)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
	if (!files) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	for (struct dirent *entry; !err && (entry = readdir(files));) {
		size_t n = strlen(entry->d_name);
		if (entry->d_name[0] == '.' || !text_ends(entry->d_name, SUFFIX))
			continue;
		entry->d_name[n - strlen(SUFFIX)] = 0;
		err = each(context, entry->d_name);
	}
	closedir(files);
	return err;
}
