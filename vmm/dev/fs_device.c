/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of the host (virtio 1.2, section 5.11): FUSE messages, which go to the volume's server and come back from there as they are, so that
 * nothing here knows what they say but for whom an answer is: each request has a number of our own, so that what the server still answers after a
 * reset is nobody's, whatever numbers the next driver gives. Guest memory is not shared with the server, as that of clones cannot be: the
 * kernel copies between it and the socket.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "vmm/device.h"
#include "vmm/state/stream.h"

#define QUEUES 2
#define QUEUE_SIZE 128
#define IN_FLIGHT 128
#define PARTS 72          /* of an answer's room: 128 KiB in pages, and some */
#define REPLIES_AT_ONCE 64
#define REQUESTS 1        /* the queue of most of them; the other one is for Linux' messages about files that it forgets */
#define LOOK_NS 100000    /* for the next request of a guest that had an answer: what waking this thread may cost */
#define SETTLE_MS 1000    /* for what the server has, when the VM is to stand still */
#define SERVER_GONE "the volume's server has ended: the guest gets ENOTCONN for what it asks of it"

struct pending { /* a request that the server has */
	uint64_t unique; /* what the guest calls it */
	uint64_t number; /* what the server calls it: the place in the table is its remainder */
	uint16_t head;
	uint8_t queue;
	uint8_t parts; /* 0: free */
	bool may_last; /* it waits for a lock of somebody else */
	uint32_t room;
	struct iovec part[PARTS];
};

struct fs {
	struct device device;
	struct loop_watch socket;
	struct loop_look next; /* request, of a guest that asks one after the other */
	uint64_t answered;     /* when the last answer went to the guest that it waited for */
	bool quick;            /* the request after that came soon */
	bool read_only, paused;
	bool gone;    /* the server */
	bool blocked; /* the socket is full: nothing is taken from the rings until it is not */
	char tag[16];
	unsigned in_flight, lasting; /* lasting: that wait for locks, of those in flight */
	uint64_t numbers;
	struct pending *pending; /* IN_FLIGHT of them, made with the first request */
};

static struct fs *fs_of(struct device *device)
{
	return (struct fs *)device;
}

/* ---- answers ---- */

static void forget(struct fs *fs, struct pending *pending)
{
	pending->parts = 0;
	fs->in_flight--;
	fs->lasting -= pending->may_last;
}

static void finish(struct fs *fs, struct pending *pending, uint32_t written)
{
	device_push(&fs->device, pending->queue, pending->head, written);
	forget(fs, pending);
}

static size_t copy_header(struct iovec *part, unsigned parts, const struct fuse_out_header *header)
{
	size_t done = 0;

	for (unsigned i = 0; i < parts && done < sizeof(*header); i++) {
		size_t n = part[i].iov_len < sizeof(*header) - done ? part[i].iov_len : sizeof(*header) - done;

		memcpy(part[i].iov_base, (const char *)header + done, n);
		done += n;
	}
	return done;
}

static void refuse(struct fs *fs, struct pending *pending, int error)
{
	const struct fuse_out_header header = { .len = sizeof(header), .error = error, .unique = pending->unique };

	finish(fs, pending, (uint32_t)copy_header(pending->part, pending->parts, &header));
}

static void server_gone(struct fs *fs)
{
	if (fs->gone)
		return;
	fs->gone = true;
	fs->blocked = false;
	loop_update(fs->device.set->loop, &fs->socket, 0);
	device_note(&fs->device, SERVER_GONE);
	log_error("volume %.16s: " SERVER_GONE, fs->tag);
	for (unsigned i = 0; fs->pending && i < IN_FLIGHT; i++)
		if (fs->pending[i].parts)
			refuse(fs, &fs->pending[i], -ENOTCONN);
}

static struct pending *find(struct fs *fs, uint64_t number)
{
	struct pending *pending = fs->pending ? &fs->pending[number % IN_FLIGHT] : NULL;

