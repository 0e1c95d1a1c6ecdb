/* SPDX-License-Identifier: Apache-2.0 */
#include "node/cpu_words.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "node/json_rows.h"

#define XCR0_KNOWN (1u << 27) /* leaf 1, ECX: OSXSAVE */

#define ROW(...) JSON_ROW(struct cpu_words, __VA_ARGS__)
static const struct json_row rows[] = {
	ROW("vendor", ROW_NAME, vendor, .high = sizeof(((struct cpu_words *)0)->vendor)),
	ROW("leaf_1_ecx", ROW_U32, word[CPU_1_ECX]),
	ROW("leaf_1_edx", ROW_U32, word[CPU_1_EDX]),
	ROW("leaf_7_ebx", ROW_U32, word[CPU_7_EBX]),
	ROW("leaf_7_ecx", ROW_U32, word[CPU_7_ECX]),
	ROW("leaf_7_edx", ROW_U32, word[CPU_7_EDX]),
	ROW("leaf_7_1_eax", ROW_U32, word[CPU_7_1_EAX]),
	ROW("leaf_d_1_eax", ROW_U32, word[CPU_D_1_EAX]),
	ROW("xcr0", ROW_U32, word[CPU_XCR0]),
	ROW("leaf_80000001_ecx", ROW_U32, word[CPU_X1_ECX]),
	ROW("leaf_80000001_edx", ROW_U32, word[CPU_X1_EDX]),
	{ 0 },
};

/* MONITOR, OSXSAVE and the hypervisor's bit; OSPKE. */
static const uint32_t ignored[CPU_WORDS] = { [CPU_1_ECX] = 1u << 3 | 1u << 27 | 1u << 31, [CPU_7_ECX] = 1u << 4 };

/* As /proc/cpuinfo calls them: what a program would miss first. */
static const struct {
	enum cpu_word word;
	unsigned bit;
	const char *name;
} names[] = {
	{ CPU_1_ECX, 0, "sse3" }, { CPU_1_ECX, 1, "pclmulqdq" }, { CPU_1_ECX, 9, "ssse3" }, { CPU_1_ECX, 12, "fma" }, { CPU_1_ECX, 13, "cx16" },
	{ CPU_1_ECX, 19, "sse4_1" }, { CPU_1_ECX, 20, "sse4_2" }, { CPU_1_ECX, 22, "movbe" }, { CPU_1_ECX, 23, "popcnt" }, { CPU_1_ECX, 25, "aes" },
	{ CPU_1_ECX, 26, "xsave" }, { CPU_1_ECX, 28, "avx" }, { CPU_1_ECX, 29, "f16c" }, { CPU_1_ECX, 30, "rdrand" },
	{ CPU_7_EBX, 0, "fsgsbase" }, { CPU_7_EBX, 3, "bmi1" }, { CPU_7_EBX, 5, "avx2" }, { CPU_7_EBX, 8, "bmi2" }, { CPU_7_EBX, 9, "erms" },
	{ CPU_7_EBX, 10, "invpcid" }, { CPU_7_EBX, 16, "avx512f" }, { CPU_7_EBX, 17, "avx512dq" }, { CPU_7_EBX, 18, "rdseed" }, { CPU_7_EBX, 19, "adx" },
	{ CPU_7_EBX, 23, "clflushopt" }, { CPU_7_EBX, 24, "clwb" }, { CPU_7_EBX, 28, "avx512cd" }, { CPU_7_EBX, 29, "sha_ni" },
	{ CPU_7_EBX, 30, "avx512bw" }, { CPU_7_EBX, 31, "avx512vl" }, { CPU_7_ECX, 1, "avx512vbmi" }, { CPU_7_ECX, 8, "gfni" }, { CPU_7_ECX, 9, "vaes" },
	{ CPU_7_ECX, 10, "vpclmulqdq" }, { CPU_7_ECX, 11, "avx512_vnni" }, { CPU_7_ECX, 12, "avx512_bitalg" }, { CPU_7_ECX, 14, "avx512_vpopcntdq" },
	{ CPU_7_ECX, 16, "la57" }, { CPU_7_ECX, 22, "rdpid" }, { CPU_7_EDX, 4, "fsrm" }, { CPU_7_EDX, 22, "amx_bf16" }, { CPU_7_EDX, 23, "avx512_fp16" },
	{ CPU_7_EDX, 24, "amx_tile" }, { CPU_7_EDX, 25, "amx_int8" }, { CPU_7_1_EAX, 4, "avx_vnni" }, { CPU_7_1_EAX, 5, "avx512_bf16" },
	{ CPU_D_1_EAX, 0, "xsaveopt" }, { CPU_D_1_EAX, 1, "xsavec" }, { CPU_D_1_EAX, 3, "xsaves" }, { CPU_X1_ECX, 5, "abm" },
	{ CPU_X1_ECX, 6, "sse4a" }, { CPU_X1_ECX, 8, "3dnowprefetch" }, { CPU_X1_EDX, 26, "pdpe1gb" }, { CPU_X1_EDX, 27, "rdtscp" },
};

