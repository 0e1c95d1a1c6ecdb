/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A SYSCALL instruction that traps costs 1 to 22 us, a jump 0.1. So where it traps often, its two bytes become a jump to a
 * trampoline, which tells libos where to go back to (patch.h: the ways). Nothing else of the program changes, so
 * there is nothing to decode before the site, and no question of who jumps where: whoever jumps to the SYSCALL, or restarts
 * it two bytes before its return, finds the jump, whatever number it has in RAX. Where neither way is open, the
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
#include "libos/mm/space.h"

#define HOT 4     /* traps of a site before it is patched */
#define SITES 256 /* of the table that counts traps */
#define PROBES 8
#define TABLES 16 /* pages of trampolines that any site in reach uses */
#define TABLE_FIRST PATCH_TRAMPOLINE /* the page begins with the address of libos' entry */
#define PATCH_BEFORE 48 /* bytes before a SYSCALL that are looked at */
#define TABLE_GAP 0x40000ull
#define SECOND 0x05 /* byte of a SYSCALL: the first one to be tried, since then only one byte changes */

struct site { /* by the address behind the syscall instruction */
	uint64_t rip;
	uint32_t nr;    /* of the last call */
	uint32_t traps; /* HOT: patched, or given up */
};
struct jump { /* a site that is patched now */
	uint64_t rip, to;
	uint64_t padding;   /* that leads there; 0: the site itself does */
	uint32_t nr;        /* if an instruction is displaced: what it loads */
	uint32_t displaced; /* so many bytes before the SYSCALL; 0: it is the SYSCALL itself that jumps */
};
static struct site sites[SITES];
static struct jump *jumps;
static unsigned jump_count, jump_room;
static uint64_t tables[TABLES];

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

/* ---- pages of trampolines ---- */

static bool yields(uint64_t va)
{
	struct vma *vma = mm_find(va);

	return vma && vma->flags & VMA_YIELDS;
}

/* libos' view of a page of trampolines. */
static uint8_t *page_view(uint64_t va)
{
	bool huge;
	uint64_t *entry = pt_find(va, &huge);

	return (uint8_t *)(*entry & LV_PTE_ADDR);
}

/* Nothing of the program's is at va, or can ever be: between its space and the image. */
static bool place_allowed(uint64_t va)
{
	uint64_t image = device_page->image_size ? LV_IMAGE(device_page->image_size) : LV_BASE;

	return va >= LV_WINDOW && va < LV_BASE ? va + LV_PAGE <= image : space_allows(va, va + LV_PAGE);
}

static bool page_make(uint64_t va)
{
	struct vma model = { .start = va, .end = va + LV_PAGE, .prot = PROT_READ | PROT_EXEC,
	                     .flags = MAP_PRIVATE | MAP_ANONYMOUS | VMA_YIELDS, .name = "[lightvm]" };
	uint64_t *entry = pt_make(va), to = (uint64_t)syscall_entry_direct;
	void *page = entry ? page_alloc_zeroed(0) : NULL;

	if (!page)
		return false;
	if (!vma_add(&model)) {
		page_free(page, 0);
		return false;
	}
	memcpy(page, &to, sizeof(to));
	*entry = (uint64_t)page | pt_bits(model.prot);
	return true;
}

static unsigned trampoline_size(const struct jump *jump)
{
	return PATCH_TRAMPOLINE + (jump->displaced ? PATCH_MOV : 0);
}

/* Is there room for a trampoline at va, in a page that is there or can be? */
static bool place_free(uint64_t va, unsigned size)
{
	uint64_t offset = va % LV_PAGE;

	if (offset < sizeof(uint64_t) || offset + size > LV_PAGE || !place_allowed(va - offset))
		return false;
	if (mm_find(va) && !yields(va))
		return false;
	for (unsigned i = 0; i < jump_count; i++)
		if (jumps[i].to < va + size && va < jumps[i].to + trampoline_size(&jumps[i]))
			return false;
	return true;
}

static bool reaches(uint64_t from, uint64_t to)
{
	int64_t distance = to - from;

	return distance == (int32_t)distance && distance + (int64_t)LV_PAGE == (int32_t)(distance + (int64_t)LV_PAGE);
}

/*
 * A page near to a site for the trampolines of many; 0: none. Not in a hole between the program's mappings, which it may
 * have made to find out who goes there; and where it costs few page tables: above its space, or below the program.
 */
static uint64_t table_make(uint64_t near)
{
	uint64_t low = space.count ? ALIGN_DOWN(space.vma[0]->start, HUGE_PAGE) : 0;
	const uint64_t places[] = { LV_WINDOW + TABLE_GAP, low - TABLE_GAP, space_find_near(near, 1ull << 30) };

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
		for (uint64_t va = places[i]; va < places[i] + TABLES * LV_PAGE; va += LV_PAGE)
			if (va && reaches(near, va) && place_allowed(va) && !mm_find(va) && page_make(va))
				return va;
	return 0;
}

