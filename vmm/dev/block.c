/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device: virtio requests on a file or a block device. Requests run through io_uring; where the kernel
 * refuses one, they are done in place.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "vmm/device.h"
#include "vmm/host/uring.h"
#include "vmm/state/stream.h"

#define QUEUE_SIZE 128
#define SECTOR 512u
#define SEGMENT_MAX (128u << 10) /* bytes; QUEUE_SIZE of them are below QUEUE_CHAIN_BYTES */
#define RANGES 32u               /* that one discard may name */
#define RANGE_MAX (1u << 22)     /* sectors of one: 2 GiB */

static_assert(sizeof(struct virtio_blk_outhdr) == 16, "header of every request");
static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "a range to discard");
static_assert(QUEUE_SIZE * SEGMENT_MAX < QUEUE_CHAIN_BYTES, "the longest request");

struct request {
	struct request *next_free;
	uint16_t head;
	uint32_t written; /* bytes for the used element if all goes well: data and status */
	uint32_t length;  /* of the data */
	uint8_t *status;  /* in guest memory */
	unsigned steps;   /* of a discard that have not come back */
	uint8_t verdict;  /* VIRTIO_BLK_S_*, so far */
	unsigned parts;
	struct iovec part[QUEUE_SIZE];
};

struct block {
	struct device device;
	int fd;
	int lock; /* holds the file's lock; not owned; -1: nobody does */
	bool read_only, paused, discards;
	uint64_t sectors, failures; /* requests that the host did not do */
	int failure;                /* the errno of the last one */
	char serial[VIRTIO_BLK_ID_BYTES];
	unsigned in_flight;
	struct uring uring; /* fd -1: none */
	struct loop_watch watch;
	struct request *free;    /* that were in use */
	unsigned fresh;          /* the first that was not: pages that are never needed are never touched */
	struct request *request; /* QUEUE_SIZE of them, made with the first request */
};

static struct block *block_of(struct device *device)
{
	return (struct block *)device;
}

/* ---- one request ---- */

static bool have_request(const struct block *block)
{
	return block->free || block->fresh < QUEUE_SIZE;
}

static struct request *take_request(struct block *block)
{
	struct request *request = block->free;

