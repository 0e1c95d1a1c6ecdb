/* SPDX-License-Identifier: Apache-2.0 */
#include "parse/linux_kernel.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <linux/elf.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define LEAST_LOAD 0x100000  /* the first MiB is ours: tables, command line, what firmware would keep there */
#define PVH_COMMAND_MAX 2047 /* COMMAND_LINE_SIZE of x86, less one */
#define SECTOR 512
#define PROTOCOL_2_12 0x20c /* the first that tells of a 64-bit entry */

static int refuse(const char **why, const char *text, int error)
{
	*why = text;
	return error;
}

/* ---- ELF ---- */

static uint64_t align4(uint64_t n)
{
	return (n + 3) & ~3ull;
}

/* The entry in one PT_NOTE segment, or 0. */
static uint64_t find_entry(const uint8_t *note, uint64_t size)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr head;
		memcpy(&head, note, sizeof(head));
		uint64_t name = sizeof(head), desc = name + align4(head.n_namesz), end = desc + align4(head.n_descsz);
		if (desc + head.n_descsz > size)
			return 0;
		if (head.n_type == NOTE_PHYS32_ENTRY && head.n_namesz == 4 && !memcmp(note + name, "Xen", 4) &&
		    (head.n_descsz == 4 || head.n_descsz == 8)) {
			uint64_t entry = 0;
			memcpy(&entry, note + desc, head.n_descsz);
			return entry;
		}
		if (end >= size)
			return 0;
		note += end;
		size -= end;
	}
	return 0;
}

static int add_load(struct kernel_image *image, uint64_t address, uint64_t memsz, uint64_t offset, uint64_t filesz, const char **why)
{
	if (image->loads == KERNEL_MAX_LOADS)
		return refuse(why, "an ELF kernel with more segments than a kernel has", -ENOEXEC);
	if (filesz > memsz || address + memsz < address)
		return refuse(why, "an ELF kernel whose segments lie about their size", -ENOEXEC);
	if (address < LEAST_LOAD)
		return refuse(why, "an ELF kernel that wants to lie in the first MiB of memory", -ENOEXEC);
	image->load[image->loads++] = (struct kernel_load){address, memsz, offset, filesz};
	image->low = image->low && image->low < address ? image->low : address;
	image->high = image->high > address + memsz ? image->high : address + memsz;
	return 0;
}

static int parse_segment(struct kernel_image *image, const uint8_t *file, size_t size, const Elf64_Phdr *head, const char **why)
{
	if (head->p_type != PT_LOAD && head->p_type != PT_NOTE)
		return 0;
	if (head->p_offset > size || head->p_filesz > size - head->p_offset)
		return refuse(why, "an ELF kernel with a segment beyond the end of the file", -ENOEXEC);
	if (head->p_type == PT_LOAD)
		return head->p_memsz ? add_load(image, head->p_paddr, head->p_memsz, head->p_offset, head->p_filesz, why) : 0;
	uint64_t entry = find_entry(file + head->p_offset, head->p_filesz);
	if (entry)
		image->entry = entry;
	return 0;
}

static int parse_elf(struct kernel_image *image, const uint8_t *file, size_t size, const char **why)
{
	Elf64_Ehdr head;
	if (size < sizeof(head))
		return refuse(why, "an ELF file that ends within its header", -ENOEXEC);
	memcpy(&head, file, sizeof(head));
	if (head.e_ident[EI_CLASS] == ELFCLASS32)
		return refuse(why, "a 32-bit kernel", -EXDEV);
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_machine != EM_X86_64)
		return refuse(why, "an ELF file of another architecture", -ENOEXEC);
	if (head.e_type != ET_EXEC && head.e_type != ET_DYN)
		return refuse(why, "an ELF file, but not an executable one", -ENOEXEC);
	if (head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phoff > size || (uint64_t)head.e_phnum * sizeof(Elf64_Phdr) > size - head.e_phoff)
		return refuse(why, "an ELF file whose program headers lie beyond its end", -ENOEXEC);
	for (unsigned i = 0; i < head.e_phnum; i++) {
		Elf64_Phdr segment;
		memcpy(&segment, file + head.e_phoff + i * sizeof(segment), sizeof(segment));
		int result = parse_segment(image, file, size, &segment, why);
		if (result < 0)
			return result;
	}
	if (!image->entry)
		return refuse(why, "an ELF file without a PVH entry: not a Linux kernel, or one built without CONFIG_PVH (its bzImage works)", -ENOEXEC);
	if (!image->loads || image->entry < image->low || image->entry >= image->high || image->entry > UINT32_MAX)
		return refuse(why, "an ELF kernel whose PVH entry lies outside of what is loaded", -ENOEXEC);
	image->kind = KERNEL_PVH;
	image->initrd_max = UINT32_MAX;
	image->command_max = PVH_COMMAND_MAX;
	return 0;
}

/* ---- bzImage ---- */

static int parse_bzimage(struct kernel_image *image, const uint8_t *file, size_t size, const char **why)
{
	struct setup_header head;
	memcpy(&head, file + KERNEL_HEADER, sizeof(head));
	if (head.version < PROTOCOL_2_12)
		return refuse(why, "a kernel of a boot protocol before 2.12, without a 64-bit entry", -ENOEXEC);
	if (!(head.xloadflags & XLF_KERNEL_64))
		return refuse(why, "a 32-bit kernel", -EXDEV);
	uint64_t setup = ((head.setup_sects ? head.setup_sects : 4) + 1ull) * SECTOR, body = (uint64_t)head.syssize * 16;
	if (setup >= size)
		return refuse(why, "a bzImage that ends within its setup code", -ENOEXEC);
	/* The last paragraph may be cut short: syssize is rounded up. */
	if (body > size - setup + 15 || body <= KERNEL_ENTRY_64)
		return refuse(why, "a bzImage that is cut off", -ENOEXEC);
	body = body < size - setup ? body : size - setup;
	uint64_t needs = head.init_size > body ? head.init_size : body;
	image->kind = KERNEL_BZIMAGE;
	image->header_size = file[0x201] + 0x202 - KERNEL_HEADER; /* the jump over the header tells its end */
	image->header_size = image->header_size < sizeof(head) ? image->header_size : sizeof(head);
	image->initrd_max = head.initrd_addr_max;
	image->command_max = head.cmdline_size;
	image->entry = head.pref_address + KERNEL_ENTRY_64;
	return add_load(image, head.pref_address, needs, setup, body, why);
}

int kernel_parse(struct kernel_image *image, const void *file, size_t size, const char **why)
{
	const uint8_t *bytes = file;
	memset(image, 0, sizeof(*image));
	if (size >= SELFMAG && !memcmp(bytes, ELFMAG, SELFMAG))
		return parse_elf(image, bytes, size, why);
	if (size > KERNEL_HEADER + sizeof(struct setup_header) && !memcmp(bytes + 0x202, "HdrS", 4))
		return parse_bzimage(image, bytes, size, why);
	return refuse(why, size ? "not a Linux kernel: neither an ELF file nor a bzImage" : "an empty file", -ENOEXEC);
}
