/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device: virtio requests on a file or a block device. Requests run through io_uring; where the kernel
 * refuses one, they are done in place.
 */
#include <errno.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/device.h"
#include "vmm/host/uring.h"

#define QUEUE_SIZE 64
#define SECTOR 512u

static_assert(sizeof(struct virtio_blk_outhdr) == 16, "header of every request");

struct request {
	struct request *next_free;
	uint16_t head;
	uint32_t written; /* bytes for the used element if all goes well: data and status */
	uint32_t length;  /* of the data */
	uint8_t *status;  /* in guest memory */
	unsigned parts;
	struct iovec part[QUEUE_SIZE];
};

struct block {
	struct device device;
	int fd;
	bool read_only, paused;
	uint64_t sectors;
	char serial[16];
	unsigned in_flight;
	struct uring uring; /* fd -1: none */
	struct loop_watch watch;
	struct request *free;
	struct request *request; /* QUEUE_SIZE of them, made with the first request */
};

static struct block *block_of(struct device *device)
{
	return (struct block *)device;
}

/* ---- one request ---- */

/* Cuts n bytes off the front (copying them out) of count parts; answers whether they were there. */
static bool take_front(struct iovec *part, unsigned count, void *to, size_t n)
{
	size_t got = 0;

	for (unsigned i = 0; i < count && got < n; i++) {
		size_t take = part[i].iov_len < n - got ? part[i].iov_len : n - got;

		memcpy((char *)to + got, part[i].iov_base, take);
		part[i].iov_base = (char *)part[i].iov_base + take;
		part[i].iov_len -= take;
		got += take;
	}
	return got == n;
}