	block->in_flight++;
	if (!request)
		return &block->request[block->fresh++];
	block->free = request->next_free;
	return request;
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

static uint8_t verdict_of(int64_t error)
{
	return error == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_IOERR;
}

/*
 * The guest is told in a status of one byte, and its user, who cannot see why, here: how often, and why the last time. One line in
 * the log for each new reason: a full file system fails every request.
 */
static void host_failed(struct block *block, int error)
{
	struct lv_device_stats *stats = &block->device.stats;

	block->failures++;
	if (error != block->failure)
		log_error("disk %u%s%.20s: the host failed a request of the guest: %s", block->device.index, block->serial[0] ? ", " : "", block->serial,
			  strerror(error));
	block->failure = error;
	if (!stats->needs_reset)
		snprintf(stats->error, sizeof(stats->error), "the host failed %llu requests, the last one with: %s", block->failures + 0ull, strerror(error));
}

static void step_result(struct block *block, struct request *request, int64_t result)
{
	if (result < 0) {
		request->verdict = verdict_of(result);
		if (result != -EOPNOTSUPP) /* a host without holes: guests know what to do then */
			host_failed(block, -result);
	}
	if (--request->steps == 0)
		request_done(block, request, request->verdict);
}

static void request_result(struct block *block, struct request *request, int64_t result)
{
	if (request->steps) {
		step_result(block, request, result);
		return;
	}
	if (result != (int64_t)request->length)
		host_failed(block, result < 0 ? -result : EIO); /* the file became shorter */
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
	ssize_t n = write ? pwritev(block->fd, request->part, request->parts, at) : preadv(block->fd, request->part, request->parts, at);
	request_result(block, request, n < 0 ? -errno : n);
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
		request_result(block, request, fdatasync(block->fd) < 0 ? -errno : 0);
}

/* Which way of fallocate(2) makes such a range; 0: none. */
static int range_mode(uint32_t type, uint32_t flags)
{
	if (type == VIRTIO_BLK_T_DISCARD)
		return flags ? 0 : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	if (flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
		return 0;
	return FALLOC_FL_KEEP_SIZE | (flags ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
}

static uint8_t check_ranges(const struct block *block, uint32_t type, const struct virtio_blk_discard_write_zeroes *range, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!range_mode(type, range[i].flags))
			return VIRTIO_BLK_S_UNSUPP;
		if (range[i].num_sectors > RANGE_MAX || range[i].sector > block->sectors ||
		    range[i].num_sectors > block->sectors - range[i].sector)
			return VIRTIO_BLK_S_IOERR;
	}
	return VIRTIO_BLK_S_OK;
}

static void allocate(struct block *block, struct request *request, int mode, uint64_t at, uint64_t len)
{
	if (uring_allocate(&block->uring, mode, at, len, request))
		step_result(block, request, fallocate(block->fd, mode, at, len) < 0 ? -errno : 0);
}

static void discard(struct block *block, struct request *request, struct chain *chain, uint32_t type)
{
	struct virtio_blk_discard_write_zeroes range[RANGES];
	unsigned count = chain->read_len / sizeof(*range);
	uint8_t verdict = VIRTIO_BLK_S_IOERR;

	if (!block->discards)
		verdict = VIRTIO_BLK_S_UNSUPP;
	else if (count && count <= RANGES && chain->read_len % sizeof(*range) == 0 &&
		 chain_take(chain, range, chain->read_len))
		verdict = check_ranges(block, type, range, count);
	request->verdict = verdict;
	request->steps = 1; /* ours: none of the others is the last while we make them */
	for (unsigned i = 0; verdict == VIRTIO_BLK_S_OK && i < count; i++) {
		if (!range[i].num_sectors)
			continue;
		request->steps++;
		allocate(block, request, range_mode(type, range[i].flags), range[i].sector * SECTOR, (uint64_t)range[i].num_sectors * SECTOR);
	}
	step_result(block, request, 0);
}

static void get_id(struct block *block, struct request *request, struct chain *chain)
{
	size_t done = chain_copy_out(chain, 0, block->serial, sizeof(block->serial));

	request->written = done + 1;
	request_done(block, request, done == sizeof(block->serial) ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR);
}

static const char *start_request(struct block *block, struct chain *chain)
{
	struct request *request;
	struct virtio_blk_outhdr header;
	uint8_t *status = take_status(chain);

	if (!status)
		return "a block request without room for its status";
	if (!chain_take(chain, &header, sizeof(header)))
		return "a block request without its header";
	request = take_request(block);
	request->head = chain->head;
	request->steps = 0;
	request->status = status;
	request->written = 1;
	if (header.type == VIRTIO_BLK_T_IN || header.type == VIRTIO_BLK_T_OUT)
		read_write(block, request, chain, header.type, header.sector);
	else if (header.type == VIRTIO_BLK_T_FLUSH)
		flush(block, request);
	else if (header.type == VIRTIO_BLK_T_GET_ID)
		get_id(block, request, chain);
	else if (header.type == VIRTIO_BLK_T_DISCARD || header.type == VIRTIO_BLK_T_WRITE_ZEROES)
		discard(block, request, chain, header.type);
	else
		request_done(block, request, VIRTIO_BLK_S_UNSUPP);
	return NULL;
}

/* ---- the queue ---- */

/* The table is made when the guest first uses the disk: an idle one costs nothing. */
static bool requests_ready(struct block *block)
{
	if (!block->request)
		block->request = malloc(QUEUE_SIZE * sizeof(*block->request));
	return block->request;
}

static void complete(void *context, void *cookie, int result)
{
	request_result(context, cookie, result);
}

static bool block_process(struct device *device, unsigned queue)
{
	struct block *block = block_of(device);
	struct chain *chain = &device->set->chain;

	if (block->paused || !requests_ready(block))
		return false;
	for (unsigned n = 0; n < QUEUE_SIZE && have_request(block) && device_pop(device, queue, chain); n++) {
		const char *fault = start_request(block, chain);

		if (fault) {
			device_break(device, fault);
			break;
		}
	}
	uring_submit(&block->uring);
	uring_reap(&block->uring, complete, block); /* what the page cache had is done by now */
	device_publish(device, queue);
	return have_request(block); /* with all in flight, a completion goes on */
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

/* Behind its end there is nothing to make a hole in, but a file system that cannot make any says so there too. */
static bool can_discard(int fd, uint64_t bytes)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	/* The answer of a block device comes with the first request. */
	return S_ISBLK(st.st_mode) || fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, bytes, 4096) == 0;
}

