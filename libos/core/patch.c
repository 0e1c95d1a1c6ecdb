/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SYSCALL instruction that traps costs 22 us, a jump 0.1. So where it traps often, the instruction before it, for
 * example "mov $nr,%eax", becomes "jmp *slot": seven bytes. What they displace is done by a trampoline. The slots lie
 * at 0x050fxxxx: if those seven bytes reach into the syscall instruction, their last two still are one (0f 05). So
 * whoever jumps there, or restarts the call two bytes before its return, always finds it where it was.
 */
#include "libos/core/core.h"
#include "libos/mm/page.h"
#include "libos/mm/pagetable.h"
#include "libos/core/patch.h"
#include "libos/mm/space.h"

#define HOT 4     /* traps of a site before it is patched */
#define SITES 256 /* of the table that counts traps */
#define PROBES 8
#define STEP 32   /* bytes of the table: a patched site takes one or two, for slot and trampoline */
#define PAGE_STEPS (LV_PAGE / STEP)
#define ENTRY_JUMP 16 /* movabs $back,%rcx; jmp *entry */

struct site { /* by the address behind the syscall instruction */
	uint64_t rip;
	uint32_t nr;
	uint32_t traps; /* HOT: patched, or given up */
};
static struct site sites[SITES];
static unsigned steps; /* of the table in use, with the first of each page, which holds the address of libos' entry */

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

/* ---- the table ---- */

/* Pages of it are executable for the program and written only here. */
static uint8_t *table_page(uint64_t va)
{
	uint64_t *entry = pt_make(va), to = (uint64_t)syscall_entry_direct;
	void *page;

	if (!entry)
		return NULL;
	if (!*entry) {
		page = page_alloc_zeroed(0);
		if (!page)
			return NULL;
		memcpy(page, &to, sizeof(to));
		*entry = (uint64_t)page | pt_bits(PROT_READ | PROT_EXEC);
	}
	return (uint8_t *)(*entry & LV_PTE_ADDR);
}

/* Room for a slot with this many bytes of code behind it: its address, and libos' view of it. 0: full. */
static uint64_t table_take(size_t code, uint8_t **view)
{
	unsigned count = (8 + code + STEP - 1) / STEP;
	uint64_t va;

	if (steps % PAGE_STEPS + count > PAGE_STEPS)
		steps = ALIGN_UP(steps, PAGE_STEPS);
	if (steps % PAGE_STEPS == 0)
		steps++;
	va = LV_PATCH_TABLE + steps * STEP;
	if (va + count * STEP > LV_PATCH_TABLE + LV_PATCH_TABLE_SIZE)
		return 0;
	*view = table_page(ALIGN_DOWN(va, LV_PAGE));
	if (!*view)
		return 0;
	*view += va % LV_PAGE;
	steps += count;
	return va;
}

/* ---- trampolines ---- */

struct code { /* being written */
	uint8_t *to;
	uint64_t va;
};

static void emit(struct code *code, const void *bytes, size_t n)
{
	memcpy(code->to, bytes, n);
	code->to += n;
	code->va += n;
}
#define EMIT(code, ...) emit(code, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void emit_entry_jump(struct code *code, uint64_t back)
{
	int32_t distance;

	EMIT(code, 0x48, 0xb9); /* movabs $back,%rcx */
	emit(code, &back, sizeof(back));
	distance = ALIGN_DOWN(code->va, LV_PAGE) - (code->va + 6);
	EMIT(code, 0xff, 0x25); /* jmp *(start of the page) */
	emit(code, &distance, sizeof(distance));
}

