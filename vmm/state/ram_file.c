/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/state/ram_file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; not in every C library's header yet */
#endif
#define PAGE 4096ull
#define STEP_WRITTEN (1ull << 20)
#define STEP_LOOKS (8ull << 20)
#define GAP (64ull << 10)  /* a hole that is worth a mapping of its own: what is written there needs no copy of a page of the file */
#define MAPS_MOST 512u     /* of one file; beyond, holes are mapped too. A process may have 65,530 */

/* ---- what is saved of a slot ---- */

static struct mem_slot saved_part(const struct mem_slot *slot)
{
	const uint64_t skip = slot->kind == MEM_IMAGE ? slot->len : slot->image;

	return (struct mem_slot){ .gpa = slot->gpa + skip, .len = slot->len - skip, .hva = slot->hva + skip };
}

gpa_t ram_file_base(const struct mem *mem)
{
	gpa_t base = UINT64_MAX;

	for (unsigned i = 0; i < mem->slot_count; i++) {
		struct mem_slot part = saved_part(&mem->slot[i]);

		if (part.len && part.gpa < base)
			base = part.gpa;
	}
	return base;
}

static uint64_t size_of(const struct mem *mem, unsigned slots)
{
	gpa_t base = ram_file_base(mem), end = base;

	for (unsigned i = 0; i < slots; i++) {
		struct mem_slot part = saved_part(&mem->slot[i]);

		if (part.len && part.gpa + part.len > end)
			end = part.gpa + part.len;
	}
	return end - base;
}

uint64_t ram_file_size(const struct mem *mem)
{
	return size_of(mem, mem->slot_count);
}

/* ---- saving ---- */

int ram_file_begin(struct ram_file *file, const struct mem *mem, int pagemap, int fd)
{
	*file = (struct ram_file){ .mem = mem, .pagemap = pagemap, .fd = fd, .base = ram_file_base(mem), .slots = __atomic_load_n(&mem->slot_count, __ATOMIC_ACQUIRE) };
	return ftruncate(fd, size_of(mem, file->slots)) < 0 ? -errno : 0;
}

int ram_file_begin_difference(struct ram_file *file, const struct mem *mem, int pagemap, int fd)
{
	bool known = mem->file_count > 0;

	for (unsigned i = 0; i < mem->file_count; i++)
		known &= mem->file[i].fd >= 0;
	int err = ram_file_begin(file, mem, pagemap, fd);
	file->difference = true;
	return known ? err : -EOPNOTSUPP;
}

/* What has been mapped in place of something since the look before is covered, too. */
int ram_file_begin_look(struct ram_file *file, const struct mem *mem, int pagemap, int fd, struct ram_track *track)
{
	int err = ram_file_begin(file, mem, pagemap, fd);

	file->track = track;
	file->again = track->pages;
	if (!err)
		err = ram_track_extend(track, size_of(mem, file->slots) / PAGE);
	for (unsigned i = 0; !err && i < file->slots; i++) {
		const struct mem_slot part = saved_part(&mem->slot[i]);

		err = part.len ? ram_track_cover(track, part.hva, part.len) : 0;
	}
	return err;
}

void ram_file_end(struct ram_file *file)
{
	ram_runs_free(&file->runs);
}

/* The next data, or hole, from offset on. Where it cannot be told, it is here. */
static uint64_t seek(int fd, uint64_t offset, int whence)
{
	off_t found = lseek(fd, (off_t)offset, whence);

	return found >= 0 ? (uint64_t)found : errno == ENXIO ? UINT64_MAX : offset;
}

/* Has file number i data at this page? Data and holes are asked for once each. */
static bool has_data(struct ram_file *file, unsigned i, uint64_t offset)
{
	const int fd = file->mem->file[i].fd;

	if (offset >= file->behind[i].known && offset < file->behind[i].until)
		return file->behind[i].data;
	file->behind[i].known = offset;
	file->behind[i].until = seek(fd, offset, SEEK_DATA) & ~(PAGE - 1);
	file->behind[i].data = file->behind[i].until <= offset;
	if (file->behind[i].data)
		file->behind[i].until = seek(fd, offset + PAGE, SEEK_HOLE);
	return file->behind[i].data;
}