static int block_init(struct device *device, const struct device_config *config)
{
	struct block *block = block_of(device);
	uint64_t bytes = 0;
	int r;

	block->fd = config->block.fd;
	block->lock = config->block.lock;
	block->read_only = config->block.read_only;
	memcpy(block->serial, config->block.serial, sizeof(block->serial));
	block->uring.fd = -1;
	device_add_queue(device, QUEUE_SIZE, 0);
	r = find_size(block->fd, &bytes);
	block->sectors = bytes / SECTOR;
	block->discards = !r && !block->read_only && can_discard(block->fd, bytes);
	if (!r)
		uring_init(&block->uring, block->fd, block->read_only, QUEUE_SIZE);
	return r;
}

static int block_describe(struct device *device, struct lv_device *entry)
{
	struct block *block = block_of(device);

	entry->config.block = (struct lv_block_config){ .sectors = block->sectors, .read_only = block->read_only };
	memcpy(entry->config.block.serial, block->serial, sizeof(entry->config.block.serial));
	return 0;
}

static uint64_t block_offer(const struct device *device)
{
	const struct block *block = (const struct block *)device;
	uint64_t features = 1ull << VIRTIO_BLK_F_SIZE_MAX | 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			    1ull << VIRTIO_BLK_F_FLUSH;

	if (block->read_only)
		features |= 1ull << VIRTIO_BLK_F_RO;
	if (block->discards)
		features |= 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	return features;
}

static unsigned block_configuration(const struct device *device, uint8_t *space)
{
	const struct block *block = (const struct block *)device;
	struct virtio_blk_config config = { .capacity = block->sectors, .size_max = SEGMENT_MAX, .blk_size = SECTOR };

	config.seg_max = QUEUE_SIZE - 2; /* beside header and status */
	config.max_discard_sectors = config.max_write_zeroes_sectors = RANGE_MAX;
	config.max_discard_seg = config.max_write_zeroes_seg = RANGES;
	config.discard_sector_alignment = 1;
	config.write_zeroes_may_unmap = 1;
	memcpy(space, &config, sizeof(config));
	return sizeof(config);
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

/* What is in flight is finished: it belongs to the host until then. */
static void block_quiesce(struct device *device)
{
	block_reset(device);
}

#define BLOCK_TAG STREAM_TAG("BLOC")
#define BLOCK_VERSION 1

/* The disk itself is the host's; that it is the same one can be seen by its size only. */
static int block_save(const struct device *device, struct stream *stream)
{
	const struct block *block = (const struct block *)device;

	if (block->in_flight)
		return -EBUSY;
	stream_begin(stream, BLOCK_TAG, BLOCK_VERSION);
	stream_put64(stream, block->sectors);
	stream_put8(stream, block->read_only);
	return stream_end(stream);
}

static int block_load(struct device *device, struct stream *stream)
{
	const struct block *block = block_of(device);

	stream_begin(stream, BLOCK_TAG, BLOCK_VERSION);
	bool same = stream_get64(stream) == block->sectors;
	same &= stream_get_bool(stream) == block->read_only;
	int err = stream_end(stream);
	return err || same ? err : stream_refuse(stream);
}

static int block_lend(struct device *device, bool lent)
{
	const struct block *block = block_of(device);
	struct flock whole = { .l_type = lent ? F_UNLCK : block->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

	if (block->lock < 0)
		return 0;
	if (lent && !block->read_only && fdatasync(block->fd))
		return -errno;
	if (fcntl(block->lock, F_OFD_SETLK, &whole) == 0)
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
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
	.init = block_init,
	.describe = block_describe,
	.start = block_start,
	.process = block_process,
	.pause = block_pause,
	.reset = block_reset,
	.drain = block_drain,
	.quiesce = block_quiesce,
	.lend = block_lend,
	.save = block_save,
	.load = block_load,
	.offer = block_offer,
	.configuration = block_configuration,
	.free = block_free,
};
