/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block devices (virtio 1.2, section 5.2) as /dev/vda, vdb ...: read and write at any offset, without a page cache.
 * Buffers of the program are not identity-mapped, so every request goes through a bounce buffer of libos.
 */
#include "libos/core/libos.h"
#include "libos/dev/dev.h"
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"

#define SECTOR 512
/* ioctl numbers */
#define LINUX_BLKGETSIZE 0x1260
#define LINUX_BLKSSZGET 0x1268
#define LINUX_BLKGETSIZE64 0x80081272
#define BOUNCE_ORDER 4 /* 64 KiB a request */
#define BOUNCE_SIZE (4096u << BOUNCE_ORDER)
#define DEV_MAJOR 254

enum { REQUEST_IN = 0, REQUEST_OUT = 1, REQUEST_FLUSH = 4 };
enum { STATUS_OK = 0, STATUS_UNSUPPORTED = 2 };

struct request {
	struct { uint32_t type, reserved; uint64_t sector; } header;
	uint8_t status;
	bool done;
	struct disk *disk;
};

struct disk {
	const struct lv_device *device;
	struct ring ring;
	void *cookie[RING_MOST];
	bool dead;  /* the ring is broken, and who waited was told */
	bool ready; /* the ring was initialised: at the first request, so that an unused disk costs nothing */
	struct waitq wait;
	char name[8];
	struct poller poller;
	struct disk *next;
	struct block_facts facts;
};

static struct disk *disks SELDOM_USED; /* in the order of their names */

static uint64_t disk_size(const struct disk *disk)
{
	return disk->device->config.block.sectors * SECTOR;
}

static bool disk_poll(struct poller *poller)
{
	struct disk *disk = container_of(poller, struct disk, poller);
	struct request *request;
	bool any = false;
	while ((request = ring_get_used(&disk->ring, NULL))) {
		request->done = true;
		any = true;
	}
	if (!disk->dead && ring_broken(&disk->ring))
		any = disk->dead = true;
	if (any)
		wake_all(&disk->wait, 0);
	return any;
}

static void disk_prepare(struct disk *disk)
{
	if (disk->ready)
		return;
	disk->ready = true;
	ring_init(&disk->ring, disk->device, LV_BLOCK_REQUESTS, disk->cookie, RING_MOST);
	disk->poller.poll = disk_poll;
	poller_add(&disk->poller);
}

/* A request must not be left behind in the ring, so signals do not end the wait: the device answers soon. */
static void await(struct disk *disk, const bool *done)
{
	while (!*done && !ring_broken(&disk->ring))
		wait_deaf(&disk->wait);
}

static int disk_submit(struct disk *disk, uint32_t type, uint64_t sector, void *data, uint32_t len)
{
	struct request *request = kzalloc(sizeof(*request));
	if (!request)
		return -ENOMEM;
	request->header.type = type;
	request->header.sector = sector;
	request->status = 0xff;
	struct ring_buffer piece[3] = {
		{ .data = &request->header, .len = sizeof(request->header) },
		{ .data = data, .len = len, .device_writes = type == REQUEST_IN },
		{ .data = &request->status, .len = 1, .device_writes = true },
	};
	if (!len)
		piece[1] = piece[2];
	disk_prepare(disk);
	int err;
	while ((err = ring_add(&disk->ring, piece, len ? 3 : 2, request)) == -ENOSPC)
		wait_deaf(&disk->wait);
	if (err < 0) {
		kfree(request);
		return err;
	}
	ring_kick(&disk->ring);
	await(disk, &request->done);
	if (!request->done)
		return -EIO; /* a stopped device may still hold the request, which is lost with it */
	uint8_t status = request->status;
	disk->facts.reads += type == REQUEST_IN;
	disk->facts.writes += type == REQUEST_OUT;
	disk->facts.read_sectors += type == REQUEST_IN ? len / SECTOR : 0;
	disk->facts.written_sectors += type == REQUEST_OUT ? len / SECTOR : 0;
	kfree(request);
	return status == STATUS_OK ? 0 : status == STATUS_UNSUPPORTED ? -EOPNOTSUPP : -EIO;
}

/* One piece of at most a bounce buffer: whole sectors around [offset, offset + n). */
static int64_t read_piece(struct disk *disk, uint8_t *bounce, uaddr_t to, size_t n, uint64_t offset)
{
	uint64_t first = offset / SECTOR, skip = offset % SECTOR;
	uint32_t len = ALIGN_UP(skip + n, SECTOR);
	int err = disk_submit(disk, REQUEST_IN, first, bounce, len);
	if (err < 0)
		return err;
	size_t moved = buffer_put(to, bounce + skip, n);
	return moved || !n ? (int64_t)moved : -EFAULT;
}

