/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: @vmm-devices tests/unit/ring_driver.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * Devices that are loaded from anything. The first byte chooses the device; of the rest records are made whose checksums are
 * right, as those of who writes hostile ones are. Checked: what is refused leaves the device alone, what is taken can run.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "tests/unit/ring_driver.h"
#include "vmm/state/stream.h"

#define RECORDS 16
#define ROOM 16384

static const struct device_config configs[] = {
	{ .type = LV_DEV_CONSOLE, .console = { .in = -1, .out = -1, .err = -1, .log = -1 } },
	{ .type = LV_DEV_CONSOLE, .console = { .in = -1, .out = -1, .err = -1, .log = -1, .multiport = true } },
	{ .type = LV_DEV_RNG },
	{ .type = LV_DEV_BALLOON },
	{ .type = LV_DEV_VSOCK, .vsock = { .listener = -1, .cid = 3 } },
};

/* tag, version, length, fields; again */
static size_t write_records(struct input *in, uint8_t *to)
{
	static const char *const tags[] = { "DEVI", "QUEU", "MMIO", "CONS", "BALL", "VSOC", "NETW", "BLOC" };
	struct stream stream = stream_writer(to, ROOM);

	for (unsigned i = 0; i < RECORDS && in->at < in->end; i++) {
		uint8_t what = take(in);

		stream_begin(&stream, STREAM_TAG(tags[what & 7]), 1 + (what >> 7));
		for (unsigned n = take(in); n; n--)
			stream_put8(&stream, take(in));
		stream_end(&stream);
	}
	return stream.at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest guest;
	static uint8_t bytes[ROOM];
	struct input in = { data, data + size };
	uint8_t which = take(&in);
	const char *error;
	bool raw = which & 0x80;

	guest_init(&guest);
	if (devices_add(&guest.devices, &configs[which % (sizeof(configs) / sizeof(*configs))], &error))
		abort();
	size_t len = raw ? (size_t)(in.end - in.at) : write_records(&in, bytes);
	struct stream stream = stream_reader(raw ? in.at : bytes, len);
	struct device *device = guest.devices.device[0];

	unsigned failed;

	if (devices_load(&guest.devices, &stream, &failed) == 0) {
		devices_pause(&guest.devices, false);
		guest_ring(&guest, device);
	} else if (device->bell.events) {
		abort();
	}
	guest_fini(&guest);
	return 0;
}