static uint32_t xcr0(void)
{
	uint32_t low, high;
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

void cpu_words_read(struct cpu_words *cpu)
{
	uint32_t a = 0, b = 0, c = 0, d = 0, *word = cpu->word;
	*cpu = (struct cpu_words){ 0 };
	__cpuid(0, a, b, c, d);
	uint32_t most = a;
	memcpy(cpu->vendor, &b, 4);
	memcpy(cpu->vendor + 4, &d, 4);
	memcpy(cpu->vendor + 8, &c, 4);
	__cpuid(1, a, b, word[CPU_1_ECX], word[CPU_1_EDX]);
	if (word[CPU_1_ECX] & XCR0_KNOWN)
		word[CPU_XCR0] = xcr0();
	if (most >= 7) {
		__cpuid_count(7, 0, a, word[CPU_7_EBX], word[CPU_7_ECX], word[CPU_7_EDX]);
		if (a >= 1)
			__cpuid_count(7, 1, word[CPU_7_1_EAX], b, c, d);
	}
	if (most >= 0xd)
		__cpuid_count(0xd, 1, word[CPU_D_1_EAX], b, c, d);
	__cpuid(0x80000001, a, b, word[CPU_X1_ECX], word[CPU_X1_EDX]);
	for (int i = 0; i < CPU_WORDS; i++)
		word[i] &= ~ignored[i];
}

json_t *cpu_words_json(const struct cpu_words *cpu)
{
	return rows_write(rows, cpu);
}

int cpu_words_from_json(struct cpu_words *cpu, const json_t *json, const char *where, struct error *error)
{
	*cpu = (struct cpu_words){ 0 };
	return rows_read(rows, NULL, cpu, json, where, error);
}

/* What we have no name for is told by its place. */
static void name_bits(int word, uint32_t bits, struct text *out)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name = NULL;
		for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !name; i++)
			if ((int)names[i].word == word && names[i].bit == bit)
				name = names[i].name;
		if (!(bits & 1u << bit))
			continue;
		text_put(out, out->size ? ", " : "");
		if (name)
			text_put(out, name);
		else
			text_format(out, "%s bit %u", rows[1 + word].key, bit);
	}
}

int cpu_words_fit(const struct cpu_words *saved, const struct cpu_words *here, struct error *error)
{
	struct text missing = { 0 };
	if (strcmp(saved->vendor, here->vendor))
		return error_set(error, -ENOTSUP, "it was saved on a processor of %s, and this one is of %s", saved->vendor, here->vendor);
	for (int i = 0; i < CPU_WORDS; i++)
		name_bits(i, saved->word[i] & ~ignored[i] & ~here->word[i], &missing);
	int err = 0;
	if (missing.size)
		err = error_set(error, -ENOTSUP, "this processor lacks what that one had: %.600s", missing.data);
	text_free(&missing);
	return err;
}
