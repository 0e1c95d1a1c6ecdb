/* SPDX-License-Identifier: Apache-2.0 */
/* The entropy device (virtio 1.2, section 5.4): the host's random numbers, straight into the guest's buffers. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "vmm/device.h"

#define QUEUE_SIZE 8
#define REQUEST_MAX 4096u /* bytes; a larger buffer comes back filled as far as this, as the driver has to expect */

static int rng_init(struct device *device, const struct device_config *config)
{
	device_add_queue(device, QUEUE_SIZE, 0);
	return 0;
}

static uint64_t rng_offer(const struct device *device)
{
	return 0;
}

static int rng_start(struct device *device)
{
	return 0;
}

static uint32_t fill(const struct chain *chain)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < chain->writable && done < REQUEST_MAX; i++) {
		const struct iovec *part = chain_writable(chain) + i;
		size_t want = part->iov_len < REQUEST_MAX - done ? part->iov_len : REQUEST_MAX - done;
		ssize_t n = getrandom(part->iov_base, want, GRND_NONBLOCK);

		done += n > 0 ? n : 0;
		if (n < (ssize_t)want)
			break;
	}
	return done;
}

static bool rng_process(struct device *device, unsigned queue)
{
	struct chain *chain = &device->set->chain;

	for (unsigned n = 0; n < QUEUE_SIZE && device_pop(device, queue, chain); n++)
		device_push(device, queue, chain->head, fill(chain));
	device_publish(device, queue);
	return true;
}

static void rng_pause(struct device *device, bool on)
{
	if (!on)
		device_run(device, 0);
}

static void rng_reset(struct device *device)
{
}

static bool rng_drain(struct device *device)
{
	return true;
}

static void rng_quiesce(struct device *device)
{
}

/* It has none. */
static int rng_save(const struct device *device, struct stream *stream)
{
	return 0;
}

static int rng_load(struct device *device, struct stream *stream)
{
	return 0;
}

static void rng_free(struct device *device)
{
}

const struct device_ops rng_ops = {
	.type = LV_DEV_RNG,
	.name = "rng",
	.failure = "rng",
	.size = sizeof(struct device),
	.init = rng_init,
	.start = rng_start,
	.process = rng_process,
	.pause = rng_pause,
	.reset = rng_reset,
	.drain = rng_drain,
	.quiesce = rng_quiesce,
	.save = rng_save,
	.load = rng_load,
	.offer = rng_offer,
	.free = rng_free,
};
