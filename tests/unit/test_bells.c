/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing is lost where a bell or a waking is left out: libos' side of a ring and the monitor's, each in a thread that sleeps as the real one does, at what is random
 * by a seed. Who is not told in time of what there is for it waits in vain, which is a failure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "libos/dev/dev.h"
#include "vmm/virtio/queue.h"

#define SIZE 16
#define CHAINS 600
#define SEEDS 150
#define LIMIT_S 20
#define LATE 65000 /* where indices begin with every other seed: they have 16 bits, and wrap on the way */
#define RAM 65536

struct lv_device_page test_device_page;
struct lv_shared test_shared_page;

void panic(const char *format, ...)
{
	abort();
}

struct side { /* a thread that sleeps until it is told */
	sem_t told;
	uint64_t random;
	unsigned times; /* it was told */
	bool in_vain;
};

static struct world {
	struct lv_device device;
	struct ring ring;
	void *cookie[SIZE];
	struct mem mem;
	struct queue queue;
	struct side driver, monitor;
	int need_wake, over;
	bool silent; /* as the network's transmit ring: the driver listens only when it has no room */
} w;

/* A time that differs each time, from nothing to some microseconds. */
static uint64_t random_next(struct side *side)
{
	side->random ^= side->random << 13;
	side->random ^= side->random >> 7;
	side->random ^= side->random << 17;
	return side->random;
}

static void dawdle(struct side *side)
{
	uint64_t r = random_next(side);
	for (unsigned n = r & 7 ? 0 : r >> 8 & 255; n; n--)
		__builtin_ia32_pause();
}

static void tell(struct side *side)
{
	side->times++;
	sem_post(&side->told);
}

static bool slept(struct side *side)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LIMIT_S;
	while (sem_timedwait(&side->told, &until))
		if (errno != EINTR)
			return side->in_vain = true, false;
	return true;
}

static int bells_left(void)
{
	int n;
	sem_getvalue(&w.monitor.told, &n);
	return n;
}

void bell_ring(unsigned bell)
{
	tell(&w.monitor);
}

/* As device_publish and the page's transport. */
static void publish(void)
{
	if (!queue_publish(&w.queue))
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&w.need_wake, __ATOMIC_RELAXED))
		tell(&w.driver);
}

/* As device_run, which leaves some for later now and then. */
static void *monitor(void *unused)
{
	struct chain chain;

	while (!__atomic_load_n(&w.over, __ATOMIC_ACQUIRE)) {
		queue_notify_off(&w.queue);
		while (queue_pop(&w.queue, &chain) == 1) {
			queue_push(&w.queue, chain.head, 0);
			dawdle(&w.monitor);
			if (random_next(&w.monitor) % 4 == 0)
				publish();
		}
		publish();
		dawdle(&w.monitor);
		if (!queue_notify_on(&w.queue) && !__atomic_load_n(&w.over, __ATOMIC_ACQUIRE) && !slept(&w.monitor))
			break;
	}
	return NULL;
}

static unsigned take_all(void)
{
	unsigned n = 0;
	while (ring_get_used(&w.ring, NULL))
		n++;
	return n;
}

