/* SPDX-License-Identifier: Apache-2.0 */
/* Every device is saved while it is idle or in the middle of something, loaded into a new one, and goes on there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/dev/balloon.h"
#include "vmm/dev/console_kind.h"
#include "vmm/state/stream.h"
#include "vmm/virtio/mmio.h"

#define STATE 8192

struct vm {
	struct guest guest;
	struct device *device;
	struct driver queue[DEVICE_MAX_QUEUES];
	gpa_t buffer;
};

static void attach(struct vm *vm, bool page)
{
	for (unsigned i = 0; i < vm->device->queues; i++)
		driver_init(&vm->queue[i], &vm->guest, page ? &vm->guest.page.device[0].queue[i] : &vm->guest.ring[i]);
}

/* page: as libos finds it; otherwise as a driver that negotiates, and takes these features. */
static struct vm *vm_new(const struct device_config *config, bool page, uint64_t features)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	signal(SIGPIPE, SIG_IGN);
	guest_init(&vm->guest);
	vm->device = page ? guest_add_device(&vm->guest, config) : guest_negotiate_device(&vm->guest, config, features);
	assert_non_null(vm->device);
	attach(vm, page);
	vm->buffer = guest_alloc(&vm->guest, 1 << 20, 4096);
	return vm;
}

static void vm_free(struct vm *vm)
{
	guest_fini(&vm->guest);
	free(vm);
}

/* A VM with the other one's memory and a device that has not run yet. */
static struct vm *vm_like(const struct vm *old, const struct device_config *config, bool page)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	const char *error;

	guest_init(&vm->guest);
	memcpy(vm->guest.ram, old->guest.ram, GUEST_SIZE);
	vm->guest.next = old->guest.next;
	vm->guest.page = old->guest.page;
	memcpy(vm->guest.ring, old->guest.ring, sizeof(vm->guest.ring));
	vm->guest.devices.page = &vm->guest.page;
	vm->guest.devices.transport = old->guest.devices.transport;
	vm->guest.devices.transport_context = &vm->guest;
	assert_int_equal(devices_add(&vm->guest.devices, config, &error), 0);
	vm->device = vm->guest.devices.device[0];
	vm->buffer = old->buffer;
	attach(vm, page);
	for (unsigned i = 0; i < vm->device->queues; i++) {
		vm->queue[i].next_desc = old->queue[i].next_desc;
		vm->queue[i].last_used = old->queue[i].last_used;
	}
	return vm;
}

static size_t save(struct vm *vm, uint8_t *state)
{
	struct stream stream = stream_writer(state, STATE);

	assert_int_equal(devices_save(&vm->guest.devices, &stream), 0);
	return stream.at;
}

static int load(struct vm *vm, const uint8_t *state, size_t size)
{
	struct stream stream = stream_reader(state, size);

	unsigned failed;

	return devices_load(&vm->guest.devices, &stream, &failed);
}

/* Of this state, cut anywhere or with any byte changed, nothing is taken. */
static void spoil(const struct vm *old, uint8_t *state, size_t size, const struct device_config *config, bool page)
{
	struct device_config other = *config;

	for (size_t i = 0; i < size; i += 1 + size / 40) {
		if (other.type == LV_DEV_BLOCK)
			other.block.fd = dup(config->block.fd);
		if (other.type == LV_DEV_NET)
			other.net.fd = dup(config->net.fd);
		struct vm *vm = vm_like(old, &other, page);
		assert_true(load(vm, state, i) < 0);
		vm->guest.devices.paused = false;
		state[i] ^= 0x10;
		assert_true(load(vm, state, size) < 0);
		state[i] ^= 0x10;
		assert_false(vm->device->bell.events);
		vm_free(vm);
	}
}

/* Ends the old one. */
static struct vm *move(struct vm *old, const struct device_config *config, bool page)
{
	uint8_t state[STATE];
	size_t size = save(old, state);
	struct vm *vm;

	spoil(old, state, size, config, page);
	vm = vm_like(old, config, page);
	assert_int_equal(load(vm, state, size), 0);
	devices_pause(&vm->guest.devices, false);
	vm_free(old);
	guest_ring(&vm->guest, vm->device);
	return vm;
}

