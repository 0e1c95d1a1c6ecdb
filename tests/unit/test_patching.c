/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the program's call sites and of the trampolines (libos/mm/patch.c) when its address space changes. */
#include "libos/mm/patch.h"
#include "tests/unit/mm_world.h"

#define CODE 0x400000ull
#define AT 0x100 /* of the SYSCALL in its page */
#define RIP (CODE + AT + 2)
#define MANY 8 /* traps, after which any site is patched */

/* A page of the image as code: a SYSCALL with these bytes behind it, the rest is "push %rax". */
static void code(const char *following, size_t n)
{
	uint8_t *page = (uint8_t *)IMAGE;

	memset(page, 0x50, LV_PAGE);
	memcpy(page + AT, "\x0f\x05", 2);
	memcpy(page + AT + 2, following, n);
	assert_int_equal(mm_map(CODE, LV_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, &image_file, 0, NULL), CODE);
}
#define CODE_OF(bytes) code(bytes, sizeof(bytes) - 1)

static void trap(unsigned times, uint64_t nr)
{
	while (times--)
		mm_syscall_trapped(RIP, nr);
}

static unsigned regions_that_yield(void)
{
	unsigned n = 0;

	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma))
		n += (vma->flags & VMA_YIELDS) != 0;
	return n;
}

static int32_t peek32(uint64_t va)
{
	return peek(va) | peek(va + 1) << 8 | peek(va + 2) << 16 | (int32_t)((uint32_t)peek(va + 3) << 24);
}

static bool is_call(void)
{
	return peek(RIP - 2) == 0x0f && peek(RIP - 1) == 0x05;
}

/* The trampoline is there, and leads back to the site. */
static void check_trampoline(uint64_t to)
{
	assert_int_equal(peek(to), 0x48);
	assert_int_equal(peek(to + 1), 0xb9);
	assert_int_equal(peek32(to + 2), RIP);
	assert_true(mm_find(to)->flags & VMA_YIELDS);
}

static void clear(void)
{
	while (space->count)
		assert_int_equal(mm_unmap(mm_first()->start, mm_first()->end - mm_first()->start), 0);
}

/* Traps count whatever the number is, and the image stays as it is. */
static void test_padding_way(void **state)
{
	uint64_t padding, to;

	CODE_OF("\xc3\x0f\x1f\x44\x00\x00");
	trap(3, 1);
	assert_true(is_call());
	mm_syscall_trapped(RIP, 2);
	padding = RIP + 1;
	assert_int_equal(peek(RIP - 2), 0xeb);
	assert_int_equal(peek(RIP - 1), 1);
	assert_int_equal(peek(padding), 0xe9);
	to = padding + 5 + peek32(padding + 1);
	check_trampoline(to);
	assert_int_equal(((uint8_t *)IMAGE)[AT], 0x0f);
	/* A program that was interrupted on the way goes on at the site; elsewhere it stays where it is. */
	for (uint64_t at = to - 1; at <= to + PATCH_TRAMPOLINE; at++) {
		struct regs regs = { .rip = at };

		patch_rewind(&regs);
		assert_int_equal(regs.rip, at < to || at == to + PATCH_TRAMPOLINE ? at : RIP - 2);
	}
	struct regs regs = { .rip = padding };
	patch_rewind(&regs);
	assert_int_equal(regs.rip, RIP - 2);
	/* One that steps sees none of it. */
	regs.rip = padding;
	assert_true(patch_step(&regs));
	regs.rip = to + 10;
	assert_true(patch_step(&regs));
	assert_int_equal(regs.rip, to + 10);
	regs.rip = RIP - 2;
	assert_false(patch_step(&regs));
	assert_int_equal(regs.rip, RIP - 2);
	clear();
}

static uint64_t pun(void)
{
	uint8_t following[] = { peek(RIP), peek(RIP + 1), peek(RIP + 2) };

	return patch_pun(RIP, following, peek(RIP - 1));
}

