/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/report.h"

#define NEW "/new"
#define LEFT_MOUNTS 64 /* of the program's own, which are unmounted at the end */

static int mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
	char what[256];
	if (!mount(source, target, type, flags, data))
		return 0;
	int err = errno;
	snprintf(what, sizeof(what), "%s (%s) on %s", source, type ? type : "any file system", target);
	return report_error("mount", what, err);
}

static int make_dir(const char *path, mode_t mode)
{
	return !mkdir(path, mode) || errno == EEXIST ? 0 : report_error("mkdir", path, errno);
}

int mounts_early(void)
{
	static const char *const table[][2] = { { "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" } };
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		make_dir(table[i][1], 0755);
		/* A kernel with DEVTMPFS_MOUNT has done the last one itself. */
		if (mount(table[i][0], table[i][1], table[i][0], MS_NOSUID, NULL) && errno != EBUSY)
			return report_error("mount", table[i][1], errno);
	}
	return 0;
}

/* ---- the image ---- */

static bool has_serial(const char *disk, const char *serial)
{
	char path[128], word[32] = "";
	snprintf(path, sizeof(path), "/sys/block/%.64s/serial", disk);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, word, sizeof(word) - 1);
	close(fd);
	if (n > 0)
		word[n] = 0;
	word[strcspn(word, "\n")] = 0;
	return !strcmp(word, serial);
}

/* The disk that says it is the image; else the first one. */
static void find_image(char *device, size_t room)
{
	DIR *dir = opendir("/sys/block");
	snprintf(device, room, "/dev/vda");
	if (has_serial("vda", LV_GUEST_IMAGE_SERIAL)) {
		if (dir)
			closedir(dir);
		return;
	}
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		if (entry->d_name[0] != '.' && has_serial(entry->d_name, LV_GUEST_IMAGE_SERIAL))
			snprintf(device, room, "/dev/%s", entry->d_name);
	if (dir)
		closedir(dir);
}

/* What a try said about the disk: EINVAL and EUCLEAN mean "not mine", and any other reason is the one to tell. */
static int mount_as(const char *device, const char *target, const char *type, unsigned long flags, int *reason)
{
	if (!mount(device, target, type, flags | MS_SILENT, NULL))
		return 0;
	if (errno != EINVAL)
		*reason = errno;
	else if (*reason == ENODEV)
		*reason = EINVAL;
	return -errno;
}

/*
 * Tries every file system that lives on a disk: the kernel has few. ext4 first, which mounts its predecessors too: asked before it,
 * they say in the kernel's log what they cannot do.
 */
static int mount_any(const char *device, const char *target, unsigned long flags)
{
	char line[128];
	int reason = ENODEV, err = mount_as(device, target, "ext4", flags, &reason);
	FILE *file = err ? fopen("/proc/filesystems", "re") : NULL;
	while (err && file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (line[0] == '\t' && strcmp(line + 1, "ext4")) /* others say "nodev" there */
			err = mount_as(device, target, line + 1, flags, &reason);
	}
	if (file)
		fclose(file);
	return !err ? 0 : report_error(reason == EINVAL ? "mount: no file system that this kernel knows is on" : "mount", device, reason);
}

static int mount_image(const struct guest_config *config)
{
	char device[300];
	if (config->image)
		snprintf(device, sizeof(device), "%s", config->image);
	else
		find_image(device, sizeof(device));
	if (!mount(device, "/image", "erofs", MS_RDONLY, NULL))
		return 0;
	if (errno == ENOENT || errno == ENXIO)
		return report_error("mount: there is no image disk", device, errno);
	return mount_any(device, "/image", MS_RDONLY);
}

static int layer = -1; /* its directory, if it is on a disk: no path leads there any more once the root is entered */

