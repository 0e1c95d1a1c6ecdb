/* SPDX-License-Identifier: Apache-2.0 */
/* Which system-call sites libos may turn into jumps (libos/core/patch_plan.c): real sequences of the C libraries, and look-alikes. */
#include "libos/core/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

bool user_ok(const void *p, size_t n, bool write)
{
	return true;
}

#define RIP 0x7000000000ull
#define PLAN(nr, patch, ...) patch_plan(patch, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), RIP, nr)

static void test_number(void **state)
{
	struct patch p;

	assert_true(PLAN(1, &p, 0x90, 0xb8, 1, 0, 0, 0, 0x0f, 0x05));
	assert_int_equal(p.before, 7);
	assert_int_equal(p.displaced, 5);
	assert_false(p.jumped_over);
	assert_false(PLAN(2, &p, 0x90, 0xb8, 1, 0, 0, 0, 0x0f, 0x05)); /* another number: EAX came from elsewhere */
	assert_false(PLAN(1, &p, 0x90, 0xb8, 1, 0, 0, 0, 0x0f, 0x34));
	assert_false(PLAN(1, &p, 0, 0, 0, 0x0f, 0x05));
}

static void test_between(void **state)
{
	struct patch p;

	/* mov $202,%eax; xor $0x81,%sil */
	assert_true(PLAN(202, &p, 0xc3, 0xb8, 0xca, 0, 0, 0, 0x40, 0x80, 0xf6, 0x81, 0x0f, 0x05));
	assert_int_equal(p.before, 11);
	assert_true(p.jumped_over);
	/* mov $257,%eax; mov %rdi,%rsi; mov $-100,%edi */
	assert_true(PLAN(257, &p, 0x90, 0xb8, 1, 1, 0, 0, 0x48, 0x89, 0xfe, 0xbf, 0x9c, 0xff, 0xff, 0xff, 0x0f, 0x05));
	assert_int_equal(p.before, 15);
	/* mov 0x10(%rsp),%rdi; mov 8(%r8),%esi between */
	assert_true(PLAN(9, &p, 0xc3, 0xb8, 9, 0, 0, 0, 0x48, 0x8b, 0x7c, 0x24, 0x10, 0x41, 0x8b, 0x70, 0x08, 0x0f, 0x05));
	/* %rip-relative, a jump, a call, a push: none of them can move */
	assert_false(PLAN(9, &p, 0xb8, 9, 0, 0, 0, 0x48, 0x8b, 0x3d, 1, 2, 3, 4, 0x0f, 0x05));
	assert_false(PLAN(9, &p, 0xb8, 9, 0, 0, 0, 0x74, 0x02, 0x31, 0xff, 0x0f, 0x05));
	assert_false(PLAN(9, &p, 0xb8, 9, 0, 0, 0, 0xe8, 1, 2, 3, 4, 0x0f, 0x05));
	assert_false(PLAN(9, &p, 0xb8, 9, 0, 0, 0, 0x50, 0x31, 0xff, 0x0f, 0x05));
	/* one byte between: the jump would end in the middle of the SYSCALL */
	assert_false(PLAN(9, &p, 0xb8, 9, 0, 0, 0, 0x90, 0x0f, 0x05));
}