static void test_pun_way(void **state)
{
	CODE_OF("\x48\x3d\x01\xf0\xff\xff");
	trap(MANY - 1, 1); /* a page of trampolines for it alone: not yet */
	assert_true(is_call());
	trap(1, 1);
	assert_int_equal(peek(RIP - 2), 0xe9);
	assert_int_equal(peek(RIP - 1), 0x05); /* who jumps to the second byte finds what was there */
	check_trampoline(pun());
	clear();
	/* Code that is made at run time may grow into its padding: there only this way. */
	map(CODE, LV_PAGE, RW, ANON | MAP_FIXED);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(poke(RIP - 2 + i, "\x0f\x05\xc3\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc\xcc"[i]), 0);
	assert_int_equal(mm_protect(CODE, LV_PAGE, RW | PROT_EXEC), 0);
	trap(MANY, 1);
	assert_true(is_call()); /* it can be written at any time */
	assert_int_equal(mm_protect(CODE, LV_PAGE, PROT_READ | PROT_EXEC), 0);
	trap(MANY, 1);
	assert_true(is_call()); /* c3 cc cc: backwards, below 0 */
	clear();
}

static void test_number_way(void **state)
{
	/* bf 01 00: the jump would lead into what is mapped there */
	CODE_OF("\xbf\x01\x00\x00\x00");
	memcpy((uint8_t *)IMAGE + AT - 7, "\x48\xc7\xc0\xe4\x00\x00\x00", 7);
	map(CODE + 0x1b000, 0x8000, PROT_READ, ANON | MAP_FIXED);
	trap(3, 228);
	trap(MANY, 227); /* not what the instruction loads */
	assert_true(is_call());
	mm_code_changed(CODE, CODE + LV_PAGE);
	trap(MANY, 228);
	assert_true(is_call());
	assert_int_equal(peek(RIP - 9), 0x48);
	assert_int_equal(peek(RIP - 8), 0xe9);
	uint64_t to = RIP - 3 + peek32(RIP - 7);
	assert_int_equal(peek(to), 0xb8);
	assert_int_equal(peek32(to + 1), 228);
	check_trampoline(to + 5);
	for (uint64_t at = to; at < to + 5 + PATCH_TRAMPOLINE; at++) {
		struct regs regs = { .rip = at };

		patch_rewind(&regs);
		assert_int_equal(regs.rip, RIP - 8);
	}
	/* One that steps sees the instruction that was displaced, and then the call. */
	struct regs regs = { .rip = to };
	assert_true(patch_step(&regs));
	regs.rip = to + 5;
	assert_false(patch_step(&regs));
	assert_int_equal(regs.rip, RIP - 2);
	assert_int_equal(mm_protect(CODE, LV_PAGE, RW), 0);
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(peek(RIP - 9 + i), "\x48\xc7\xc0\xe4\x00\x00\x00"[i] & 0xff);
	clear();
}

/* The second time that code is loaded, what stands before a CPUID becomes a jump. */
static void test_cpuid_way(void **state)
{
	const uint64_t site = CODE + AT - 7;
	uint64_t to;

	CODE_OF("\x89\xc2");
	memcpy((uint8_t *)IMAGE + AT - 7, "\xb8\x04\x00\x00\x00\x31\xc9\x0f\xa2", 9);
	mm_patch_cpuid(CODE);
	assert_int_equal(regions_that_yield(), 0);
	mm_patch_cpuid(CODE);
	assert_int_equal(peek(site), 0xe9);
	assert_int_equal(peek(RIP - 2), 0x0f); /* whoever jumps there finds it */
	assert_int_equal(peek(RIP - 1), 0xa2);
	assert_int_equal(((uint8_t *)IMAGE)[AT - 7], 0xb8);
	to = site + 5 + peek32(site + 1);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(peek(to + i), "\xb8\x04\x00\x00\x00\x31\xc9\x48\xbb"[i] & 0xff);
	assert_int_equal(peek32(to + 9), RIP);
	for (uint64_t at = to; at < to + 7 + PATCH_TRAMPOLINE; at++) {
		struct regs regs = { .rip = at };

		patch_rewind(&regs);
		assert_int_equal(regs.rip, site);
	}
	struct regs regs = { .rip = to + 7 };
	assert_false(patch_step(&regs));
	assert_int_equal(regs.rip, RIP - 2);
	mm_patch_cpuid(CODE); /* it is one already */
	assert_int_equal(regions_that_yield(), 1);
	assert_int_equal(mm_protect(CODE, LV_PAGE, RW), 0);
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(peek(site + i), "\xb8\x04\x00\x00\x00\x31\xc9\x0f\xa2"[i] & 0xff);
	clear();
}

