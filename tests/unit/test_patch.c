/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading code behind system calls (libos/core/patch_plan.c): single instructions, padding and look-alikes, any bytes.
 * test_patch_files.c has it read what is installed.
 */
#include "libos/mm/patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static unsigned length(const uint8_t *text, size_t size)
{
	enum insn_kind kind;

	return patch_insn(text, size, &kind);
}

static int kind_of(const uint8_t *text, size_t size)
{
	enum insn_kind kind;

	return patch_insn(text, size, &kind) ? (int)kind : -1;
}

static void test_lengths(void **state)
{
	assert_int_equal(length(BYTES(0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff)), 6);             /* cmp $-4095,%rax */
	assert_int_equal(length(BYTES(0x66, 0x3d, 0x01, 0xf0)), 4);                         /* cmp $0xf001,%ax */
	assert_int_equal(length(BYTES(0x41, 0xb8, 0xca, 0, 0, 0)), 6);                      /* mov $202,%r8d */
	assert_int_equal(length(BYTES(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8)), 10);            /* movabs */
	assert_int_equal(length(BYTES(0x8b, 0x44, 0x24, 0x08)), 4);                         /* mov 8(%rsp),%eax */
	assert_int_equal(length(BYTES(0x8b, 0x04, 0x25, 1, 2, 3, 4)), 7);                   /* mov 0x4030201,%eax */
	assert_int_equal(length(BYTES(0xf7, 0xc7, 1, 0, 0, 0)), 6);                         /* test $1,%edi */
	assert_int_equal(length(BYTES(0xf7, 0xd8)), 2);                                     /* neg %eax */
	assert_int_equal(length(BYTES(0xc5, 0xfe, 0x6f, 0x06)), 4);                         /* vmovdqu (%rsi),%ymm0 */
	assert_int_equal(length(BYTES(0xc4, 0xe3, 0x7d, 0x39, 0xc1, 0x01)), 6);             /* vextracti128 $1,%ymm0,%xmm1 */
	assert_int_equal(length(BYTES(0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x46, 0x01)), 7);       /* vmovdqu64 64(%rsi),%zmm0 */
	assert_int_equal(length(BYTES(0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0)), 10);   /* a long nop */
	assert_int_equal(length(BYTES(0x0f, 0x84, 1, 2, 3, 4)), 6);                         /* je */
	assert_int_equal(length(BYTES(0x66, 0xe9, 1, 2, 3, 4)), 0);                         /* not the same on all processors */
	assert_int_equal(length(BYTES(0x06)), 0);
	assert_int_equal(length(BYTES(0x48, 0x3d, 0x01, 0xf0, 0xff)), 0); /* the last byte is not there */
	assert_int_equal(length(BYTES(0x8b, 0x44)), 0);
	assert_int_equal(length(BYTES(0x66, 0x66)), 0);
}

static void test_kinds(void **state)
{
	assert_int_equal(kind_of(BYTES(0xc3)), INSN_END);
	assert_int_equal(kind_of(BYTES(0xf3, 0xc3)), INSN_END);
	assert_int_equal(kind_of(BYTES(0xeb, 0x10)), INSN_END);
	assert_int_equal(kind_of(BYTES(0xff, 0xe0)), INSN_END);   /* jmp *%rax */
	assert_int_equal(kind_of(BYTES(0xff, 0xd0)), INSN_OTHER); /* call *%rax */
	assert_int_equal(kind_of(BYTES(0x74, 0x10)), INSN_OTHER);
	assert_int_equal(kind_of(BYTES(0x0f, 0x0b)), INSN_END);
	assert_int_equal(kind_of(BYTES(0x90)), INSN_PADDING);
	assert_int_equal(kind_of(BYTES(0x66, 0x90)), INSN_PADDING);
	assert_int_equal(kind_of(BYTES(0xf3, 0x90)), INSN_OTHER); /* pause */
	assert_int_equal(kind_of(BYTES(0x41, 0x90)), INSN_OTHER); /* xchg %eax,%r8d */
	assert_int_equal(kind_of(BYTES(0xf3, 0x0f, 0x1e, 0xfa)), INSN_OTHER); /* endbr64: a function */
}

/* Where there is padding with room for a whole jump; 0: nowhere. */
static unsigned padding_at(const uint8_t *text, size_t size)
{
	struct padding padding = patch_padding(text, size);

	return padding.size >= PATCH_JUMP ? padding.at : 0;
}

static void check_short(const uint8_t *text, size_t size, unsigned at, unsigned length)
{
	struct padding padding = patch_padding(text, size);

	assert_int_equal(padding.size, length);
	assert_int_equal(padding.at, at);
}