	return pending && pending->parts && pending->number == number ? pending : NULL;
}

/* One answer into the guest's buffers; false: there is none now. The server is not trusted: an answer that nobody waits for, or too long, is dropped. */
static bool take_reply(struct fs *fs)
{
	struct fuse_out_header header;
	ssize_t n = recv(fs->socket.fd, &header, sizeof(header), MSG_PEEK | MSG_DONTWAIT);
	struct pending *pending;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		server_gone(fs);
		return false;
	}
	pending = n == sizeof(header) ? find(fs, header.unique) : NULL;
	if (!pending) {
		recv(fs->socket.fd, &header, sizeof(header), MSG_DONTWAIT);
		return true;
	}
	struct msghdr message = { .msg_iov = pending->part, .msg_iovlen = pending->parts };
	n = recvmsg(fs->socket.fd, &message, MSG_DONTWAIT);
	if (n < (ssize_t)sizeof(header) || message.msg_flags & MSG_TRUNC) {
		refuse(fs, pending, -EIO);
	} else {
		header.unique = pending->unique;
		copy_header(pending->part, pending->parts, &header);
		finish(fs, pending, (uint32_t)n);
	}
	return true;
}

/* Its doorbell need not ring meanwhile. */
static void look_for_next(struct fs *fs)
{
	if (fs->in_flight || fs->gone || fs->paused)
		return;
	fs->answered = clock_now();
	if (fs->quick && loop_look_for(fs->device.set->loop, &fs->next, LOOK_NS))
		queue_notify_off(&fs->device.queue[REQUESTS]);
}

static void take_replies(struct fs *fs)
{
	const unsigned before = fs->in_flight;

	for (unsigned n = 0; n < REPLIES_AT_ONCE && !fs->gone && take_reply(fs); n++)
		;
	device_publish_all(&fs->device);
	if (before)
		look_for_next(fs);
}

static bool next_came(void *context)
{
	struct fs *fs = context;

	return queue_ready(&fs->device.queue[REQUESTS]);
}

static void look_over(void *context)
{
	struct fs *fs = context;

	device_run(&fs->device, REQUESTS);
}

/* ---- requests ---- */

static struct pending *free_pending(struct fs *fs)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		if (!fs->pending[i].parts)
			return &fs->pending[i];
	return NULL;
}

/* Where its answer goes. A request without room for one (FORGET) is not pending. */
static const char *expect(struct fs *fs, unsigned queue, struct chain *chain, struct fuse_in_header *header, struct pending **out)
{
	struct pending *pending = *out = NULL;

	if (!chain->writable)
		return NULL;
	if (chain->write_len < sizeof(struct fuse_out_header) || chain->writable > PARTS)
		return "a FUSE request whose answer has no room, or room in too many parts";
	pending = free_pending(fs);
	*pending = (struct pending){ .unique = header->unique, .number = ++fs->numbers * IN_FLIGHT + (uint64_t)(pending - fs->pending), .head = chain->head,
		.queue = (uint8_t)queue, .parts = (uint8_t)chain->writable, .may_last = header->opcode == FUSE_SETLKW, .room = chain->write_len };
	memcpy(pending->part, chain_writable(chain), chain->writable * sizeof(struct iovec));
	header->unique = pending->number;
	fs->in_flight++;
	fs->lasting += pending->may_last;
	*out = pending;
	return NULL;
}

/* Which request the guest has had enough of; the server knows it by our number. 0 where it has been answered. */
static uint64_t interrupted(const struct fs *fs, const struct chain *chain)
{
	struct fuse_interrupt_in in = { 0 };

	chain_copy_in(chain, 0, &in, sizeof(in));
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		if (fs->pending[i].parts && fs->pending[i].unique == in.unique)
			return fs->pending[i].number;
	return 0;
}