/* Whoever wants the trampoline's place gets it, and the site is what it was; it may be patched again. */
static void test_place_is_wanted(void **state)
{
	uint64_t to;

	for (int way = 0; way < 5; way++) {
		CODE_OF("\x48\x3d\x01\xf0\xff\xff");
		trap(MANY, 1);
		to = ALIGN_DOWN(pun(), LV_PAGE);
		assert_int_equal(regions_that_yield(), 1);
		switch (way) {
		case 0:
			map(to - LV_PAGE, 3 * LV_PAGE, RW, ANON | MAP_FIXED);
			break;
		case 1:
			assert_int_equal(map(to, LV_PAGE, RW, ANON | MAP_FIXED_NOREPLACE), to);
			break;
		case 2:
			assert_int_equal(map(to, LV_PAGE, RW, ANON), to); /* a hint */
			break;
		case 3:
			mm_set_brk(CODE + 16 * LV_PAGE);
			assert_int_equal(mm_brk(to + 1), to + 1);
			break;
		case 4:
			map(to - LV_PAGE, LV_PAGE, RW, ANON | MAP_FIXED);
			assert_int_equal(mm_remap(to - LV_PAGE, LV_PAGE, 2 * LV_PAGE, 0, 0), to - LV_PAGE);
		}
		assert_int_equal(regions_that_yield(), 0);
		assert_true(is_call());
		assert_int_equal(peek(to), 0);
		assert_int_equal(poke(to, 1), 0);
		check_sorted();
		clear();
	}
}

/* What lies there of libos' is not the program's: it is no mapping for it, and no large one fails for it. */
static void test_not_the_programs(void **state)
{
	uint64_t to, a;

	CODE_OF("\x48\x3d\x01\xf0\xff\xff");
	trap(MANY, 1);
	to = ALIGN_DOWN(pun(), LV_PAGE);
	assert_int_equal(mm_protect(to, LV_PAGE, RW), -ENOMEM);
	assert_int_equal(mm_drop(to, to + LV_PAGE, false), -ENOMEM);
	assert_int_equal(mm_remap(to, LV_PAGE, 2 * LV_PAGE, MREMAP_MAYMOVE, 0), -EFAULT);
	check_trampoline(pun());
	a = map(0, 1ull << 30, PROT_NONE, ANON);
	assert_true(to < a || to >= a + (1ull << 30)); /* nobody asked for this place */
	check_trampoline(pun());
	assert_int_equal(mm_unmap(to - LV_PAGE, 4 * LV_PAGE), 0);
	assert_true(is_call());
	assert_int_equal(regions_that_yield(), 0);
	clear();
}

