/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers: ChaCha20 (RFC 8439, section 2.3) with fast key erasure: every request replaces the key by the first
 * bytes of its own key stream, so what was given out cannot be recovered from memory later.
 */
#include "libos/core/libos.h"

static struct {
	uint32_t key[8];
	uint64_t generation; /* for which it was seeded; 0: not yet */
} pool;

static inline uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void quarter_round(uint32_t *x, int a, int b, int c, int d)
{
	x[a] += x[b]; x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d]; x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b]; x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d]; x[b] = rotate(x[b] ^ x[c], 7);
}

void chacha20_block(const uint32_t key[8], const uint32_t counter_nonce[4], uint32_t out[16])
{
	uint32_t in[16] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

	memcpy(in + 4, key, 32);
	memcpy(in + 12, counter_nonce, 16);
	memcpy(out, in, sizeof(in));
	for (int i = 0; i < 10; i++) {
		quarter_round(out, 0, 4, 8, 12);
		quarter_round(out, 1, 5, 9, 13);
		quarter_round(out, 2, 6, 10, 14);
		quarter_round(out, 3, 7, 11, 15);
		quarter_round(out, 0, 5, 10, 15);
		quarter_round(out, 1, 6, 11, 12);
		quarter_round(out, 2, 7, 8, 13);
		quarter_round(out, 3, 4, 9, 14);
	}
	for (int i = 0; i < 16; i++)
		out[i] += in[i];
}

/* A restored or cloned VM has a new seed and generation: twins must not give out the same numbers. */
static void seed(uint64_t generation)
{
	uint32_t nonce[4] = { 0 }, block[16], from_page[8];
	uint64_t tsc = __builtin_ia32_rdtsc();

	memcpy(from_page, (const void *)device_page->random_seed, sizeof(from_page));
	for (int i = 0; i < 8; i++)
		pool.key[i] ^= from_page[i];
	memcpy(nonce, &tsc, sizeof(tsc));
	nonce[2] = (uint32_t)generation;
	nonce[3] = (uint32_t)(generation >> 32);
	chacha20_block(pool.key, nonce, block);
	memcpy(pool.key, block, sizeof(pool.key));
	pool.generation = generation;
}

static void give_out(uint8_t *to, size_t n)
{
	uint32_t position[4] = { 0 }, block[16], key[8];

	memcpy(key, pool.key, sizeof(key));
	chacha20_block(key, position, block);
	memcpy(pool.key, block, sizeof(pool.key));
	for (size_t offset = 32; n; offset = 0) {
		size_t part = MIN(n, sizeof(block) - offset);

		memcpy(to, (uint8_t *)block + offset, part);
		to += part;
		n -= part;
		if (!n)
			break;
		if (!++position[0])
			position[1]++;
		chacha20_block(key, position, block);
	}
	memset(key, 0, sizeof(key));
	memset(block, 0, sizeof(block));
	__asm__ volatile("" : : "r"(key), "r"(block) : "memory"); /* the erasure must happen */
}

/*
 * The VM may become another one at any instruction: what its twin might have had as well is made anew. Before the configuration there is no
 * seed: what would be given out would be the same in another VM.
 */
void random_bytes(void *buffer, size_t n)
{
	const volatile uint64_t *generation = &device_page->generation;
	uint64_t now;

	do {
		now = *generation;
		ASSERT(now);
		if (pool.generation != now)
			seed(now);
		give_out(buffer, n);
	} while (now != *generation);
}

size_t random_put(uaddr_t to, size_t n)
{
	uint8_t bytes[256];
	size_t done = 0, part, moved;

	do {
		part = MIN(n - done, sizeof(bytes));
		random_bytes(bytes, part);
		moved = buffer_put(to + done, bytes, part);
		done += moved;
	} while (done < n && moved == part);
	memset(bytes, 0, sizeof(bytes)); /* nothing of what the program got stays on a kernel stack */
	return done;
}