/* chain: behind its header. 0, -EAGAIN: not now, or -EMSGSIZE and its like: never. */
static int pass_on(struct fs *fs, struct fuse_in_header *header, const struct chain *chain)
{
	const bool interrupt = header->opcode == FUSE_INTERRUPT;
	struct fuse_interrupt_in in = { .unique = interrupt ? interrupted(fs, chain) : 0 };
	struct iovec part[QUEUE_MAX + 1] = { { .iov_base = header, .iov_len = sizeof(*header) }, { .iov_base = &in, .iov_len = sizeof(in) } };
	struct msghdr message = { .msg_iov = part, .msg_iovlen = interrupt ? 2 : chain->readable + 1u };
	ssize_t n;

	if (fs->gone)
		return -ENOTCONN;
	if (!interrupt)
		memcpy(part + 1, chain->iov, chain->readable * sizeof(struct iovec));
	while ((n = sendmsg(fs->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	return n < 0 ? -errno : 0;
}

/* Answers why the device is to stop, or NULL. */
static const char *handle(struct fs *fs, unsigned queue, struct chain *chain)
{
	struct fuse_in_header header;
	struct pending *pending;
	const uint32_t whole = chain->read_len;
	const char *fault = chain_take(chain, &header, sizeof(header)) ? expect(fs, queue, chain, &header, &pending) : "a FUSE request that is shorter than its header";
	int err;

	if (fault)
		return fault;
	err = pass_on(fs, &header, chain);
	if (err == -EAGAIN) {
		if (pending)
			forget(fs, pending);
		device_unpop(&fs->device, queue, whole);
		fs->blocked = true;
		return NULL;
	}
	if (err == -EPIPE || err == -ECONNRESET)
		server_gone(fs); /* and answers it */
	else if (err && pending)
		refuse(fs, pending, err == -ENOTCONN ? err : -EINVAL);
	if (!pending)
		device_push(&fs->device, queue, chain->head, 0);
	return NULL;
}

static void watch(struct fs *fs)
{
	uint32_t events = fs->gone || fs->paused ? 0 : EPOLLIN | (fs->blocked ? EPOLLOUT : 0);

	if (events != fs->socket.events && loop_update(fs->device.set->loop, &fs->socket, events))
		server_gone(fs);
}

static bool fs_process(struct device *device, unsigned queue)
{
	struct fs *fs = fs_of(device);
	struct chain *chain = &device->set->chain;
	const char *fault = NULL;

	if (!fs->pending && !(fs->pending = calloc(IN_FLIGHT, sizeof(*fs->pending)))) {
		device_break(device, "no memory for what its server is asked");
		return false;
	}
	if (fs->paused)
		return false;
	if (!fs->in_flight && queue_ready(&device->queue[queue]))
		fs->quick = clock_now() - fs->answered < LOOK_NS;
	for (unsigned n = 0; n < QUEUE_SIZE && !fault && !fs->blocked && fs->in_flight < IN_FLIGHT && device_pop(device, queue, chain); n++)
		fault = handle(fs, queue, chain);
	if (fault)
		device_break(device, fault);
	else
		watch(fs);
	device_publish_all(device);
	return !fs->blocked && fs->in_flight < IN_FLIGHT; /* else an answer, or room in the socket, goes on */
}

static void socket_ready(void *context, uint32_t events)
{
	struct fs *fs = context;
	bool full = fs->blocked || fs->in_flight == IN_FLIGHT;

	if (events & EPOLLOUT)
		fs->blocked = false;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		take_replies(fs);
	if (full && !device_broken(&fs->device))
		for (unsigned i = 0; i < QUEUES; i++)
			device_run(&fs->device, i);
	watch(fs);
}

/* ---- its life ---- */

static int fs_init(struct device *device, const struct device_config *config)
{
	struct fs *fs = fs_of(device);

	fs->socket = (struct loop_watch){ .fd = config->fs.fd, .ready = socket_ready, .context = fs };
	fs->next = (struct loop_look){ .came = next_came, .over = look_over, .context = fs };
	fs->read_only = config->fs.read_only;
	memcpy(fs->tag, config->fs.tag, sizeof(fs->tag));
	fs->tag[sizeof(fs->tag) - 1] = 0;
	for (unsigned i = 0; i < QUEUES; i++)
		device_add_queue(device, QUEUE_SIZE, i);
	return fs->socket.fd < 0 ? -EBADF : 0;
}

static int fs_describe(struct device *device, struct lv_device *entry)
{
	struct fs *fs = fs_of(device);

	memcpy(entry->config.fs.tag, fs->tag, sizeof(entry->config.fs.tag));
	entry->config.fs.read_only = fs->read_only;
	return 0;
}

static uint64_t fs_offer(const struct device *device)
{
	return 0;
}

/* struct virtio_fs_config: a tag of 36 bytes, the number of request queues. */
static unsigned fs_configuration(const struct device *device, uint8_t *space)
{
	const struct fs *fs = (const struct fs *)device;
	const uint32_t queues = QUEUES - 1;

	memcpy(space, fs->tag, sizeof(fs->tag));
	memcpy(space + 36, &queues, sizeof(queues));
	return 40;
}

static int fs_start(struct device *device)
{
	watch(fs_of(device));
	return 0;
}

static void fs_pause(struct device *device, bool on)
{
	struct fs *fs = fs_of(device);

	fs->paused = on;
	loop_look_end(device->set->loop, &fs->next);
	watch(fs);
	for (unsigned i = 0; i < QUEUES && !on; i++)
		device_run(device, i);
}

/* What the server still has is the old driver's: its answers find nobody. */
static void fs_reset(struct device *device)
{
	struct fs *fs = fs_of(device);

	for (unsigned i = 0; fs->pending && i < IN_FLIGHT; i++)
		fs->pending[i].parts = 0;
	loop_look_end(device->set->loop, &fs->next);
	fs->in_flight = fs->lasting = 0;
	fs->blocked = false;
}

/* Messages that are in the socket reach the server, also when this end is closed. */
static bool fs_drain(struct device *device)
{
	for (unsigned i = 0; i < QUEUES && !device_broken(device); i++)
		device_run(device, i);
	return !fs_of(device)->blocked;
}

/* The server answers at once, but who waits for a lock: such a VM stands still with its question open. */
static void fs_quiesce(struct device *device)
{
	struct fs *fs = fs_of(device);
	struct pollfd poll_fd = { .fd = fs->socket.fd, .events = POLLIN };

	const uint64_t end = clock_now() + SETTLE_MS * NS_PER_MS; /* of all of it, however slow each answer is */
	uint64_t now;

	while (fs->in_flight > fs->lasting && !fs->gone && (now = clock_now()) < end && poll(&poll_fd, 1, (int)((end - now) / NS_PER_MS) + 1) == 1)
		take_replies(fs);
}

static int fs_save(const struct device *device, struct stream *stream)
{
	return -EOPNOTSUPP;
}

static int fs_load(struct device *device, struct stream *stream)
{
	return -EOPNOTSUPP;
}

static void fs_free(struct device *device)
{
	struct fs *fs = fs_of(device);

	loop_look_end(device->set->loop, &fs->next);
	loop_update(device->set->loop, &fs->socket, 0);
	if (fs->socket.fd >= 0)
		close(fs->socket.fd);
	free(fs->pending);
}

const struct device_ops fs_ops = {
	.type = LV_DEV_FS,
	.name = "fs",
	.failure = "volume (needs the socket of its server)",
	.size = sizeof(struct fs),
	.init = fs_init,
	.describe = fs_describe,
	.start = fs_start,
	.process = fs_process,
	.pause = fs_pause,
	.reset = fs_reset,
	.drain = fs_drain,
	.quiesce = fs_quiesce,
	.save = fs_save,
	.load = fs_load,
	.offer = fs_offer,
	.configuration = fs_configuration,
	.free = fs_free,
};