/* The status is the last byte that the device may write. */
static uint8_t *take_status(struct chain *chain)
{
	struct iovec *last;

	if (!chain->writable)
		return NULL;
	last = chain_writable(chain) + chain->writable - 1;
	last->iov_len--;
	chain->write_len--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

static void request_done(struct block *block, struct request *request, uint8_t status)
{
	*request->status = status;
	/* After a failure only the status counts as written, but it lies behind the data. */
	device_push(&block->device, LV_BLOCK_REQUESTS, request->head, status == VIRTIO_BLK_S_OK ? request->written : 1);
	request->next_free = block->free;
	block->free = request;
	block->in_flight--;
}

static void request_result(struct block *block, struct request *request, int64_t result)
{
	request_done(block, request, result == (int64_t)request->length ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
}

static bool in_range(const struct block *block, uint64_t sector, uint32_t bytes)
{
	return bytes % SECTOR == 0 && sector <= block->sectors && bytes / SECTOR <= block->sectors - sector;
}

static void set_parts(struct request *request, const struct iovec *part, unsigned count, uint32_t length)
{
	request->parts = 0;
	request->length = length;
	for (unsigned i = 0; i < count; i++)
		if (part[i].iov_len)
			request->part[request->parts++] = part[i];
}

static void transfer(struct block *block, struct request *request, bool write, uint64_t sector)
{
	off_t at = sector * SECTOR;

	if (uring_transfer(&block->uring, write, request->part, request->parts, at, request) == 0)
		return;
	request_result(block, request, write ? pwritev(block->fd, request->part, request->parts, at)
					     : preadv(block->fd, request->part, request->parts, at));
}

static void read_write(struct block *block, struct request *request, struct chain *chain, uint32_t type, uint64_t sector)
{
	bool write = type == VIRTIO_BLK_T_OUT;

	if (write)
		set_parts(request, chain->iov, chain->readable, chain->read_len);
	else
		set_parts(request, chain_writable(chain), chain->writable, chain->write_len);
	request->written = write ? 1 : request->length + 1;
	if (!request->length || (write && block->read_only) || !in_range(block, sector, request->length)) {
		request_done(block, request, VIRTIO_BLK_S_IOERR);
		return;
	}
	transfer(block, request, write, sector);
}

static void flush(struct block *block, struct request *request)
{
	request->length = 0;
	request->written = 1;
	if (block->read_only)
		request_done(block, request, VIRTIO_BLK_S_OK);
	else if (uring_flush(&block->uring, request))
		request_result(block, request, fdatasync(block->fd));
}

static void get_id(struct block *block, struct request *request, struct chain *chain)
{
	char id[VIRTIO_BLK_ID_BYTES] = { 0 };
	size_t done = 0;

	memcpy(id, block->serial, sizeof(block->serial));
	for (unsigned i = 0; i < chain->writable && done < sizeof(id); i++) {
		struct iovec *part = chain_writable(chain) + i;
		size_t n = part->iov_len < sizeof(id) - done ? part->iov_len : sizeof(id) - done;

		memcpy(part->iov_base, id + done, n);
		done += n;
	}
	request->written = done + 1;
	request_done(block, request, done == sizeof(id) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
}

static const char *start_request(struct block *block, struct chain *chain)
{
	struct request *request = block->free;
	struct virtio_blk_outhdr header;
	uint8_t *status = take_status(chain);

	if (!status)
		return "a block request without room for its status";
	if (!take_front(chain->iov, chain->readable, &header, sizeof(header)))
		return "a block request without its header";
	chain->read_len -= sizeof(header);
	block->free = request->next_free;
	block->in_flight++;
	request->head = chain->head;
	request->status = status;
	request->written = 1;
	if (header.type == VIRTIO_BLK_T_IN || header.type == VIRTIO_BLK_T_OUT)
		read_write(block, request, chain, header.type, header.sector);
	else if (header.type == VIRTIO_BLK_T_FLUSH)
		flush(block, request);
	else if (header.type == VIRTIO_BLK_T_GET_ID)
		get_id(block, request, chain);
	else
		request_done(block, request, VIRTIO_BLK_S_UNSUPP);
	return NULL;
}

/* ---- the queue ---- */

/* The table is made when the guest first uses the disk: an idle one costs nothing. */
static bool requests_ready(struct block *block)
{
	if (block->request)
		return true;
	block->request = malloc(QUEUE_SIZE * sizeof(*block->request));
	for (unsigned i = 0; block->request && i < QUEUE_SIZE; i++) {
		block->request[i].next_free = block->free;
		block->free = &block->request[i];
	}
	return block->request;
}

static bool block_process(struct device *device, unsigned queue)
{
	struct block *block = block_of(device);
	struct chain *chain = &device->set->chain;

	if (block->paused || !requests_ready(block))
		return false;
	for (unsigned n = 0; n < QUEUE_SIZE && block->free && device_pop(device, queue, chain); n++) {
		const char *fault = start_request(block, chain);

		if (fault) {
			device_break(device, fault);
			break;
		}
	}
	uring_submit(&block->uring);
	device_publish(device, queue);
	return block->free; /* with all in flight, a completion goes on */
}

static void complete(void *context, void *cookie, int result)
{
	request_result(context, cookie, result);
}

static void uring_ready(void *context, uint32_t events)
{
	struct block *block = context;

	if (!uring_reap(&block->uring, complete, block))
		return;
	device_publish(&block->device, LV_BLOCK_REQUESTS);
	device_run(&block->device, LV_BLOCK_REQUESTS);
}

/* ---- device operations ---- */

static int find_size(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISBLK(st.st_mode))
		return ioctl(fd, BLKGETSIZE64, bytes) < 0 ? -errno : 0;
	*bytes = st.st_size;
	return S_ISREG(st.st_mode) ? 0 : -ENOTBLK;
}

static int block_init(struct device *device, const struct device_config *config)
{
	struct block *block = block_of(device);
	uint64_t bytes = 0;
	int r;

	block->fd = config->block.fd;
	block->read_only = config->block.read_only;
	memcpy(block->serial, config->block.serial, sizeof(block->serial));
	block->uring.fd = -1;
	r = find_size(block->fd, &bytes);
	block->sectors = bytes / SECTOR;
	if (!r)
		uring_init(&block->uring, block->fd, block->read_only, QUEUE_SIZE);
	return r;
}

static void block_describe(struct device *device, struct lv_device *entry)
{
	struct block *block = block_of(device);

	entry->config.block = (struct lv_block_config){ .sectors = block->sectors, .read_only = block->read_only };
	memcpy(entry->config.block.serial, block->serial, sizeof(block->serial));
}

static int block_start(struct device *device)
{
	struct block *block = block_of(device);

	if (block->uring.fd < 0)
		return 0;
	block->watch = (struct loop_watch){ .fd = block->uring.fd, .ready = uring_ready, .context = block };
	return loop_update(device->set->loop, &block->watch, EPOLLIN);
}

static void block_pause(struct device *device, bool on)
{
	struct block *block = block_of(device);

	/* What is in flight still completes: its memory belongs to the host until then. */
	block->paused = on;
	if (!on)
		device_run(device, LV_BLOCK_REQUESTS);
}

static void block_reset(struct device *device)
{
	struct block *block = block_of(device);

	while (block->in_flight && uring_wait(&block->uring) == 0)
		uring_reap(&block->uring, complete, block);
}

static bool block_drain(struct device *device)
{
	struct block *block = block_of(device);

	device_run(device, LV_BLOCK_REQUESTS);
	return !block->in_flight && !queue_ready(&device->queue[LV_BLOCK_REQUESTS]);
}

static void block_free(struct device *device)
{
	struct block *block = block_of(device);

	block_reset(device);
	if (block->uring.fd >= 0)
		loop_update(device->set->loop, &block->watch, 0);
	uring_fini(&block->uring);
	if (block->fd >= 0)
		close(block->fd);
	free(block->request);
}

const struct device_ops block_ops = {
	.type = LV_DEV_BLOCK,
	.name = "block",
	.failure = "disk (needs a regular file or a block device)",
	.size = sizeof(struct block),
	.queues = 1,
	.queue_size = { QUEUE_SIZE },
	.init = block_init,
	.describe = block_describe,
	.start = block_start,
	.process = block_process,
	.pause = block_pause,
	.reset = block_reset,
	.drain = block_drain,
	.free = block_free,
};
