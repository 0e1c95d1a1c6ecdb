/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF reader on any bytes: what it accepts must keep the promises of parse/elf.h.
 * fuzz-sources: parse/elf.c
 * fuzz-seeds: elf
 */
#include <elf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "parse/elf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(x) ((x) ? (void)0 : abort())

static volatile size_t sink;

static void check_loads(const struct elf *elf)
{
	uint64_t end = 0;

	MUST(elf->loads >= 1 && elf->loads <= ELF_MAX_LOADS);
	for (int i = 0; i < elf->loads; i++) {
		const struct elf_load *load = &elf->load[i];

		MUST(load->filesz <= load->memsz);
		MUST(load->offset <= elf->size && load->filesz <= elf->size - load->offset);
		MUST(load->vaddr + load->memsz >= load->vaddr);
		MUST(load->vaddr >= end);
		MUST(load->vaddr >= elf->low && load->vaddr + load->memsz <= elf->high);
		end = load->vaddr + load->memsz;
	}
	MUST(!(elf->low & 4095) && !(elf->high & 4095) && elf->low <= elf->high);
}

static void read_string(const struct elf *elf, const char *s)
{
	MUST((const uint8_t *)s >= elf->base && (const uint8_t *)s < elf->base + elf->size);
	sink += strlen(s);
}

static int each(void *context, const char *name)
{
	read_string(context, name);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL, *name;
	struct elf elf;
	uint64_t offset;
	int r = elf_parse(&elf, data, size, &why);

	if (r) {
		MUST(why && *why && r < 0);
		return 0;
	}
	check_loads(&elf);
	if (elf.interp)
		read_string(&elf, elf.interp);
	MUST(elf.dynamic_size == 0 || (elf.dynamic_offset <= size && elf.dynamic_size <= size - elf.dynamic_offset));
	elf_needed(&elf, each, &elf);
	name = elf_runpath(&elf);
	if (name)
		read_string(&elf, name);
	for (int i = 0; i < elf.loads; i++) {
		name = elf_symbol(&elf, elf.load[i].vaddr + elf.load[i].memsz / 2, &offset);
		if (name)
			read_string(&elf, name);
	}
	elf_symbol(&elf, elf.entry, &offset);
	elf_symbol(&elf, UINT64_MAX, &offset);
	sink += elf_symbol_value(&elf, "main") + elf_symbol_value(&elf, "no_such_symbol");
	return 0;
}
