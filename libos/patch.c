/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SYSCALL instruction that traps costs 22 us, a jump 0.1. So where "mov $nr,%eax; syscall" traps often, it becomes
 * "jmp *slot" of the same seven bytes. The slots lie at 0x050fxxxx, so the last two bytes of the jump still are the
 * syscall instruction (0f 05): whoever jumps there, or restarts the call two bytes before its return, finds it.
 */
#include "libos/core.h"
#include "libos/page.h"
#include "libos/pagetable.h"
#include "libos/space.h"

#define HOT 4      /* traps of a site before it is patched */
#define SITES 256  /* of the table that counts traps */
#define PROBES 8
#define SITE_BYTES 7
#define STEP 32    /* bytes of the table per patched site: slot and trampoline */
#define PAGE_SITES (LV_PAGE / STEP)

struct site { /* by the address behind the syscall instruction */
	uint64_t rip;
	uint32_t nr;
	uint32_t traps; /* HOT: patched, or given up */
};
static struct site sites[SITES];
static unsigned patched; /* steps of the table used so far, with the first of each page */

/* A step: the slot that the patched instruction reads, and the trampoline to which it points. */
struct step {
	uint64_t slot;
	uint8_t code[STEP - 8];
};

static struct site *site_of(uint64_t rip, bool *fresh)
{
	unsigned start = (rip * 0x9e3779b97f4a7c15ull) >> 56;

	for (unsigned i = 0; i < PROBES; i++) {
		struct site *site = &sites[(start + i) % SITES];

		*fresh = site->rip == 0;
		if (site->rip == rip || site->rip == 0)
			return site;
	}
	/* What is patched does not trap again: its place can be had. */
	for (unsigned i = 0; i < PROBES; i++)
		if (sites[(start + i) % SITES].traps >= HOT) {
			*fresh = true;
			return &sites[(start + i) % SITES];
		}
	return NULL;
}

/* The table's page, executable for the program, written only here. The first step of a page holds where to go on. */
static struct step *table_page(uint64_t va)
{
	uint64_t *entry = pt_make(va);
	void *page;

	if (!entry)
		return NULL;
	if (!*entry) {
		page = page_alloc_zeroed(0);
		if (!page)
			return NULL;
		((struct step *)page)->slot = (uint64_t)syscall_entry_direct;
		*entry = (uint64_t)page | pt_bits(PROT_READ | PROT_EXEC);
	}
	return (struct step *)(*entry & LV_PTE_ADDR);
}

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* mov $nr,%eax; movabs $back,%rcx; jmp *(first slot of the page) */
static void write_trampoline(struct step *step, uint64_t va, uint32_t nr, uint64_t back)
{
	uint8_t *code = step->code;

	step->slot = va + offsetof(struct step, code);
	code[0] = 0xb8;
	put32(code + 1, nr);
	code[5] = 0x48;
	code[6] = 0xb9;
	memcpy(code + 7, &back, sizeof(back));
	code[15] = 0xff;
	code[16] = 0x25;
	put32(code + 17, ALIGN_DOWN(va, LV_PAGE) - (va + offsetof(struct step, code) + 21));
}

/* A new slot for a site; 0: the table is full or there is no memory. */
static uint32_t slot_new(uint32_t nr, uint64_t back)
{
	struct step *page;
	uint64_t va;

	if (patched % PAGE_SITES == 0)
		patched++;
	va = LV_PATCH_TABLE + patched * STEP;
	if (va >= LV_PATCH_TABLE + LV_PATCH_TABLE_SIZE)
		return 0;
	page = table_page(ALIGN_DOWN(va, LV_PAGE));
	if (!page)
		return 0;
	write_trampoline(page + patched % PAGE_SITES, va, nr, back);
	patched++;
	return va;
}

static bool patchable(const struct site *site, const uint8_t *text)
{
	uint32_t nr;

	memcpy(&nr, text + 1, sizeof(nr));
	return text[0] == 0xb8 && nr == site->nr && text[5] == 0x0f && text[6] == 0x05;
}

/* The seven bytes of the site, in libos' view of the page; NULL: in two pages. */
static uint8_t *text_of(const struct site *site, uint64_t page, uint8_t *view)
{
	uint64_t start = site->rip - SITE_BYTES;

	return start >= page && site->rip <= page + LV_PAGE ? view + (start - page) : NULL;
}

static void patch_site(struct site *site, uint8_t *text)
{
	uint32_t slot;

	site->traps = HOT;
	if (!text || !patchable(site, text))
		return;
	slot = slot_new(site->nr, site->rip);
	if (!slot)
		return;
	text[0] = 0xff;
	text[1] = 0x24;
	text[2] = 0x25;
	put32(text + 3, slot);
}

/* A page that is made private may as well get all its sites patched that were seen so far. */
static void patch_page(uint64_t page)
{
	uint8_t *view = vma_own_page(page);

	if (!view)
		return;
	for (unsigned i = 0; i < SITES; i++) {
		uint8_t *text = sites[i].rip ? text_of(&sites[i], page, view) : NULL;

		if (text && sites[i].traps < HOT)
			patch_site(&sites[i], text);
	}
	tlb_flush();
}

static bool worth_it(const struct site *site)
{
	uint64_t start = site->rip - SITE_BYTES;
	struct vma *vma = mm_find(start);

	if (space.no_patches || !vma || !(vma->prot & PROT_EXEC) || vma->flags & MAP_SHARED)
		return false;
	return ALIGN_DOWN(start, LV_PAGE) == ALIGN_DOWN(site->rip - 1, LV_PAGE) && user_ok((const void *)start, SITE_BYTES, false) &&
	       patchable(site, (const uint8_t *)start);
}

void mm_syscall_trapped(uint64_t rip, uint64_t nr)
{
	bool fresh;
	struct site *site = site_of(rip, &fresh);

	if (!site || nr > UINT32_MAX)
		return;
	if (fresh || site->nr != nr)
		*site = (struct site){ .rip = rip, .nr = nr };
	if (site->traps >= HOT || ++site->traps < HOT)
		return;
	if (!worth_it(site))
		return;
	site->traps--; /* so that it counts as seen, not as done */
	patch_page(ALIGN_DOWN(rip - SITE_BYTES, LV_PAGE));
	site->traps = HOT;
}

/* Code came or went: what is known of the sites in the range is no longer true. */
void mm_code_changed(uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < SITES; i++)
		if (sites[i].rip > start && sites[i].rip <= end)
			sites[i].traps = 0;
}
