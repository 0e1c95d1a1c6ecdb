/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of the file may be misaligned as well as lies, so every structure is copied out before it is read. */
#include "parse/elf.h"

#include <linux/elf.h>
#include <linux/errno.h>

#define PAGE 4096ull
#define DT_RUNPATH_ 29
/* No program of the lower half of the address space reaches further. */
#define VADDR_END 0x7ffffffff000ull

static int fail(const char **why, int error, const char *text)
{
	if (why)
		*why = text;
	return error;
}

static bool in_file(const struct elf *elf, uint64_t offset, uint64_t len)
{
	return offset <= elf->size && len <= elf->size - offset;
}

static uint64_t page_down(uint64_t x)
{
	return x & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t x)
{
	return (x + PAGE - 1) & ~(PAGE - 1);
}

static const char *check_ident(const Elf64_Ehdr *header)
{
	if (header->e_ident[EI_CLASS] == ELFCLASS32)
		return "a 32-bit ELF file; only x86-64 is supported";
	if (header->e_ident[EI_CLASS] != ELFCLASS64)
		return "an ELF file of unknown class";
	if (header->e_ident[EI_DATA] != ELFDATA2LSB)
		return "a big-endian ELF file; only x86-64 is supported";
	if (header->e_machine != EM_X86_64)
		return "an ELF file for another processor architecture; only x86-64 is supported";
	return NULL;
}

static int check_header(const struct elf *elf, const Elf64_Ehdr *header, const char **why)
{
	const char *text = check_ident(header);

	if (text)
		return fail(why, -EXDEV, text);
	if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT)
		return fail(why, -ENOEXEC, "an ELF file of unknown version");
	if (header->e_type == ET_REL)
		return fail(why, -ENOEXEC, "a relocatable object file, not an executable");
	if (header->e_type == ET_CORE)
		return fail(why, -ENOEXEC, "a core dump, not an executable");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return fail(why, -ENOEXEC, "an ELF file of unknown type, not an executable");
	if (header->e_phnum == 0)
		return fail(why, -ENOEXEC, "ELF file without program headers");
	if (header->e_phnum == PN_XNUM || header->e_phentsize != sizeof(Elf64_Phdr))
		return fail(why, -ENOEXEC, "damaged ELF header: program header size or number is wrong");
	if (!in_file(elf, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr)))
		return fail(why, -ENOEXEC, "truncated ELF file: program headers lie beyond its end");
	return 0;
}

static int add_load(struct elf *elf, const Elf64_Phdr *ph, const char **why)
{
	struct elf_load *load;

	if (ph->p_memsz == 0 && ph->p_filesz == 0)
		return 0;
	if (elf->loads == ELF_MAX_LOADS)
		return fail(why, -ENOEXEC, "ELF file with too many segments");
	if (!in_file(elf, ph->p_offset, ph->p_filesz))
		return fail(why, -ENOEXEC, "truncated ELF file: a segment lies beyond its end");
	if (ph->p_filesz > ph->p_memsz)
		return fail(why, -ENOEXEC, "damaged ELF file: a segment is larger in the file than in memory");
	if (ph->p_vaddr >= VADDR_END || ph->p_memsz > VADDR_END - ph->p_vaddr)
		return fail(why, -ENOEXEC, "damaged ELF file: a segment lies outside the address space");
	if (ph->p_filesz && (ph->p_vaddr ^ ph->p_offset) & (PAGE - 1))
		return fail(why, -ENOEXEC, "damaged ELF file: a segment's address and file offset do not agree");
	if (elf->loads) {
		const struct elf_load *last = &elf->load[elf->loads - 1];

		if (ph->p_vaddr < last->vaddr)
			return fail(why, -ENOEXEC, "damaged ELF file: segments are not in ascending order");
		if (page_down(ph->p_vaddr) < page_up(last->vaddr + last->memsz))
			return fail(why, -ENOEXEC, "damaged ELF file: segments overlap");
	} else {
		elf->low = page_down(ph->p_vaddr);
	}
	load = &elf->load[elf->loads++];
	load->vaddr = ph->p_vaddr;
	load->memsz = ph->p_memsz;
	load->offset = ph->p_offset;
	load->filesz = ph->p_filesz;
	load->flags = ph->p_flags;
	elf->high = page_up(load->vaddr + load->memsz);
	return 0;
}

static int set_interp(struct elf *elf, const Elf64_Phdr *ph, const char **why)
{
	const char *path;

	if (elf->interp)
		return fail(why, -ENOEXEC, "damaged ELF file: more than one interpreter");
	if (!in_file(elf, ph->p_offset, ph->p_filesz))
		return fail(why, -ENOEXEC, "truncated ELF file: the interpreter's name lies beyond its end");
	path = (const char *)elf->base + ph->p_offset;
	if (ph->p_filesz < 2 || ph->p_filesz > PAGE || path[0] == 0 || path[ph->p_filesz - 1] != 0)
		return fail(why, -ENOEXEC, "damaged ELF file: the interpreter's name is not a path");
	elf->interp = path;
	return 0;
}

