/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

#define RECORDS "migrations"
#define LINE_MAX_BYTES 128

static int records_open(const struct state *state, bool create)
{
	if (create && mkdirat(state->dir, RECORDS, 0700) && errno != EEXIST)
		return -errno;
	int fd = openat(state->dir, RECORDS, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* ---- the destination's ---- */

static int open_locked(const struct state *state, struct migrate_record *record, int flags)
{
	record->dir = records_open(state, flags & O_CREAT);
	if (record->dir < 0)
		return record->dir;
	record->fd = openat(record->dir, record->uuid, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (record->fd < 0)
		return -errno;
	return flock(record->fd, LOCK_EX | LOCK_NB) ? errno == EWOULDBLOCK ? -EBUSY : -errno : 0;
}

int migrate_record_create(const struct state *state, const uint8_t uuid[LV_MIGRATE_UUID], struct migrate_record *record, struct error *error)
{
	*record = MIGRATE_RECORD_NONE;
	hex_print(uuid, LV_MIGRATE_UUID, record->uuid);
	int err = open_locked(state, record, O_CREAT | O_EXCL);
	if (err)
		return error_set(error, err, "%s/" RECORDS "/%s: %s", state->path, record->uuid, strerror(-err));
	return migrate_record_write(record, error);
}

static const char *const words[] = { [MIGRATE_RECEIVING] = "receiving", [MIGRATE_HAS_COMMITTED] = "committed", [MIGRATE_HAS_RUN] = "done" };

static int read_record(struct migrate_record *record)
{
	char line[LINE_MAX_BYTES + 1] = "", step[16], id[16], paused[8];
	ssize_t n = pread(record->fd, line, LINE_MAX_BYTES, 0);
	if (n < 0)
		return -errno;
	if (!n)
		return 0; /* killed before it could write */
	if (sscanf(line, "%15s %15s %7s", step, id, paused) != 3)
		return -EINVAL;
	for (record->step = MIGRATE_HAS_RUN; strcmp(step, words[record->step]); record->step--)
		if (record->step == MIGRATE_RECEIVING)
			return -EINVAL;
	if (strlen(id) == STATE_ID)
		strcpy(record->id, id);
	record->paused = !strcmp(paused, "paused");
	return 0;
}

int migrate_record_open(const struct state *state, const char *uuid, struct migrate_record *record, struct error *error)
{
	*record = MIGRATE_RECORD_NONE;
	if (strlen(uuid) != MIGRATE_HEX || strspn(uuid, "0123456789abcdef") != MIGRATE_HEX)
		return error_set(error, -EINVAL, "\"%.40s\" is not the name of a migration", uuid);
	strcpy(record->uuid, uuid);
	int err = open_locked(state, record, 0);
	if (!err)
		err = read_record(record);
	return err && err != -ENOENT ? error_set(error, err, "migration %s: %s", uuid, err == -EBUSY ? "it is still under way" : strerror(-err)) : err;
}

/* In place: one block, which is there as it was or as it is. */
int migrate_record_write(struct migrate_record *record, struct error *error)
{
	char line[LINE_MAX_BYTES];
	int n = snprintf(line, sizeof(line), "%s %s %s\n", words[record->step], record->id[0] ? record->id : "-", record->paused ? "paused" : "running");
	if (pwrite(record->fd, line, (size_t)n, 0) == n && !ftruncate(record->fd, n) && !fsync(record->fd) && !fsync(record->dir))
		return 0;
	return error_set(error, errno ? -errno : -EIO, "the record of migration %s: %s", record->uuid, strerror(errno));
}

void migrate_record_done(struct migrate_record *record)
{
	struct error ignored;
	record->step = MIGRATE_HAS_RUN;
	migrate_record_write(record, &ignored);
}

void migrate_record_remove(struct migrate_record *record)
{
	if (record->fd >= 0)
		unlinkat(record->dir, record->uuid, 0);
}

void migrate_record_close(struct migrate_record *record)
{
	if (record->fd >= 0)
		close(record->fd);
	if (record->dir >= 0)
		close(record->dir);
	*record = MIGRATE_RECORD_NONE;
}

int migrate_record_each(const struct state *state, int (*each)(void *context, const char *uuid), void *context)
{
	int fd = records_open(state, false), err = 0;
	DIR *files = fd >= 0 ? fdopendir(fd) : NULL;
	if (!files) {
		if (fd >= 0)
			close(fd);
		return fd == -ENOENT ? 0 : fd < 0 ? fd : -ENOMEM;
	}
	for (struct dirent *entry; !err && (entry = readdir(files));)
		if (strlen(entry->d_name) == MIGRATE_HEX)
			err = each(context, entry->d_name);
	closedir(files);
	return err;
}

bool migrate_is_old(const struct stat *file)
{
	return (int64_t)(clock_wall() / NS_PER_S) - file->st_mtim.tv_sec > MIGRATE_KEPT_DAYS * 86400;
}

/* ---- the source's ---- */

int migrate_mark_write(int vm_dir, const struct migrate_mark *mark, struct error *error)
{
	char hex[MIGRATE_HEX + 1], line[LINE_MAX_BYTES];
	hex_print(mark->uuid, LV_MIGRATE_UUID, hex);
	int n = snprintf(line, sizeof(line), "%s %s %s%s\n", hex, mark->host, mark->paused ? "paused" : "running", mark->switched ? " switched" : mark->post ? " post-copy" : "");
	int fd = openat(vm_dir, MIGRATE_MARK ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = fd < 0 ? -errno : fd_write(fd, line, (size_t)n);
	if (!err && (fsync(fd) || renameat(vm_dir, MIGRATE_MARK ".new", vm_dir, MIGRATE_MARK) || fsync(vm_dir)))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err ? error_set(error, err, "the VM's record of its migration: %s", strerror(-err)) : 0;
}

static int nibble(char digit)
{
	return digit >= 'a' ? digit - 'a' + 10 : digit - '0';
}

bool migrate_mark_read(int vm_dir, struct migrate_mark *mark)
{
	char *line = NULL, hex[MIGRATE_HEX + 1] = "", was[8] = "", how[12] = "";
	struct stat st;
	size_t size;
	*mark = (struct migrate_mark){ 0 };
	int err = file_read(vm_dir, MIGRATE_MARK, LINE_MAX_BYTES, &line, &size);
	if (err) /* one that cannot be read is there all the same: nobody may run what may run elsewhere */
		return err != -ENOENT;
	if (sscanf(line, "%32[0-9a-f] %63s %7s %11s", hex, mark->host, was, how) >= 2 && strlen(hex) == MIGRATE_HEX)
		for (int i = 0; i < LV_MIGRATE_UUID; i++)
			mark->uuid[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
	mark->paused = !strcmp(was, "paused");
	mark->switched = !strcmp(how, "switched");
	mark->post = mark->switched || !strcmp(how, "post-copy");
	mark->old = !fstatat(vm_dir, MIGRATE_MARK, &st, AT_SYMLINK_NOFOLLOW) && migrate_is_old(&st);
	free(line);
	return true;
}

void migrate_mark_remove(int vm_dir)
{
	unlinkat(vm_dir, MIGRATE_MARK, 0);
}
