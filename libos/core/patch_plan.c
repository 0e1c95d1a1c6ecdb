/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads backwards from a SYSCALL, which x86 code does not really allow: so only where the bytes leave no doubt. The
 * evidence is "mov $nr,%eax" with the very number of the call, followed by whole instructions that can be done
 * elsewhere; or a sequence of the C libraries, byte by byte.
 */
#include "libos/core/patch.h"

#define NEAR 1024 /* how far around a site jumps are looked for */

static int32_t read32(const uint8_t *at)
{
	int32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* Length of ModRM and what belongs to it: registers, (reg), disp8(reg), disp8(%rsp); 0 for what is relative or rare. */
static unsigned operand_length(const uint8_t *at, const uint8_t *end)
{
	unsigned mod = *at >> 6, rm = *at & 7;

	if (mod == 3)
		return 1;
	if (mod > 1 || (mod == 0 && rm == 5))
		return 0;
	if (rm == 4 && (at + 1 >= end || (mod == 0 && (at[1] & 7) == 5)))
		return 0;
	return 1 + (rm == 4) + mod;
}

/* Is the register RAX (AH has 4, without REX), with this bit of REX before its three? */
static bool is_rax(unsigned reg, bool extended)
{
	return !extended && (reg == 0 || reg == 4);
}

/*
 * Length of an instruction that means the same anywhere and leaves RAX and the stack pointer alone; 0: another kind.
 * RAX must keep the number that an instruction before this one loaded.
 */
static unsigned movable(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *start = at;
	unsigned operand, immediate = 0, rex = 0;

	if (at < end && (*at & 0xf0) == 0x40)
		rex = *at++;
	if (end - at < 2)
		return 0;
	if ((*at & 0xf8) == 0xb8) /* mov $imm32,%reg; with REX.W it is longer */
		return rex & 8 || is_rax(*at & 7, rex & 1) ? 0 : at + 5 - start;
	switch (*at++) {
	case 0x33: case 0x8b: case 0x8d: /* to the register */
		if (is_rax(*at >> 3 & 7, rex & 4))
			return 0;
		break;
	case 0x85: /* test: to none */
		break;
	case 0x31: case 0x89: case 0x21: case 0x09: case 0x01: case 0x29: /* to the operand */
		if (*at >> 6 == 3 && is_rax(*at & 7, rex & 1))
			return 0;
		break;
	case 0x80: case 0x83:
		if (*at >> 6 == 3 && is_rax(*at & 7, rex & 1))
			return 0;
		immediate = 1;
		break;
	case 0x81:
		if (*at >> 6 == 3 && is_rax(*at & 7, rex & 1))
			return 0;
		immediate = 4;
		break;
	default:
		return 0;
	}
	operand = operand_length(at, end);
	return operand ? at + operand + immediate - start : 0;
}

/* Whole instructions from at to end? */
static bool all_movable(const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		unsigned n = movable(at, end);

		if (n == 0 || n > (unsigned)(end - at))
			return false;
		at += n;
	}
	return at == end;
}

static void set(struct patch *patch, unsigned before, bool jumped_over)
{
	*patch = (struct patch){ .before = before, .displaced = before - 2, .jumped_over = jumped_over };
}

/* A byte that, before b8, may make another instruction of it: with REX, "mov $nr,%eax" is "mov $nr,%r8d" or takes eight bytes. */
static bool may_be_prefix(uint8_t byte)
{
	return (byte & 0xf0) == 0x40 || byte == 0x66 || byte == 0x67 || byte == 0x0f || (byte >= 0xf0 && byte <= 0xf3);
}

/* mov $nr,%eax, then at most a few others; text ends behind the SYSCALL. */
static bool plan_number(struct patch *patch, const uint8_t *text, size_t size, uint32_t nr)
{
	const uint8_t *end = text + size;

	/* Seven bytes reach up to the end of the SYSCALL; eight would leave half of it. */
	for (unsigned before = PATCH_JUMP; before < size; before += before == PATCH_JUMP ? 2 : 1) {
		const uint8_t *at = end - before;

		if (*at != 0xb8 || may_be_prefix(at[-1]) || (uint32_t)read32(at + 1) != nr || !all_movable(at + 5, end - 2))
			continue;
		set(patch, before, before != PATCH_JUMP);
		return true;
	}
	return false;
}

