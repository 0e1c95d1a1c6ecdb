/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SYSCALL instruction that traps costs 1 to 22 us, a jump 0.1. So where it traps often, its two bytes become a jump to a
 * trampoline, which tells libos where to go back to (patch.h: the ways). Nothing else of the program changes, so
 * there is nothing to decode before the site, and no question of who jumps where: whoever jumps to the SYSCALL, or restarts
 * it two bytes before its return, finds the jump, whatever number it has in RAX. Where none of these ways is open, the
 * "mov $nr,%eax" before the SYSCALL becomes the jump, and the SYSCALL stays for whoever else comes.
 *
 * Trampolines lie in pages of their own, where the program has nothing. They are regions of the address space that yield:
 * whoever wants the place gets it (patches_yield), and the sites become what they were. A trampoline changes nothing but
 * RCX, which a SYSCALL destroys, too, and does what may be done twice: a program that is interrupted inside of one goes on at the site again (patch_rewind).
 */
#include "libos/core/libos.h"
#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/patch.h"
#include "libos/mm/patches.h"

#define HOT 4       /* traps of a site before it is patched, */
#define DEAR_HOT 8  /* or if that takes a page of trampolines for it alone */
#define DONE 9      /* it is, or cannot be */
#define SITES 256 /* of the table that counts traps */
#define PROBES 8
#define PATCH_BEFORE 48 /* bytes before a SYSCALL that are looked at */
#define SECOND 0x05 /* byte of a SYSCALL: the first one to be tried, since then only one byte changes */

static struct site first_sites[SITES]; /* of the first program */

static bool sites_make(void)
{
	static bool first_taken;

	if (!sites) {
		sites = first_taken ? kzalloc(SITES * sizeof(*sites)) : first_sites;
		first_taken = true;
	}
	return sites;
}

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
		if (sites[(start + i) % SITES].traps >= DONE) {
			*fresh = true;
			return &sites[(start + i) % SITES];
		}
	return NULL;
}

static bool jump_room_make(void)
{
	unsigned room = jump_room ? jump_room * 2 : 32;
	struct jump *bigger;

	if (jump_count < jump_room)
		return true;
	bigger = krealloc(jumps, room * sizeof(*bigger));
	if (!bigger)
		return false;
	jumps = bigger;
	jump_room = room;
	return true;
}

/*
 * Code that is the program's own for good: private, not to be written. Whoever generates code may fill the padding next,
 * so only files have any.
 */
static bool is_code(const struct vma *vma)
{
	return vma && vma->prot & PROT_EXEC && !(vma->prot & PROT_WRITE) && !(vma->flags & (MAP_SHARED | VMA_YIELDS));
}

static uint64_t *code_entry(uint64_t va)
{
	bool huge;
	uint64_t *entry = pt_find(va, &huge);

	if (!(entry && *entry & LV_PTE_P))
		entry = mm_fault(va, 0) ? NULL : pt_find(va, &huge);
	return entry && *entry & LV_PTE_P && !huge ? entry : NULL;
}

/* What lies at va is put over its part of the n bytes of text, which are read from from. */
static void put_over(uint8_t *text, uint64_t from, size_t n, uint64_t va, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (va + i >= from && va + i < from + n)
			text[va + i - from] = bytes[i];
}

/* The bytes of the program where they were changed; padding that is taken, as what nobody runs into and nobody may have. */
static void put_program(uint8_t *text, uint64_t from, size_t n)
{
	static const uint8_t taken[] = { 0xf4, 0xf4, 0xf4, 0xf4, 0xf4 };

	for (unsigned i = 0; i < jump_count; i++) {
		const struct jump *jump = &jumps[i];

		if (jump->displaced) {
			put_over(text, from, n, jump->rip - 2 - jump->displaced, jump->was, PATCH_JUMP);
			continue;
		}
		put_over(text, from, n, jump->rip - 2, (const uint8_t *)"\x0f\x05", 2);
		put_over(text, from, n, jump->padding, taken, jump->padded);
	}
}

/* n bytes of the program's code as it was, read through libos' own view; false: they are not all there. */
static bool code_read(uint64_t va, uint8_t *text, size_t n)
{
	for (size_t done = 0, part; done < n; done += part) {
		const uint64_t *entry = code_entry(va + done);

		part = MIN(n - done, LV_PAGE - (va + done) % LV_PAGE);
		if (!entry)
			return false;
		memcpy(text + done, (const void *)((*entry & LV_PTE_ADDR) + (va + done) % LV_PAGE), part);
	}
	put_program(text, va, n);
	return true;
}

