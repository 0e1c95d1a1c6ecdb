/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: vmm/virtio/queue.c vmm/mem.c vmm/loop.c vmm/dev/table.c vmm/dev/streams.c vmm/dev/console.c vmm/dev/virtio_console.c vmm/dev/net.c vmm/dev/block.c vmm/dev/vsock.c vmm/dev/vsock_conn.c vmm/host/vsock_unix.c vmm/host/sink.c vmm/host/logfile.c vmm/host/tap.c vmm/host/passt.c vmm/host/uring.c tests/unit/ring_driver.c */
/* fuzz-libs: -l:liburing.a -lpthread */
/*
 * All devices at once, with a guest whose rings, buffers and requests hold anything: no access outside its memory, no
 * endless loop, and a device that stops says why.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"

#define DEVICES 3

static struct guest guest;
static int peer; /* where passt would be */

static void add(const struct device_config *config)
{
	const char *error;

	if (devices_add(&guest.devices, config, &error))
		abort();
}

static void make_guest(void)
{
	int pair[2], disk = memfd_create("disk", MFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) || ftruncate(disk, 65536))
		abort();
	peer = pair[1];
	guest_init(&guest);
	add(&(struct device_config){ .type = LV_DEV_CONSOLE, .console = { null, null, null, -1 } });
	add(&(struct device_config){ .type = LV_DEV_NET, .net = { .fd = pair[0], .passt = true } });
	add(&(struct device_config){ .type = LV_DEV_BLOCK, .block = { .fd = disk } });
	if (devices_describe(&guest.devices, &guest.page, guest_alloc, &guest) || devices_start(&guest.devices))
		abort();
	close(null);
}

/* What fits is copied: descriptors with addresses that lead into guest memory make the search short. */
static void fill(const uint8_t *data, size_t size)
{
	size_t rings = guest.next - GUEST_BASE;

	memcpy(guest.ram, data, size < rings ? size : rings);
	if (size > rings)
		memcpy(guest.ram + rings, data + rings, size - rings < 65536 ? size - rings : 65536);
}

static void move_indices(uint8_t step)
{
	for (unsigned d = 0; d < DEVICES; d++)
		for (unsigned q = 0; q < guest.page.device[d].queues; q++)
			*(uint16_t *)guest_ptr(&guest, guest.page.device[d].queue[q].driver + 2) += step >> q & 1;
}

/* First byte: which indices move on in later rounds. Second: length of a frame that passt sends. The rest: guest memory. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t frame[4 + 255] = { 0, 0, 0, 0 };

	if (size < 2)
		return 0;
	make_guest();
	frame[3] = data[1];
	if (write(peer, frame, 4 + data[1]) < 0)
		abort();
	fill(data + 2, size - 2);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned d = 0; d < DEVICES; d++)
			guest_ring(&guest, guest.devices.device[d]);
		move_indices(data[0]);
	}
	for (unsigned d = 0; d < DEVICES; d++)
		if (device_broken(guest.devices.device[d]) != (guest.devices.device[d]->stats.error[0] != 0) && d != 1)
			abort();
	guest_fini(&guest);
	close(peer);
	return 0;
}