static int read_segment(struct elf *elf, const Elf64_Phdr *ph, const char **why)
{
	switch (ph->p_type) {
	case PT_LOAD:
		return add_load(elf, ph, why);
	case PT_INTERP:
		return set_interp(elf, ph, why);
	case PT_GNU_STACK:
		elf->stack_flags = ph->p_flags;
		return 0;
	case PT_DYNAMIC:
		if (!in_file(elf, ph->p_offset, ph->p_filesz))
			return fail(why, -ENOEXEC, "truncated ELF file: the dynamic section lies beyond its end");
		elf->dynamic_offset = ph->p_offset;
		elf->dynamic_size = ph->p_filesz;
		return 0;
	default:
		return 0;
	}
}

static void find_phdrs(struct elf *elf, uint64_t offset)
{
	uint64_t len = (uint64_t)elf->phnum * sizeof(Elf64_Phdr);

	for (int i = 0; i < elf->loads; i++) {
		const struct elf_load *load = &elf->load[i];

		if (offset < load->offset || offset - load->offset > load->filesz)
			continue;
		if (len <= load->filesz - (offset - load->offset)) {
			elf->phdr_vaddr = load->vaddr + (offset - load->offset);
			return;
		}
	}
}

static bool entry_is_code(const struct elf *elf)
{
	for (int i = 0; i < elf->loads; i++) {
		const struct elf_load *load = &elf->load[i];

		if (load->flags & PF_X && elf->entry >= load->vaddr && elf->entry - load->vaddr < load->memsz)
			return true;
	}
	return false;
}

int elf_parse(struct elf *elf, const void *file, size_t size, const char **why)
{
	Elf64_Ehdr header;
	int r;

	__builtin_memset(elf, 0, sizeof(*elf));
	elf->base = file;
	elf->size = size;
	if (size < SELFMAG || __builtin_memcmp(file, ELFMAG, SELFMAG) != 0)
		return fail(why, -ENOEXEC, "not an ELF file");
	if (size < sizeof(header))
		return fail(why, -ENOEXEC, "truncated ELF file: shorter than its header");
	__builtin_memcpy(&header, file, sizeof(header));
	r = check_header(elf, &header, why);
	if (r)
		return r;
	elf->pie = header.e_type == ET_DYN;
	elf->entry = header.e_entry;
	elf->phnum = header.e_phnum;
	elf->stack_flags = PF_R | PF_W | PF_X;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr ph;

		__builtin_memcpy(&ph, elf->base + header.e_phoff + i * sizeof(ph), sizeof(ph));
		r = read_segment(elf, &ph, why);
		if (r)
			return r;
	}
	if (elf->loads == 0)
		return fail(why, -ENOEXEC, "ELF file without anything to load");
	/* Shared libraries need no entry; what starts by itself does. */
	if ((!elf->pie || elf->interp) && !entry_is_code(elf))
		return fail(why, -ENOEXEC, "damaged ELF file: the entry point is not in executable code");
	find_phdrs(elf, header.e_phoff);
	return 0;
}

/* ---- the dynamic section ---- */

/* The file's bytes behind an address: NULL if they are not in the file; *len: how many follow in the same segment. */
static const char *at_vaddr(const struct elf *elf, uint64_t vaddr, uint64_t *len)
{
	for (int i = 0; i < elf->loads; i++) {
		const struct elf_load *load = &elf->load[i];

		if (vaddr < load->vaddr || vaddr - load->vaddr >= load->filesz)
			continue;
		*len = load->filesz - (vaddr - load->vaddr);
		return (const char *)elf->base + load->offset + (vaddr - load->vaddr);
	}
	return NULL;
}

static bool dynamic_entry(const struct elf *elf, uint64_t index, Elf64_Dyn *dyn)
{
	if (index >= elf->dynamic_size / sizeof(*dyn))
		return false;
	__builtin_memcpy(dyn, elf->base + elf->dynamic_offset + index * sizeof(*dyn), sizeof(*dyn));
	return dyn->d_tag != DT_NULL;
}

static uint64_t dynamic_value(const struct elf *elf, int64_t tag)
{
	Elf64_Dyn dyn;

	for (uint64_t i = 0; dynamic_entry(elf, i, &dyn); i++)
		if (dyn.d_tag == tag)
			return dyn.d_un.d_val;
	return 0;
}

static const char *string_in(const char *table, uint64_t size, uint64_t offset)
{
	if (!table || offset >= size)
		return NULL;
	for (uint64_t i = offset; i < size; i++)
		if (table[i] == 0)
			return table + offset;
	return NULL;
}

static const char *dynamic_string(const struct elf *elf, uint64_t offset)
{
	uint64_t in_segment = 0;
	const char *table = at_vaddr(elf, dynamic_value(elf, DT_STRTAB), &in_segment);
	uint64_t size = dynamic_value(elf, DT_STRSZ);

	return string_in(table, size < in_segment ? size : in_segment, offset);
}

