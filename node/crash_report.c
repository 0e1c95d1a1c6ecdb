/* SPDX-License-Identifier: Apache-2.0 */
#include "node/crash_report.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/layout.h"
#include "abi/libos_header.h"
#include "base/file.h"
#include "base/number.h"
#include "base/shown.h"
#include "node/node_paths.h"
#include "parse/elf.h"
#include "tinyx/image_file.h"

#define LIBOS_MAX (16u << 20)
#define TAIL_LINES 5
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

enum { REG_RSP = 7, REG_RIP = 16 };

/* Where names come from; both are optional. */
struct symbols {
	const struct lv_crash *crash;
	struct image image;
	bool has_image;
	char *libos;
	size_t libos_size;
};

/* Its build id stands in the header, which is where it is loaded first. */
static bool is_build(const char *libos, size_t size, const uint8_t *build)
{
	struct elf elf;
	struct lv_libos_header header;
	if (elf_parse(&elf, libos, size, NULL))
		return false;
	for (int i = 0; i < elf.loads; i++)
		if (elf.load[i].vaddr == LV_LIBOS && elf.load[i].filesz >= sizeof(header)) {
			memcpy(&header, libos + elf.load[i].offset, sizeof(header));
			return header.magic == LV_LIBOS_MAGIC && !memcmp(header.build.id, build, LV_BUILD_ID);
		}
	return false;
}

static void symbols_open(struct symbols *symbols, const struct lv_status *status, const struct lv_crash *crash, const char *image)
{
	*symbols = (struct symbols){ .crash = crash, .image = IMAGE_CLOSED };
	symbols->has_image = image && *image && !image_open(&symbols->image, image, NULL);
	char *path = paths_libos(NULL);
	if (path && file_read(AT_FDCWD, path, LIBOS_MAX, &symbols->libos, &symbols->libos_size))
		symbols->libos = NULL;
	free(path);
	/* Another one's names would be wrong, and look right. */
	if (symbols->libos && !is_build(symbols->libos, symbols->libos_size, status->libos_build)) {
		free(symbols->libos);
		symbols->libos = NULL;
	}
}

static void symbols_close(struct symbols *symbols)
{
	image_close(&symbols->image);
	free(symbols->libos);
}

/* The whole file as it lies in the image: image files are contiguous. */
static bool image_file(const struct symbols *symbols, const char *path, const uint8_t **data, size_t *size)
{
	struct erofs_inode inode;
	if (!symbols->has_image || erofs_walk(&symbols->image.fs, path, &inode) || erofs_map(&symbols->image.fs, &inode, 0, data, size))
		return false;
	return *data && *size >= inode.size;
}

static bool elf_name(const void *data, size_t size, uint64_t file_offset, uint64_t vaddr, struct text *out)
{
	struct elf elf;
	uint64_t offset;
	if (elf_parse(&elf, data, size, NULL))
		return false;
	for (int i = 0; i < elf.loads && !vaddr; i++)
		if (file_offset >= elf.load[i].offset && file_offset - elf.load[i].offset < elf.load[i].filesz)
			vaddr = elf.load[i].vaddr + (file_offset - elf.load[i].offset);
	const char *name = vaddr ? elf_symbol(&elf, vaddr, &offset) : NULL;
	if (!name)
		return false;
	text_format(out, "%.200s+0x%" PRIx64, name, offset);
	return true;
}

/* "  0x401136  main+0x16 (/bin/x)". A return address belongs to the call before it: looked up one byte earlier. */
static void put_address(const struct symbols *symbols, uint64_t address, bool is_return, struct text *out)
{
	const struct lv_crash *crash = symbols->crash;
	uint64_t at = address - is_return;
	text_format(out, "0x%016" PRIx64 "  ", address);
	if (at >= LV_LIBOS && at < LV_LIBOS_END) {
		if (!symbols->libos || !elf_name(symbols->libos, symbols->libos_size, 0, at, out))
			text_format(out, "+0x%" PRIx64, (uint64_t)(at - LV_LIBOS)); /* no names: another build is installed now, or none */
		text_put(out, " (libos)\n");
		return;
	}
	for (uint32_t i = 0; i < crash->maps && i < COUNT(crash->map); i++) {
		char path[sizeof(crash->map[i].path) + 1] = "";
		const uint8_t *data;
		size_t size;
		if (at < crash->map[i].start || at >= crash->map[i].end)
			continue;
		memcpy(path, crash->map[i].path, sizeof(crash->map[i].path));
		uint64_t offset = at - crash->map[i].start + crash->map[i].file_offset;
		if (!image_file(symbols, path, &data, &size) || !elf_name(data, size, offset, 0, out))
			text_format(out, "file offset 0x%" PRIx64, offset);
		text_format(out, " (%s)\n", path);
		return;
	}
	text_put(out, "in no file\n");
}