/* Room for a trampoline that a jump of four bytes reaches from there; 0: none. */
static uint64_t table_take(uint64_t from, unsigned size)
{
	for (unsigned i = 0; i < TABLES; i++) {
		if (!tables[i])
			tables[i] = table_make(from);
		if (!tables[i] || !reaches(from, tables[i]))
			continue;
		for (uint64_t va = tables[i] + TABLE_FIRST; va < tables[i] + LV_PAGE; va += PATCH_TRAMPOLINE)
			if (place_free(va, size))
				return va;
	}
	return 0;
}

/* ---- sites ---- */

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

/* n bytes of the program's code, read through libos' own view; false: they are not all there. */
static bool code_read(uint64_t va, uint8_t *to, size_t n)
{
	while (n) {
		size_t part = MIN(n, LV_PAGE - va % LV_PAGE);
		const uint64_t *entry = code_entry(va);

		if (!entry)
			return false;
		memcpy(to, (const void *)((*entry & LV_PTE_ADDR) + va % LV_PAGE), part);
		to += part;
		va += part;
		n -= part;
	}
	return true;
}

struct plan {
	uint64_t padding;   /* the site jumps there first; 0: to the trampoline */
	uint64_t to;        /* the place for it; 0: any */
	uint8_t second;     /* byte of the jump over the SYSCALL */
	unsigned displaced; /* as in struct jump */
};

static bool plan_padding(uint64_t rip, const struct vma *vma, struct plan *plan)
{
	uint8_t text[PATCH_WINDOW];
	uint64_t size = MIN(ALIGN_DOWN(rip, LV_PAGE) + LV_PAGE - rip, sizeof(text));
	unsigned at = vma->file && code_read(rip, text, size) ? patch_padding(text, size) : 0;

	/* In the same page, which is the program's own then; another would have to be. */
	if (!at || rip / LV_PAGE != (rip - 2) / LV_PAGE)
		return false;
	*plan = (struct plan){ .padding = rip + at, .second = at };
	return true;
}

static bool plan_pun(uint64_t rip, const struct vma *vma, struct plan *plan)
{
	uint8_t following[3];

	if (vma->end - rip < 3 || !code_read(rip, following, 3))
		return false;
	for (unsigned i = 0; i < 256; i++) {
		uint8_t second = SECOND + i;
		uint64_t to = patch_pun(rip, following, second);

		if (!place_free(to, PATCH_TRAMPOLINE))
			continue;
		*plan = (struct plan){ .to = to, .second = second };
		return true;
	}
	return false;
}

static bool plan_number(uint64_t rip, uint32_t nr, const struct vma *vma, struct plan *plan)
{
	uint64_t low = MAX(MAX(ALIGN_DOWN(rip - 2, LV_PAGE), vma->start), rip - 2 - PATCH_BEFORE);
	uint8_t text[PATCH_BEFORE];

	*plan = (struct plan){ 0 };
	if (code_read(low, text, rip - 2 - low))
		plan->displaced = patch_number(text, rip - 2 - low, nr);
	return plan->displaced;
}

static bool plan_site(uint64_t rip, uint32_t nr, struct plan *plan)
{
	const struct vma *vma = mm_find(rip - 2);
	uint8_t call[2];

	if (!is_code(vma) || vma->end <= rip || (rip - 1) % LV_PAGE == 0)
		return false;
	if (!code_read(rip - 2, call, 2) || memcmp(call, "\x0f\x05", 2) != 0)
		return false;
	/* Padding first: its trampolines share a page. */
	return plan_padding(rip, vma, plan) || plan_pun(rip, vma, plan) || plan_number(rip, nr, vma, plan);
}

static void write_trampoline(const struct jump *jump)
{
	uint8_t *to = page_view(jump->to) + jump->to % LV_PAGE;
	unsigned mov = jump->displaced ? PATCH_MOV : 0;

	if (mov) {
		to[0] = 0xb8;
		memcpy(to + 1, &jump->nr, sizeof(jump->nr));
	}
	patch_trampoline(to + mov, jump->to + mov, jump->rip);
}

static void write_jump(uint8_t *at, uint64_t from, uint64_t to)
{
	int32_t distance = to - (from + PATCH_JUMP);

	at[0] = 0xe9;
	memcpy(at + 1, &distance, sizeof(distance));
}