int elf_needed(const struct elf *elf, int (*each)(void *context, const char *name), void *context)
{
	Elf64_Dyn dyn;

	for (uint64_t i = 0; dynamic_entry(elf, i, &dyn); i++) {
		const char *name;
		int r;

		if (dyn.d_tag != DT_NEEDED)
			continue;
		name = dynamic_string(elf, dyn.d_un.d_val);
		if (!name || !*name)
			return -ENOEXEC;
		r = each(context, name);
		if (r)
			return r;
	}
	return 0;
}

bool elf_mentions(const struct elf *elf, const char *name)
{
	uint64_t in_segment = 0, size = dynamic_value(elf, DT_STRSZ), len = __builtin_strlen(name) + 1;
	const char *table = at_vaddr(elf, dynamic_value(elf, DT_STRTAB), &in_segment);

	if (size > in_segment)
		size = in_segment;
	/* Linkers let a name lie at the end of a longer one: "setenv" in "unsetenv". */
	for (uint64_t at = 0; table && at + len <= size; at++)
		if (table[at] == name[0] && !__builtin_memcmp(table + at, name, len))
			return true;
	return false;
}

const char *elf_runpath(const struct elf *elf)
{
	static const int64_t tags[] = { DT_RUNPATH_, DT_RPATH };

	for (unsigned t = 0; t < 2; t++) {
		Elf64_Dyn dyn;

		for (uint64_t i = 0; dynamic_entry(elf, i, &dyn); i++)
			if (dyn.d_tag == tags[t])
				return dynamic_string(elf, dyn.d_un.d_val);
	}
	return NULL;
}

/* ---- symbols ---- */

struct symbols {
	const uint8_t *table;
	uint64_t count;
	const char *strings;
	uint64_t strings_size;
};

static bool section(const struct elf *elf, const Elf64_Ehdr *header, uint32_t index, Elf64_Shdr *sh)
{
	uint64_t offset = header->e_shoff + (uint64_t)index * sizeof(*sh);

	if (index >= header->e_shnum || header->e_shentsize != sizeof(*sh) || offset < header->e_shoff)
		return false;
	if (!in_file(elf, offset, sizeof(*sh)))
		return false;
	__builtin_memcpy(sh, elf->base + offset, sizeof(*sh));
	return sh->sh_type == SHT_NOBITS || in_file(elf, sh->sh_offset, sh->sh_size);
}

static bool symbols_of_type(const struct elf *elf, uint32_t type, struct symbols *symbols)
{
	Elf64_Ehdr header;
	Elf64_Shdr sh, strings;

	__builtin_memcpy(&header, elf->base, sizeof(header));
	for (uint32_t i = 0; i < header.e_shnum; i++) {
		if (!section(elf, &header, i, &sh) || sh.sh_type != type)
			continue;
		if (!section(elf, &header, sh.sh_link, &strings) || strings.sh_type != SHT_STRTAB)
			continue;
		symbols->table = elf->base + sh.sh_offset;
		symbols->count = sh.sh_size / sizeof(Elf64_Sym);
		symbols->strings = (const char *)elf->base + strings.sh_offset;
		symbols->strings_size = strings.sh_size;
		return true;
	}
	return false;
}

static bool find_symbols(const struct elf *elf, struct symbols *symbols)
{
	return symbols_of_type(elf, SHT_SYMTAB, symbols) || symbols_of_type(elf, SHT_DYNSYM, symbols);
}

static Elf64_Sym symbol_at(const struct symbols *symbols, uint64_t index)
{
	Elf64_Sym sym;

	__builtin_memcpy(&sym, symbols->table + index * sizeof(sym), sizeof(sym));
	return sym;
}

const char *elf_symbol(const struct elf *elf, uint64_t vaddr, uint64_t *offset)
{
	struct symbols symbols;

	if (!find_symbols(elf, &symbols))
		return NULL;
	for (uint64_t i = 0; i < symbols.count; i++) {
		Elf64_Sym sym = symbol_at(&symbols, i);
		const char *name;

		if (ELF_ST_TYPE(sym.st_info) != STT_FUNC || sym.st_shndx == SHN_UNDEF)
			continue;
		if (vaddr < sym.st_value || vaddr - sym.st_value >= sym.st_size)
			continue;
		name = string_in(symbols.strings, symbols.strings_size, sym.st_name);
		if (!name || !*name)
			continue;
		if (offset)
			*offset = vaddr - sym.st_value;
		return name;
	}
	return NULL;
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

uint64_t elf_symbol_value(const struct elf *elf, const char *name)
{
	struct symbols symbols;

	if (!find_symbols(elf, &symbols))
		return 0;
	for (uint64_t i = 0; i < symbols.count; i++) {
		Elf64_Sym sym = symbol_at(&symbols, i);
		const char *own;

		if (sym.st_shndx == SHN_UNDEF)
			continue;
		own = string_in(symbols.strings, symbols.strings_size, sym.st_name);
		if (own && same(own, name))
			return sym.st_value;
	}
	return 0;
}
