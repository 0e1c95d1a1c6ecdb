/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/disk_claim.h"

/* ---- the source ---- */

static json_t *describe(const char *path, struct error *error)
{
	struct stat st;
	if (stat(path, &st))
		return error_set(error, -errno, "disk %s: %s", path, strerror(errno)), NULL;
	if (!S_ISREG(st.st_mode))
		return error_set(error, -EOPNOTSUPP, "disk %s is no regular file, and of a device two hosts cannot tell that it is the same; such VMs cannot be moved", path), NULL;
	json_t *told = json_pack("{s:I, s:I}", "size", (json_int_t)st.st_size, "inode", (json_int_t)st.st_ino);
	if (!told)
		error_set(error, -ENOMEM, "out of memory");
	return told;
}

json_t *migrate_disks_tell(const json_t *config, struct error *error)
{
	json_t *all = json_array(), *told;
	const json_t *disk;
	size_t i;
	json_array_foreach(json_object_get(config, "disks"), i, disk) {
		told = describe(config_string(disk, "path"), error);
		if (!told || json_array_append_new(all, told)) {
			json_decref(all);
			return NULL;
		}
	}
	if (!all)
		error_set(error, -ENOMEM, "out of memory");
	return all;
}

/* ---- the destination ---- */

/* Its path below the place, or NULL. */
static const char *below(const char *path, const char *place)
{
	size_t len = strlen(place);
	while (len && place[len - 1] == '/')
		len--;
	return !strncmp(path, place, len) && path[len] == '/' ? path + len + 1 : NULL;
}

/* No link and no ".." leads out of the place: it may be shared with a host that is not to be trusted that far. Only found, not opened: opening a device can do things. */
static int find_below(const struct config_disk *disk, const char *place, struct error *error)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	const char *rest = place && disk->path ? below(disk->path, place) : NULL;
	if (!rest)
		return error_set(error, -EPERM, "its disk %s is in no directory from which this host takes disks: lightvm host serve --disks DIR", disk->path ? disk->path : "");
	int dir = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = dir < 0 ? -errno : (int)syscall(SYS_openat2, dir, rest, &how, sizeof(how));
	if (dir >= 0 && fd < 0)
		fd = -errno;
	if (dir >= 0)
		close(dir);
	return fd < 0 ? error_set(error, fd, "its disk %s, here: %s", disk->path, strerror(-fd)) : fd;
}

/* The file that was meant, of the same number: file systems that two hosts share have those in common. */
static int check_file(const struct config_disk *disk, int found, const json_t *told, struct error *error)
{
	const json_t *size = json_object_get(told, "size"), *inode = json_object_get(told, "inode");
	struct stat st;
	if (fstat(found, &st) || !S_ISREG(st.st_mode))
		return error_set(error, -EINVAL, "its disk %s is no regular file here", disk->path);
	if (!json_is_integer(size) || !json_is_integer(inode))
		return error_set(error, -EPROTO, "its disk %s: the other host does not say which file that is", disk->path);
	if (st.st_size != json_integer_value(size))
		return error_set(error, -ESTALE, "its disk %s is not the same file here: it has %lld bytes, and %lld there", disk->path, (long long)st.st_size, (long long)json_integer_value(size));
	if (st.st_ino != (ino_t)json_integer_value(inode))
		return error_set(error, -ESTALE, "its disk %s is not the same file here: it is number %llu of its file system, and %llu there", disk->path, (unsigned long long)st.st_ino,
				 (unsigned long long)json_integer_value(inode));
	return 0;
}

static int open_found(const struct config_disk *disk, int found, struct error *error)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	int fd = open(path, (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	return fd < 0 ? error_set(error, -errno, "its disk %s, here: %s", disk->path, strerror(errno)) : fd;
}

static int open_disk(const struct config_disk *disk, const json_t *told, const char *place, struct error *error)
{
	int found = find_below(disk, place, error);
	if (found < 0)
		return found;
	int err = check_file(disk, found, told, error), fd = err ? err : open_found(disk, found, error);
	close(found);
	return fd;
}

static int check_held(const struct config_disk *disk, int fd, struct error *error)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_GETLK, &whole))
		return error_set(error, -errno, "its disk %s: %s", disk->path, strerror(errno));
	if (whole.l_type == F_UNLCK)
		return error_set(error, -ESTALE, "its disk %s is not the same file here, or on a file system that does not share locks: the VM holds it there, and nobody does here", disk->path);
	return 0;
}

int migrate_disks_check(const struct vm_config *config, const json_t *told, const char *place, struct error *error)
{
	int err = 0;
	for (size_t i = 0; i < config->disks && !err; i++) {
		int fd = open_disk(&config->disk[i], json_array_get(told, i), place, error);
		err = fd < 0 ? fd : check_held(&config->disk[i], fd, error);
		if (fd >= 0)
			close(fd);
	}
	return err;
}

int migrate_disks_open(struct vm_config *config, const json_t *told, const char *place, struct error *error)
{
	char message[512];
	int err = 0;
	for (size_t i = 0; i < config->disks && !err; i++) {
		struct config_disk *disk = &config->disk[i];
		disk->fd = open_disk(disk, json_array_get(told, i), place, error);
		err = disk->fd < 0 ? disk->fd : 0;
		if (!err && (err = disk_claim(disk->fd, disk->path, disk->read_only, &disk->lock, message, sizeof(message))))
			error_set(error, err, "its disk: %s", message);
	}
	return err;
}
