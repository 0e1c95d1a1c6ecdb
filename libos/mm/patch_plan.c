/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the jump over a SYSCALL can lead. The address behind a SYSCALL that ran is where an instruction begins, for
 * certain; so from there on code can be read forwards, as the processor would (Intel SDM volume 2, chapter 2 and
 * appendix A; 64-bit mode). What is not in the tables below ends the reading.
 */
#include "libos/mm/patch.h"

#define LONGEST 15 /* bytes of an instruction */
#define LOWEST 0x10000 /* nothing of a program lies below */

/* What follows an opcode: no more, ModRM, immediates; '-' is not read on. */
enum { NONE = '.', MODRM = 'm', MODRM_8 = 'b', MODRM_32 = 'w', IMM_8 = '1', IMM_16 = '2', IMM_32 = '4', REL_32 = 'j', ENTER = '3',
       MOV_IMM = 'v', GROUP_8 = 'g', GROUP_32 = 'G', UNKNOWN = '-' };

static const char one_byte[] =
	"mmmm14--mmmm14--" /* 00: arithmetic; 0f is another table */
	"mmmm14--mmmm14--" /* 10 */
	"mmmm14--mmmm14--" /* 20: 26, 2e, 36, 3e are prefixes */
	"mmmm14--mmmm14--" /* 30 */
	"----------------" /* 40: REX */
	"................" /* 50 */
	"---m----4w1b...." /* 60: 64 to 67 are prefixes, 62 is EVEX */
	"1111111111111111" /* 70 */
	"bw-bmmmmmmmmmm-m" /* 80 */
	"..........-....." /* 90 */
	"----....14......" /* a0: a0 to a3 have an address of eight bytes */
	"11111111vvvvvvvv" /* b0 */
	"bb2.--bw3.2..1-." /* c0: c4, c5 are VEX */
	"mmmm---.mmmmmmmm" /* d0 */
	"11111111jj-1...." /* e0 */
	"-.--..gG......mm" /* f0 */;

static const char two_bytes[] =
	"mmmm-.....-.-m.b" /* 0f 00 */
	"mmmmmmmmmmmmmmmm" /* 10 */
	"--------mmmmmmmm" /* 20 */
	"......-.--------" /* 30: 38 and 3a lead to tables of three bytes */
	"mmmmmmmmmmmmmmmm" /* 40 */
	"mmmmmmmmmmmmmmmm" /* 50 */
	"mmmmmmmmmmmmmmmm" /* 60 */
	"bbbbmmm.----mmmm" /* 70 */
	"jjjjjjjjjjjjjjjj" /* 80 */
	"mmmmmmmmmmmmmmmm" /* 90 */
	"...mbm--...mbmmm" /* a0 */
	"mmmmmmmmm-bmmmmm" /* b0 */
	"mmbmbbbm........" /* c0 */
	"mmmmmmmmmmmmmmmm" /* d0 */
	"mmmmmmmmmmmmmmmm" /* e0 */
	"mmmmmmmmmmmmmmm-" /* f0 */;

struct reader {
	const uint8_t *at, *end;
	bool narrow;     /* prefix 66 */
	bool repeat;     /* prefix f2 or f3 */
	uint8_t rex;
	bool vector;     /* VEX or EVEX */
	unsigned map;    /* of opcodes: 0 one byte, 1 0f, 2 0f 38, 3 0f 3a */
	uint8_t opcode;
};

static bool read_prefixes(struct reader *r)
{
	for (; r->at < r->end; r->at++)
		switch (*r->at) {
		case 0x66:
			r->narrow = true;
			break;
		case 0xf2: case 0xf3:
			r->repeat = true;
			break;
		case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x67: case 0xf0:
			break;
		default:
			if ((*r->at & 0xf0) == 0x40)
				r->rex = *r->at++;
			return r->at < r->end;
		}
	return false;
}

/* VEX and EVEX name the table in their payload. */
static bool read_vector_prefix(struct reader *r)
{
	unsigned payload = *r->at == 0xc5 ? 1 : *r->at == 0xc4 ? 2 : 3;

	if ((size_t)(r->end - r->at) < payload + 2 || r->rex || r->narrow || r->repeat)
		return false;
	r->map = payload == 1 ? 1 : payload == 2 ? r->at[1] & 0x1f : r->at[1] & 7;
	r->vector = true;
	r->at += 1 + payload;
	return r->map >= 1 && r->map <= 3;
}

static bool read_opcode(struct reader *r)
{
	if (*r->at == 0xc4 || *r->at == 0xc5 || *r->at == 0x62) {
		if (!read_vector_prefix(r))
			return false;
	} else if (*r->at == 0x0f) {
		r->map = 1;
		if (++r->at < r->end && (*r->at == 0x38 || *r->at == 0x3a))
			r->map = *r->at++ == 0x38 ? 2 : 3;
	}
	if (r->at >= r->end)
		return false;
	r->opcode = *r->at++;
	return true;
}