/* Code that goes, is written or moves loses its patches. */
static void test_code_changes(void **state)
{
	CODE_OF("\x48\x3d\x01\xf0\xff\xff");
	trap(MANY, 1);
	assert_int_equal(peek(RIP - 2), 0xe9);
	assert_int_equal(mm_protect(CODE, LV_PAGE, RW), 0);
	assert_true(is_call());
	assert_int_equal(poke(RIP + 1, 0x3c), 0);
	assert_int_equal(mm_protect(CODE, LV_PAGE, PROT_READ | PROT_EXEC), 0);
	trap(MANY, 1);
	assert_int_equal(peek(RIP - 2), 0xe9);
	check_trampoline(pun());
	assert_int_equal(mm_drop(CODE, CODE + LV_PAGE, false), 0); /* the file's page again */
	assert_true(is_call());
	assert_int_equal(peek(RIP + 1), 0x3d);
	trap(MANY, 1);
	assert_int_equal(peek(RIP - 2), 0xe9);
	assert_int_equal(mm_remap(CODE, LV_PAGE, LV_PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, CODE + (1 << 20)), CODE + (1 << 20));
	assert_int_equal(peek(CODE + (1 << 20) + AT), 0x0f);
	assert_int_equal(mm_unmap(CODE + (1 << 20), LV_PAGE), 0);
	/* another file there: the site begins from nothing */
	CODE_OF("\x48\x3d\x01\xf0\xff\xff");
	trap(3, 1);
	assert_true(is_call());
	clear();
}

/* The three bytes lead into the program, the four do not. */
static void test_long_pun_way(void **state)
{
	uint64_t to = patch_long_pun(RIP, (const uint8_t[]){ 0x48, 0x3d, 0x01, 0x10 });

	CODE_OF("\x48\x3d\x01\x10\xff\xff");
	map(ALIGN_DOWN(RIP + 0x13d4800, LV_PAGE), 2 * LV_PAGE, PROT_READ, ANON | MAP_FIXED);
	trap(MANY, 1);
	assert_int_equal(peek(RIP - 2), 0x48);
	assert_int_equal(peek(RIP - 1), 0xe9);
	assert_int_equal(RIP + 4 + peek32(RIP), to);
	check_trampoline(to);
	struct regs regs = { .rip = to + 10 };
	patch_rewind(&regs);
	assert_int_equal(regs.rip, RIP - 2);
	map(to & -LV_PAGE, LV_PAGE, PROT_READ, ANON | MAP_FIXED);
	assert_true(is_call());
	clear();
}

/*
 * Two calls in a row, and nops behind them that run: what was patched is read as what it was, and no jump needs bytes that another one
 * changes.
 */
static void test_neighbours(void **state)
{
	uint64_t second = RIP + 8;

	/* syscall; cmp; syscall; nopl 0(%rax,%rax); ret; and five bytes that are padding only for who believes that the second call is a jump */
	CODE_OF("\x48\x3d\x01\xf0\xff\xff\x0f\x05\x0f\x1f\x44\x00\x00\x90\x90\x90\x90\x90\x50");
	for (int i = 0; i < MANY; i++)
		mm_syscall_trapped(second, 1);
	assert_int_equal(peek(second - 2), 0xe9); /* by 0f 1f 44, not by the nops */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(peek(second + i), "\x0f\x1f\x44\x00\x00\x90\x90\x90\x90\x90"[i] & 0xff);
	trap(MANY, 1);
	assert_int_equal(peek(RIP - 2), 0xe9);
	check_trampoline(pun());
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(peek(second + i), "\x0f\x1f\x44\x00\x00\x90\x90\x90\x90\x90"[i] & 0xff);
	clear();
	/* one right behind the other: only one of them is patched, whose distance does not change with the other */
	CODE_OF("\x0f\x05\x44\x00\x00\x90");
	for (int i = 0; i < MANY; i++)
		mm_syscall_trapped(RIP + 2, 1);
	assert_int_equal(peek(RIP), 0xe9);
	trap(MANY, 1);
	assert_true(is_call());
	clear();
}

