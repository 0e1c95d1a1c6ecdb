/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks by hypercalls, by the shared page, by the doorbell page. */
#include "hostile.h"

static void unknown_calls(void)
{
	for (uint32_t i = 7; i < 64; i++)
		call(i, random_next());
	for (int i = 0; i < 200; i++)
		call((uint32_t)random_next() | 0x100, random_next());
	call(0, 0);
	call(UINT32_MAX, 0);
}

static void grow_huge(void)
{
	static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 4095, 1ull << 63, 1ull << 47, 64ull << 30, 1, 4097, 0};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		if (call(LV_HC_GROW, sizes[i]) == 0 && sizes[i] > 64ull << 30)
			leave(1);
}

static void grow_often(void)
{
	for (int i = 0; i < 2000 && call(LV_HC_GROW, 1 << 20) == 0; i++)
		;
}

static void release(uint64_t gpa, uint64_t len)
{
	shared->release[0].gpa = gpa;
	shared->release[0].len = len;
	call(LV_HC_RELEASE, 1);
}

/* Nothing but the guest's own RAM may be released: the pages of the monitor must still be there afterwards. */
static void release_foreign(void)
{
	release(LV_RAM + 100, 4096);
	release(LV_RAM, UINT64_MAX);
	release(UINT64_MAX - 4095, 8192);
	release(LV_IMAGE(devices->image_size), 4096);
	release(LV_BELL_GPA, 4096);
	release(LV_DEVICE, 4096);
	release(0, 1ull << 40);
	release(LV_RAM + devices->ram_size - 4096, 1 << 30);
	if (devices->magic != LV_DEVICE_MAGIC)
		leave(1);
	call(LV_HC_RELEASE, UINT64_MAX);
	call(LV_HC_RELEASE, 33);
	call(LV_HC_RELEASE, 0x100000001ull);
}

static void release_everything(void)
{
	release(LV_RAM, devices->ram_size);
}

static void crash_garbage(void)
{
	volatile uint64_t *p = (volatile uint64_t *)&shared->crash;

	for (unsigned i = 0; i < sizeof(shared->crash) / 8; i++)
		p[i] = random_next();
	call(LV_HC_CRASH, 11);
	leave(1);
}

static void crash_unterminated(void)
{
	memset((void *)&shared->crash, 'A', sizeof(shared->crash));
	shared->crash.kind = LV_CRASH_PROGRAM;
	shared->crash.signal = 11;
	shared->crash.frames = 24;
	shared->crash.maps = 8;
	call(LV_HC_CRASH, 11);
	leave(1);
}

/* What a terminal would obey must not reach it from a crash report. */
static void crash_escapes(void)
{
	memset((void *)&shared->crash, 0, sizeof(shared->crash));
	shared->crash.kind = LV_CRASH_LIBOS;
	shared->crash.signal = 6;
	strcpy((char *)shared->crash.message, "\033[31mred\033]0;title\007\r\n");
	call(LV_HC_CRASH, 6);
	leave(1);
}

static void exit_garbage(void)
{
	call(LV_HC_EXIT, random_next());
	leave(1);
}

static void shared_scribble(void)
{
	volatile uint64_t *p = (volatile uint64_t *)LV_SHARED;

	for (int round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 512; i++)
			p[i] = random_next();
		bell_write((uint32_t)(random_next() % 4) * 4, 0);
	}
	memset((void *)&shared->crash, 0, sizeof(shared->crash));
}

static void trap_scribble(void)
{
	volatile uint64_t *p = (volatile uint64_t *)LV_TRAP;

	for (unsigned i = 0; i < 512; i++)
		p[i] = random_next();
}

static void ledger_garbage(void)
{
	for (int i = 0; i < LV_LEDGER_SLOTS; i++) {
		shared->ledger[i].tsc = random_next();
		shared->ledger[i].exits = random_next();
	}
	shared->memory_used = UINT64_MAX;
	for (int i = 0; i < LV_MISSING_SLOTS; i++) {
		shared->missing[i].nr = (uint32_t)random_next();
		shared->missing[i].count = UINT32_MAX;
	}
}

