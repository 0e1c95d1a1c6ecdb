/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on the address space: each changes the regions first, then the entries, and flushes the TLB once if it must. */
#include "libos/fs/fs.h"
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/mm/pagetable.h"
#include "libos/mm/space.h"

#define KEPT_FLAGS (MAP_TYPE | MAP_ANONYMOUS | MAP_STACK | MAP_GROWSDOWN | MAP_NORESERVE)
#define MAPPINGS_MOST 65530 /* /proc/sys/vm/max_map_count */
#define ACCESS (PROT_READ | PROT_WRITE | PROT_EXEC)

void mm_init(void)
{
	space->top = SPACE_TOP;
}

/* Makes [start, end) a range of whole regions. */
static int isolate(uint64_t start, uint64_t end)
{
	int err = vma_split(start);

	return err ? err : vma_split(end);
}

bool mm_covered(uint64_t start, uint64_t end)
{
	const struct vma *vma;

	for (; start < end; start = vma->end) {
		vma = vma_from(start);
		if (!vma || vma->start > start || vma->flags & VMA_YIELDS)
			return false;
	}
	return true;
}

static bool bad_range(uint64_t addr, uint64_t len)
{
	return addr % LV_PAGE || len > SPACE_END || addr > SPACE_END - len;
}

static int drop_part(uint64_t start, uint64_t end, bool tables)
{
	bool flush;

	if (!pt_split(start) || !pt_split(end))
		return -ENOMEM;
	flush = pt_clear(start, end);
	if (tables && pt_trim(ALIGN_DOWN(start, HUGE_PAGE), ALIGN_UP(end, HUGE_PAGE)))
		tlb_flush();
	else if (flush)
		tlb_flush_pages(start, end);
	return 0;
}

/* Of a range that holds the window, too, only what can be the program's. */
int space_drop(uint64_t start, uint64_t end, bool tables)
{
	int err = start < LV_WINDOW ? drop_part(start, MIN(end, LV_WINDOW), tables) : 0;

	return err || end <= LV_WINDOW_END ? err : drop_part(MAX(start, LV_WINDOW_END), end, tables);
}

static int unmap(uint64_t start, uint64_t end, bool tables)
{
	int err = patches_yield(start, end);
	struct vma *vma;

	if (err || vma_free_range(start, end))
		return err;
	err = isolate(start, end);
	if (err)
		return err;
	err = space_drop(start, end, tables);
	while (!err && (vma = vma_from(start)) && vma->start < end) {
		if (vma->prot & PROT_EXEC)
			mm_code_changed(vma->start, vma->end);
		vma_remove(vma);
	}
	return err;
}

int mm_unmap(uint64_t addr, uint64_t len)
{
	if (len == 0 || len > SPACE_END || bad_range(addr, ALIGN_UP(len, LV_PAGE)))
		return -EINVAL;
	return unmap(addr, addr + ALIGN_UP(len, LV_PAGE), true);
}

/* ---- mmap ---- */

static int check_map(uint64_t len, uint32_t prot, uint32_t flags, struct file *file, uint64_t offset)
{
	uint32_t type = flags & MAP_TYPE;

	if (len == 0 || offset % LV_PAGE)
		return -EINVAL;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	if (len > SPACE_END || ALIGN_UP(len, LV_PAGE) > SPACE_END)
		return -ENOMEM;
	if (file && (offset > INT64_MAX || len > INT64_MAX - offset))
		return -EOVERFLOW;
	if (file && !file->ops->map_page)
		return -ENODEV;
	/* What can never be had is refused now; the rest is given out page by page. */
	if (!file && prot & PROT_WRITE && !(flags & MAP_NORESERVE) && len > page_total_bytes())
		return -ENOMEM;
	return 0;
}

static int64_t choose_fixed(uint64_t addr, uint64_t len, uint32_t flags)
{
	if (addr % LV_PAGE)
		return -EINVAL;
	if (bad_range(addr, len))
		return -ENOMEM;
	if (addr < SPACE_LOW)
		return -EPERM;
	if (!space_allows(addr, addr + len))
		return -ENOMEM;
	if (flags & MAP_FIXED_NOREPLACE)
		return vma_free_range(addr, addr + len) ? (int64_t)addr : -EEXIST;
	return addr;
}

/* MAP_32BIT is 31 bits: the second GiB, as on Linux. */
static int64_t choose_low(uint64_t hint, uint64_t len)
{
	uint64_t start;

	hint = ALIGN_DOWN(hint, LV_PAGE);
	if (hint && !bad_range(hint, len) && hint + len <= SPACE_31_END && space_allows(hint, hint + len) && vma_free_range(hint, hint + len))
		return hint;
	start = space_find_low(len);
	return start ? (int64_t)start : -ENOMEM;
}