struct sequence {
	uint8_t length, before; /* of bytes; from where on they are displaced */
	uint8_t bytes[20];
};
static const struct sequence sequences[] = {
	/* glibc, openat(): ... mov %rdi,%rsi; mov $AT_FDCWD,%edi; syscall */
	{ 10, 7, { 0x48, 0x89, 0xfe, 0xbf, 0x9c, 0xff, 0xff, 0xff, 0x0f, 0x05 } },
	/* glibc, read() of many threads: mov 0x10(%rsp),%rsi; mov %eax,%r8d; mov 8(%rsp),%edi; xor %eax,%eax; syscall */
	{ 16, 11, { 0x48, 0x8b, 0x74, 0x24, 0x10, 0x41, 0x89, 0xc0, 0x8b, 0x7c, 0x24, 0x08, 0x31, 0xc0, 0x0f, 0x05 } },
	/* musl, __syscall_cp_asm: mov 16(%rsp),%r9; mov %r11,8(%rsp); syscall */
	{ 12, 7, { 0x4c, 0x8b, 0x4c, 0x24, 0x10, 0x4c, 0x89, 0x5c, 0x24, 0x08, 0x0f, 0x05 } },
};

static bool plan_sequence(struct patch *patch, const uint8_t *text, size_t size)
{
	for (unsigned i = 0; i < ARRAY_SIZE(sequences); i++) {
		const struct sequence *s = &sequences[i];

		if (s->length > size || memcmp(text + size - s->length, s->bytes, s->length) != 0)
			continue;
		set(patch, s->before, s->before != PATCH_JUMP);
		return true;
	}
	return false;
}

/* glibc, read() of one thread: cmpb $0,flag(%rip); je slow; xor %eax,%eax; syscall */
static bool plan_flag(struct patch *patch, const uint8_t *text, size_t size, uint64_t rip)
{
	const uint8_t *at = text + size - 13;

	if (size < 13 || at[0] != 0x80 || at[1] != 0x3d || at[6] != 0 || at[7] != 0x74 || at[9] != 0x31 || at[10] != 0xc0)
		return false;
	set(patch, 13, true);
	patch->flag = rip - 13 + 7 + read32(at + 2);
	patch->slow = rip - 4 + (int8_t)at[8];
	return true;
}

bool patch_plan(struct patch *patch, const uint8_t *text, size_t size, uint64_t rip, uint32_t nr)
{
	if (size < PATCH_JUMP || text[size - 2] != 0x0f || text[size - 1] != 0x05)
		return false;
	return plan_number(patch, text, size, nr) || plan_sequence(patch, text, size) || (nr == 0 && plan_flag(patch, text, size, rip));
}

bool patch_is_target(const struct patch *patch, uint64_t rip, uint64_t start, uint64_t end)
{
	uint64_t first = rip - patch->before, low = MAX(start, first - MIN(first, NEAR)), high = MIN(end, rip + NEAR);

	if (!user_ok((const void *)low, high - low, false))
		return true;
	for (uint64_t at = low; at + 6 <= high; at++) {
		const uint8_t *code = (const uint8_t *)at;
		uint64_t to = 0;

		if ((code[0] & 0xf0) == 0x70 || code[0] == 0xeb || (code[0] & 0xfc) == 0xe0)
			to = at + 2 + (int8_t)code[1];
		else if (code[0] == 0xe8 || code[0] == 0xe9)
			to = at + 5 + read32(code + 1);
		else if (code[0] == 0x0f && (code[1] & 0xf0) == 0x80)
			to = at + 6 + read32(code + 2);
		if (to > first && to < first + PATCH_JUMP)
			return true;
	}
	return false;
}