static const char *vector_name(uint64_t vector)
{
	static const char *const names[] = { "division error", "debug", "NMI", "breakpoint", "overflow", "bound", "invalid instruction",
		"no coprocessor", "double fault", "", "bad TSS", "segment missing", "stack segment", "general protection", "page fault", "",
		"x87 error", "misaligned access", "machine check", "SIMD error" };
	return vector < COUNT(names) ? names[vector] : "unknown vector";
}

static void put_what(const struct lv_crash *crash, struct text *out)
{
	char message[sizeof(crash->message) + 1] = "";
	memcpy(message, crash->message, sizeof(crash->message));
	if (crash->kind == LV_CRASH_LIBOS)
		text_format(out, "lightvm: the library OS found itself broken: %s\n", message[0] ? message : "no message");
	else
		text_format(out, "lightvm: the program died of %s%s%s\n", signal_name((int)crash->signal), message[0] ? ": " : "", message);
	if (crash->kind == LV_CRASH_LIBOS && !crash->vector)
		return;
	text_format(out, "what:   %s (vector %" PRIu64 ", error 0x%" PRIx64 ")", vector_name(crash->vector), crash->vector, crash->error);
	if (crash->vector == 14)
		text_format(out, ": %s address 0x%" PRIx64 ", which is %s", crash->error & 16 ? "executing" : crash->error & 2 ? "writing to" : "reading",
			    crash->cr2, crash->error & 1 ? "protected against that" : "not mapped");
	text_put(out, "\n");
}

static void put_registers(const struct lv_crash *crash, struct text *out)
{
	static const char *const names[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
		"r14", "r15", "rip", "rflags" };
	text_put(out, "registers:\n");
	for (size_t i = 0; i < COUNT(names); i++)
		text_format(out, "  %6s 0x%016" PRIx64 "%s", names[i], crash->reg[i], i % 3 == 2 ? "\n" : "");
}

static void put_tail(const struct lv_report *report, struct text *out)
{
	size_t size = report->tail_size < sizeof(report->tail) ? report->tail_size : sizeof(report->tail);
	while (size && report->tail[size - 1] == '\n')
		size--;
	if (!size)
		return;
	size_t start = size;
	for (int lines = 0; start; start--)
		if (report->tail[start - 1] == '\n' && ++lines == TAIL_LINES)
			break;
	text_put(out, "last output:\n  ");
	for (size_t i = start; i < size; i++) {
		text_add(out, &report->tail[i], 1);
		if (report->tail[i] == '\n')
			text_put(out, "  ");
	}
	text_put(out, "\n");
}

void crash_report(const struct lv_status *status, const struct lv_report *report, const char *image, struct text *out)
{
	const struct lv_crash *crash = &report->what.crash;
	struct symbols symbols;
	size_t start = out->size;
	symbols_open(&symbols, status, crash, image);
	put_what(crash, out);
	text_put(out, "where:  ");
	put_address(&symbols, crash->reg[REG_RIP], false, out);
	if (crash->frames)
		text_put(out, "stack:  return addresses, innermost first\n");
	for (uint32_t i = 0; i < crash->frames && i < COUNT(crash->stack); i++) {
		text_put(out, "        ");
		put_address(&symbols, crash->stack[i], true, out);
	}
	put_registers(crash, out);
	put_tail(report, out);
	symbols_close(&symbols);
	/* Messages, paths, symbols and output are the guest's. */
	if (out->size == start)
		return;
	out->size = start + text_shown(out->data + start, out->data + start, out->size - start, SHOWN_LINES, NULL);
	out->data[out->size] = 0;
}