static int64_t choose_any(uint64_t hint, uint64_t len, uint64_t align)
{
	uint64_t start;

	hint = ALIGN_DOWN(hint, LV_PAGE);
	if (hint && !bad_range(hint, len) && space_allows(hint, hint + len) && vma_free_range(hint, hint + len))
		return hint;
	start = space_find(len, align);
	if (!start && align > LV_PAGE)
		start = space_find(len, LV_PAGE);
	return start ? (int64_t)start : -ENOMEM;
}

int64_t mm_map(uint64_t addr, uint64_t len, uint32_t prot, uint32_t flags, struct file *file, uint64_t offset, const char *name)
{
	int err = check_map(len, prot, flags, file, offset);
	struct vma model = { 0 }, *vma;
	int64_t start;
	bool locked;

	if (err)
		return err;
	len = ALIGN_UP(len, LV_PAGE);
	/* Whole 2 MiB pages need aligned regions. */
	start = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) ? choose_fixed(addr, len, flags)
	        : flags & MAP_32BIT ? choose_low(addr, len)
	        : choose_any(addr, len, !file && len >= HUGE_PAGE ? HUGE_PAGE : LV_PAGE);
	if (start < 0)
		return start;
	if (space->count >= MAPPINGS_MOST)
		return -ENOMEM;
	if (!space_may_hold(start, start + len, prot, flags))
		return -ENOMEM;
	locked = flags & MAP_LOCKED || space->lock_future;
	err = locked ? space_may_lock(start, start + len) : 0;
	if (err)
		return err == -ENOMEM ? -EAGAIN : err;
	err = unmap(start, start + len, false);
	if (err)
		return err;
	model.start = start;
	model.end = start + len;
	model.prot = prot & ACCESS;
	model.flags = (flags & KEPT_FLAGS) | (locked ? MAP_LOCKED : 0);
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
		model.flags = (model.flags & ~MAP_TYPE) | MAP_SHARED;
	model.file = file;
	model.offset = file ? offset : 0;
	model.name = name;
	vma = vma_add(&model);
	if (!vma)
		return -ENOMEM;
	vma_populate_first(vma, start, start + len);
	if (flags & (MAP_POPULATE | MAP_LOCKED))
		vma_populate(vma, start, start + len);
	vma_join(start, start + len);
	return start;
}

/* ---- what is there ---- */

static void count_entry(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	uint64_t *sums = context;

	sums[(*entry & PTE_BORROWED) != 0] += size;
}

void mm_resident(const struct vma *vma, uint64_t *own, uint64_t *shared)
{
	uint64_t sums[2] = { 0 };

	pt_walk(vma->start, vma->end, count_entry, sums);
	*own = sums[0];
	*shared = sums[1];
}

bool mm_is_present(uint64_t va, bool *shared)
{
	bool huge;
	const uint64_t *entry = mm_find(va) ? pt_find(va, &huge) : NULL;

	*shared = entry && (*entry & PTE_BORROWED);
	return entry && *entry;
}

/* ---- mprotect ---- */

struct protect {
	uint64_t bits;
	bool flush;
};

static void protect_entry(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	struct protect *protect = context;
	uint64_t bits = protect->bits, old = *entry;

	/* Pages of others become writable by a fault, which copies them or asks the file. */
	if (old & (PTE_BORROWED | PTE_SHARED))
		bits &= ~(LV_PTE_W | LV_PTE_D);
	*entry = (old & (LV_PTE_ADDR | PTE_BORROWED | PTE_SHARED)) | bits | (size > LV_PAGE ? LV_PTE_PS : 0);
	if (old & LV_PTE_P && (old & ~bits & (LV_PTE_P | LV_PTE_W) || ~old & bits & LV_PTE_NX))
		protect->flush = true;
}

static int protect_vma(struct vma *vma, uint32_t prot)
{
	struct protect protect = { .bits = pt_bits(prot) };
	bool was_reserved = !(vma->prot & ACCESS);

	vma->prot = prot;
	if (!pt_walk(vma->start, vma->end, protect_entry, &protect))
		return -ENOMEM;
	if (protect.flush)
		tlb_flush_pages(vma->start, vma->end);
	if (was_reserved && !vma->file)
		vma_populate_first(vma, vma->start, vma->end);
	return 0;
}

static bool may_protect(const struct vma *vma, uint32_t prot)
{
	uint32_t mode = vma->file ? vma->file->flags & O_ACCMODE : O_RDWR;

	if (!(vma->flags & MAP_SHARED && prot & PROT_WRITE))
		return true;
	return mode == O_RDWR && !(vma->file && vma->file->inode && inode_check_shared_map(vma->file->inode, prot));
}