static void post(struct vm *vm, unsigned queue, gpa_t at, uint32_t len, bool write)
{
	struct part part = { at, len, write };

	driver_post(&vm->queue[queue], &part, 1);
}

/* ---- the devices ---- */

#define OUTPUT 200000

/* Output that a slow reader holds up: what the one VM has not got rid of, the other one has. No byte twice, none lost. */
static void test_console(void **state)
{
	static uint8_t got[OUTPUT + 1];
	int out[2], next[2], in[2];
	ssize_t n, have = 0;
	uint32_t head, len;

	assert_int_equal(pipe2(out, O_NONBLOCK) | pipe2(next, O_NONBLOCK) | pipe(in), 0);
	struct device_config config = { .type = LV_DEV_CONSOLE, .console = { .in = in[0], .out = out[1], .err = -1, .log = -1 } };
	struct vm *vm = vm_new(&config, true, 0);
	uint8_t *bytes = guest_ptr(&vm->guest, vm->buffer);
	for (unsigned i = 0; i < OUTPUT; i++)
		bytes[i] = i * 7 + i / 251;
	post(vm, LV_CONSOLE_STDOUT, vm->buffer, OUTPUT, false);
	post(vm, LV_CONSOLE_STDIN, vm->buffer + OUTPUT, 100, true);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(driver_used(&vm->queue[LV_CONSOLE_STDOUT], &head, &len), 0);
	config.console.out = next[1];
	vm = move(vm, &config, true);
	close(out[1]);
	while ((n = read(out[0], got + have, OUTPUT + 1 - have)) > 0)
		have += n;
	assert_in_range(have, 1, OUTPUT - 1);
	for (unsigned turn = 0; turn < 100 && have < OUTPUT; turn++) {
		while ((n = read(next[0], got + have, OUTPUT + 1 - have)) > 0)
			have += n;
		guest_settle(&vm->guest);
	}
	assert_int_equal(have, OUTPUT);
	assert_memory_equal(got, guest_ptr(&vm->guest, vm->buffer), OUTPUT);
	assert_int_equal(driver_used(&vm->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
	/* the buffer for input that waited */
	assert_int_equal(write(in[1], "typed", 5), 5);
	guest_settle(&vm->guest);
	assert_int_equal(driver_used(&vm->queue[LV_CONSOLE_STDIN], &head, &len), 1);
	assert_int_equal(len, 5);
	vm_free(vm);
	int fds[] = { out[0], next[0], next[1], in[0], in[1] };
	for (unsigned i = 0; i < 5; i++)
		close(fds[i]);
}

/* Paused and taken up in place. */
static void test_console_in_place(void **state)
{
	int out[2];
	ssize_t n, have = 0;
	char got[4096];
	uint32_t head, len;
	uint8_t bytes[STATE];

	assert_int_equal(pipe2(out, O_NONBLOCK), 0);
	struct device_config config = { .type = LV_DEV_CONSOLE, .console = { .in = -1, .out = out[1], .err = -1, .log = -1 } };
	struct vm *vm = vm_new(&config, true, 0);
	post(vm, LV_CONSOLE_STDOUT, vm->buffer, OUTPUT, false);
	guest_ring(&vm->guest, vm->device);
	save(vm, bytes);
	assert_false(vm->device->bell.events);
	devices_pause(&vm->guest.devices, false);
	for (unsigned turn = 0; turn < 200 && have < OUTPUT; turn++) {
		while ((n = read(out[0], got, sizeof(got))) > 0)
			have += n;
		guest_settle(&vm->guest);
	}
	assert_int_equal(have, OUTPUT);
	assert_int_equal(driver_used(&vm->queue[LV_CONSOLE_STDOUT], &head, &len), 1);
	vm_free(vm);
	close(out[0]);
	close(out[1]);
}

static void test_net(void **state)
{
	struct device_config config = { .type = LV_DEV_NET, .net = { .passt = true, .config = { .mtu = 1500 } } };
	int pair[2], next[2];
	uint32_t head, len, prefix = htonl(60);
	uint8_t frame[60] = { 0 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) | socketpair(AF_UNIX, SOCK_STREAM, 0, next), 0);
	config.net.fd = pair[0];
	struct vm *vm = vm_new(&config, true, 0);
	for (unsigned i = 0; i < 4; i++)
		post(vm, LV_NET_RX, vm->buffer + 2048 * i, 2048, true);
	guest_ring(&vm->guest, vm->device);
	config.net.fd = next[0];
	vm = move(vm, &config, true);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(write(next[1], &prefix, 4) + write(next[1], frame, 60), 64);
		guest_settle(&vm->guest);
		assert_int_equal(driver_used(&vm->queue[LV_NET_RX], &head, &len), 1);
		assert_int_equal(len, 72);
	}
	post(vm, LV_NET_TX, vm->buffer, 72, false);
	memset(guest_ptr(&vm->guest, vm->buffer), 0, 72);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(driver_used(&vm->queue[LV_NET_TX], &head, &len), 1);
	assert_int_equal(recv(next[1], frame, 4, MSG_DONTWAIT), 4);
	vm_free(vm);
	close(pair[1]);
	close(next[1]);
}