static void test_short_padding(void **state)
{
	check_short(BYTES(0xc3, 0x0f, 0x1f, 0x00, 0x31, 0xc0, 0xc3), 1, 3);
	check_short(BYTES(0xc3, 0x66, 0x90, 0x31, 0xc0, 0xc3), 1, 2);
	/* the longest; and a whole one before all others; up to the end of its nop */
	check_short(BYTES(0xc3, 0x66, 0x90, 0xc3, 0x0f, 0x1f, 0x00, 0x31, 0xc0, 0xc3), 4, 3);
	check_short(BYTES(0xc3, 0x0f, 0x1f, 0x00, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x55), 5, 10);
	/* one byte is nothing; nor is what ends before a jump would; nor what runs */
	check_short(BYTES(0xc3, 0x90, 0x31, 0xc0, 0xc3, 0x50), 0, 0);
	check_short(BYTES(0xc3, 0x0f, 0x1f, 0x00, 0x31), 0, 0);
	check_short(BYTES(0x31, 0xc0, 0x0f, 0x1f, 0x00, 0x31, 0xc0, 0xc3), 0, 0);
}

static void test_padding(void **state)
{
	/* ret; nopl 0(%rax,%rax) */
	assert_int_equal(padding_at(BYTES(0xc3, 0x0f, 0x1f, 0x44, 0x00, 0x00)), 1);
	assert_int_equal(padding_at(BYTES(0x31, 0xc0, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc)), 3);
	/* four bytes are not enough */
	assert_int_equal(padding_at(BYTES(0xc3, 0x0f, 0x1f, 0x40, 0x00, 0x31, 0xc0, 0xc3)), 0);
	/* mov %rax,%rbx ends in c3, too: these nops run */
	assert_int_equal(padding_at(BYTES(0x48, 0x89, 0xc3, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3)), 0);
	/* and those behind a call */
	assert_int_equal(padding_at(BYTES(0xe8, 1, 2, 3, 4, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3)), 0);
	/* what comes after the padding is a new beginning */
	assert_int_equal(padding_at(BYTES(0xc3, 0x66, 0x90, 0x31, 0xc0, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0xc3)), 0);
	/* int3 where code runs is a breakpoint */
	assert_int_equal(padding_at(BYTES(0x31, 0xc0, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xc3)), 0);
}

static void test_reach(void **state)
{
	uint8_t text[PATCH_WINDOW];

	for (unsigned at = 1; at + PATCH_JUMP <= PATCH_WINDOW; at++) {
		unsigned found;

		memset(text, 0x50, sizeof(text));
		text[at - 1] = 0xc3;
		memset(text + at, 0xcc, MIN(sizeof(text) - at, 8));
		found = padding_at(text, sizeof(text));
		assert_int_equal(found, at <= PATCH_REACH ? at : 0);
	}
}

#define NOPS                                                                                                                       \
	0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, \
		0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90
#define NUMBER(nr, ...) \
	patch_number((const uint8_t[]){ NOPS, __VA_ARGS__ }, sizeof((const uint8_t[]){ NOPS, __VA_ARGS__ }), nr)

static void test_number(void **state)
{
	assert_int_equal(NUMBER(228, 0xb8, 228, 0, 0, 0), 5);
	assert_int_equal(NUMBER(229, 0xb8, 228, 0, 0, 0), 0);             /* the number came from elsewhere */
	assert_int_equal(NUMBER(228, 0x48, 0xc7, 0xc0, 228, 0, 0, 0), 6); /* mov $228,%rax */
	assert_int_equal(NUMBER(228, 0xc7, 0xc0, 228, 0, 0, 0), 6);       /* the long form of mov $228,%eax */
	/* "lea (%rsp),%rsi; mov $228,%rax" has "and $72,%al; mov $228,%eax" in it: the same jump is right for both */
	assert_int_equal(NUMBER(228, 0x48, 0x8d, 0x34, 0x24, 0x48, 0xc7, 0xc0, 228, 0, 0, 0), 6);
	/* mov to R8D, as GCC compiles musl's futex calls, and to R8 */
	assert_int_equal(NUMBER(202, 0x41, 0xb8, 202, 0, 0, 0), 0);
	assert_int_equal(NUMBER(202, 0x49, 0xc7, 0xc0, 202, 0, 0, 0), 0);
	/* mov $8,%r10d; mov $13,%eax, the end of which could be add %bh,13(%rax); mov 228(%rax),%edi, and to R15: they would fault */
	assert_int_equal(NUMBER(13, 0x41, 0xba, 8, 0, 0, 0, 0xb8, 13, 0, 0, 0), 5);
	assert_int_equal(NUMBER(228, 0x8b, 0xb8, 228, 0, 0, 0), 5);
	assert_int_equal(NUMBER(228, 0x4c, 0x8b, 0xb8, 228, 0, 0, 0), 5);
	/* mov 228(%r8),%edi and by FS, lea 228(%rax),%edi; mov 20000(%rax),%edi: those would not */
	assert_int_equal(NUMBER(228, 0x41, 0x8b, 0xb8, 228, 0, 0, 0), 0);
	assert_int_equal(NUMBER(228, 0x64, 0x8b, 0xb8, 228, 0, 0, 0), 0);
	assert_int_equal(NUMBER(228, 0x8d, 0xb8, 228, 0, 0, 0), 0);
	assert_int_equal(NUMBER(20000, 0x8b, 0xb8, 0x20, 0x4e, 0, 0), 0);
	/* movl $228,-72(%rsp); cmpl $228,(%r8,%rdi,4) */
	assert_int_equal(NUMBER(228, 0xc7, 0x44, 0x24, 0xb8, 228, 0, 0, 0), 0);
	assert_int_equal(NUMBER(228, 0x41, 0x81, 0x3c, 0xb8, 228, 0, 0, 0), 0);
	/* not enough is seen */
	assert_int_equal(patch_number(BYTES(0xb8, 228, 0, 0, 0), 228), 0);
}

