/* SPDX-License-Identifier: Apache-2.0 */
/* parse/elf.c on good files, on lying ones with the exact reason, and on thousands of damaged copies under ASan. */
#include "parse/elf.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A file that is right in every respect; each test breaks one thing. */
struct sample {
	Elf64_Ehdr header;
	Elf64_Phdr phdr[5];
	char interp[16];
	Elf64_Dyn dynamic[6];
	char strings[48];
};
enum { TEXT, DATA, INTERP, DYNAMIC, STACK };

static struct sample sample_make(void)
{
	struct sample s = { 0 };

	memcpy(s.header.e_ident, ELFMAG, SELFMAG);
	s.header.e_ident[EI_CLASS] = ELFCLASS64;
	s.header.e_ident[EI_DATA] = ELFDATA2LSB;
	s.header.e_ident[EI_VERSION] = s.header.e_version = EV_CURRENT;
	s.header.e_type = ET_DYN;
	s.header.e_machine = EM_X86_64;
	s.header.e_entry = 0x100;
	s.header.e_phoff = offsetof(struct sample, phdr);
	s.header.e_phnum = 5;
	s.header.e_phentsize = sizeof(Elf64_Phdr);
	s.phdr[TEXT] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = sizeof(s), .p_memsz = sizeof(s) };
	s.phdr[DATA] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 0x2000 + offsetof(struct sample, dynamic),
		.p_offset = offsetof(struct sample, dynamic), .p_filesz = sizeof(s.dynamic), .p_memsz = 0x3000 };
	s.phdr[INTERP] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = offsetof(struct sample, interp), .p_filesz = 8 };
	s.phdr[DYNAMIC] = (Elf64_Phdr){ .p_type = PT_DYNAMIC, .p_offset = offsetof(struct sample, dynamic), .p_filesz = sizeof(s.dynamic) };
	s.phdr[STACK] = (Elf64_Phdr){ .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W };
	memcpy(s.interp, "/lib/ld", 8);
	s.dynamic[0] = (Elf64_Dyn){ DT_STRTAB, { offsetof(struct sample, strings) } };
	s.dynamic[1] = (Elf64_Dyn){ DT_STRSZ, { sizeof(s.strings) } };
	s.dynamic[2] = (Elf64_Dyn){ DT_NEEDED, { 1 } };
	s.dynamic[3] = (Elf64_Dyn){ DT_NEEDED, { 11 } };
	s.dynamic[4] = (Elf64_Dyn){ DT_RUNPATH, { 21 } };
	memcpy(s.strings, "\0libone.so\0libtwo.so\0/opt/lib", 30);
	return s;
}

/* Parses a copy of exactly this size on the heap, so that ASan sees a byte too far. */
static int parse_size(const struct sample *s, size_t size, struct elf *elf, const char **why)
{
	static void *copy;

	free(copy);
	copy = malloc(size ? size : 1);
	memcpy(copy, s, size);
	*why = NULL;
	return elf_parse(elf, copy, size, why);
}

static void expect(const struct sample *s, size_t size, int error, const char *part)
{
	const char *why;
	struct elf elf;

	assert_int_equal(parse_size(s, size, &elf, &why), error);
	assert_non_null(why);
	if (!strstr(why, part))
		fail_msg("expected \"%s\", got \"%s\"", part, why);
}

static int collect(void *context, const char *name)
{
	strcat(context, name);
	strcat(context, " ");
	return 0;
}

static void test_good(void **state)
{
	struct sample s = sample_make();
	char names[64] = "";
	const char *why;
	struct elf elf;

	assert_int_equal(parse_size(&s, sizeof(s), &elf, &why), 0);
	assert_true(elf.pie);
	assert_string_equal(elf.interp, "/lib/ld");
	assert_int_equal(elf.loads, 2);
	assert_int_equal(elf.low, 0);
	assert_int_equal(elf.high, 0x6000);
	assert_int_equal(elf.phdr_vaddr, offsetof(struct sample, phdr));
	assert_int_equal(elf.stack_flags, PF_R | PF_W);
	assert_int_equal(elf_needed(&elf, collect, names), 0);
	assert_string_equal(names, "libone.so libtwo.so ");
	assert_string_equal(elf_runpath(&elf), "/opt/lib");
	assert_true(elf_mentions(&elf, "libtwo.so"));
	assert_true(elf_mentions(&elf, "two.so")); /* the end of a longer name */
	assert_false(elf_mentions(&elf, "libtwo"));
	assert_false(elf_mentions(&elf, "libthree.so"));
	assert_null(elf_symbol(&elf, 0x100, NULL));
	assert_int_equal(elf_symbol_value(&elf, "main"), 0);
}

static void test_not_elf(void **state)
{
	struct sample s = sample_make();

	expect(&s, 0, -ENOEXEC, "not an ELF file");
	expect(&s, 3, -ENOEXEC, "not an ELF file");
	expect(&s, 40, -ENOEXEC, "shorter than its header");
	s.header.e_ident[1] = 'X';
	expect(&s, sizeof(s), -ENOEXEC, "not an ELF file");
}

