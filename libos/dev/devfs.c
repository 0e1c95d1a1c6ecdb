/* SPDX-License-Identifier: Apache-2.0 */
/* /dev: a fixed set of devices, and those that drivers register. Names live in a backing, so that an unused one costs nothing. */
#include "libos/dev/dev.h"
#include "libos/dev/tty.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"

struct device {
	struct device *next; /* registered ones */
	const char *name;
	uint32_t mode;
	uint64_t rdev;
	const struct file_ops *ops;
	void *private;
	int (*opened)(struct file *file); /* 0 or a negative errno; NULL: nothing to do */
	const char *target; /* of symbolic links */
	struct inode *(*root)(void); /* of another file system that is mounted there */
};

static const struct fs dev_fs = { .name = "devtmpfs", .dev = LINUX_DEV(0, 5), .magic = 0x01021994, .remembered = true };
static struct device *registered;
static uint32_t registered_count;

/* ---- null, zero, full, random ---- */

static int64_t nothing_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	return 0;
}

static int64_t all_written(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	return (int64_t)n;
}

static int64_t full_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	return -ENOSPC;
}

static int64_t zero_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	size_t done = buffer_zero(to, n);
	return done || !n ? (int64_t)done : -EFAULT;
}

static int64_t random_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	size_t done = random_put(to, n);
	return done || !n ? (int64_t)done : -EFAULT;
}

static int64_t stay_at_start(struct file *file, int64_t offset, int whence)
{
	return 0;
}

/* A page of its own for every offset is what a private mapping of /dev/zero means; the fault handler copies this one. */
static uint64_t zero_map_page(struct file *file, uint64_t offset, bool for_write)
{
	static char zeros[4096] SELDOM_USED __attribute__((aligned(4096)));
	return for_write ? 0 : (uint64_t)zeros;
}

static const struct file_ops null_ops = { .kind = "null", .read = nothing_read, .write = all_written, .seek = stay_at_start };
static const struct file_ops zero_ops = { .kind = "zero", .read = zero_read, .write = all_written, .seek = stay_at_start,
	.map_page = zero_map_page };
static const struct file_ops full_ops = { .kind = "full", .read = zero_read, .write = full_write, .seek = stay_at_start };
static const struct file_ops random_ops = { .kind = "random", .read = random_read, .write = all_written, .seek = stay_at_start };

/* ---- a console that is no terminal of its own: reads come from standard input, writes go to standard output ---- */

static int64_t outer_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct file *in = console_file(0);
	return in ? in->ops->read(in, to, n, position) : 0;
}

static int64_t outer_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct file *out = console_file(1);
	return out ? out->ops->write(out, from, n, position) : (int64_t)n;
}

static uint32_t outer_poll(struct file *file, struct waitq **queue)
{
	struct file *in = console_file(0);
	return EPOLLOUT | EPOLLWRNORM | (in ? in->ops->poll(in, queue) : 0);
}

static long outer_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct file *in = console_file(0);
	return in ? in->ops->ioctl(in, request, arg) : -ENOTTY;
}

static const struct file_ops outer_ops = { .kind = "tty", .read = outer_read, .write = outer_write, .poll = outer_poll, .ioctl = outer_ioctl };

static int console_opened(struct file *file)
{
	struct tty *tty = console_terminal();
	if (!tty)
		return 0;
	tty_opened(tty, file->flags);
	return tty_file_open(tty, file);
}

/* The controlling terminal, whichever that is. */
static int tty_current_opened(struct file *file)
{
	struct tty *tty = tty_controlling();
	if (tty)
		return tty_file_open(tty, file);
	return !console_terminal() && console_is_outer_terminal() ? 0 : -ENXIO;
}

/* ---- the directory ---- */

