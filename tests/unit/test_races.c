/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several threads of the monitor do at the same time, under ThreadSanitizer: the device loop serves a disk of a Linux guest
 * while two vCPUs read and write registers, acknowledge interrupts and ring, and a third thread asks for the status; watches
 * are dropped while the loop has news of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <unistd.h>

#include "tests/unit/ring_driver.h"
#include "vmm/virtio/mmio.h"

#define REQUESTS 300
#define DROPS 300
#define QUEUE_SIZE 8
#define READY (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)

struct world {
	struct guest guest;
	struct mmio_bus bus;
	struct driver driver;
	int irq;
	atomic_bool done;
};

static void set(struct world *w, uint32_t offset, uint32_t value)
{
	mmio_write(&w->bus, 0, offset, (const uint8_t *)&value, 4);
}

static uint32_t get(struct world *w, uint32_t offset)
{
	uint32_t value = 0;

	mmio_read(&w->bus, 0, offset, (uint8_t *)&value, 4);
	return value;
}

static void bring_up(struct world *w)
{
	struct queue_layout at = queue_layout(guest_alloc(&w->guest, queue_bytes(QUEUE_SIZE), QUEUE_ALIGN), QUEUE_SIZE);
	const uint64_t ring[] = { at.desc, at.driver, at.device };
	const uint32_t reg[] = { VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_USED_LOW };

	set(w, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	set(w, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(w, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* version 1 */
	set(w, VIRTIO_MMIO_STATUS, READY);
	set(w, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
	for (unsigned i = 0; i < 3; i++) {
		set(w, reg[i], (uint32_t)ring[i]);
		set(w, reg[i] + 4, ring[i] >> 32);
	}
	set(w, VIRTIO_MMIO_QUEUE_READY, 1);
	set(w, VIRTIO_MMIO_STATUS, READY | VIRTIO_CONFIG_S_DRIVER_OK);
	driver_init(&w->driver, &w->guest, &(struct lv_queue){ .desc = at.desc, .driver = at.driver, .device = at.device, .size = QUEUE_SIZE });
}

/* One request after the other; the used index is the guest's side of the barrier that the device publishes with. */
static void *first_cpu(void *context)
{
	struct world *w = context;
	gpa_t page = guest_alloc(&w->guest, 8192, 4096);

	for (uint16_t i = 1; i <= REQUESTS; i++) {
		const struct part parts[] = { { page, 16, false }, { page + 4096, 512, true }, { page + 128, 1, true } };

		memset(guest_ptr(&w->guest, page), VIRTIO_BLK_T_IN, 1);
		driver_post(&w->driver, parts, 3);
		set(w, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		while (__atomic_load_n(&w->driver.used->idx, __ATOMIC_ACQUIRE) != i)
			set(w, VIRTIO_MMIO_INTERRUPT_ACK, get(w, VIRTIO_MMIO_INTERRUPT_STATUS));
	}
	atomic_store(&w->done, true);
	return NULL;
}

static void *second_cpu(void *context)
{
	struct world *w = context;

	for (unsigned i = 0; !atomic_load(&w->done); i++) {
		get(w, i % 0x140 & ~3u);
		set(w, VIRTIO_MMIO_QUEUE_SEL, i % 20);
		set(w, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
		usleep(10); /* the loop's lock is not fair, and this is no guest's only work */
	}
	return NULL;
}

static void requests_while_others_look(void **state)
{
	static struct world world;
	struct device_config config = { .type = LV_DEV_BLOCK, .block = { .fd = memfd_create("disk", 0) } };
	const char *error;
	pthread_t cpu[2];

	guest_init(&world.guest);
	assert_int_equal(ftruncate(config.block.fd, 1 << 20), 0);
	assert_int_equal(devices_add(&world.guest.devices, &config, &error), 0);
	world.irq = eventfd(0, EFD_NONBLOCK);
	mmio_bus_init(&world.bus, &world.guest.devices, &world.irq);
	assert_int_equal(loop_start(&world.guest.loop), 0);
	bring_up(&world);
	pthread_create(&cpu[0], NULL, first_cpu, &world);
	pthread_create(&cpu[1], NULL, second_cpu, &world);
	pthread_join(cpu[0], NULL);
	pthread_join(cpu[1], NULL);
	assert_int_equal(get(&world, VIRTIO_MMIO_STATUS), READY | VIRTIO_CONFIG_S_DRIVER_OK);
	set(&world, VIRTIO_MMIO_STATUS, 0);
	guest_fini(&world.guest);
	close(world.irq);
}

struct dropped {
	bool gone; /* under the loop's lock */
	unsigned late;
};

static void count_late(void *context, uint32_t events)
{
	struct dropped *dropped = context;

	dropped->late += dropped->gone;
}

/* As when a guest resets its vsock device: the loop has fetched an event and waits for the lock, and its watch goes. */
static void dropped_watch_is_never_called(void **state)
{
	static struct dropped dropped;
	static struct loop loop;
	struct loop_watch watch = { .fd = eventfd(1, EFD_NONBLOCK), .ready = count_late, .context = &dropped };

	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(loop_start(&loop), 0);
	for (unsigned i = 0; i < DROPS; i++) {
		loop_lock(&loop);
		dropped.gone = false;
		assert_int_equal(loop_update(&loop, &watch, EPOLLIN), 0);
		loop_unlock(&loop);
		usleep(10); /* for the loop to get busy with it */
		loop_lock(&loop);
		assert_int_equal(loop_update(&loop, &watch, 0), 0);
		dropped.gone = true;
		loop_unlock(&loop);
	}
	loop_fini(&loop);
	assert_int_equal(dropped.late, 0);
	close(watch.fd);
}

/* The sanitizer of this compiler finds no room for its tables where the kernel spreads addresses widely. */
static void without_randomisation(char **argv)
{
	int now = personality(0xffffffff);

	if (now != -1 && !(now & ADDR_NO_RANDOMIZE) && personality(now | ADDR_NO_RANDOMIZE) != -1)
		execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(requests_while_others_look), cmocka_unit_test(dropped_watch_is_never_called) };

	without_randomisation(argv);
	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