int mm_protect(uint64_t addr, uint64_t len, uint32_t prot)
{
	uint64_t end = addr + ALIGN_UP(len, LV_PAGE);
	int err;

	prot &= ACCESS;
	if (addr % LV_PAGE)
		return -EINVAL;
	if (len == 0)
		return 0;
	if (bad_range(addr, ALIGN_UP(len, LV_PAGE)) || !mm_covered(addr, end) || !space_may_become(addr, end, prot))
		return -ENOMEM;
	err = isolate(addr, end);
	for (struct vma *vma = vma_from(addr); !err && vma && vma->start < end; vma = mm_next(vma)) {
		if (vma->prot == prot)
			continue;
		if (vma->prot & PROT_EXEC)
			mm_code_changed(vma->start, vma->end);
		err = may_protect(vma, prot) ? protect_vma(vma, prot) : -EACCES;
	}
	vma_join(addr, end);
	return err;
}

/* ---- mremap ---- */

static void prepare_move(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	int64_t *shift = context;

	if (*shift && size == LV_PAGE && !pt_make(va + *shift))
		*shift = 0;
}

static void move_entry(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	uint64_t to = va + *(int64_t *)context, *target = size == LV_PAGE ? pt_make(to) : pt_make_huge(to);

	*target = *entry;
	*entry = 0;
}

static void split_entry(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	if (size > LV_PAGE && !pt_split(va + LV_PAGE))
		*(bool *)context = false;
}

static void check_target(void *context, uint64_t va, uint64_t *entry, uint64_t size)
{
	int64_t *shift = context;

	if (size > LV_PAGE && !pt_make_huge(va + *shift))
		*shift = 0;
}

/* A 2 MiB page can only move as such to where nothing is, not even a table, at a multiple of 2 MiB. */
static bool make_movable(uint64_t start, uint64_t end, int64_t shift)
{
	int64_t whole = shift % (int64_t)HUGE_PAGE ? 0 : shift;
	bool done = true;

	if (!pt_split(start) || !pt_split(end))
		return false;
	if (whole)
		pt_walk(start, end, check_target, &whole);
	if (!whole)
		pt_walk(start, end, split_entry, &done);
	return done;
}

static int move_pages(uint64_t start, uint64_t end, int64_t shift)
{
	int64_t made = shift;

	if (!make_movable(start, end, shift) || !pt_walk(start, end, prepare_move, &made) || !made)
		return -ENOMEM;
	pt_walk(start, end, move_entry, &shift);
	tlb_flush();
	return 0;
}

/* The region [old, old + old_len) becomes one of new_len bytes at to, which is free; with MREMAP_DONTUNMAP it stays, empty. */
static int64_t move_vma(uint64_t old, uint64_t old_len, uint64_t to, uint64_t new_len, uint32_t flags)
{
	struct vma model, *vma;
	int err = isolate(old, old + old_len);

	if (err)
		return err;
	model = *mm_find(old);
	if (model.prot & PROT_EXEC)
		mm_code_changed(old, old + old_len);
	model.start = to;
	model.end = to + new_len;
	vma = vma_add(&model);
	if (!vma)
		return -ENOMEM;
	err = move_pages(old, old + old_len, to - old);
	if (err) {
		vma_remove(vma);
		return err;
	}
	if (!(flags & MREMAP_DONTUNMAP))
		vma_remove(mm_find(old));
	pt_trim(ALIGN_DOWN(old, HUGE_PAGE), ALIGN_UP(old + old_len, HUGE_PAGE));
	tlb_flush();
	vma_join(to, to + new_len);
	return to;
}

static bool can_grow(const struct vma *vma, uint64_t end, uint64_t new_end)
{
	return vma->end == end && new_end > end && space_allows(end, new_end) && vma_free_range(end, new_end);
}

static int64_t remap_move(uint64_t old, uint64_t old_len, uint64_t new_len, uint32_t flags, uint64_t to)
{
	int err;

	if (flags & MREMAP_FIXED) {
		if (to % LV_PAGE || bad_range(to, new_len) || !space_allows(to, to + new_len))
			return -EINVAL;
		err = mm_unmap(to, new_len);
		if (err)
			return err;
	} else {
		to = space_find(new_len, new_len >= HUGE_PAGE ? HUGE_PAGE : LV_PAGE);
		if (!to)
			return -ENOMEM;
	}
	if (new_len < old_len) {
		err = mm_unmap(old + new_len, old_len - new_len);
		if (err)
			return err;
		old_len = new_len;
	}
	return move_vma(old, old_len, to, new_len, flags);
}

