/* SPDX-License-Identifier: Apache-2.0 */
#include "node/config_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/used_files.h"
#include "base/disk_claim.h"
#include "base/file.h"
#include "tinyx/image_file.h"
#include "tinyx/kernel.h"

#define BLOCK 512

/* A cached image may have been swept since: a program can be packed again, as it is now. */
static int open_image(struct vm_config *config, struct error *error)
{
	struct image image;
	int err = image_open(&image, config->image, error);
	config->image_fd = err ? -1 : fcntl(image.fd, F_DUPFD_CLOEXEC, 3);
	config->record |= !err && image.manifest.trimmed ? LV_RECORD_LACKS : 0;
	if (!err && config->image_fd < 0)
		err = error_set(error, -errno, "%s: %s", config->image, strerror(errno));
	image_close(&image);
	return err;
}

static const char *not_opened(int err)
{
	return err == -EISDIR || err == -EINVAL ? "not a file" : strerror(-err);
}

static int open_kernel(struct vm_config *config, struct error *error)
{
	/* In messages as it was given, where that is a path. */
	const char *path = strchr(config->guest.kernel, '/') ? config->guest.kernel : config->guest.kernel_path;
	enum kernel_kind kind;
	int fd = file_open_regular(config->guest.kernel_path);
	if (fd < 0)
		return error_set(error, fd, "--kernel %s: %s", path, not_opened(fd));
	config->guest.kernel_fd = fd;
	/* A file of the user may be built anew at any time; the store's directories are never written to again. */
	config->guest.kernel_kept = kernel_is_kept(config->guest.kernel_path);
	int err = kernel_check(fd, path, &kind, error);
	return err ? error_prefix(error, "--kernel") : 0;
}

/* Before a kernel is started for nothing. Of one that is not ours, PID 1 finds out. */
static int check_volumes(const struct vm_config *config, struct error *error)
{
	for (size_t i = 0; i < config->mounts; i++)
		if (config->mount[i].kind == MOUNT_VOLUME && kernel_lacks(config->guest.kernel_path, "CONFIG_VIRTIO_FS"))
			return error_set(error, -EOPNOTSUPP, "-v: %s: kernel %s has no virtio-fs (CONFIG_VIRTIO_FS), by which volumes are live; --copy %s:%s gives the VM a copy",
					 config->mount[i].source, config->guest.kernel, config->mount[i].source, config->mount[i].path);
	return 0;
}

static int open_initrd(struct vm_config *config, struct error *error)
{
	struct stat st;
	const char *path = config->guest.initrd;
	int fd = file_open_regular(path);
	if (fd < 0 || fstat(fd, &st))
		return error_set(error, fd < 0 ? fd : -errno, "--initrd %s: %s", path, not_opened(fd));
	config->guest.initrd_fd = fd;
	return st.st_size ? 0 : error_set(error, -EINVAL, "--initrd %s: it is empty", path);
}

static int open_disk(struct config_disk *disk, struct error *error)
{
	struct stat st = { 0 };
	/* Neither held by a pipe, nor opened where that does something; not a disk without a medium either. */
	bool can_be = stat(disk->path, &st) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode);
	int flags = (disk->read_only ? O_RDONLY : O_RDWR) | O_NOCTTY | O_CLOEXEC | (S_ISBLK(st.st_mode) ? 0 : O_NONBLOCK);
	disk->fd = can_be ? open(disk->path, flags) : -1;
	if (can_be && (disk->fd < 0 || fstat(disk->fd, &st)))
		return error_set(error, -errno, "--disk %s: %s", disk->path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(error, -ENOTBLK, "--disk %s: neither a file nor a block device", disk->path);
	if (S_ISREG(st.st_mode) && (!st.st_size || st.st_size % BLOCK))
		return error_set(error, -EINVAL, "--disk %s: its size, %lld bytes, is not a whole number of %d-byte blocks; the last one is short", disk->path,
				 (long long)st.st_size, BLOCK);
	char message[512];
	int err = disk_claim(disk->fd, disk->path, disk->read_only, &disk->lock, message, sizeof(message));
	return err ? error_set(error, err, "--disk: %s", message) : 0;
}

int config_open_files(struct vm_config *config, struct error *error)
{
	struct config_guest *guest = &config->guest;
	int err = 0;
	if (config->image && config->image_fd < 0)
		err = open_image(config, error);
	if (!err && guest->is_linux && guest->kernel_fd < 0)
		err = open_kernel(config, error);
	if (!err && guest->initrd && guest->initrd_fd < 0)
		err = open_initrd(config, error);
	if (!err && guest->is_linux)
		err = check_volumes(config, error);
	return err;
}

int config_open(struct vm_config *config, struct error *error)
{
	int err = config_open_files(config, error);
	for (size_t i = 0; i < config->disks && !err; i++)
		if (config->disk[i].fd < 0)
			err = open_disk(&config->disk[i], error);
	return err;
}
