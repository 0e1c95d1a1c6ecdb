/* SPDX-License-Identifier: Apache-2.0 */
/* What is a Linux kernel, and what only looks like one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>
#include <linux/elf.h>
#include <string.h>

#include "parse/linux_kernel.h"

#define FILE_SIZE 0x4000

struct elf_file {
	Elf64_Ehdr head;
	Elf64_Phdr segment[2];
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note;
	uint8_t rest[FILE_SIZE - 64 - 2 * 56 - 20];
};
static_assert(sizeof(struct elf_file) == FILE_SIZE, "a file");

static struct elf_file good_elf(void)
{
	return (struct elf_file){
		.head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_EXEC, .e_machine = EM_X86_64,
			  .e_phoff = sizeof(Elf64_Ehdr), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2 },
		.segment = { { .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x200000, .p_vaddr = 0xffffffff80200000, .p_filesz = 0x1000, .p_memsz = 0x9000 },
			     { .p_type = PT_NOTE, .p_offset = offsetof(struct elf_file, note), .p_filesz = 20 } },
		.note = { { 4, 4, 18 }, "Xen", 0x200100 },
	};
}

static void expect(const void *file, size_t size, int error, const char *text)
{
	struct kernel_image image;
	const char *why = NULL;
	assert_int_equal(kernel_parse(&image, file, size, &why), error);
	assert_non_null(why);
	if (!strstr(why, text))
		fail_msg("said '%s', not '%s'", why, text);
}

static void elf(void **state)
{
	struct elf_file file = good_elf();
	struct kernel_image image;
	const char *why;
	assert_int_equal(kernel_parse(&image, &file, sizeof(file), &why), 0);
	assert_int_equal(image.kind, KERNEL_PVH);
	assert_int_equal(image.entry, 0x200100);
	assert_int_equal(image.low, 0x200000);
	assert_int_equal(image.high, 0x209000);
	assert_int_equal(image.loads, 1);
	assert_int_equal(image.load[0].filesz, 0x1000);
}

static void lying_elf(void **state)
{
	struct elf_file file = good_elf();
	expect(&file, 40, -ENOEXEC, "ends within its header");
	file.head.e_ident[EI_CLASS] = ELFCLASS32;
	expect(&file, sizeof(file), -EXDEV, "32-bit");
	file = good_elf();
	file.head.e_machine = EM_AARCH64;
	expect(&file, sizeof(file), -ENOEXEC, "another architecture");
	file = good_elf();
	file.head.e_phoff = ~0ull;
	expect(&file, sizeof(file), -ENOEXEC, "program headers");
	file = good_elf();
	file.segment[0].p_offset = FILE_SIZE - 1;
	expect(&file, sizeof(file), -ENOEXEC, "beyond the end");
	file = good_elf();
	file.segment[0].p_memsz = 1;
	expect(&file, sizeof(file), -ENOEXEC, "lie about their size");
	file = good_elf();
	file.segment[0].p_paddr = 0x1000;
	expect(&file, sizeof(file), -ENOEXEC, "first MiB");
	file = good_elf();
	file.note.entry = 0x209000;
	expect(&file, sizeof(file), -ENOEXEC, "outside of what is loaded");
	file = good_elf();
	file.note.head.n_type = 17;
	expect(&file, sizeof(file), -ENOEXEC, "CONFIG_PVH");
	file = good_elf();
	file.note.head.n_namesz = 0xfffffff0;
	expect(&file, sizeof(file), -ENOEXEC, "PVH");
}

struct bz_file {
	uint8_t byte[FILE_SIZE];
};

static struct setup_header *header_of(struct bz_file *file)
{
	return (struct setup_header *)(file->byte + KERNEL_HEADER);
}

static struct bz_file good_bzimage(void)
{
	struct bz_file file = { 0 };
	*header_of(&file) = (struct setup_header){ .setup_sects = 3, .syssize = (FILE_SIZE - 4 * 512) / 16, .boot_flag = 0xaa55, .jump = 0x66eb,
		.header = 0x53726448, .version = 0x20f, .xloadflags = XLF_KERNEL_64, .init_size = 0x100000, .pref_address = 0x1000000,
		.initrd_addr_max = 0x7fffffff, .cmdline_size = 2047 };
	return file;
}

static void bzimage(void **state)
{
	struct bz_file file = good_bzimage();
	struct kernel_image image;
	const char *why;
	assert_int_equal(kernel_parse(&image, &file, sizeof(file), &why), 0);
	assert_int_equal(image.kind, KERNEL_BZIMAGE);
	assert_int_equal(image.entry, 0x1000200);
	assert_int_equal(image.high, 0x1100000);
	assert_int_equal(image.load[0].offset, 4 * 512);
	assert_int_equal(image.command_max, 2047);
	assert_int_equal(image.header_size, 0x202 + 0x66 - KERNEL_HEADER);
}

static void lying_bzimage(void **state)
{
	struct bz_file file = good_bzimage();
	header_of(&file)->version = 0x20b;
	expect(&file, sizeof(file), -ENOEXEC, "2.12");
	file = good_bzimage();
	header_of(&file)->xloadflags = 0;
	expect(&file, sizeof(file), -EXDEV, "32-bit");
	file = good_bzimage();
	expect(&file, sizeof(file) - 512, -ENOEXEC, "cut off");
	header_of(&file)->setup_sects = 200;
	expect(&file, sizeof(file), -ENOEXEC, "within its setup code");
	file = good_bzimage();
	header_of(&file)->pref_address = ~0ull - 4096;
	expect(&file, sizeof(file), -ENOEXEC, "lie about their size");
}

static void neither(void **state)
{
	expect("", 0, -ENOEXEC, "an empty file");
	expect("#!/bin/sh\n", 10, -ENOEXEC, "neither an ELF file nor a bzImage");
	struct bz_file file = { 0 };
	expect(&file, sizeof(file), -ENOEXEC, "neither");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elf), cmocka_unit_test(lying_elf), cmocka_unit_test(bzimage), cmocka_unit_test(lying_bzimage), cmocka_unit_test(neither),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