/* Does a jump need these bytes as they are: its own, and those behind it that are the end of its distance? */
static bool in_use(uint64_t start, uint64_t end)
{
	for (unsigned i = 0; i < jump_count; i++) {
		const struct jump *jump = &jumps[i];
		unsigned more = jump->first == 0xe9 ? 3 : jump->first == PATCH_LONG_PUN ? 4 : 0;

		if ((jump->rip - 2 - jump->displaced < end && start < jump->rip + more) ||
		    (jump->padding && jump->padding < end && start < jump->padding + PATCH_JUMP))
			return true;
	}
	return false;
}

struct plan {
	uint64_t padding;   /* the site jumps there first; 0: to the trampoline */
	unsigned padded;    /* bytes of it, up to the end of a nop */
	uint64_t to;        /* the place for it; 0: any */
	uint8_t first, second; /* bytes of the jump over the SYSCALL */
	unsigned displaced; /* as in struct jump */
};

static bool plan_padding(uint64_t rip, const struct vma *vma, struct plan *plan)
{
	uint8_t text[PATCH_WINDOW];
	uint64_t size = MIN(ALIGN_DOWN(rip, LV_PAGE) + LV_PAGE - rip, sizeof(text)), from;
	struct padding padding = { 0 };
	int32_t distance;

	/* In the same page, which is the program's own then; another would have to be. */
	if (vma->file && rip / LV_PAGE == (rip - 2) / LV_PAGE && code_read(rip, text, size))
		padding = patch_padding(text, size);
	from = rip + padding.at;
	if (!padding.size || in_use(from, from + MAX(padding.size, PATCH_JUMP)))
		return false;
	*plan = (struct plan){ .padding = from, .padded = padding.size, .first = 0xeb, .second = padding.at };
	if (padding.size >= PATCH_JUMP)
		return true;
	memcpy(&distance, text + padding.at + 1, sizeof(distance));
	for (uint32_t i = 0, unit = 8 * (padding.size - 2); i < 256; i++) { /* the highest byte that can be chosen */
		distance = ((uint32_t)distance & ~(255u << unit)) | i << unit;
		plan->to = from + PATCH_JUMP + (int64_t)distance;
		if (patch_place_free(plan->to, PATCH_TRAMPOLINE))
			return true;
	}
	return false;
}

static bool plan_pun(uint64_t rip, const struct vma *vma, struct plan *plan)
{
	uint8_t following[3];

	if (vma->end - rip < 3 || in_use(rip, rip + 3) || !code_read(rip, following, 3))
		return false;
	for (unsigned i = 0; i < 256; i++) {
		uint8_t second = SECOND + i;
		uint64_t to = patch_pun(rip, following, second);

		if (!patch_place_free(to, PATCH_TRAMPOLINE))
			continue;
		*plan = (struct plan){ .to = to, .first = 0xe9, .second = second };
		return true;
	}
	return false;
}

static bool plan_long_pun(uint64_t rip, const struct vma *vma, struct plan *plan)
{
	uint8_t following[4];
	uint64_t to;

	if (vma->end - rip < 4 || in_use(rip, rip + 4) || !code_read(rip, following, 4))
		return false;
	to = patch_long_pun(rip, following);
	if (!patch_place_free(to, PATCH_TRAMPOLINE))
		return false;
	*plan = (struct plan){ .to = to, .first = PATCH_LONG_PUN, .second = 0xe9 };
	return true;
}

static bool plan_number(uint64_t rip, uint32_t nr, const struct vma *vma, struct plan *plan)
{
	uint64_t low = MAX(MAX(ALIGN_DOWN(rip - 2, LV_PAGE), vma->start), rip - 2 - PATCH_BEFORE);
	uint8_t text[PATCH_BEFORE];

	*plan = (struct plan){ 0 };
	if (code_read(low, text, rip - 2 - low))
		plan->displaced = patch_number(text, rip - 2 - low, nr);
	return plan->displaced && !in_use(rip - 2 - plan->displaced, rip);
}

static bool plan_site(uint64_t rip, uint32_t nr, struct plan *plan)
{
	const struct vma *vma = mm_find(rip - 2);
	uint8_t call[2];

	if (!is_code(vma) || vma->end <= rip)
		return false;
	if (in_use(rip - 2, rip) || !code_read(rip - 2, call, 2) || memcmp(call, "\x0f\x05", 2) != 0)
		return false;
	/* Padding first: its trampolines share a page. */
	return plan_padding(rip, vma, plan) || plan_pun(rip, vma, plan) || plan_long_pun(rip, vma, plan) || plan_number(rip, nr, vma, plan);
}