int64_t mm_remap(uint64_t old, uint64_t old_len, uint64_t new_len, uint32_t flags, uint64_t to)
{
	struct vma *vma;
	int err;

	old_len = ALIGN_UP(old_len, LV_PAGE);
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) || (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(flags & MREMAP_MAYMOVE)))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && old_len != ALIGN_UP(new_len, LV_PAGE))
		return -EINVAL;
	if (old % LV_PAGE || new_len == 0 || old_len == 0 || new_len > SPACE_END || bad_range(old, old_len))
		return -EINVAL;
	new_len = ALIGN_UP(new_len, LV_PAGE);
	if (flags & MREMAP_FIXED && old < to + new_len && to < old + old_len)
		return -EINVAL;
	vma = mm_find(old);
	if (!vma || vma->flags & VMA_YIELDS || old + old_len > vma->end)
		return -EFAULT;
	if (new_len > old_len && !space_may_grow(vma, new_len - old_len))
		return -ENOMEM;
	if (new_len > old_len && vma->flags & MAP_LOCKED && space_may_lock(SPACE_END, SPACE_END + new_len - old_len))
		return -EAGAIN;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))
		return remap_move(old, old_len, new_len, flags, to);
	if (new_len <= old_len) {
		err = new_len < old_len ? mm_unmap(old + new_len, old_len - new_len) : 0;
		return err ? err : (int64_t)old;
	}
	if (!vma->file && new_len > page_total_bytes() && !(vma->flags & MAP_NORESERVE))
		return -ENOMEM;
	if (can_grow(vma, old + old_len, old + new_len)) {
		err = patches_yield(old + old_len, old + new_len);
		if (err)
			return err;
		vma_set_end(vma, old + new_len);
		vma_join(old, old + new_len);
		return old;
	}
	return flags & MREMAP_MAYMOVE ? remap_move(old, old_len, new_len, flags, 0) : -ENOMEM;
}

/* ---- mlock, madvise, brk ---- */

int mm_mark(uint64_t start, uint64_t end, uint32_t flag, bool on)
{
	int err = isolate(start, end);

	for (struct vma *vma = vma_from(start); !err && vma && vma->start < end; vma = mm_next(vma))
		if (!(vma->flags & VMA_YIELDS))
			vma->flags = on ? vma->flags | flag : vma->flags & ~flag;
	vma_join(start, end);
	return err;
}

int mm_drop(uint64_t start, uint64_t end, bool lazily)
{
	bool hole = !mm_covered(start, end);
	int err = 0;

	for (struct vma *vma = vma_from(start); !err && vma && vma->start < end; vma = mm_next(vma)) {
		if (vma->flags & VMA_YIELDS)
			continue;
		if (vma->flags & MAP_LOCKED || (lazily && (vma->file || vma->flags & MAP_SHARED)))
			return -EINVAL;
		if (!vma->file && vma->flags & MAP_SHARED) /* its pages are all that there is of it */
			continue;
		if (vma->prot & PROT_EXEC)
			mm_code_changed(MAX(start, vma->start), MIN(end, vma->end));
		err = space_drop(MAX(start, vma->start), MIN(end, vma->end), false);
		vma->faulted = 0;
	}
	return err ? err : hole ? -ENOMEM : 0;
}

uint64_t mm_top(void)
{
	return space->top;
}

void mm_set_top(uint64_t top)
{
	space->top = top;
}

void mm_set_brk(uint64_t start)
{
	space->brk_start = space->brk = start;
}

uint64_t mm_brk_start(void)
{
	return space->brk_start;
}

uint64_t mm_brk(uint64_t end)
{
	uint64_t old = ALIGN_UP(space->brk, LV_PAGE), new = ALIGN_UP(end, LV_PAGE);

	if (end < space->brk_start || end > SPACE_END)
		return space->brk;
	if (new < old && mm_unmap(new, old - new))
		return space->brk;
	if (new > old) {
		if (new - space->brk_start > page_total_bytes())
			return space->brk;
		if (mm_map(old, new - old, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL, 0, "[heap]") < 0)
			return space->brk;
	}
	return space->brk = end;
}

static void cut_here(struct inode *inode, uint64_t from)
{
	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma)) {
		uint64_t skip;

		if (!vma->file || vma->file->inode != inode || !(vma->flags & MAP_SHARED))
			continue;
		skip = from > vma->offset ? ALIGN_DOWN(from - vma->offset, LV_PAGE) : 0;
		if (skip < vma->end - vma->start)
			space_drop(vma->start + skip, vma->end, false);
	}
}

void mm_file_cut(struct inode *inode, uint64_t from)
{
	struct space *before = space;

	for (struct space *each = spaces; each; each = each->next) {
		space_use(each);
		cut_here(inode, from);
	}
	space_use(before);
}

bool mm_any(bool (*is)(const struct vma *vma, const void *with), const void *with)
{
	struct space *before = space;
	bool found = false;

	for (struct space *each = spaces; each && !found; each = each->next) {
		space_use(each);
		for (const struct vma *vma = mm_first(); vma && !found; vma = mm_next(vma))
			found = is(vma, with);
	}
	space_use(before);
	return found;
}
