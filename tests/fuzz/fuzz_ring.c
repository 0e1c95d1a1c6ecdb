/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-sources: vmm/virtio/queue.c vmm/state/stream.c vmm/mem.c base/crc32c.c */
/*
 * The ring walker on memory that holds anything: every chain it hands out must lie inside guest memory and inside its
 * bounds, and it must end.
 */
#include <stdlib.h>
#include <string.h>

#include "vmm/virtio/queue.h"

#define BASE 0x10000ull
#define RAM 65536
#define ROM 4096

static uint8_t ram[RAM], rom[ROM];

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_part(const struct iovec *part, bool writable)
{
	uint8_t *base = part->iov_base;
	bool in_ram = base >= ram && base < ram + RAM && part->iov_len <= (size_t)(ram + RAM - base);
	bool in_rom = base >= rom && base < rom + ROM && part->iov_len <= (size_t)(rom + ROM - base);

	check(part->iov_len && (in_ram || (in_rom && !writable)));
}

static void check_chain(const struct queue *queue, const struct chain *chain)
{
	uint64_t bytes[2] = { 0, 0 };

	check(chain->head < queue->size && chain->readable + chain->writable <= queue->size);
	for (unsigned i = 0; i < chain->readable + chain->writable; i++) {
		check_part(&chain->iov[i], i >= chain->readable);
		bytes[i >= chain->readable] += chain->iov[i].iov_len;
	}
	check(bytes[0] == chain->read_len && bytes[1] == chain->write_len && bytes[0] + bytes[1] <= QUEUE_CHAIN_BYTES);
}

/* First byte: the queue's size, and above it how both sides suppress. Second: how often the driver moves its index on. The rest: guest memory, rings first. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct chain chain;
	struct mem mem = { 0 };
	struct queue_layout at;
	struct queue queue;
	unsigned entries, taken = 0, rounds;

	if (size < 2)
		return 0;
	entries = 1u << (data[0] & 0x3f) % 9;
	rounds = data[1] % 8;
	memset(ram, 0, RAM);
	memcpy(ram, data + 2, size - 2 < RAM ? size - 2 : RAM);
	mem_add(&mem, BASE, RAM, ram, true);
	mem_add(&mem, BASE + 2 * RAM, ROM, rom, false);
	at = queue_layout(BASE, entries);
	check(queue_init(&queue, &mem, &at, entries) == 0);
	queue.interrupts = data[0] & 0x40;
	queue.event_idx = data[0] & 0x80;
	do {
		uint16_t *index = (uint16_t *)(ram + (at.driver - BASE) + 2);

		while (queue_pop(&queue, &chain) == 1) {
			check_chain(&queue, &chain);
			queue_push(&queue, chain.head, chain.write_len);
			check(++taken < 100000);
		}
		queue_publish(&queue);
		if (queue_notify_on(&queue) && !queue.broken)
			abort();
		queue_notify_off(&queue);
		*index += rounds * 3;
	} while (rounds-- && !queue.broken);
	return 0;
}