/* site: libos' view of the SYSCALL or CPUID. */
static void write_trampoline(const struct jump *jump, const uint8_t *site)
{
	uint8_t *to = patch_page_view(jump->to) + jump->to % LV_PAGE;
	unsigned displaced = patch_displaced_size(jump);

	if (jump->cpuid) {
		memcpy(to, site - displaced, displaced);
	} else if (displaced) {
		to[0] = 0xb8;
		memcpy(to + 1, &jump->nr, sizeof(jump->nr));
	}
	patch_trampoline(to + displaced, jump->to + displaced, jump->rip, jump->cpuid ? PATCH_ENTRY_CPUID : PATCH_ENTRY_SYSCALL);
}

static void write_jump(uint8_t *at, uint64_t from, uint64_t to)
{
	int32_t distance = to - (from + PATCH_JUMP);

	at[0] = 0xe9;
	memcpy(at + 1, &distance, sizeof(distance));
}

/* Where the second byte of a SYSCALL lies for libos, if its first does at at: it may be in the next page. NULL: no memory for that one. */
static uint8_t *second_byte(uint64_t rip, uint8_t *at)
{
	return (rip - 1) % LV_PAGE ? at + 1 : vma_own_page(rip - 1);
}

static bool too_dear(const struct site *site, const struct plan *plan)
{
	return plan->to && !patch_yields(plan->to) && site->traps < DEAR_HOT;
}

/* view: libos' view of the page, which is the program's own by now. */
static void patch_site(const struct site *site, uint8_t *view)
{
	uint8_t *at = view + (site->rip - 2) % LV_PAGE, *second = NULL;
	struct jump jump = { .rip = site->rip, .nr = site->nr };
	struct plan plan;
	uint64_t from;

	if (!jump_room_make() || !plan_site(site->rip, site->nr, &plan))
		return;
	jump.padding = plan.padding;
	jump.displaced = plan.displaced;
	jump.first = plan.first;
	jump.padded = MIN(plan.padded, PATCH_JUMP);
	from = plan.padding ? plan.padding : site->rip - 2 - plan.displaced;
	jump.to = plan.to ? plan.to : patch_table_take(from + PATCH_JUMP, patch_trampoline_size(&jump));
	if (!jump.to || (!patch_yields(jump.to) && !patch_page_make(ALIGN_DOWN(jump.to, LV_PAGE))))
		return;
	if (!plan.displaced && plan.second != SECOND) {
		second = second_byte(site->rip, at);
		if (!second)
			return;
	}
	write_trampoline(&jump, at);
	if (jump.displaced)
		memcpy(jump.was, at - jump.displaced, PATCH_JUMP);
	jumps[jump_count++] = jump;
	memset(view + from % LV_PAGE, 0xcc, plan.padded); /* the rest of a nop would be read as something else */
	if (!plan.to || plan.padding)
		write_jump(view + from % LV_PAGE, from, jump.to);
	if (!plan.displaced) {
		at[0] = plan.first;
		if (second)
			*second = plan.second;
	}
}

bool patch_cpuid(uint64_t rip, unsigned displaced)
{
	uint64_t from = rip - 2 - displaced;
	struct jump jump = { .rip = rip, .displaced = displaced, .cpuid = true };
	uint8_t *at;

	if (in_use(from, rip) || !jump_room_make())
		return false;
	jump.to = patch_table_take(from + PATCH_JUMP, patch_trampoline_size(&jump));
	at = jump.to ? vma_own_page(from) : NULL;
	if (!at)
		return false;
	write_trampoline(&jump, at + displaced);
	memcpy(jump.was, at, PATCH_JUMP);
	jumps[jump_count++] = jump;
	write_jump(at, from, jump.to);
	return true;
}

/* A page that is made private may as well get all its sites patched that were seen so far. */
static void patch_page(uint64_t page)
{
	uint8_t *view = vma_own_page(page);
	struct plan plan;

	if (!view)
		return;
	for (unsigned i = 0; i < SITES; i++) {
		if (!sites[i].rip || sites[i].traps >= DONE || sites[i].rip - 2 < page || sites[i].rip - 2 >= page + LV_PAGE)
			continue;
		if (plan_site(sites[i].rip, sites[i].nr, &plan) && too_dear(&sites[i], &plan))
			continue;
		patch_site(&sites[i], view);
		sites[i].traps = DONE;
	}
	tlb_flush();
}

void mm_syscall_trapped(uint64_t rip, uint64_t nr)
{
	struct plan plan;
	bool fresh;
	struct site *site = sites_make() ? site_of(rip, &fresh) : NULL;

	if (!site)
		return;
	if (fresh)
		*site = (struct site){ .rip = rip };
	site->nr = nr;
	if (site->traps >= DONE || ++site->traps < HOT)
		return;
	if (plan_site(rip, nr, &plan)) {
		if (too_dear(site, &plan))
			return;
		patch_page(ALIGN_DOWN(rip - 2, LV_PAGE));
	}
	site->traps = DONE;
}