/* Lies a file behind it that has data there, or of which it is not known any more? */
static bool data_behind(struct ram_file *file, const uint8_t *hva)
{
	const struct mem *mem = file->mem;
	bool is = false;

	for (unsigned i = 0; !is && i < mem->file_count; i++) {
		const struct mem_file *behind = &mem->file[i];

		if (hva >= behind->hva && hva < behind->hva + behind->len)
			is = behind->fd < 0 || has_data(file, i, behind->offset + (uint64_t)(hva - behind->hva));
	}
	return is;
}

static bool is_zero(const uint8_t *page)
{
	const uint64_t *word = (const uint64_t *)page;
	uint64_t any = 0;

	for (unsigned i = 0; i < PAGE / sizeof(*word) && !any; i += 8)
		any = word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] | word[i + 6] | word[i + 7];
	return !any;
}

static bool is_own(uint64_t entry)
{
	return entry & (RAM_PAGE_PRESENT | RAM_PAGE_SWAPPED) && !(entry & RAM_PAGE_FILE);
}

enum kind { LEFT_OUT, ZERO, WRITTEN };

/* In another look: the guest's own, unless it is protected still. Whatever else is not, was given back, if a look before had it. */
static enum kind kind_again(const struct ram_file *file, uint64_t entry, const uint8_t *hva, uint64_t page)
{
	const bool sent = ram_track_sent(file->track, page);

	if (entry & RAM_PAGE_GUARDED || (!is_own(entry) && !sent))
		return LEFT_OUT;
	return !is_zero(hva) ? WRITTEN : sent ? ZERO : LEFT_OUT;
}

/*
 * Written is what is the guest's own, or a file's, and not zero. Of what changed: what is the guest's own, as all is that was written since, and not zero; what is zero, where a
 * file has data, is told.
 */
static enum kind kind_of(struct ram_file *file, uint64_t entry, const uint8_t *hva)
{
	const bool own = is_own(entry);
	const bool behind = (!own || file->difference) && data_behind(file, hva);

	if (!own && !behind)
		return LEFT_OUT;
	if (is_zero(hva))
		return file->difference && behind ? ZERO : LEFT_OUT;
	return own || !file->difference ? WRITTEN : LEFT_OUT;
}