static void wait_odd(void)
{
	shared->need_wake = 1;
	shared->arg[1] = UINT64_MAX;
	call(LV_HC_WAIT, 1);
	shared->need_wake = 0;
	shared->arg[1] = random_next();
	call(LV_HC_WAIT, UINT64_MAX);
	shared->need_wake = 1;
	shared->arg[1] = 0;
	call(LV_HC_WAIT, devices->clock_base_ns[LV_CLOCK_MONOTONIC]);
	shared->next_event_ns = 1;
	shared->want_preempt = 1;
	let_pass(100);
	shared->next_event_ns = UINT64_MAX;
	let_pass(50);
}

static void listen_odd(void)
{
	for (int i = 0; i < 100; i++)
		call(LV_HC_LISTEN, random_next());
}

/* What is said of the image's files, in a VM of which that is noted, and in others. */
static void files_garbage(void)
{
	static char names[8192];

	for (int i = 0; i < 2000; i++) {
		shared->arg[1] = random_next();
		call(LV_HC_USED, i % 2 ? random_next() : random_next() % (devices->image_size / 16 + 1));
		shared->arg[1] = i % 2 ? random_next() : random_next() % 8192;
		call(LV_HC_LACKS, i % 3 ? random_next() : LV_RAM + devices->ram_size - 1);
		for (unsigned j = 0; j < sizeof(names); j++)
			names[j] = (char)(random_next() % 64 ? 'a' + random_next() % 3 : random_next());
		shared->arg[1] = random_next() % 4200;
		call(LV_HC_LACKS, (uint64_t)names);
	}
	shared->arg[1] = 0;
	if (call(LV_HC_LACKS, (uint64_t)names) == 0)
		leave(1);
}

static void bell_sizes(void)
{
	volatile uint8_t *b = (volatile uint8_t *)LV_BELL;

	for (uint32_t at = 0; at < 4088; at += 61) {
		b[at] = 1;
		*(volatile uint16_t *)(b + at) = 1;
		*(volatile uint64_t *)(b + at) = 0;
		(void)b[at];
		(void)*(volatile uint64_t *)(b + at);
	}
	*(volatile uint8_t *)(LV_BELL + LV_BELL_HYPERCALL) = 0x63;
	*(volatile uint16_t *)(LV_BELL + LV_BELL_HYPERCALL) = 0x6363;
	*(volatile uint64_t *)(LV_BELL + LV_BELL_HYPERCALL) = 0x6363;
	(void)*(volatile uint32_t *)(LV_BELL + LV_BELL_HYPERCALL);
}

static void random_calls(void)
{
	for (int i = 0; i < 500; i++) {
		uint32_t number = (uint32_t)(random_next() % 15);

		for (int j = 1; j < 4; j++)
			shared->arg[j] = random_next();
		for (int j = 0; j < LV_RELEASE_SLOTS; j++) {
			shared->release[j].gpa = random_next() & ~4095ull;
			shared->release[j].len = random_next() & 0xfffff000;
		}
		if (number == LV_HC_EXIT || number == LV_HC_CRASH || number == LV_HC_GROW || number == LV_HC_TOUCHED)
			continue;
		call(number, number == LV_HC_WAIT ? 1 : random_next());
	}
}

const struct attack call_attacks[] = {
	{"unknown-calls", unknown_calls, NULL}, {"grow-huge", grow_huge, NULL}, {"grow-often", grow_often, NULL}, {"release-foreign", release_foreign, NULL},
	{"release-everything", release_everything, NULL}, {"crash-garbage", crash_garbage, NULL}, {"crash-unterminated", crash_unterminated, NULL},
	{"crash-escapes", crash_escapes, NULL}, {"exit-garbage", exit_garbage, NULL}, {"shared-scribble", shared_scribble, NULL},
	{"trap-scribble", trap_scribble, NULL}, {"ledger-garbage", ledger_garbage, NULL}, {"wait-odd", wait_odd, NULL}, {"listen-odd", listen_odd, NULL},
	{"bell-sizes", bell_sizes, NULL}, {"files-garbage", files_garbage, NULL}, {"random-calls", random_calls, NULL}, {NULL, NULL, NULL},
};