/* Padding that is short: the jump ends in the bytes behind it, which stay. What is left of a long nop is none that is read as something else. */
static void test_short_padding_way(void **state)
{
	uint64_t to;

	/* the bytes behind the call lead below 0; ret; nopl (%rax); mov $2,%eax; syscall; ret */
	CODE_OF("\x89\xc2\xc3\x0f\x1f\x00\xb8\x02\x00\x00\x00\x0f\x05\xc3");
	trap(MANY, 1);
	assert_int_equal(peek(RIP - 2), 0xeb);
	assert_int_equal(peek(RIP - 1), 3);
	assert_int_equal(peek(RIP + 3), 0xe9);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(peek(RIP + 6 + i), "\xb8\x02\x00\x00\x00\x0f\x05\xc3"[i] & 0xff);
	to = RIP + 8 + peek32(RIP + 4);
	assert_int_equal(to >> 24, (RIP + 0x02b80000) >> 24);
	check_trampoline(to);
	map(to & -LV_PAGE, LV_PAGE, PROT_READ, ANON | MAP_FIXED);
	assert_true(is_call());
	assert_int_equal(peek(RIP + 6), 0xb8);
	clear();
	/* ret; a nop of eleven bytes: a second site finds the rest of it, as whole instructions */
	CODE_OF("\x89\xc2\x0f\x05\x89\xc2\xc3\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00\x50");
	trap(MANY, 1);
	assert_int_equal(peek(RIP + 7), 0xe9);
	for (unsigned i = 12; i < 18; i++)
		assert_int_equal(peek(RIP + i), 0xcc);
	for (int i = 0; i < MANY; i++)
		mm_syscall_trapped(RIP + 4, 1);
	assert_int_equal(peek(RIP + 2), 0xeb);
	assert_int_equal(peek(RIP + 12), 0xe9);
	assert_int_equal(peek(RIP + 17), 0xcc);
	assert_int_equal(peek(RIP + 18), 0x50);
	clear();
}

/* A call whose second byte lies in another page, which only becomes the program's own if that byte changes. */
static void test_two_pages(void **state)
{
	uint8_t *page = (uint8_t *)IMAGE;
	uint64_t rip = CODE + LV_PAGE + 1, to = patch_pun(rip, (const uint8_t[]){ 0x48, 0x3d, 0x01 }, 0x05);

	memset(page, 0x50, 2 * LV_PAGE);
	memcpy(page + LV_PAGE - 1, "\x0f\x05\x48\x3d\x01\x10\xff\xff", 8);
	assert_int_equal(mm_map(CODE, 2 * LV_PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, &image_file, 0, NULL), CODE);
	for (int i = 0; i < MANY; i++)
		mm_syscall_trapped(rip, 1);
	assert_int_equal(peek(rip - 2), 0xe9);
	assert_int_equal(peek(rip - 1), 0x05);
	assert_int_equal(peek32(to + 2), rip);
	assert_int_equal(mm_unmap(to & -LV_PAGE, LV_PAGE), 0);
	assert_int_equal(peek(rip - 2), 0x0f);
	assert_int_equal(page[LV_PAGE], 0x05);
	map(to & -LV_PAGE, LV_PAGE, PROT_READ, ANON | MAP_FIXED);
	map((to & -LV_PAGE) + LV_PAGE, LV_PAGE, PROT_READ, ANON | MAP_FIXED);
	for (int i = 0; i < MANY; i++)
		mm_syscall_trapped(rip, 1);
	assert_int_equal(peek(rip - 2), 0x48);
	assert_int_equal(peek(rip - 1), 0xe9);
	assert_int_equal(page[LV_PAGE], 0x05); /* the file's stays */
	assert_int_equal(mm_protect(CODE, 2 * LV_PAGE, RW), 0);
	assert_int_equal(peek(rip - 2), 0x0f);
	assert_int_equal(peek(rip - 1), 0x05);
	clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_padding_way),     cmocka_unit_test(test_pun_way),          cmocka_unit_test(test_cpuid_way), cmocka_unit_test(test_number_way),
		cmocka_unit_test(test_place_is_wanted), cmocka_unit_test(test_not_the_programs), cmocka_unit_test(test_code_changes),
		cmocka_unit_test(test_two_pages),       cmocka_unit_test(test_long_pun_way),
		cmocka_unit_test(test_neighbours),      cmocka_unit_test(test_short_padding_way),
	};

	return cmocka_run_group_tests(tests, world_set_up, NULL);
}