static void test_other_machine(void **state)
{
	struct sample s = sample_make();

	s.header.e_machine = EM_AARCH64;
	expect(&s, sizeof(s), -EXDEV, "another processor architecture");
	s.header.e_ident[EI_DATA] = ELFDATA2MSB;
	expect(&s, sizeof(s), -EXDEV, "big-endian");
	s.header.e_ident[EI_CLASS] = ELFCLASS32;
	expect(&s, sizeof(s), -EXDEV, "32-bit");
}

static void test_types(void **state)
{
	struct sample s = sample_make();

	s.header.e_type = ET_REL;
	expect(&s, sizeof(s), -ENOEXEC, "relocatable object");
	s.header.e_type = ET_CORE;
	expect(&s, sizeof(s), -ENOEXEC, "core dump");
	s.header.e_type = 77;
	expect(&s, sizeof(s), -ENOEXEC, "unknown type");
	s = sample_make();
	s.header.e_version = 2;
	expect(&s, sizeof(s), -ENOEXEC, "unknown version");
}

static void test_program_headers(void **state)
{
	struct sample s = sample_make();

	s.header.e_phoff = sizeof(s);
	expect(&s, sizeof(s), -ENOEXEC, "program headers lie beyond");
	s.header.e_phoff = ~0ull - 8;
	expect(&s, sizeof(s), -ENOEXEC, "program headers lie beyond");
	s = sample_make();
	s.header.e_phnum = 0;
	expect(&s, sizeof(s), -ENOEXEC, "without program headers");
	s.header.e_phnum = 0xffff;
	expect(&s, sizeof(s), -ENOEXEC, "size or number");
	s = sample_make();
	s.header.e_phentsize = 32;
	expect(&s, sizeof(s), -ENOEXEC, "size or number");
}

static void test_segments(void **state)
{
	struct sample s = sample_make();

	expect(&s, sizeof(s) - 1, -ENOEXEC, "segment lies beyond");
	s.phdr[TEXT].p_offset = ~0ull;
	expect(&s, sizeof(s), -ENOEXEC, "segment lies beyond");
	s = sample_make();
	s.phdr[TEXT].p_memsz = s.phdr[TEXT].p_filesz - 1;
	expect(&s, sizeof(s), -ENOEXEC, "larger in the file");
	s = sample_make();
	s.phdr[DATA].p_memsz = ~0ull;
	expect(&s, sizeof(s), -ENOEXEC, "outside the address space");
	s.phdr[DATA].p_vaddr = 1ull << 63;
	expect(&s, sizeof(s), -ENOEXEC, "outside the address space");
	s = sample_make();
	s.phdr[DATA].p_vaddr++;
	expect(&s, sizeof(s), -ENOEXEC, "do not agree");
	s = sample_make();
	s.phdr[TEXT].p_memsz = 0x2001;
	expect(&s, sizeof(s), -ENOEXEC, "overlap");
	s = sample_make();
	s.phdr[TEXT].p_vaddr = 0x10000;
	s.header.e_entry += 0x10000;
	expect(&s, sizeof(s), -ENOEXEC, "ascending order");
	s = sample_make();
	s.phdr[TEXT].p_type = s.phdr[DATA].p_type = PT_NOTE;
	expect(&s, sizeof(s), -ENOEXEC, "without anything to load");
}

static void test_entry(void **state)
{
	struct sample s = sample_make();

	s.header.e_entry = s.phdr[DATA].p_vaddr;
	expect(&s, sizeof(s), -ENOEXEC, "entry point");
	s.header.e_entry = 0x800000;
	s.header.e_type = ET_EXEC;
	expect(&s, sizeof(s), -ENOEXEC, "entry point");
}

static void test_interp(void **state)
{
	struct sample s = sample_make();

	s.phdr[INTERP].p_filesz = 7;
	expect(&s, sizeof(s), -ENOEXEC, "not a path");
	s.phdr[INTERP].p_filesz = 1;
	expect(&s, sizeof(s), -ENOEXEC, "not a path");
	s.phdr[INTERP].p_offset = 0xffffffff;
	expect(&s, sizeof(s), -ENOEXEC, "interpreter's name lies beyond");
	s = sample_make();
	s.phdr[STACK] = s.phdr[INTERP];
	expect(&s, sizeof(s), -ENOEXEC, "more than one interpreter");
}

