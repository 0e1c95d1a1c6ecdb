/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page-table KVM takes a fault, as dear as a system call that traps, for a page that a guest touches first; or for eight neighbours at once, but only those that the host has there and
 * may write. What lies in the image is neither. So one start of an image is watched, and the next ones have copies of their own of the pages of the image that it touched, and the pages
 * of memory that it wrote, before they run: many with one call, and eight with each fault. A list that is wrong costs memory or time, and nothing else: it may say anything, and
 * names pages of this guest or is passed over. docs/prefault.md has what it costs.
 */
#include "vmm/libos/libos_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/log.h"
#include "vmm/state/page_runs.h"
#include "vmm/state/ram_track.h"
#include "vmm/state/stream.h"
#include "vmm/vm.h"

#define TAG STREAM_TAG("PRE ")
#define VERSION 2
#define COPIES_MOST ((32ull << 20) / LV_PAGE) /* of pages of the image; and an eighth of the memory that the VM may have */
#define NEAR_IMAGE 4u /* KVM looks at eight neighbours, and stops at the first that is not there */
#define NEAR_RAM 2u
#define GROUP 8u

struct span { /* of guest addresses */
	uint64_t from, to;
};

/* The image lies in one piece or in two: what has room in the first slot, and what comes before it. */
static unsigned image_spans(const struct vm *vm, struct span span[2])
{
	const uint64_t from = LV_IMAGE(vm->libos.image_size), to = from + ((vm->libos.image_size + LV_PAGE - 1) & ~(LV_PAGE - 1)), seam = LV_BASE - vm->libos.room;
	unsigned count = 0;
	if (!vm->libos.image_size)
		return 0;
	if (from < seam)
		span[count++] = (struct span){ from, to < seam ? to : seam };
	if (to > seam)
		span[count++] = (struct span){ from > seam ? from : seam, to };
	return count;
}

/* Behind it memory comes in large pages. */
static struct span window_span(const struct vm *vm)
{
	return (struct span){ LV_BASE, LV_RAM + (vm->ram_size < LV_RAM_SMALL ? vm->ram_size : LV_RAM_SMALL) };
}

static uint8_t *host_at(const struct vm *vm, uint64_t gpa)
{
	return gpa < LV_BASE - vm->libos.room ? vm->libos.image + (gpa - LV_IMAGE(vm->libos.image_size)) : libos_at(vm, gpa);
}

static bool within(const struct span *span, const struct page_run *run)
{
	const uint64_t from = run->first * LV_PAGE;
	return from >= span->from && from < span->to && run->pages <= (span->to - from) / LV_PAGE;
}

static bool is_of_image(const struct vm *vm, const struct page_run *run)
{
	struct span span[2];
	const unsigned count = image_spans(vm, span);
	return (count > 0 && within(&span[0], run)) || (count > 1 && within(&span[1], run));
}

/* What a list is good for: memory is used alike by one build of libos, with the same image. */
static void put_head(const struct vm *vm, struct stream *stream)
{
	stream_begin(stream, TAG, VERSION);
	stream_put(stream, vm->status.record.libos_build, LV_BUILD_ID);
	stream_put64(stream, vm->libos.image_size);
}

static void get_head(const struct vm *vm, struct stream *stream)
{
	uint8_t build[LV_BUILD_ID];
	stream_begin(stream, TAG, VERSION);
	stream_get(stream, build, sizeof(build));
	if (stream_get64(stream) != vm->libos.image_size || memcmp(build, vm->status.record.libos_build, sizeof(build)) != 0)
		stream_refuse(stream);
}

/* ---- a start that is watched ---- */

static void look(const struct vm *vm, struct page_runs *runs, const struct span *span, bool own)
{
	const struct page_place place = { .hva = host_at(vm, span->from), .first = (uint32_t)(span->from / LV_PAGE), .pages = (span->to - span->from) / LV_PAGE,
					  .near = own ? NEAR_RAM : NEAR_IMAGE, .own = own };
	if (page_runs_look(runs, &place, vm->save.pagemap))
		runs->count = 0;
}

