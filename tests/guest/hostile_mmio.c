/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile "Linux kernel", without any Linux: it writes pseudo-random values to every register of every virtio device, in
 * any width and order, and to rings and buffers. In between it sets devices up as a good driver does, so that the garbage
 * meets devices that run. After "seconds=N" of its command line (10) it says what it did on the serial port, and resets.
 * Garbage addresses stay out of its own memory, below AREA: a device may write where it was told to.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdint.h>

#define DEVICES 16 /* windows; fewer are there */
#define WINDOW 0x1000u
#define MMIO 0xd0000000u
#define AREA (8u << 20) /* up to the end of RAM, of which there are 32 MiB */
#define AREA_SIZE (8u << 20)
#define RINGS (64u << 10) /* of one device, at AREA + index * RINGS */
#define QUEUE_BYTES 4096u
#define QUEUE_ENTRIES 16
#define SERIAL 0x3f8
#define KEYBOARD 0x64
#define TSC_LEAF 0x40000010

void hostile_main(const uint8_t *start_info);

static uint64_t random_state = 88172645463325252ull;
static uint64_t accesses, set_ups;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint32_t below(uint32_t limit)
{
	return random_next() % limit;
}

static void out_byte(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void print(const char *text)
{
	for (; *text; text++)
		out_byte(SERIAL, *text);
}

static void print_number(uint64_t number)
{
	char text[24], *at = text + sizeof(text) - 1;

	*at = 0;
	do
		*--at = '0' + number % 10;
	while (number /= 10);
	print(at);
}

/* ---- registers ---- */

static void write_register(unsigned index, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(MMIO + index * WINDOW + offset) = value;
	accesses++;
}

static uint32_t read_register(unsigned index, uint32_t offset)
{
	accesses++;
	return *(volatile uint32_t *)(uintptr_t)(MMIO + index * WINDOW + offset);
}

/* An address in the area, or one where nothing is. */
static uint64_t any_address(void)
{
	return below(8) ? AREA + below(AREA_SIZE) : random_next() | 1ull << 40;
}

static uint32_t any_value(void)
{
	switch (below(4)) {
	case 0:
		return below(32);
	case 1:
		return AREA + below(AREA_SIZE);
	case 2:
		return 1u << below(32);
	default:
		return random_next();
	}
}

static void garbage_access(unsigned index)
{
	uintptr_t at = MMIO + index * WINDOW + (below(4) ? below(80) * 4 : below(WINDOW - 8));
	uint64_t value = any_value();

	accesses++;
	switch (below(10)) {
	case 0:
		*(volatile uint8_t *)at = value;
		return;
	case 1:
		*(volatile uint16_t *)at = value;
		return;
	case 2:
		*(volatile uint64_t *)at = random_next();
		return;
	case 3:
		value = *(volatile uint8_t *)at;
		return;
	case 4:
		value = *(volatile uint64_t *)at;
		return;
	case 5:
		value = *(volatile uint32_t *)at;
		return;
	default:
		*(volatile uint32_t *)at = value;
	}
}

/* ---- rings ---- */

static struct vring ring_of(unsigned index, unsigned queue)
{
	struct vring ring;

	vring_init(&ring, QUEUE_ENTRIES, (void *)(uintptr_t)(AREA + index * RINGS + queue * QUEUE_BYTES), 16);
	return ring;
}

static void set_up_queue(unsigned index, unsigned queue)
{
	struct vring ring = ring_of(index, queue);
	uint32_t most;

	write_register(index, VIRTIO_MMIO_QUEUE_SEL, queue);
	most = read_register(index, VIRTIO_MMIO_QUEUE_NUM_MAX);
	write_register(index, VIRTIO_MMIO_QUEUE_NUM, most < QUEUE_ENTRIES ? most : QUEUE_ENTRIES);
	write_register(index, VIRTIO_MMIO_QUEUE_DESC_LOW, (uintptr_t)ring.desc);
	write_register(index, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	write_register(index, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uintptr_t)ring.avail);
	write_register(index, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	write_register(index, VIRTIO_MMIO_QUEUE_USED_LOW, (uintptr_t)ring.used);
	write_register(index, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	write_register(index, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void forget_rings(unsigned index)
{
	volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)(AREA + index * RINGS);

	for (unsigned i = 0; i < RINGS / 8; i++)
		word[i] = 0;
}

static void set_up(unsigned index)
{
	uint32_t mask = below(2) ? ~0u : random_next();

	set_ups++;
	write_register(index, VIRTIO_MMIO_STATUS, 0);
	forget_rings(index);
	write_register(index, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	for (unsigned half = 0; half < 2; half++) {
		write_register(index, VIRTIO_MMIO_DEVICE_FEATURES_SEL, half);
		write_register(index, VIRTIO_MMIO_DRIVER_FEATURES_SEL, half);
		write_register(index, VIRTIO_MMIO_DRIVER_FEATURES,
			       read_register(index, VIRTIO_MMIO_DEVICE_FEATURES) & (half ? ~0u : mask));
	}
	write_register(index, VIRTIO_MMIO_STATUS, 11);
	for (unsigned queue = 0; queue < 10; queue++)
		set_up_queue(index, queue);
	write_register(index, VIRTIO_MMIO_STATUS, 15);
}

/* A chain of random shape, made available; now and then an index that no driver would write. */
static void post(unsigned index)
{
	struct vring ring = ring_of(index, below(10));
	unsigned slot = below(QUEUE_ENTRIES), parts = 1 + below(4);

	for (unsigned i = 0; i < parts; i++)
		ring.desc[(slot + i) % QUEUE_ENTRIES] = (struct vring_desc){
			any_address(), below(16) ? below(8192) : random_next() % (AREA_SIZE * 2),
			(i + 1 < parts ? VRING_DESC_F_NEXT : 0) | (below(2) ? VRING_DESC_F_WRITE : 0) | (below(32) ? 0 : random_next() & 7),
			below(64) ? (slot + i + 1) % QUEUE_ENTRIES : random_next() };
	ring.avail->ring[ring.avail->idx % QUEUE_ENTRIES] = below(64) ? slot : random_next();
	__asm__ volatile("" ::: "memory");
	ring.avail->idx += below(64) ? 1 : random_next();
}

/* Buffers with small numbers in them: types, lengths, ports, as headers have them. */
static void scribble(void)
{
	volatile uint32_t *word = (volatile uint32_t *)(uintptr_t)(AREA + below(AREA_SIZE / 2) / 4 * 4);

	for (unsigned n = below(2048); n; n--)
		*word++ = below(3) ? below(70) : random_next();
}

/* ---- other devices of a PC ---- */

static void garbage_port(void)
{
	static const uint16_t ports[] = { SERIAL + 1, SERIAL + 2, SERIAL + 3, SERIAL + 4, SERIAL + 5, SERIAL + 7, 0x20, 0x21, 0x40,
					  0x43, 0x60, 0x61, 0x70, 0x71, 0x80, 0xa0, 0xa1, 0x2f8, 0x5c0, 0xcf8, 0xffff };
	uint16_t port = ports[below(sizeof(ports) / sizeof(*ports))];
	uint8_t value;

	out_byte(port, random_next());
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
}

static void step(void)
{
	unsigned index = below(DEVICES);

	switch (below(16)) {
	case 0:
		set_up(index);
		return;
	case 1:
	case 2:
	case 3:
		garbage_access(index);
		return;
	case 4:
		scribble();
		return;
	case 5:
		garbage_port();
		return;
	case 6:
	case 7:
		write_register(index, VIRTIO_MMIO_QUEUE_NOTIFY, below(10));
		return;
	default:
		post(index);
	}
}

static uint64_t seconds_to_ticks(uint64_t seconds)
{
	uint32_t a = TSC_LEAF, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return seconds * (a ? a : 2000000) * 1000ull;
}

static uint64_t seconds_of(const uint8_t *start_info)
{
	static const char key[] = "seconds=";
	const char *text = (const char *)(uintptr_t)*(const uint64_t *)(start_info + 24);
	uint64_t seconds = 0;

	for (; *text; text++) {
		unsigned i = 0;

		while (key[i] && text[i] == key[i])
			i++;
		if (key[i])
			continue;
		for (text += i; *text >= '0' && *text <= '9'; text++)
			seconds = seconds * 10 + (*text - '0');
		return seconds;
	}
	return 10;
}

void hostile_main(const uint8_t *start_info)
{
	uint64_t start = __builtin_ia32_rdtsc(), ticks = seconds_to_ticks(seconds_of(start_info));

	random_state ^= start;
	print("hostile: begins with seed ");
	print_number(random_state);
	print("\n");
	while (__builtin_ia32_rdtsc() - start < ticks)
		for (unsigned i = 0; i < 100; i++)
			step();
	out_byte(SERIAL + 3, 3); /* whatever was written to it */
	print("\nhostile: ");
	print_number(accesses);
	print(" accesses, ");
	print_number(set_ups);
	print(" devices set up\n");
	for (;;)
		out_byte(KEYBOARD, 0xfe);
}
