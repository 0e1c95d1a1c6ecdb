/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices' state, one after the other: a record of what all have in common, their rings, the transport's registers,
 * the device's own. Loading checks a device's records first and touches it then.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vmm/device.h"
#include "vmm/state/stream.h"

#define DEVICE_TAG STREAM_TAG("DEVI")
#define DEVICE_VERSION 1

struct common {
	uint64_t features;
	bool ran, broken;
	char error[sizeof(((struct lv_device_stats *)0)->error)];
};

static int save_common(const struct device *device, struct stream *stream)
{
	stream_begin(stream, DEVICE_TAG, DEVICE_VERSION);
	stream_put32(stream, device->ops->type);
	stream_put32(stream, device->queues);
	stream_put64(stream, device->features);
	stream_put8(stream, device->ran);
	stream_put8(stream, device_broken(device));
	stream_put(stream, device->stats.error, sizeof(device->stats.error));
	return stream_end(stream);
}

uint64_t device_possible_features(const struct device *device)
{
	return (device->ops->offer ? device->ops->offer(device) : 0) | 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
	       1ull << VIRTIO_RING_F_EVENT_IDX;
}

static int load_common(const struct device *device, struct common *common, struct stream *stream)
{
	stream_begin(stream, DEVICE_TAG, DEVICE_VERSION);
	bool same = stream_get32(stream) == device->ops->type;
	same &= stream_get32(stream) == device->queues;
	common->features = stream_get64(stream);
	common->ran = stream_get_bool(stream);
	common->broken = stream_get_bool(stream);
	stream_get(stream, common->error, sizeof(common->error));
	int err = stream_end(stream);
	if (err)
		return err;
	common->error[sizeof(common->error) - 1] = '\0';
	same &= !(common->features & ~device_possible_features(device)) && !(common->ran && common->broken);
	return same ? 0 : stream_refuse(stream);
}

static int device_save(struct device *device, struct stream *stream)
{
	device->ops->quiesce(device);
	device_publish_all(device);
	int err = save_common(device, stream);
	for (unsigned i = 0; !err && i < device->queues; i++)
		err = queue_save(&device->queue[i], stream);
	if (!err)
		err = device->set->transport->save(device, stream);
	return err ? err : device->ops->save(device, stream);
}

/* As it would have been left by devices_pause. */
static int start_paused(struct device *device)
{
	int err = device->ops->start(device);

	if (!err)
		device->ops->pause(device, true);
	return err;
}

static int device_load(struct device *device, struct stream *stream)
{
	struct queue queue[DEVICE_MAX_QUEUES];
	struct common common;
	int err = load_common(device, &common, stream);

	for (unsigned i = 0; !err && i < device->queues; i++)
		err = queue_load(&queue[i], device->set->mem, device->queue_size[i], stream);
	if (!err)
		err = device->set->transport->load(device, stream);
	if (err)
		return err;
	device->features = common.features;
	err = device->ops->load(device, stream);
	if (err)
		return err;
	memcpy(device->queue, queue, device->queues * sizeof(*queue));
	device->ran = common.ran;
	device->stats.needs_reset = common.broken;
	memcpy(device->stats.error, common.error, sizeof(common.error));
	device_kick(device); /* its bell may have rung without being heard before it was saved */
	return common.ran ? start_paused(device) : 0;
}

int devices_save(struct devices *set, struct stream *stream)
{
	int err = 0;

	devices_pause(set, true);
	for (unsigned i = 0; !err && i < set->count; i++)
		err = device_save(set->device[i], stream);
	return err;
}

int devices_load(struct devices *set, struct stream *stream, unsigned *failed)
{
	int err = 0;

	if (set->paused)
		return -EBUSY;
	set->paused = true;
	for (unsigned i = 0; !err && i < set->count; i++) {
		*failed = i;
		err = device_load(set->device[i], stream);
	}
	return err;
}