/* The layer that takes writes: RAM, or a disk that keeps them. */
static int mount_layer(const struct guest_config *config)
{
	int err = config->overlay ? mount_any(config->overlay, "/layer", MS_NOATIME) : mount_at("tmpfs", "/layer", "tmpfs", 0, "mode=755,size=80%");
	if (!err && config->overlay)
		layer = open("/layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!err)
		err = make_dir("/layer/data", 0755);
	return err ? err : make_dir("/layer/work", 0755);
}

/* ---- what every program expects ---- */

static bool is_empty(const char *path)
{
	DIR *dir = opendir(path);
	bool empty = true;
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		empty = empty && entry->d_name[0] == '.' && (!entry->d_name[1] || (entry->d_name[1] == '.' && !entry->d_name[2]));
	if (dir)
		closedir(dir);
	return dir && empty;
}

static int move_mounts(void)
{
	static const char *const dirs[] = { "/proc", "/sys", "/dev" };
	char to[32];
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(to, sizeof(to), NEW "%s", dirs[i]);
		make_dir(to, 0755);
		if (mount(dirs[i], to, NULL, MS_MOVE, NULL))
			return report_error("mount: move to the new root", dirs[i], errno);
	}
	return 0;
}

/* What a kernel lacks here is missed by few programs: no reason not to start. */
static void mount_small(void)
{
	static const char *const links[][2] = { { "/proc/self/fd", NEW "/dev/fd" }, { "/proc/self/fd/0", NEW "/dev/stdin" },
		{ "/proc/self/fd/1", NEW "/dev/stdout" }, { "/proc/self/fd/2", NEW "/dev/stderr" } };
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
		(void)!symlink(links[i][0], links[i][1]);
	mkdir(NEW "/dev/pts", 0755);
	mkdir(NEW "/dev/shm", 01777);
	if (!mount("devpts", NEW "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=620,ptmxmode=666,gid=5")) {
		unlink(NEW "/dev/ptmx");
		(void)!symlink("pts/ptmx", NEW "/dev/ptmx");
	}
	mount("tmpfs", NEW "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	/* Where container engines and language run times look for limits. */
	mount("cgroup2", NEW "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* In RAM, unless the image has files there. */
static int mount_scratch(const char *path, mode_t mode, const char *data)
{
	int err = make_dir(path, mode);
	if (err || !is_empty(path))
		return err;
	return mount_at("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, data);
}

/* ---- what the configuration adds ---- */

static bool root_is_frozen(const struct guest_config *config)
{
	for (size_t i = 0; i < config->mounts; i++)
		if (config->mount[i].kind == MOUNT_READ_ONLY && !config->mount[i].path[1])
			return true;
	return false;
}

/* The directories that lead to it, and itself, as far as they are missing. */
static int make_way(const char *path)
{
	char part[MOUNT_PATH_MAX + 1];
	for (size_t n = 1; path[n - 1]; n++) {
		if (path[n] && path[n] != '/')
			continue;
		snprintf(part, n + 1, "%s", path);
		if (mkdir(part, 0755) && errno != EEXIST)
			return report_error("mkdir", part, errno);
	}
	return 0;
}

static int add_tmpfs(const struct mount_word *part)
{
	char data[64];
	int err = make_way(part->path);
	if (part->size)
		snprintf(data, sizeof(data), "mode=%o,size=%llu", part->mode, (unsigned long long)part->size);
	else
		snprintf(data, sizeof(data), "mode=%o", part->mode);
	return err ? err : mount_at("tmpfs", part->path, "tmpfs", MS_NOSUID | MS_NODEV, data);
}

/* A directory of the host, by the virtio-fs device that has its tag. Neither devices nor set-user-ID programs of the host count here. */
static int add_volume(const struct mount_word *part)
{
	char tag[16];
	int err = make_way(part->path);
	snprintf(tag, sizeof(tag), MOUNT_TAG, (unsigned)part->size);
	if (!err && mount(tag, part->path, "virtiofs", MS_NOSUID | MS_NODEV | (part->read_only ? MS_RDONLY : 0), NULL))
		err = errno == ENODEV ? report_error("mount: this kernel has no virtio-fs (CONFIG_VIRTIO_FS), by which volumes are live; --copy gives the VM a copy at", part->path, ENODEV)
				      : report_error("mount: volume", part->path, errno);
	return err;
}

static int add_part(const struct mount_word *part)
{
	return part->kind == MOUNT_TMPFS ? add_tmpfs(part) : part->kind == MOUNT_VOLUME ? add_volume(part) : 0;
}

/* Shorter paths first: what lies below another part is mounted there, and not hidden by it. */
int mounts_add(const struct guest_config *config)
{
	int err = 0;
	for (size_t length = 1; length <= MOUNT_PATH_MAX; length++)
		for (size_t i = 0; i < config->mounts && !err; i++)
			if (strlen(config->mount[i].path) == length)
				err = add_part(&config->mount[i]);
	return err;
}

static int set_rights(const char *path, bool read_only)
{
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | (read_only ? MS_RDONLY : 0), NULL))
		return report_error("mount: rights of a part of the file system", path, errno);
	return 0;
}

/* A part becomes a mount of its own, with what is mounted below it: its rights are not those of what it lies in. */
static int freeze_part(const struct mount_word *part)
{
	if (part->kind == MOUNT_TMPFS || part->kind == MOUNT_VOLUME || !part->path[1])
		return 0;
	if (mount(part->path, part->path, NULL, MS_BIND | MS_REC, NULL))
		return report_error("mount: a part of the file system", part->path, errno);
	return set_rights(part->path, part->kind == MOUNT_READ_ONLY);
}

int mounts_freeze(const struct guest_config *config)
{
	int err = 0;
	for (size_t i = 0; i < config->mounts && !err; i++)
		err = freeze_part(&config->mount[i]);
	return err || !root_is_frozen(config) ? err : set_rights("/", true);
}

int mounts_root(const struct guest_config *config)
{
	int err = mount_image(config);
	if (!err)
		err = mount_layer(config);
	if (!err)
		err = mount_at("overlay", NEW, "overlay", 0, "lowerdir=/image,upperdir=/layer/data,workdir=/layer/work");
	if (!err)
		err = move_mounts();
	if (err)
		return err;
	mount_small();
	if (!root_is_frozen(config)) {
		err = mount_scratch(NEW "/tmp", 01777, "mode=1777");
		if (!err)
			err = mount_scratch(NEW "/run", 0755, "mode=755");
	}
	return err;
}

int mounts_enter(void)
{
	unlink("/init");
	unlink(LV_GUEST_CONFIG_PATH);
	if (chdir(NEW) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		return report_error("switch to the root", NEW, errno);
	return 0;
}

/* ---- the end ---- */

static void make_read_only(const char *target)
{
	if (mount(NULL, target, NULL, MS_REMOUNT | MS_RDONLY | MS_SILENT, NULL))
		report_error("unmount", target, errno);
}

/* What the program mounted, last first, so that those below come free; what is still in use can at least be written to no more. */
static void leave_disks(void)
{
	char *target[LEFT_MOUNTS];
	size_t n = 0;
	struct mntent *entry;
	FILE *file = setmntent("/proc/self/mounts", "re");
	while (file && n < LEFT_MOUNTS && (entry = getmntent(file)))
		if (!strncmp(entry->mnt_fsname, "/dev/", 5) && strcmp(entry->mnt_dir, "/") && (target[n] = strdup(entry->mnt_dir)))
			n++;
	if (file)
		endmntent(file);
	while (n--) {
		if (umount2(target[n], UMOUNT_NOFOLLOW) && errno != EINVAL)
			make_read_only(target[n]);
		free(target[n]);
	}
}

void mounts_leave(void)
{
	char path[32];
	leave_disks();
	if (layer < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", layer);
	sync(); /* a file system that is written to now cannot be made read-only at once */
	make_read_only(path);
}
