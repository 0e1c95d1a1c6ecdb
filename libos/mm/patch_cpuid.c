/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID leaves the VM, which costs 35 us and more on page-table KVM. The C library's dynamic linker asks 35 times whenever a program
 * starts. So its sites become jumps to libos (core/answer_cpuid.c), as call sites do. They are looked for where the monitor says that an earlier start of the image
 * found some; or else when it is loaded for the second time: that takes a look at each page of its code, and the first touch of a page costs so much that the
 * first program of a VM, often the only one, would not gain. What cannot be told for certain stays as it is.
 */
#include "libos/core/libos.h"
#include "libos/mm/mm.h"
#include "libos/mm/patch.h"
#include "libos/mm/patches.h"

#include <linux/mman.h>

#define SITES_MOST 40
#define TEXT_MOST (1ull << 20) /* bytes: no dynamic linker is larger */

/* Of the file that was loaded last. */
static struct {
	uint64_t image; /* where its code lies */
	bool looked_at;
	unsigned count;
	struct { uint32_t at, displaced; } site[SITES_MOST]; /* at: behind the CPUID, from where the code begins */
} known;

/* Is one of the eight bytes of the word a2, the seldom one of the two? */
static bool holds_a2(uint64_t word)
{
	uint64_t zero = word ^ 0xa2a2a2a2a2a2a2a2ull;

	return (zero - 0x0101010101010101ull) & ~zero & 0x8080808080808080ull;
}

static void look_at_page(const uint8_t *page, uint32_t offset)
{
	for (unsigned word = 0; word < LV_PAGE; word += 8) {
		if (!holds_a2(*(const uint64_t *)(page + word)))
			continue;
		for (unsigned at = MAX(word, 1u); at < word + 8; at++) {
			unsigned displaced = page[at] == 0xa2 && page[at - 1] == 0x0f ? patch_before_cpuid(page, at - 1) : 0;

			if (displaced && known.count < SITES_MOST) {
				known.site[known.count].at = offset + at + 1;
				known.site[known.count++].displaced = displaced;
			}
		}
	}
}

/* False: nothing was found there, and a look everywhere may be worth it yet. */
static bool look_where_told(uint64_t image, uint64_t len)
{
	for (unsigned i = 0; i < LV_CPUID_PAGES; i++) {
		uint64_t page = shared_page->cpuid_page[i];

		if (page < image || page - image >= len || page % LV_PAGE)
			continue;
		look_at_page((const uint8_t *)page, (uint32_t)(page - image));
	}
	return known.count;
}

void mm_patch_cpuid(uint64_t start)
{
	struct vma *vma = mm_find(start);
	uint64_t image = vma && vma->file && vma->end - vma->start <= TEXT_MOST ? vma->file->ops->map_page(vma->file, vma->offset, false) : 0;

	if (image < LV_WINDOW || image >= LV_BASE || vma->start != start || !(vma->prot & PROT_EXEC) || vma->prot & PROT_WRITE)
		return;
	if (known.image != image) {
		known.image = image;
		known.count = 0;
		known.looked_at = look_where_told(image, vma->end - start);
		if (!known.looked_at)
			return;
	}
	if (!known.looked_at) {
		known.looked_at = true;
		known.count = 0;
		for (uint64_t at = 0; at < vma->end - start; at += LV_PAGE) {
			const uint8_t *page = (const uint8_t *)vma->file->ops->map_page(vma->file, vma->offset + at, false);

			if (page)
				look_at_page(page, at);
		}
	}
	for (unsigned i = 0; i < known.count; i++)
		patch_cpuid(start + known.site[i].at, known.site[i].displaced);
}