/* Length of ModRM and the address behind it; 0: not all there. */
static unsigned modrm_length(const struct reader *r)
{
	unsigned mod, rm, n = 1;

	if (r->at >= r->end)
		return 0;
	mod = *r->at >> 6;
	rm = *r->at & 7;
	if (mod == 3)
		return 1;
	if (rm == 4) {
		if (r->at + 1 >= r->end)
			return 0;
		n = 2;
		if (mod == 0 && (r->at[1] & 7) == 5)
			return n + 4;
	}
	return n + (mod == 1 ? 1 : mod == 2 || rm == 5 ? 4 : 0);
}

static unsigned immediate_length(const struct reader *r, char form)
{
	unsigned wide = r->narrow && !(r->rex & 8) ? 2 : 4;
	bool test = r->at < r->end && (*r->at >> 3 & 7) < 2; /* of f6 and f7 only "test" has one */

	switch (form) {
	case MODRM_8: case IMM_8:
		return 1;
	case IMM_16:
		return 2;
	case ENTER:
		return 3;
	case MODRM_32: case IMM_32:
		return wide;
	case REL_32:
		return 4;
	case MOV_IMM:
		return r->rex & 8 ? 8 : wide;
	case GROUP_8:
		return test ? 1 : 0;
	case GROUP_32:
		return test ? wide : 0;
	default:
		return 0;
	}
}

static bool has_modrm(char form)
{
	return form == MODRM || form == MODRM_8 || form == MODRM_32 || form == GROUP_8 || form == GROUP_32;
}

static char form_of(const struct reader *r)
{
	char form = r->map == 0 ? one_byte[r->opcode] : r->map == 1 ? two_bytes[r->opcode] : r->map == 2 ? MODRM : MODRM_8;

	if (r->vector && r->map == 1 && form != MODRM && form != MODRM_8 && r->opcode != 0x77)
		return UNKNOWN;
	if (form == REL_32 && r->narrow) /* processors differ */
		return UNKNOWN;
	return form;
}

static enum insn_kind kind_of(const struct reader *r)
{
	unsigned reg = r->at < r->end ? *r->at >> 3 & 7 : 0;

	if (r->map == 0)
		switch (r->opcode) {
		case 0x90:
			return r->rex || r->repeat ? INSN_OTHER : INSN_PADDING;
		case 0xcc:
			return INSN_PADDING;
		case 0xc2: case 0xc3: case 0xe9: case 0xeb: case 0xf4:
			return INSN_END;
		case 0xff:
			return reg == 4 ? INSN_END : INSN_OTHER;
		default:
			return INSN_OTHER;
		}
	if (r->map == 1 && !r->vector)
		return r->opcode == 0x0b ? INSN_END : r->opcode == 0x1f && reg == 0 && !r->repeat ? INSN_PADDING : INSN_OTHER;
	return INSN_OTHER;
}

unsigned patch_insn(const uint8_t *text, size_t size, enum insn_kind *kind)
{
	struct reader r = { .at = text, .end = text + MIN(size, LONGEST) };
	unsigned modrm = 0, immediate;
	char form;

	if (!read_prefixes(&r) || !read_opcode(&r))
		return 0;
	form = form_of(&r);
	if (form == UNKNOWN)
		return 0;
	*kind = kind_of(&r);
	immediate = immediate_length(&r, form);
	if (has_modrm(form)) {
		modrm = modrm_length(&r);
		if (modrm == 0)
			return 0;
	}
	return modrm + immediate <= (size_t)(r.end - r.at) ? r.at - text + modrm + immediate : 0;
}

struct padding patch_padding(const uint8_t *text, size_t size)
{
	struct padding best = { 0 }, now = { 0 };
	enum insn_kind kind = INSN_OTHER;
	bool dead = false; /* nothing runs from here on but what is jumped to */

	for (unsigned at = 0, n; (now.size || at <= PATCH_REACH) && best.size < PATCH_JUMP; at += n) {
		n = patch_insn(text + at, size - at, &kind);
		if (n && kind == INSN_PADDING && dead) {
			now.at = now.size ? now.at : at;
			now.size += n;
		}
		if (now.size > best.size && now.size >= PATCH_SHORT && now.at + PATCH_JUMP <= size)
			best = now;
		if (n == 0)
			break;
		if (kind == INSN_PADDING && dead)
			continue;
		now.size = 0;
		dead = kind == INSN_END;
	}
	return best;
}

/*
 * An instruction before a SYSCALL that is read so: [REX] opcode b8 nr, which takes what lies at RAX + nr, and leaves RAX alone. RAX
 * is nr by then, the number of the call, and nothing is ever mapped that low: it cannot have run.
 */
static bool would_fault(const uint8_t *insn, unsigned size, uint32_t nr)
{
	unsigned rex = size == 7 && (insn[0] & 0xf1) == 0x40; /* not REX.B: the base would be R8 */
	uint8_t opcode = insn[rex];

	if (size != 6 + rex || insn[1 + rex] != 0xb8 || nr >= LOWEST / 4)
		return false;
	return (opcode < 0x40 && (opcode & 7) < 4) || (opcode >= 0x84 && opcode <= 0x8b); /* arithmetic; test, xchg, mov */
}