static unsigned before_cpuid(const char *bytes, size_t n)
{
	uint8_t text[64];

	memset(text, 0x55, sizeof(text)); /* push %rbp */
	memcpy(text + sizeof(text) - n, bytes, n);
	return patch_before_cpuid(text, sizeof(text));
}
#define BEFORE_CPUID(bytes) before_cpuid(bytes, sizeof(bytes) - 1)

static void test_before_cpuid(void **state)
{
	assert_int_equal(BEFORE_CPUID("\xb8\x01\x00\x00\x00"), 5);             /* mov $1,%eax */
	assert_int_equal(BEFORE_CPUID("\xb8\x04\x00\x00\x00\x31\xc9"), 7);   /* and xor %ecx,%ecx, */
	assert_int_equal(BEFORE_CPUID("\xb8\x0d\x00\x00\x00\x44\x89\xc1"), 8); /* or mov %r8d,%ecx */
	assert_int_equal(BEFORE_CPUID("\xb8\x0d\x00\x00\x00\x41\x8b\xc8"), 8); /* in its other form */
	assert_int_equal(BEFORE_CPUID("\xc7\x44\x24\x60\x00\x00\x00\x00"), 8); /* movl $0,96(%rsp) */
	/* Not twice: what was loaded would be read; not at all: the trampoline has RBX. */
	assert_int_equal(BEFORE_CPUID("\xb8\x0d\x00\x00\x00\x89\xc1"), 0);   /* mov %eax,%ecx */
	assert_int_equal(BEFORE_CPUID("\xb8\x0d\x00\x00\x00\x89\xd9"), 0);   /* mov %ebx,%ecx */
	assert_int_equal(BEFORE_CPUID("\xbb\x0d\x00\x00\x00"), 0);             /* mov $13,%ebx */
	/* No room for a jump in the first one. */
	assert_int_equal(BEFORE_CPUID("\x44\x89\xe0\x89\xf1"), 0);
	/* Not in another place: the distance is from here; and not another instruction's end: movabs, a store. */
	assert_int_equal(BEFORE_CPUID("\x89\x15\x37\xe3\x01\x00"), 0);
	assert_int_equal(BEFORE_CPUID("\x48\xb8\x00\xb8\x01\x00\x00\x00"), 0);
	assert_int_equal(patch_before_cpuid((const uint8_t[]){ 0xb8, 1, 0, 0, 0 }, 5), 0); /* nothing tells where they begin */
}

static void test_pun(void **state)
{
	/* cmp $-4095,%rax follows */
	assert_int_equal(patch_pun(0x401000, (const uint8_t[]){ 0x48, 0x3d, 0x01 }, 0x05), 0x401003 + 0x013d4805);
	assert_int_equal(patch_long_pun(0x401000, (const uint8_t[]){ 0x48, 0x3d, 0x01, 0x10 }), 0x401004 + 0x10013d48);
	assert_int_equal(patch_long_pun(0x7000000000, (const uint8_t[]){ 0x48, 0x3d, 0x01, 0xf0 }), 0x7000000004 + (int64_t)(int32_t)0xf0013d48);
	assert_int_equal(patch_pun(0x7000000000, (const uint8_t[]){ 0x48, 0x89, 0xc7 }, 0xff), 0x7000000003 + (int64_t)(int32_t)0xc78948ff);
}

/* Whatever the bytes are, nothing outside of them is read: ASan watches. */
static void test_any_bytes(void **state)
{
	srand(1);
	for (int round = 0; round < 200000; round++) {
		size_t size = rand() % (PATCH_WINDOW + 1);
		uint8_t *text = malloc(size ? size : 1);
		struct padding found;

		for (size_t i = 0; i < size; i++)
			text[i] = rand() % 4 ? "\xc3\xcc\x0f\x1f\x48\x62\xc4\x66\x24\x90"[rand() % 10] : rand();
		found = patch_padding(text, size);
		assert_in_range(patch_before_cpuid(text, size), 0, size);
		assert_true(found.size == 0 || (found.size >= PATCH_SHORT && found.at + MAX(found.size, PATCH_JUMP) <= size && found.at <= PATCH_REACH));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths), cmocka_unit_test(test_kinds),     cmocka_unit_test(test_padding),         cmocka_unit_test(test_reach), cmocka_unit_test(test_short_padding),
		cmocka_unit_test(test_number),  cmocka_unit_test(test_before_cpuid), cmocka_unit_test(test_pun),       cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