static unsigned count_cpuid(const uint8_t *page)
{
	unsigned count = 0;
	for (const uint8_t *at = page; (at = memmem(at, (size_t)(page + LV_PAGE - at), "\x0f\xa2", 2)); at += 2)
		count++;
	return count;
}

/*
 * The pages that have the most of the two bytes that are CPUID, and more than one: a program's start asks many times in a few pages, and the bytes are found elsewhere by chance.
 * A place that is not taken is page 0.
 */
static void find_cpuid(const struct vm *vm, const struct page_runs *runs, uint32_t page[LV_CPUID_PAGES])
{
	unsigned count[LV_CPUID_PAGES] = { 0 };
	for (unsigned i = 0; i < runs->count; i++) {
		for (uint32_t n = 0; is_of_image(vm, &runs->run[i]) && n < runs->run[i].pages; n++) {
			const uint32_t at = runs->run[i].first + n;
			const unsigned found = count_cpuid(host_at(vm, at * LV_PAGE));
			unsigned place = LV_CPUID_PAGES;
			for (; place && found > count[place - 1]; place--)
				if (place < LV_CPUID_PAGES) {
					count[place] = count[place - 1];
					page[place] = page[place - 1];
				}
			if (place < LV_CPUID_PAGES && found > 1) {
				count[place] = found;
				page[place] = at;
			}
		}
	}
}

static void put_cpuid(const struct vm *vm, const struct page_runs *runs, struct stream *stream)
{
	uint32_t page[LV_CPUID_PAGES] = { 0 };
	find_cpuid(vm, runs, page);
	for (unsigned i = 0; i < LV_CPUID_PAGES; i++)
		stream_put32(stream, page[i]);
}

static void write_list(const struct vm *vm, const struct page_runs *runs)
{
	uint8_t *bytes = malloc(PAGE_RUNS_FILE);
	struct stream stream = stream_writer(bytes, PAGE_RUNS_FILE);
	if (!bytes)
		return;
	put_head(vm, &stream);
	put_cpuid(vm, runs, &stream);
	page_runs_put(runs, &stream);
	/* Half a list has the wrong checksum. */
	if (!stream_end(&stream) && pwrite(vm->config->prefault_fd, bytes, stream.at, 0) != (ssize_t)stream.at)
		log_debug("which pages the start touched is not kept: %s", strerror(errno));
	free(bytes);
}

/* Without this the host maps a file's pages sixteen at a time, and nobody knows which of them the guest touched. */
static void watch(struct vm *vm)
{
	struct ram_track *track = &vm->libos.prefault.track;
	struct span span[2];
	bool can = !ram_track_open(track);
	for (unsigned i = 0, count = image_spans(vm, span); can && i < count; i++)
		can = !ram_track_cover(track, host_at(vm, span[i].from), span[i].to - span[i].from);
	vm->libos.prefault.watched = can;
	if (!can)
		ram_track_close(track);
}

/* The guest has asked the monitor for a copy (LV_HC_FETCH): the pages of the image that it is made from are none that the guest touches. */
bool libos_prefault_read(struct vm *vm, void *to, uint64_t gpa, uint64_t len)
{
	const struct page_run run = { .first = (uint32_t)(gpa / LV_PAGE), .pages = (uint32_t)((len + LV_PAGE - 1) / LV_PAGE) };
	if (!vm->libos.prefault.watched || !is_of_image(vm, &run))
		return false;
	return pread(vm->config->image_fd, to, len, (off_t)(gpa - LV_IMAGE(vm->libos.image_size))) == (ssize_t)len;
}

void libos_prefault_started(struct vm *vm)
{
	struct page_runs *runs = vm->libos.prefault.watched && vm->save.pagemap >= 0 ? malloc(sizeof(*runs)) : NULL;
	const struct span window = window_span(vm);
	struct span span[2];
	if (!vm->libos.prefault.watched)
		return;
	vm->libos.prefault.watched = false;
	if (runs) {
		runs->count = 0;
		for (unsigned i = 0, count = image_spans(vm, span); i < count; i++)
			look(vm, runs, &span[i], false);
		look(vm, runs, &window, true);
		if (runs->count)
			write_list(vm, runs);
	}
	free(runs);
	ram_track_close(&vm->libos.prefault.track);
	close(vm->config->prefault_fd);
	close(vm->config->image_fd);
}