/* The site from which a program comes that is on its way to libos. */
static const struct jump *jump_under_way(uint64_t rip)
{
	for (unsigned i = 0; i < jump_count; i++)
		if (rip - jumps[i].to < patch_trampoline_size(&jumps[i]) || (jumps[i].padding && rip == jumps[i].padding))
			return &jumps[i];
	return NULL;
}

void patch_rewind(struct regs *regs)
{
	const struct jump *jump = jump_under_way(regs->rip);

	if (jump)
		regs->rip = jump->rip - 2 - jump->displaced;
}

bool patch_step(struct regs *regs)
{
	const struct jump *jump = jump_under_way(regs->rip);

	if (!jump)
		return false;
	/* What was displaced are instructions of the program's, after which it sees the SYSCALL or CPUID. */
	if (jump->displaced && regs->rip == jump->to + patch_displaced_size(jump)) {
		regs->rip = jump->rip - 2;
		return false;
	}
	return true;
}

/* ---- what was patched becomes what it was ---- */

/* libos' view of the page, if it is still the copy that was patched. */
static uint8_t *own_view(uint64_t va)
{
	bool huge;
	uint64_t *entry = pt_find(va, &huge);

	if (entry && !huge && *entry & PTE_SHARED)
		return vma_own_page(va);
	return entry && *entry && !huge && !(*entry & PTE_BORROWED) ? (uint8_t *)((*entry & LV_PTE_ADDR) + va % LV_PAGE) : NULL;
}

/* Only where the bytes are still those of the jump: the program may have put others there. */
static void restore(const struct jump *jump, uint8_t *at)
{
	uint8_t *second;

	if (jump->displaced && at[-(int)jump->displaced] == 0xe9)
		memcpy(at - jump->displaced, jump->was, PATCH_JUMP);
	if (jump->displaced || at[0] != jump->first)
		return;
	at[0] = 0x0f;
	second = (jump->rip - 1) % LV_PAGE ? at + 1 : own_view(jump->rip - 1);
	if (second)
		*second = SECOND;
	if (jump->padding)
		memset(at + (jump->padding - (jump->rip - 2)), 0xcc, jump->padded);
}

static void jump_undo(unsigned index)
{
	struct jump jump = jumps[index];
	uint8_t *at = own_view(jump.rip - 2);
	bool fresh;
	struct site *site;

	jumps[index] = jumps[--jump_count];
	if (at)
		restore(&jump, at);
	site = sites ? site_of(jump.rip, &fresh) : NULL;
	if (site && !fresh)
		site->traps = 0;
}

void mm_code_changed(uint64_t start, uint64_t end)
{
	bool undone = false;

	for (unsigned i = 0; sites && i < SITES; i++)
		if (sites[i].rip > start && sites[i].rip <= end)
			sites[i].traps = 0;
	for (unsigned i = jump_count; i-- > 0;)
		if (jumps[i].rip + PATCH_WINDOW > start && jumps[i].rip - PATCH_BEFORE < end) {
			jump_undo(i);
			undone = true;
		}
	if (undone)
		tlb_flush();
}

int patches_yield(uint64_t start, uint64_t end)
{
	int err;

	for (const struct vma *vma; start < end && (vma = vma_from(start)) && vma->start < end;) {
		uint64_t low = MAX(vma->start, start), high = MIN(vma->end, end);

		start = high;
		if (!(vma->flags & VMA_YIELDS))
			continue;
		for (unsigned j = jump_count; j-- > 0;)
			if (jumps[j].to >= low && jumps[j].to < high)
				jump_undo(j);
		for (unsigned j = 0; j < PATCH_TABLES; j++)
			if (tables[j] >= low && tables[j] < high)
				tables[j] = 0;
		err = vma_split(low);
		err = err ? err : vma_split(high);
		if (err)
			return err;
		pt_clear(low, high);
		vma_remove(mm_find(low));
		pt_trim(ALIGN_DOWN(low, HUGE_PAGE), ALIGN_UP(high, HUGE_PAGE));
		tlb_flush();
	}
	return 0;
}

bool patches_copy(struct space *to)
{
	struct jump *copy = jump_count ? kmalloc(jump_count * sizeof(*copy)) : NULL;

	if (jump_count && !copy)
		return false;
	to->patches = space->patches;
	to->patches.seen = NULL;
	to->patches.made = memcpy(copy, jumps, jump_count * sizeof(*copy));
	to->patches.room = jump_count;
	return true;
}

void patches_free(struct space *old)
{
	if (old->patches.seen != first_sites)
		kfree(old->patches.seen);
	kfree(old->patches.made);
	old->patches = (struct patches){ 0 };
}