static uint8_t block_request(struct vm *vm, uint32_t type)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = 1 };
	struct part part[] = { { vm->buffer, sizeof(header), false }, { vm->buffer + 512, 512, type == VIRTIO_BLK_T_IN }, { vm->buffer + 64, 1, true } };
	uint32_t head, len;

	memcpy(guest_ptr(&vm->guest, vm->buffer), &header, sizeof(header));
	*(uint8_t *)guest_ptr(&vm->guest, vm->buffer + 64) = 99;
	driver_post(&vm->queue[0], part, 3);
	guest_ring(&vm->guest, vm->device);
	for (unsigned turn = 0; turn < 1000 && !driver_used(&vm->queue[0], &head, &len); turn++)
		loop_once(&vm->guest.loop, 10); /* the kernel's worker may come late to it */
	return *(uint8_t *)guest_ptr(&vm->guest, vm->buffer + 64);
}

static void test_block(void **state)
{
	int disk = memfd_create("disk", MFD_CLOEXEC), other = memfd_create("other", MFD_CLOEXEC);
	uint8_t bytes[STATE];

	assert_int_equal(ftruncate(disk, 4096) | ftruncate(other, 8192), 0);
	struct device_config config = { .type = LV_DEV_BLOCK, .block = { .fd = dup(disk), .lock = -1 } };
	struct vm *vm = vm_new(&config, true, 0);
	memset(guest_ptr(&vm->guest, vm->buffer + 512), 'x', 512);
	assert_int_equal(block_request(vm, VIRTIO_BLK_T_OUT), 0);
	memset(guest_ptr(&vm->guest, vm->buffer + 512), 0, 512);
	/* another disk is refused */
	size_t size = save(vm, bytes);
	config.block.fd = other;
	struct vm *wrong = vm_like(vm, &config, true);
	assert_int_equal(load(wrong, bytes, size), -EPROTO);
	vm_free(wrong);
	config.block.fd = disk;
	vm = move(vm, &config, true);
	assert_int_equal(block_request(vm, VIRTIO_BLK_T_IN), 0);
	assert_int_equal(*(char *)guest_ptr(&vm->guest, vm->buffer + 1023), 'x');
	vm_free(vm);
}

static void test_rng(void **state)
{
	const struct device_config config = { .type = LV_DEV_RNG };
	struct vm *vm = move(vm_new(&config, false, 0), &config, false);
	uint32_t head, len;

	post(vm, 0, vm->buffer, 64, true);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(driver_used(&vm->queue[0], &head, &len), 1);
	assert_int_equal(len, 64);
	vm_free(vm);
}

static void told(void *context)
{
	*(unsigned *)context += 1;
}