#define CHR(name_, minor, ops_) { .name = name_, .mode = S_IFCHR | 0666, .rdev = LINUX_DEV(1, minor), .ops = &ops_ }
#define LINK(name_, target_) { .name = name_, .mode = S_IFLNK | 0777, .target = target_ }
static const struct device fixed[] = {
	CHR("null", 3, null_ops), CHR("zero", 5, zero_ops), CHR("full", 7, full_ops), CHR("random", 8, random_ops),
	CHR("urandom", 9, random_ops),
	{ .name = "tty", .mode = S_IFCHR | 0666, .rdev = LINUX_DEV(5, 0), .ops = &outer_ops, .opened = tty_current_opened },
	{ .name = "console", .mode = S_IFCHR | 0620, .rdev = LINUX_DEV(5, 1), .ops = &outer_ops, .opened = console_opened },
	{ .name = "ptmx", .mode = S_IFCHR | 0666, .rdev = LINUX_DEV(5, 2), .ops = &outer_ops, .opened = ptmx_opened },
	{ .name = "pts", .mode = S_IFDIR | 0755, .root = pts_root },
	LINK("fd", "/proc/self/fd"), LINK("stdin", "/proc/self/fd/0"), LINK("stdout", "/proc/self/fd/1"), LINK("stderr", "/proc/self/fd/2"),
	{ .name = "sysgenid", .mode = S_IFCHR | 0666, .rdev = LINUX_DEV(10, 126), .ops = &sysgenid_ops, .opened = sysgenid_opened },
	{ .name = "template", .mode = S_IFCHR | 0666, .rdev = LINUX_DEV(10, 127), .ops = &template_ops, .opened = template_opened },
	{ .name = "shm", .mode = S_IFDIR | S_ISVTX | 0777 },
};

int devfs_register(const char *name, const struct file_ops *ops, uint32_t mode, void *private)
{
	struct device *device = kzalloc(sizeof(*device));
	if (!device)
		return -ENOMEM;
	uint32_t major = S_ISBLK(mode) ? 254 : 240;
	*device = (struct device){ .next = registered, .name = name, .mode = mode, .rdev = LINUX_DEV(major, registered_count),
		.ops = ops, .private = private };
	registered = device;
	registered_count++;
	return 0;
}

/* Device number n: the fixed ones, then the registered. */
static const struct device *device_at(uint64_t n)
{
	if (n < ARRAY_SIZE(fixed))
		return &fixed[n];
	const struct device *device = registered;
	for (n -= ARRAY_SIZE(fixed); device && n; n--)
		device = device->next;
	return device;
}

static int open_file(const struct device *device, struct file *file)
{
	file->ops = device->ops;
	file->private = device->private;
	return device->opened ? device->opened(file) : 0;
}

static int device_open(struct inode *inode, struct file *file)
{
	const struct device *device = inode->private;
	return device->ops ? open_file(device, file) : -ENXIO;
}

static const struct inode_ops device_inode_ops = { .open = device_open };

static struct inode *device_inode(const struct device *device, uint64_t ino)
{
	struct inode *inode = device->root ? device->root() : inode_new(&dev_fs, device->mode);
	if (!inode || device->root)
		return inode;
	inode->uid = inode->gid = 0;
	inode->ino = ino;
	inode->rdev = device->rdev;
	inode->private = (void *)device;
	if (device->target) {
		inode->target = kstrdup(device->target);
		inode->size = strlen(device->target);
	}
	if (device->ops)
		inode->ops = &device_inode_ops;
	return inode;
}

static int dev_lookup(struct inode *dir, const char *name, size_t len, struct inode **found)
{
	const struct device *device;
	for (uint64_t n = 0; (device = device_at(n)); n++) {
		if (strlen(device->name) != len || memcmp(device->name, name, len))
			continue;
		*found = device_inode(device, n + 2);
		return *found ? 0 : -ENOMEM;
	}
	return -ENOENT;
}

static int dev_list(struct inode *dir, uint64_t *cursor, struct vfs_entry *entry)
{
	const struct device *device = device_at(*cursor);
	if (!device)
		return 0;
	*entry = (struct vfs_entry){ .name = device->name, .len = strlen(device->name), .ino = *cursor + 2,
		.type = (uint8_t)((device->mode & S_IFMT) >> 12) };
	++*cursor;
	return 1;
}

static const struct inode_ops dev_dir_ops = { .lookup = dev_lookup, .list = dev_list };

struct inode *devfs_root(void)
{
	struct inode *root = inode_new(&dev_fs, S_IFDIR | 0755);
	if (root) {
		root->ops = &dev_dir_ops;
		root->ino = 1;
	}
	return root;
}

/* Device nodes made by mknod, or that lie in the image, name the device by number. */
int devfs_open_node(struct inode *inode, struct file *file)
{
	const struct device *device;
	for (uint64_t n = 0; (device = device_at(n)); n++) {
		if (!device->ops || device->rdev != inode->rdev || ((device->mode ^ inode->mode) & S_IFMT))
			continue;
		return open_file(device, file);
	}
	return -ENXIO;
}