/* view: libos' view of the page, which is the program's own by now. */
static void patch_site(const struct site *site, uint8_t *view)
{
	uint8_t *at = view + (site->rip - 2) % LV_PAGE;
	struct jump jump = { .rip = site->rip, .nr = site->nr };
	struct plan plan;
	uint64_t from;

	if (!jump_room_make() || !plan_site(site->rip, site->nr, &plan))
		return;
	jump.padding = plan.padding;
	jump.displaced = plan.displaced;
	from = plan.padding ? plan.padding : site->rip - 2 - plan.displaced;
	jump.to = plan.to ? plan.to : table_take(from + PATCH_JUMP, trampoline_size(&jump));
	if (!jump.to || (!yields(jump.to) && !page_make(ALIGN_DOWN(jump.to, LV_PAGE))))
		return;
	write_trampoline(&jump);
	jumps[jump_count++] = jump;
	if (!plan.to)
		write_jump(view + from % LV_PAGE, from, jump.to);
	if (!plan.displaced) {
		at[0] = plan.padding ? 0xeb : 0xe9;
		at[1] = plan.second;
	}
}

/* A page that is made private may as well get all its sites patched that were seen so far. */
static void patch_page(uint64_t page)
{
	uint8_t *view = vma_own_page(page);

	if (!view)
		return;
	for (unsigned i = 0; i < SITES; i++)
		if (sites[i].rip && sites[i].traps < HOT && sites[i].rip - 2 >= page && sites[i].rip - 2 < page + LV_PAGE) {
			patch_site(&sites[i], view);
			sites[i].traps = HOT;
		}
	tlb_flush();
}

void mm_syscall_trapped(uint64_t rip, uint64_t nr)
{
	struct plan plan;
	bool fresh;
	struct site *site = site_of(rip, &fresh);

	if (!site)
		return;
	if (fresh)
		*site = (struct site){ .rip = rip };
	site->nr = nr;
	if (site->traps >= HOT || ++site->traps < HOT)
		return;
	if (plan_site(rip, nr, &plan)) {
		site->traps--; /* so that it counts as seen, not as done */
		patch_page(ALIGN_DOWN(rip - 2, LV_PAGE));
	}
	site->traps = HOT;
}

void patch_rewind(struct regs *regs)
{
	for (unsigned i = 0; i < jump_count; i++)
		if (regs->rip - jumps[i].to < trampoline_size(&jumps[i]) || (jumps[i].padding && regs->rip == jumps[i].padding)) {
			regs->rip = jumps[i].rip - 2 - jumps[i].displaced;
			return;
		}
}

/* ---- what was patched becomes what it was ---- */

/* libos' view of the page, if it is still the copy that was patched. */
static uint8_t *own_view(uint64_t va)
{
	bool huge;
	uint64_t *entry = pt_find(va, &huge);

	return entry && *entry && !huge && !(*entry & PTE_BORROWED) ? (uint8_t *)((*entry & LV_PTE_ADDR) + va % LV_PAGE) : NULL;
}

/* Only where the bytes are still those of the jump: the program may have put others there. */
static void restore(const struct jump *jump, uint8_t *at)
{
	if (jump->displaced && at[-(int)jump->displaced] == 0xe9) {
		at[-(int)jump->displaced] = jump->displaced == PATCH_MOV ? 0xb8 : 0xc7;
		if (jump->displaced > PATCH_MOV)
			at[-PATCH_MOV] = 0xc0;
		memcpy(at - sizeof(jump->nr), &jump->nr, sizeof(jump->nr));
	}
	if (jump->displaced || at[0] != (jump->padding ? 0xeb : 0xe9))
		return;
	memcpy(at, "\x0f\x05", 2);
	if (jump->padding)
		memset(at + (jump->padding - (jump->rip - 2)), 0xcc, PATCH_JUMP);
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
	site = site_of(jump.rip, &fresh);
	if (site && !fresh)
		site->traps = 0;
}

void mm_code_changed(uint64_t start, uint64_t end)
{
	bool undone = false;

	for (unsigned i = 0; i < SITES; i++)
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

	for (int i = vma_index(start); start < end && i < space.count && space.vma[i]->start < end; i = vma_index(start)) {
		uint64_t low = MAX(space.vma[i]->start, start), high = MIN(space.vma[i]->end, end);

		start = high;
		if (!(space.vma[i]->flags & VMA_YIELDS))
			continue;
		for (unsigned j = jump_count; j-- > 0;)
			if (jumps[j].to >= low && jumps[j].to < high)
				jump_undo(j);
		for (unsigned j = 0; j < TABLES; j++)
			if (tables[j] >= low && tables[j] < high)
				tables[j] = 0;
		err = vma_split(low);
		err = err ? err : vma_split(high);
		if (err)
			return err;
		pt_clear(low, high);
		vma_remove(vma_index(low));
		pt_trim(ALIGN_DOWN(low, HUGE_PAGE), ALIGN_UP(high, HUGE_PAGE));
		tlb_flush();
	}
	return 0;
}