static void test_balloon(void **state)
{
	const struct device_config config = { .type = LV_DEV_BALLOON };
	struct vm *vm = vm_new(&config, false, 1 << VIRTIO_BALLOON_F_STATS_VQ);
	struct lv_balloon balloon;
	uint32_t head, len, pages = htole32(7);
	unsigned times = 0;

	post(vm, 2, vm->buffer, 10, false); /* statistics: the device keeps the buffer */
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(balloon_set(vm->device, 64 << 20), 0);
	vm->device->ops->configure(vm->device, 4, (uint8_t *)&pages, 4);
	vm = move(vm, &config, false);
	balloon_state(vm->device, &balloon);
	assert_int_equal(balloon.target, 64 << 20);
	assert_int_equal(balloon.actual, 7 * 4096);
	assert_int_equal(driver_used(&vm->queue[2], &head, &len), 0);
	assert_int_equal(balloon_ask(vm->device, told, &times), 0);
	assert_int_equal(driver_used(&vm->queue[2], &head, &len), 1); /* the one that it had */
	post(vm, 2, vm->buffer, 10, false);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(times, 1);
	vm_free(vm);
}

/* The guest hears that its connections are gone. */
static void test_vsock(void **state)
{
	const struct device_config config = { .type = LV_DEV_VSOCK, .vsock = { .listener = -1, .cid = 5 } };
	struct vm *vm = vm_new(&config, false, 1);
	uint32_t head, len, event = 77;

	post(vm, 2, vm->buffer, 4, true);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(driver_used(&vm->queue[2], &head, &len), 0);
	vm = move(vm, &config, false);
	assert_int_equal(driver_used(&vm->queue[2], &head, &len), 1);
	assert_int_equal(len, 4);
	memcpy(&event, guest_ptr(&vm->guest, vm->buffer), 4);
	assert_int_equal(event, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	vm_free(vm);
}

static void test_ports(void **state)
{
	int in[2], out[2];

	assert_int_equal(pipe(in) | pipe2(out, O_NONBLOCK), 0);
	struct device_config config = { .type = LV_DEV_CONSOLE, .console = { .in = in[0], .out = out[1], .err = -1, .log = -1, .multiport = true } };
	struct vm *vm = vm_new(&config, false, 3);
	uint16_t ready[] = { 1, 0, 3, 1 }, open[] = { 1, 0, 6, 1 }; /* port 1, 0: as struct virtio_console_control */
	char got[16] = "";
	uint32_t head, len;

	memcpy(guest_ptr(&vm->guest, vm->buffer), ready, 8);
	memcpy(guest_ptr(&vm->guest, vm->buffer + 8), open, 8);
	post(vm, 3, vm->buffer, 8, false);
	post(vm, 3, vm->buffer + 8, 8, false);
	guest_ring(&vm->guest, vm->device);
	vm = move(vm, &config, false);
	/* stdin is still open in the guest: what comes goes there */
	post(vm, 4, vm->buffer + 100, 50, true);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(write(in[1], "typed", 5), 5);
	guest_settle(&vm->guest);
	assert_int_equal(driver_used(&vm->queue[4], &head, &len), 1);
	assert_int_equal(len, 5);
	memcpy(guest_ptr(&vm->guest, vm->buffer), "said", 4);
	post(vm, 7, vm->buffer, 4, false);
	guest_ring(&vm->guest, vm->device);
	assert_int_equal(read(out[0], got, sizeof(got)), 4);
	vm_free(vm);
	int fds[] = { in[0], in[1], out[0], out[1] };
	for (unsigned i = 0; i < 4; i++)
		close(fds[i]);
}

/* ---- pause ---- */

/* A device that no driver has started is not started by the end of a pause, and its registers are as they were. */
static void test_pause_of_an_idle_device(void **state)
{
	static struct mmio_bus bus;
	struct device_config config = { .type = LV_DEV_RNG };
	struct guest guest;
	const char *error;
	int irq = -1;
	uint8_t bytes[STATE];

	guest_init(&guest);
	assert_int_equal(devices_add(&guest.devices, &config, &error), 0);
	mmio_bus_init(&bus, &guest.devices, &irq);
	for (unsigned i = 0; i < 2; i++) {
		devices_pause(&guest.devices, true);
		devices_pause(&guest.devices, false);
	}
	assert_int_equal(guest.devices.device[0]->bell.events, 0);
	struct stream stream = stream_writer(bytes, sizeof(bytes));
	assert_int_equal(devices_save(&guest.devices, &stream), 0);
	devices_pause(&guest.devices, false);
	assert_int_equal(guest.devices.device[0]->bell.events, 0);
	guest_fini(&guest);
}

/* A state with right sums, in which a terminal has a name to tell, or a driver took what nobody offered. */
static void test_impossible(void **state)
{
	struct device_config config = { .type = LV_DEV_CONSOLE, .console = { .in = -1, .out = -1, .err = -1, .log = -1, .multiport = true } };
	uint8_t bytes[STATE];

	for (unsigned spoilt = 0; spoilt < 3; spoilt++) {
		struct vm *vm = vm_new(&config, false, 3), *next = vm_like(vm, &config, false);
		struct console *console = (struct console *)vm->device;

		console->port[0].tell = spoilt == 1 ? 8 : 0;
		vm->device->features |= (uint64_t)(spoilt == 2) << 50;
		size_t size = save(vm, bytes);
		assert_int_equal(load(next, bytes, size), spoilt ? -EPROTO : 0);
		post(next, 2, next->buffer, 64, true); /* for what there is to tell */
		next->guest.devices.paused = true;
		devices_pause(&next->guest.devices, false);
		guest_settle(&next->guest);
		vm_free(next);
		vm_free(vm);
	}
}

static void test_broken(void **state)
{
	const struct device_config config = { .type = LV_DEV_RNG };
	struct vm *vm = vm_new(&config, false, 0);

	device_break(vm->device, "a reason");
	vm = move(vm, &config, false);
	assert_true(device_broken(vm->device));
	assert_string_equal(vm->device->stats.error, "a reason");
	assert_false(vm->device->bell.events);
	vm_free(vm);
}

/* ---- the stream ---- */

static void test_stream(void **state)
{
	uint8_t bytes[64];
	struct stream w = stream_writer(bytes, sizeof(bytes)), r;

	assert_int_equal(stream_begin(&w, STREAM_TAG("TEST"), 2), 2);
	stream_put8(&w, 1);
	stream_put16(&w, 0x1234);
	stream_put64(&w, 0x123456789abcdef0);
	assert_int_equal(stream_end(&w), 0);
	assert_int_equal(w.at, 12 + 11 + 4);
	r = stream_reader(bytes, w.at);
	assert_int_equal(stream_begin(&r, STREAM_TAG("TEST"), 3), 2);
	assert_true(stream_get_bool(&r));
	assert_int_equal(stream_get16(&r), 0x1234);
	assert_true(stream_get64(&r) == 0x123456789abcdef0);
	assert_int_equal(stream_end(&r), 0);
	assert_int_equal(r.at, w.at);
	r = stream_reader(bytes, w.at); /* newer than its reader */
	assert_int_equal(stream_begin(&r, STREAM_TAG("TEST"), 1), 0);
	assert_int_equal(stream_end(&r), -EPROTO);
	r = stream_reader(bytes, w.at); /* another record */
	assert_int_equal(stream_begin(&r, STREAM_TAG("REST"), 2), 0);
	r = stream_reader(bytes, w.at); /* not all of it was read */
	stream_begin(&r, STREAM_TAG("TEST"), 2);
	stream_get8(&r);
	assert_int_equal(stream_end(&r), -EPROTO);
	r = stream_reader(bytes, w.at); /* more than there is */
	stream_begin(&r, STREAM_TAG("TEST"), 2);
	stream_get64(&r);
	assert_int_equal(stream_get64(&r), 0);
	assert_int_equal(stream_end(&r), -EPROTO);
	bytes[14] ^= 1;
	r = stream_reader(bytes, w.at);
	assert_int_equal(stream_begin(&r, STREAM_TAG("TEST"), 2), 0);
	assert_int_equal(stream_end(&r), -EBADMSG);
	w = stream_writer(bytes, 20);
	stream_begin(&w, STREAM_TAG("TEST"), 1);
	stream_put64(&w, 1);
	stream_put8(&w, 1);
	assert_int_equal(stream_end(&w), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_console), cmocka_unit_test(test_console_in_place), cmocka_unit_test(test_net), cmocka_unit_test(test_block),
		cmocka_unit_test(test_rng), cmocka_unit_test(test_balloon), cmocka_unit_test(test_vsock), cmocka_unit_test(test_ports),
		cmocka_unit_test(test_pause_of_an_idle_device), cmocka_unit_test(test_broken), cmocka_unit_test(test_impossible), cmocka_unit_test(test_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