static int64_t write_piece(struct disk *disk, uint8_t *bounce, uaddr_t from, size_t n, uint64_t offset)
{
	uint64_t first = offset / SECTOR, skip = offset % SECTOR;
	uint32_t len = ALIGN_UP(skip + n, SECTOR);
	int err = len == n ? 0 : disk_submit(disk, REQUEST_IN, first, bounce, len);
	if (err < 0)
		return err;
	size_t moved = buffer_get(bounce + skip, from, n);
	if (moved < n && len == n) /* the sectors behind it would be written with what the bounce buffer held before */
		return -EFAULT;
	if (!moved && n)
		return -EFAULT;
	err = disk_submit(disk, REQUEST_OUT, first, bounce, len);
	return err < 0 ? err : (int64_t)moved;
}

static int64_t transfer(struct disk *disk, uaddr_t buffer, size_t n, uint64_t offset, bool write)
{
	uint8_t *bounce = page_alloc(BOUNCE_ORDER);
	int64_t done = 0;
	if (!bounce)
		return -ENOMEM;
	while ((size_t)done < n) {
		uint64_t at = offset + done;
		size_t piece = MIN(n - done, BOUNCE_SIZE - at % SECTOR);
		int64_t result = write ? write_piece(disk, bounce, buffer + done, piece, at) : read_piece(disk, bounce, buffer + done, piece, at);
		if (result < 0) {
			done = done ? done : result;
			break;
		}
		done += result;
		if ((size_t)result < piece)
			break;
	}
	page_free(bounce, BOUNCE_ORDER);
	return done;
}

static int64_t block_read(struct file *file, uaddr_t to, size_t n, int64_t *position)
{
	struct disk *disk = file->private;
	uint64_t size = disk_size(disk), at = *position;
	if (at >= size)
		return 0;
	int64_t result = transfer(disk, to, MIN(n, size - at), at, false);
	if (result > 0)
		*position += result;
	return result;
}

static int64_t block_write(struct file *file, uaddr_t from, size_t n, int64_t *position)
{
	struct disk *disk = file->private;
	uint64_t size = disk_size(disk), at = *position;
	if (disk->device->config.block.read_only)
		return -EPERM;
	if (at >= size)
		return n ? -ENOSPC : 0;
	int64_t result = transfer(disk, from, MIN(n, size - at), at, true);
	if (result > 0)
		*position += result;
	return result;
}

static int64_t block_seek(struct file *file, int64_t offset, int whence)
{
	int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file->position : (int64_t)disk_size(file->private);
	if (whence > SEEK_END || base + offset < 0)
		return -EINVAL;
	return file->position = base + offset;
}

static long put(unsigned long arg, const void *value, size_t n)
{
	return user_write(arg, value, n);
}

static long block_ioctl(struct file *file, unsigned request, unsigned long arg)
{
	struct disk *disk = file->private;
	uint64_t bytes = disk_size(disk), sectors = bytes / SECTOR;
	int sector = SECTOR, read_only = disk->device->config.block.read_only;
	switch (request) {
	case LINUX_BLKGETSIZE64: return put(arg, &bytes, sizeof(bytes));
	case LINUX_BLKGETSIZE: return put(arg, &sectors, sizeof(sectors));
	case LINUX_BLKSSZGET: return put(arg, &sector, sizeof(sector));
	case 0x127b: return put(arg, &sector, sizeof(sector)); /* BLKPBSZGET */
	case 0x125e: return put(arg, &read_only, sizeof(read_only)); /* BLKROGET */
	case 0x1261: return disk_submit(disk, REQUEST_FLUSH, 0, NULL, 0); /* BLKFLSBUF */
	default: return -ENOTTY;
	}
}

static int block_sync(struct file *file)
{
	int err = disk_submit(file->private, REQUEST_FLUSH, 0, NULL, 0);
	return err == -EOPNOTSUPP ? 0 : err;
}

static const struct file_ops block_ops = {
	.kind = "block", .read = block_read, .write = block_write, .seek = block_seek, .ioctl = block_ioctl, .sync = block_sync,
};

bool block_facts(int number, struct block_facts *facts)
{
	const struct disk *disk = disks;
	while (disk && number--)
		disk = disk->next;
	if (!disk)
		return false;
	*facts = disk->facts;
	facts->sectors = disk->device->config.block.sectors;
	return true;
}

void block_init(void)
{
	struct disk **last = &disks;
	unsigned count = 0;
	for (uint32_t i = 0; i < device_page->device_count && i < LV_MAX_DEVICES; i++) {
		if (device_page->device[i].type != LV_DEV_BLOCK)
			continue;
		struct disk *disk = kzalloc(sizeof(*disk));
		if (!disk)
			return;
		disk->device = &device_page->device[i];
		snprintf(disk->name, sizeof(disk->name), "vd%c", 'a' + count++);
		*last = disk;
		last = &disk->next;
		devfs_register(disk->name, &block_ops, S_IFBLK | 0660, disk);
	}
}