static void test_dynamic(void **state)
{
	struct sample s = sample_make();
	char names[64] = "";
	const char *why;
	struct elf elf;

	s.phdr[DYNAMIC].p_filesz = ~0ull;
	expect(&s, sizeof(s), -ENOEXEC, "dynamic section lies beyond");
	s = sample_make();
	s.dynamic[2].d_un.d_val = 1000;
	assert_int_equal(parse_size(&s, sizeof(s), &elf, &why), 0);
	assert_int_equal(elf_needed(&elf, collect, names), -ENOEXEC);
	s = sample_make();
	s.dynamic[0].d_un.d_ptr = 0x7000000;
	assert_int_equal(parse_size(&s, sizeof(s), &elf, &why), 0);
	assert_int_equal(elf_needed(&elf, collect, names), -ENOEXEC);
	assert_null(elf_runpath(&elf));
	/* strings that are not terminated before the end of the table */
	s = sample_make();
	memset(s.strings + 1, 'x', sizeof(s.strings) - 1);
	assert_int_equal(parse_size(&s, sizeof(s), &elf, &why), 0);
	assert_int_equal(elf_needed(&elf, collect, names), -ENOEXEC);
}

static int stop_at_second(void *context, const char *name)
{
	return ++*(int *)context == 2 ? 42 : 0;
}

static void test_needed_stops(void **state)
{
	struct sample s = sample_make();
	const char *why;
	struct elf elf;
	int calls = 0;

	assert_int_equal(parse_size(&s, sizeof(s), &elf, &why), 0);
	assert_int_equal(elf_needed(&elf, stop_at_second, &calls), 42);
	assert_int_equal(calls, 2);
}

/* ---- real files ---- */

static void *read_whole(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	char *data;

	if (!f)
		return NULL;
	fseek(f, 0, SEEK_END);
	*size = ftell(f);
	rewind(f);
	data = malloc(*size);
	assert_int_equal(fread(data, 1, *size, f), *size);
	fclose(f);
	return data;
}

static void test_real_files(void **state)
{
	static const char *const paths[] = { "/bin/true", "/bin/sh", "/proc/self/exe", "/lib64/ld-linux-x86-64.so.2", "/bin/busybox" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		size_t size = 0;
		void *data = strcmp(paths[i], "/proc/self/exe") ? read_whole(paths[i], &size) : NULL;
		const char *why = "";
		struct elf elf;

		if (!data)
			continue;
		if (elf_parse(&elf, data, size, &why))
			fail_msg("%s: %s", paths[i], why);
		assert_true(elf.loads > 0 && elf.phdr_vaddr && elf.high > elf.low);
		free(data);
	}
}

__attribute__((noinline)) static void a_function_with_this_name(void)
{
	__asm__ volatile("nop; nop");
}

static void test_own_symbols(void **state)
{
	char path[256];
	size_t size = 0;
	uint64_t value, offset = 0;
	const char *why, *name;
	void *data;
	struct elf elf;

	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	assert_true(n > 0);
	path[n] = 0;
	a_function_with_this_name();
	data = read_whole(path, &size);
	assert_non_null(data);
	assert_int_equal(elf_parse(&elf, data, size, &why), 0);
	value = elf_symbol_value(&elf, "a_function_with_this_name");
	assert_true(value != 0);
	name = elf_symbol(&elf, value + 1, &offset);
	assert_non_null(name);
	assert_string_equal(name, "a_function_with_this_name");
	assert_int_equal(offset, 1);
	free(data);
}

/* Nothing in a damaged file may make the reader look outside of it. */
static void try_all(const uint8_t *data, size_t size)
{
	int calls = -1000000;
	uint64_t offset;
	const char *why;
	struct elf elf;

	if (elf_parse(&elf, data, size, &why))
		return;
	elf_needed(&elf, stop_at_second, &calls);
	elf_runpath(&elf);
	elf_mentions(&elf, "no such symbol");
	elf_symbol(&elf, elf.entry, &offset);
	elf_symbol_value(&elf, "no such symbol");
}

static void damage(uint8_t *data, size_t size, size_t from, size_t to)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

	for (size_t i = from; i < to && i < size; i++) {
		uint8_t old = data[i];

		for (size_t v = 0; v < sizeof(values); v++) {
			data[i] = values[v];
			try_all(data, size);
		}
		data[i] = old;
	}
}

static void test_damaged(void **state)
{
	struct sample s = sample_make();
	uint8_t *copy = malloc(sizeof(s));
	size_t size = 0;
	uint8_t *real = read_whole("/bin/true", &size);
	Elf64_Ehdr header;

	memcpy(copy, &s, sizeof(s));
	damage(copy, sizeof(s), 0, sizeof(s));
	free(copy);
	for (size_t n = 0; n < sizeof(s); n++) {
		copy = malloc(n + 1);
		memcpy(copy, &s, n);
		try_all(copy, n);
		free(copy);
	}
	if (!real)
		return;
	memcpy(&header, real, sizeof(header));
	damage(real, size, 0, header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr));
	damage(real, size, header.e_shoff, size);
	free(real);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_not_elf), cmocka_unit_test(test_other_machine),
		cmocka_unit_test(test_types), cmocka_unit_test(test_program_headers), cmocka_unit_test(test_segments),
		cmocka_unit_test(test_entry), cmocka_unit_test(test_interp), cmocka_unit_test(test_dynamic),
		cmocka_unit_test(test_needed_stops), cmocka_unit_test(test_real_files), cmocka_unit_test(test_own_symbols),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