/* As idle() in libos/core/sched.c: WAIT takes the bells along. */
static unsigned wait_for_some(void)
{
	unsigned n;

	__atomic_store_n(&w.need_wake, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	n = take_all();
	dawdle(&w.driver);
	if (rings_take_bells())
		tell(&w.monitor);
	if (!n)
		slept(&w.driver);
	__atomic_store_n(&w.need_wake, 0, __ATOMIC_RELAXED);
	return n + take_all();
}

static unsigned kicks; /* in all; with indices most need no bell, as the monitor has not asked for one yet */

static void drive(void)
{
	unsigned posted = 0, back = 0;

	while (back < CHAINS && !w.driver.in_vain) {
		for (unsigned burst = 1 + random_next(&w.driver) % SIZE; burst && posted < CHAINS; burst--) {
			struct ring_buffer piece = { .data = &w, .len = 1 };
			if (ring_add(&w.ring, &piece, 1, &w) < 0)
				break;
			posted++;
			dawdle(&w.driver);
		}
		if (random_next(&w.driver) % 3)
			ring_kick_later(&w.ring);
		else
			ring_kick(&w.ring);
		kicks++;
		dawdle(&w.driver);
		back += take_all();
		if (back == posted || (w.ring.free_count && posted < CHAINS))
			continue;
		ring_listen(&w.ring, true);
		back += wait_for_some();
		if (w.silent)
			ring_listen(&w.ring, false);
	}
	if (w.driver.in_vain)
		fail_msg("in vain: %u posted, %u back; available %u, told %u; used %u, taken %u, told after %u; the monitor has %d bells", posted, back, w.queue.avail->idx, w.ring.told,
			 w.queue.used->idx, w.ring.last_used, w.queue.avail->ring[SIZE], bells_left());
	assert_int_equal(back, CHAINS);
	assert_false(ring_broken(&w.ring));
}

static void prepare(uint64_t seed, bool by_index, bool silent, uint8_t *ram)
{
	struct queue_layout at;

	memset(&w, 0, sizeof(w));
	memset(ram, 0, RAM);
	w.silent = silent;
	w.driver.random = seed * 2 + 1;
	w.monitor.random = seed * 1000003 + 7;
	sem_init(&w.driver.told, 0, 0);
	sem_init(&w.monitor.told, 0, 0);
	assert_int_equal(mem_add(&w.mem, (uint64_t)ram, RAM, ram, true), 0);
	assert_int_equal(mem_add(&w.mem, (uint64_t)&w & -4096ull, (sizeof(w) + 8191) & -4096ull, (void *)((uint64_t)&w & -4096ull), true), 0);
	at = queue_layout((uint64_t)ram, SIZE);
	assert_int_equal(queue_init(&w.queue, &w.mem, &at, SIZE), 0);
	w.queue.interrupts = w.queue.event_idx = by_index;
	w.device.features = by_index ? LV_DEVICE_EVENT_IDX : 0;
	w.device.queue[0] = (struct lv_queue){ at.desc, at.driver, at.device, SIZE, 0 };
	ring_init(&w.ring, &w.device, 0, w.cookie, SIZE);
	if (silent)
		ring_listen(&w.ring, false);
}

/* As if so many chains had gone to and fro before. */
static void advance(uint16_t index)
{
	w.queue.avail->idx = w.queue.used->idx = index;
	w.queue.next_avail = w.queue.next_used = w.queue.published = index;
	w.queue.avail->ring[SIZE] = index;
	memcpy(&w.queue.used->ring[SIZE], &index, sizeof(index)); /* where the monitor says at which one it wants a bell */
	w.ring.last_used = w.ring.told = w.ring.wish = index;
}

/* How often the monitor's side was told in all. */
static unsigned run(bool by_index, bool silent)
{
	uint8_t *ram = aligned_alloc(4096, RAM);
	unsigned bells = 0;

	kicks = 0;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		pthread_t thread;

		prepare(seed, by_index, silent, ram);
		if (seed % 2)
			advance(LATE);
		assert_int_equal(pthread_create(&thread, NULL, monitor, NULL), 0);
		drive();
		__atomic_store_n(&w.over, 1, __ATOMIC_RELEASE);
		sem_post(&w.monitor.told);
		pthread_join(thread, NULL);
		assert_null(w.queue.broken);
		bells += w.monitor.times;
		rings_take_bells(); /* what was put off last is of this ring */
	}
	free(ram);
	return bells;
}

static void test_flags(void **state)
{
	print_message("by flag: %u bells for %u chains\n", run(false, false), SEEDS * CHAINS);
}

static void test_indices(void **state)
{
	unsigned bells = run(true, false);
	print_message("by index: %u bells for %u kicks of %u chains\n", bells, kicks, SEEDS * CHAINS);
	assert_true(bells < kicks);
}

static void test_silent(void **state)
{
	unsigned bells = run(true, true);
	print_message("by index, silent: %u bells for %u kicks of %u chains\n", bells, kicks, SEEDS * CHAINS);
	assert_true(bells < kicks);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_flags), cmocka_unit_test(test_indices), cmocka_unit_test(test_silent) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