unsigned patch_number(const uint8_t *text, size_t size, uint32_t nr)
{
	const uint8_t *end = text + size;
	enum insn_kind kind;
	unsigned n;

	if (size < 2 * LONGEST || memcmp(end - 4, &nr, sizeof(nr)) != 0)
		return 0;
	n = end[-5] == 0xb8 ? 5 : end[-6] == 0xc7 && end[-5] == 0xc0 ? 6 : 0;
	/* Does anything that begins earlier end at the SYSCALL, too? REX.W before c7 makes no difference. */
	for (unsigned before = n + 1; n && before <= LONGEST; before++) {
		if (patch_insn(end - before, before, &kind) != before || (n == 6 && before == 7 && end[-7] == 0x48))
			continue;
		if (!would_fault(end - before, before, nr))
			return 0;
	}
	return n;
}

uint64_t patch_pun(uint64_t rip, const uint8_t following[3], uint8_t second)
{
	uint32_t distance = second | (uint32_t)following[0] << 8 | (uint32_t)following[1] << 16 | (uint32_t)following[2] << 24;

	return rip + 3 + (int64_t)(int32_t)distance;
}

uint64_t patch_long_pun(uint64_t rip, const uint8_t following[4])
{
	int32_t distance;

	memcpy(&distance, following, sizeof(distance));
	return rip + 4 + (int64_t)distance;
}

void patch_trampoline(uint8_t code[PATCH_TRAMPOLINE], uint64_t va, uint64_t back, enum patch_entry entry)
{
	int32_t distance = ALIGN_DOWN(va, LV_PAGE) + entry - (va + PATCH_TRAMPOLINE);

	memcpy(code, (const uint8_t[]){ 0x48, entry == PATCH_ENTRY_CPUID ? 0xbb : 0xb9 }, 2); /* movabs $back,%rbx or %rcx */
	memcpy(code + 2, &back, sizeof(back));
	memcpy(code + 10, (const uint8_t[]){ 0xff, 0x25 }, 2); /* jmp *(entry in the page) */
	memcpy(code + 12, &distance, sizeof(distance));
}

/* ---- what stands before a CPUID ---- */

#define CPUID_MOST 15   /* bytes before it that a trampoline does */
#define CPUID_BEFORE 48 /* bytes before those, from which the reading must come to them */

/*
 * Length of an instruction that may be done twice, and elsewhere: it loads EAX or ECX with a number or from a register that none of its kind
 * changes, or stores a number in the stack. 0: another one.
 */
static unsigned repeatable(const uint8_t *insn, size_t size)
{
	unsigned rex = size > 2 && (*insn & 0xf8) == 0x40 && !(*insn & 2), at = rex != 0;
	unsigned modrm = size > at + 1 ? insn[at + 1] : 0, reg = (modrm >> 3 & 7) + (*insn & 4 && rex ? 8 : 0), rm = (modrm & 7) + (*insn & 1 && rex ? 8 : 0);
	unsigned from = insn[at] == 0x89 ? reg : rm, to = insn[at] == 0x89 ? rm : reg;

	if ((*insn == 0xb8 || *insn == 0xb9) && size >= 5)
		return 5;
	if ((*insn == 0x31 || *insn == 0x33) && size >= 2 && (insn[1] == 0xc0 || insn[1] == 0xc9))
		return 2;
	if (*insn == 0xc6 && size >= 5 && insn[1] == 0x44 && insn[2] == 0x24)
		return 5;
	if (*insn == 0xc7 && size >= 8 && insn[1] == 0x44 && insn[2] == 0x24)
		return 8;
	if ((insn[at] == 0x89 || insn[at] == 0x8b) && modrm >= 0xc0 && to <= 1 && from != 0 && from != 1 && from != 3)
		return at + 2;
	return 0;
}

/* Does all code before text + at that can be read from far enough come to an instruction there? It has more bytes behind it. */
static bool comes_to(const uint8_t *text, unsigned at, unsigned more)
{
	unsigned start = at > CPUID_BEFORE ? at - CPUID_BEFORE : 0, came = 0;
	enum insn_kind kind;

	for (unsigned from = start; from < start + LONGEST && from + 2 * LONGEST <= at; from++) {
		unsigned now = from, n = 1;

		for (; now < at && n; now += n)
			n = patch_insn(text + now, at - now + more, &kind);
		if (now > at)
			return false;
		came += now == at && n;
	}
	return came >= 3;
}

unsigned patch_before_cpuid(const uint8_t *text, size_t size)
{
	for (unsigned n = PATCH_MOV; n <= CPUID_MOST && n + CPUID_BEFORE <= size; n++) {
		const uint8_t *start = text + size - n;
		unsigned done = repeatable(start, n), more = done >= PATCH_JUMP;

		while (more && done < n) {
			more = repeatable(start + done, n - done);
			done += more;
		}
		if (more && done == n)
			return comes_to(text, size - n, n) ? n : 0;
	}
	return 0;
}