/* ---- those after it ---- */

static void get_cpuid(const struct vm *vm, uint32_t page[LV_CPUID_PAGES], struct stream *stream)
{
	for (unsigned i = 0; i < LV_CPUID_PAGES; i++) {
		page[i] = stream_get32(stream);
		if (page[i] && !is_of_image(vm, &(struct page_run){ .first = page[i], .pages = 1 }))
			stream_refuse(stream);
	}
}

static int read_list(const struct vm *vm, struct page_runs *runs, uint32_t cpuid[LV_CPUID_PAGES])
{
	const int fd = vm->config->prefault_fd;
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > (off_t)PAGE_RUNS_FILE)
		return -ENOENT;
	uint8_t *bytes = malloc((size_t)st.st_size);
	int err = !bytes ? -ENOMEM : pread(fd, bytes, (size_t)st.st_size, 0) != st.st_size ? -EIO : 0;
	if (!err) {
		struct stream stream = stream_reader(bytes, (size_t)st.st_size);
		get_head(vm, &stream);
		get_cpuid(vm, cpuid, &stream);
		page_runs_get(runs, &stream);
		err = stream_end(&stream); /* behind it may be the rest of a longer one */
	}
	free(bytes);
	return err;
}

/* Written by the host, that is copied; and to be written further, or KVM would not take it with its neighbours. Nobody else sees what the guest may write there. */
static void copy(struct vm *vm, const struct page_run *run)
{
	uint8_t *at = host_at(vm, run->first * LV_PAGE);
	const size_t len = run->pages * LV_PAGE;
	if (!mprotect(at, len, PROT_READ | PROT_WRITE))
		madvise(at, len, MADV_POPULATE_WRITE);
}

/*
 * KVM takes the neighbours of an aligned group of eight from its first on, up to one that is not there: so what comes before several pages in a row comes with them. Memory lies in a
 * program's groups as it does in ours; the image anyhow.
 */
static struct page_run with_group(const struct page_runs *runs, unsigned i, bool of_image)
{
	const struct page_run *run = &runs->run[i];
	const uint32_t end = i ? runs->run[i - 1].first + runs->run[i - 1].pages : 0, most = of_image ? GROUP - 1 : run->first % GROUP;
	const uint32_t before = run->pages < 2 ? 0 : run->first - end < most ? run->first - end : most;
	return (struct page_run){ run->first - before, run->pages + before };
}

static void have(struct vm *vm, const struct page_runs *runs)
{
	const uint64_t eighth = vm->ram_limit / LV_PAGE / 8;
	uint64_t left = eighth < COPIES_MOST ? eighth : COPIES_MOST;
	const struct span window = window_span(vm);
	for (unsigned i = 0; i < runs->count; i++) {
		const bool of_image = is_of_image(vm, &runs->run[i]);
		const struct page_run wider = with_group(runs, i, of_image), run = within(&window, &wider) || is_of_image(vm, &wider) ? wider : runs->run[i];
		if (of_image && run.pages <= left) {
			copy(vm, &run);
			left -= run.pages;
		} else if (within(&window, &run)) {
			libos_populate(vm, run.first * LV_PAGE, (run.first + (uint64_t)run.pages) * LV_PAGE);
		}
	}
}

void libos_prefault(struct vm *vm)
{
	const struct machine_config *config = vm->config;
	struct page_runs *runs = config->prefault_fd >= 0 && (config->prefault_always || kvm_known_kind(vm) == 0) ? malloc(sizeof(*runs)) : NULL;
	uint32_t cpuid[LV_CPUID_PAGES];
	if (runs && vm->libos.shared_end > vm->libos.hot_end)
		libos_populate(vm, vm->libos.hot_end, vm->libos.shared_end);
	if (runs && !read_list(vm, runs, cpuid)) {
		have(vm, runs);
		for (unsigned i = 0; i < LV_CPUID_PAGES; i++)
			vm->libos.shared->cpuid_page[i] = cpuid[i] * LV_PAGE;
	} else if (runs) {
		watch(vm);
	}
	free(runs);
}