static int write_run(struct ram_file *file, const uint8_t *hva, uint64_t len, uint64_t offset)
{
	file->pages += len / PAGE;
	while (len) {
		ssize_t n = pwrite(file->fd, hva, len, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		n = n < 0 ? 0 : n;
		hva += n;
		len -= n;
		offset += n;
	}
	return 0;
}

/* Before it is read: what is written to it afterwards is another look's. What is protected already was not written. */
static int protect_pages(struct ram_file *file, uint8_t *hva, uint64_t pages)
{
	uint64_t run = 0;
	int err = 0;

	for (uint64_t i = 0; i <= pages && !err; i++) {
		const bool its = i < pages && !(file->entry[i] & RAM_PAGE_GUARDED) && (is_own(file->entry[i]) || (!file->again && data_behind(file, hva + i * PAGE)));

		if (!its && run)
			err = ram_track_protect(file->track, hva + (i - run) * PAGE, run * PAGE);
		run = its ? run + 1 : 0;
	}
	return err;
}

/* How it is to be written down, and, of a look, that it is. */
static enum kind take_page(struct ram_file *file, uint64_t entry, const uint8_t *hva, uint64_t page)
{
	enum kind kind = file->again ? kind_again(file, entry, hva, page) : kind_of(file, entry, hva);

	if (file->track && kind != LEFT_OUT)
		ram_track_note(file->track, page, kind == WRITTEN);
	return kind;
}

/* So many pages from hva on, which belong at offset. A zero that is told of is not read again: the page may have another value by then. */
static int write_pages(struct ram_file *file, const uint8_t *hva, uint64_t pages, uint64_t offset)
{
	static const uint8_t zeroes[PAGE];
	uint64_t run = 0; /* pages before i that are to be written, and are not yet */
	int err = 0;

	for (uint64_t i = 0; i <= pages && !err; i++) {
		enum kind kind = i < pages ? take_page(file, file->entry[i], hva + i * PAGE, offset / PAGE + i) : LEFT_OUT;

		if (kind != LEFT_OUT && file->difference)
			err = ram_runs_add(&file->runs, offset / PAGE + i);
		if (kind == WRITTEN) {
			run++;
		} else if (run && !err) {
			err = write_run(file, hva + (i - run) * PAGE, run * PAGE, offset + (i - run) * PAGE);
			run = 0;
		}
		if (kind == ZERO && file->track && !err)
			err = write_run(file, zeroes, PAGE, offset + i * PAGE);
	}
	return err;
}

static int look(struct ram_file *file, const struct mem_slot *part)
{
	uint64_t left = (part->len - file->at) / PAGE, pages = left < RAM_FILE_BATCH ? left : RAM_FILE_BATCH;
	uint8_t *hva = part->hva + file->at;
	const size_t size = pages * sizeof(file->entry[0]);
	ssize_t n = pread(file->pagemap, file->entry, size, (off_t)((uintptr_t)hva / PAGE * sizeof(file->entry[0])));

	if (n != (ssize_t)size)
		return n < 0 ? -errno : -EIO;
	int err = file->track ? protect_pages(file, hva, pages) : 0;
	if (!err)
		err = write_pages(file, hva, pages, part->gpa + file->at - file->base);
	file->at += pages * PAGE;
	return err;
}

int ram_file_step(struct ram_file *file)
{
	const uint64_t before = file->pages;
	int err = 0;

	for (uint64_t looked = 0; !err && looked < STEP_LOOKS && (file->pages - before) * PAGE < STEP_WRITTEN; looked += RAM_FILE_BATCH * PAGE) {
		if (file->slot == file->slots)
			return file->difference ? ram_runs_write(&file->runs, file->fd, size_of(file->mem, file->slots)) : 0;
		struct mem_slot part = saved_part(&file->mem->slot[file->slot]);
		if (file->at < part.len) {
			err = look(file, &part);
		} else {
			file->slot++;
			file->at = 0;
		}
	}
	return err ? err : 1;
}

/* ---- restoring ---- */

static int map(uint8_t *hva, uint64_t size, int fd, uint64_t offset)
{
	const int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);

	return size && mmap(hva, size, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset) == MAP_FAILED ? -errno : 0;
}

/* The next piece of data that begins in [at, end), with what follows it after holes that are not worth a gap. *from = end: there is none. */
static int next_data(int fd, uint64_t at, uint64_t end, uint64_t gap, uint64_t *from, uint64_t *to)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

	*from = *to = end;
	if (data < 0)
		return errno == ENXIO ? 0 : -errno;
	if ((uint64_t)data >= end)
		return 0;
	*from = (uint64_t)data & ~(PAGE - 1);
	do {
		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		data = lseek(fd, hole, SEEK_DATA);
		if (data < 0 && errno != ENXIO)
			return -errno;
	} while (data >= 0 && (uint64_t)(data - hole) < gap && (uint64_t)data < end);
	*to = ((uint64_t)hole + PAGE - 1) & ~(PAGE - 1);
	if (*to > end)
		*to = end;
	return 0;
}

int ram_file_map(uint8_t *hva, uint64_t size, int fd, uint64_t offset)
{
	const uint64_t end = offset + size;
	uint64_t from, to = offset;
	int err = map(hva, size, -1, 0);

	for (unsigned maps = 0; !err && to < end; maps++) {
		err = next_data(fd, to, end, maps < MAPS_MOST ? GAP : UINT64_MAX, &from, &to);
		if (!err)
			err = map(hva + (from - offset), to - from, fd, from);
	}
	return err;
}

void ram_file_copy(uint8_t *hva, uint64_t size, int fd, uint64_t offset)
{
	const uint64_t end = offset + size;
	uint64_t from, to = offset;

	while (to < end && next_data(fd, to, end, 0, &from, &to) == 0 && from < to)
		madvise(hva + (from - offset), to - from, MADV_POPULATE_WRITE);
}
