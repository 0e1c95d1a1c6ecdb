/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads x86-64 ELF executables and shared objects that lie in memory (ELF gABI; System V psABI for AMD64). Freestanding
 * and without allocation: the monitor uses it on libos, libos on the program, the command line on what it packs. The
 * file is hostile: every offset is checked before it is followed.
 */
#ifndef LV_PARSE_ELF_H
#define LV_PARSE_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_LOADS 16

struct elf_load { /* one PT_LOAD, checked: file range inside the file, no overflow, filesz <= memsz, ascending vaddr, no overlap by page */
	uint64_t vaddr, memsz;
	uint64_t offset, filesz;
	uint32_t flags; /* PF_R | PF_W | PF_X */
};

struct elf {
	const uint8_t *base;
	size_t size;
	bool pie; /* ET_DYN */
	uint64_t entry;
	uint64_t phdr_vaddr; /* 0 if the headers are not in a loaded segment */
	uint16_t phnum;
	uint64_t low, high; /* page-aligned span of all loads */
	const char *interp; /* in the file, terminated; NULL: static */
	uint32_t stack_flags; /* of PT_GNU_STACK, or PF_R|PF_W|PF_X when there is none */
	int loads;
	struct elf_load load[ELF_MAX_LOADS];
	uint64_t dynamic_offset, dynamic_size; /* in the file; 0: none */
};

/*
 * Checks and describes a file. 0, or a negative errno and *why, a constant text that names what is wrong:
 * -ENOEXEC not an ELF executable or a lying header, -EXDEV another architecture or class.
 */
int elf_parse(struct elf *elf, const void *file, size_t size, const char **why);
/* Calls each(context, name) for every DT_NEEDED; stops at the first non-zero answer and returns it. -ENOEXEC: damaged. */
int elf_needed(const struct elf *elf, int (*each)(void *context, const char *name), void *context);
/* Whether name is among the strings of the dynamic section, at the end of one at least: a symbol that is imported or exported, or a library. */
bool elf_mentions(const struct elf *elf, const char *name);
/* DT_RUNPATH, else DT_RPATH, else NULL; in the file, terminated. */
const char *elf_runpath(const struct elf *elf);
/* The function symbol (.symtab, else .dynsym) that covers vaddr: its name and *offset into it; NULL: none. */
const char *elf_symbol(const struct elf *elf, uint64_t vaddr, uint64_t *offset);
/* The value of a defined symbol by name, or 0. */
uint64_t elf_symbol_value(const struct elf *elf, const char *name);

#endif