/* The number may have come from elsewhere all the same. */
static void test_other_register(void **state)
{
	struct patch p;

	/* mov $202,%r8d; mov $1,%edx; mov %r8,%rax: musl's futex wake */
	assert_false(PLAN(202, &p, 0x90, 0x41, 0xb8, 0xca, 0, 0, 0, 0xba, 1, 0, 0, 0, 0x4c, 0x89, 0xc0, 0x0f, 0x05));
	assert_false(PLAN(202, &p, 0x90, 0x41, 0xb8, 0xca, 0, 0, 0, 0x31, 0xd2, 0x0f, 0x05)); /* and EAX has it by chance */
	assert_false(PLAN(202, &p, 0x90, 0x41, 0xb8, 0xca, 0, 0, 0, 0x0f, 0x05));
	assert_false(PLAN(0xca, &p, 0xb8, 0xca, 0, 0, 0, 0x0f, 0x05)); /* what is before is not seen */
	/* mov $202,%eax; then something else into EAX */
	assert_false(PLAN(202, &p, 0x90, 0xb8, 0xca, 0, 0, 0, 0x4c, 0x89, 0xc0, 0x0f, 0x05));       /* mov %r8,%rax */
	assert_false(PLAN(202, &p, 0x90, 0xb8, 0xca, 0, 0, 0, 0x8b, 0x44, 0x24, 0x08, 0x0f, 0x05)); /* mov 8(%rsp),%eax */
	assert_false(PLAN(202, &p, 0x90, 0xb8, 0xca, 0, 0, 0, 0x83, 0xc0, 0x01, 0x0f, 0x05));       /* add $1,%eax */
	assert_false(PLAN(202, &p, 0x90, 0xb8, 0xca, 0, 0, 0, 0x80, 0xcc, 0x01, 0x0f, 0x05));       /* or $1,%ah */
	/* mov %eax,%r8d reads it only */
	assert_true(PLAN(202, &p, 0x90, 0xb8, 0xca, 0, 0, 0, 0x41, 0x89, 0xc0, 0x0f, 0x05));
}

static void test_read(void **state)
{
	struct patch p;

	assert_true(PLAN(0, &p, 0xc3, 0x80, 0x3d, 0x31, 0x33, 0x0e, 0x00, 0x00, 0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05));
	assert_int_equal(p.before, 13);
	assert_int_equal(p.flag, RIP - 6 + 0xe3331);
	assert_int_equal(p.slow, RIP - 4 + 0x17);
	/* the same bytes, called with another number, are something else */
	assert_false(PLAN(1, &p, 0xc3, 0x80, 0x3d, 0x31, 0x33, 0x0e, 0x00, 0x00, 0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05));
	assert_true(PLAN(0, &p, 0x48, 0x8b, 0x74, 0x24, 0x10, 0x41, 0x89, 0xc0, 0x8b, 0x7c, 0x24, 0x08, 0x31, 0xc0, 0x0f, 0x05));
	assert_int_equal(p.before, 11);
	assert_int_equal(p.displaced, 9);
	assert_true(PLAN(35, &p, 0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05));
	assert_int_equal(p.before, 7);
}

static void test_targets(void **state)
{
	uint8_t code[64] = { [30] = 0xb8, 0xca, 0, 0, 0, 0x40, 0x80, 0xf6, 0x81, 0x0f, 0x05 };
	uint64_t start = (uint64_t)code, rip = start + 41;
	struct patch p;

	assert_true(patch_plan(&p, code, 41, rip, 202));
	assert_false(patch_is_target(&p, rip, start, start + sizeof(code)));
	code[10] = 0xeb; /* to the site itself: fine */
	code[11] = 30 - 12;
	assert_false(patch_is_target(&p, rip, start, start + sizeof(code)));
	code[11] = 35 - 12; /* into the middle */
	assert_true(patch_is_target(&p, rip, start, start + sizeof(code)));
	code[10] = 0x90;
	code[50] = 0x0f; /* je, back to the middle */
	code[51] = 0x84;
	code[52] = 35 - 56;
	code[53] = code[54] = code[55] = 0xff;
	assert_true(patch_is_target(&p, rip, start, start + sizeof(code)));
}

/* Whatever the bytes are, nothing outside of them is read: ASan watches. */
static void test_any_bytes(void **state)
{
	srand(1);
	for (int round = 0; round < 200000; round++) {
		size_t size = rand() % (PATCH_WINDOW + 1);
		uint8_t *text = malloc(size ? size : 1);
		struct patch p;

		for (size_t i = 0; i < size; i++)
			text[i] = (const uint8_t[]){ 0xb8, 0, 0x0f, 0x05, 0x48, 0x8b, 0x24, 0x81, 0x80, 0xc0 }[rand() % 10];
		if (size >= 2 && rand() % 2) {
			text[size - 2] = 0x0f;
			text[size - 1] = 0x05;
		}
		if (patch_plan(&p, text, size, RIP, 0))
			assert_true(p.before <= size && p.before >= PATCH_JUMP && p.before != PATCH_JUMP + 1);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number), cmocka_unit_test(test_between), cmocka_unit_test(test_other_register),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_targets), cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