/* cmpb $0,flag(%rip); je slow; xor %eax,%eax; syscall: the C library asks whether there is one thread. R11 is free here. */
static void emit_flag_test(struct code *code, const struct patch *patch)
{
	EMIT(code, 0x49, 0xbb); /* movabs $flag,%r11 */
	emit(code, &patch->flag, sizeof(patch->flag));
	EMIT(code, 0x41, 0x80, 0x3b, 0x00, 0x75, 14, 0xff, 0x25, 0, 0, 0, 0); /* cmpb $0,(%r11); jne +14; jmp *next 8 bytes */
	emit(code, &patch->slow, sizeof(patch->slow));
	EMIT(code, 0x31, 0xc0);
}
#define FLAG_TEST_SIZE 32

/* The slot for a site: what the patched jump reads. 0: no room. */
static uint32_t slot_new(const struct patch *patch, const uint8_t *displaced, uint64_t back)
{
	size_t size = (patch->flag ? FLAG_TEST_SIZE : patch->displaced) + ENTRY_JUMP;
	struct code code;
	uint64_t va = table_take(size, &code.to), first = va + 8;

	if (!va)
		return 0;
	code.va = va;
	emit(&code, &first, sizeof(first));
	if (patch->flag)
		emit_flag_test(&code, patch);
	else
		emit(&code, displaced, patch->displaced);
	emit_entry_jump(&code, back);
	return va;
}

/* ---- sites ---- */

/* view: libos' view of the page, which is the program's own by now. */
static bool patch_site(const struct site *site, uint64_t page, uint8_t *view)
{
	uint64_t low = MAX(page, site->rip - PATCH_WINDOW);
	struct patch patch;
	uint32_t slot;
	uint8_t *at;

	if (!patch_plan(&patch, view + (low - page), site->rip - low, site->rip, site->nr))
		return false;
	at = view + (site->rip - page) - patch.before;
	slot = slot_new(&patch, at, site->rip);
	if (!slot)
		return false;
	memcpy(at, (const uint8_t[]){ 0xff, 0x24, 0x25 }, 3);
	memcpy(at + 3, &slot, sizeof(slot));
	return true;
}

static bool in_page(const struct site *site, uint64_t page)
{
	return site->rip > page && site->rip <= page + LV_PAGE;
}

/* Asked before a page is copied for it, and for each of the others in that page. */
static bool worth_it(const struct site *site, uint64_t page)
{
	uint64_t low = MAX(page, site->rip - PATCH_WINDOW);
	struct vma *vma = mm_find(site->rip - 1);
	struct patch patch;

	if (space.no_patches || !vma || !(vma->prot & PROT_EXEC) || vma->flags & MAP_SHARED || vma->start > low)
		return false;
	return patch_plan(&patch, (const uint8_t *)low, site->rip - low, site->rip, site->nr) &&
	       !(patch.jumped_over && patch_is_target(&patch, site->rip, vma->start, vma->end));
}

/* A page that is made private may as well get all its sites patched that were seen so far. */
static void patch_page(uint64_t page)
{
	uint8_t *view = vma_own_page(page);

	if (!view)
		return;
	for (unsigned i = 0; i < SITES; i++)
		if (sites[i].rip && sites[i].traps < HOT && in_page(&sites[i], page)) {
			if (worth_it(&sites[i], page))
				patch_site(&sites[i], page, view);
			sites[i].traps = HOT;
		}
	tlb_flush();
}

void mm_syscall_trapped(uint64_t rip, uint64_t nr)
{
	uint64_t page = ALIGN_DOWN(rip - 1, LV_PAGE);
	bool fresh;
	struct site *site = site_of(rip, &fresh);

	if (!site || nr > UINT32_MAX)
		return;
	if (fresh || site->nr != nr)
		*site = (struct site){ .rip = rip, .nr = nr };
	if (site->traps >= HOT || ++site->traps < HOT)
		return;
	if (worth_it(site, page)) {
		site->traps--; /* so that it counts as seen, not as done */
		patch_page(page);
	}
	site->traps = HOT;
}

/* Code came or went: what is known of the sites in the range is no longer true. */
void mm_code_changed(uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < SITES; i++)
		if (sites[i].rip > start && sites[i].rip <= end)
			sites[i].traps = 0;
}
