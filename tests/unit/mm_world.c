/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mm_world.h"

/* <sys/mman.h> does not go together with the kernel's headers. */
void *mmap(void *addr, size_t len, int prot, int flags, int fd, long offset);

struct lv_device_page *page_of_devices;
bool release_fails;
uint64_t flushes, released;
uint64_t now;
jmp_buf *expect_panic;

/* ---- what the rest of libos would be ---- */

void panic(const char *format, ...)
{
	va_list args;

	if (expect_panic)
		longjmp(*expect_panic, 1);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	abort();
}

int64_t hypercall(enum lv_hypercall number, uint64_t a0)
{
	if (number == LV_HC_GROW) {
		if (page_of_devices->ram_size + a0 > RAM_LIMIT)
			return -ENOMEM;
		page_of_devices->ram_size += a0;
		return 0;
	}
	if (number == LV_HC_FETCH) {
		if (shared_page->arg[1])
			memcpy((void *)a0, (void *)shared_page->arg[1], shared_page->arg[2]);
		return 0;
	}
	assert_int_equal(number, LV_HC_RELEASE);
	assert_true(a0 <= LV_RELEASE_SLOTS);
	if (release_fails)
		return -EINVAL;
	for (uint64_t i = 0; i < a0; i++) {
		memset((void *)shared_page->release[i].gpa, 0, shared_page->release[i].len);
		released += shared_page->release[i].len;
	}
	return 0;
}

uint64_t clock_monotonic(void)
{
	return now += 1000000;
}

void tlb_flush(void)
{
	flushes++;
}

void tlb_flush_pages(uint64_t start, uint64_t end)
{
	tlb_flush();
}


void syscall_entry_direct(void); /* where trampolines lead; nothing runs here */
void syscall_entry_direct(void)
{
}

void cpuid_entry(void);
void cpuid_entry(void)
{
}

/* ---- fork.c, without other spaces ---- */

struct space *space_use(struct space *other)
{
	return space;
}

void space_window_grew(void)
{
}

uint64_t space_window_start(void)
{
	return LV_WINDOW + (2ull << 30);
}

struct generation_hook *generation_hooks;

void generation_add(struct generation_hook *hook)
{
	hook->next = generation_hooks;
	generation_hooks = hook;
}

int file_refs = 1;

void file_get(struct file *file)
{
	file_refs++;
}

void file_put(struct file *file)
{
	file_refs--;
}

/* A file of the image: byte n of page p is p + 1, the last page is half full. */
static uint64_t image_map_page(struct file *file, uint64_t offset, bool for_write)
{
	return offset < IMAGE_PAGES * LV_PAGE ? IMAGE + offset : 0;
}

/* A file of the RAM layer. */
char *ram_pages;
static uint64_t ram_map_page(struct file *file, uint64_t offset, bool for_write)
{
	return offset < 4 * LV_PAGE ? (uint64_t)ram_pages + offset : 0;
}

uint64_t process_limit(int resource);
uint64_t process_limit(int resource)
{
	(void)resource;
	return ~0ull;
}

void fs_links_stay(bool on) /* no file of this world is a server's */
{
	(void)on;
}

bool capable(int capability);
bool capable(int capability)
{
	(void)capability;
	return false;
}

int inode_check_shared_map(const struct inode *inode, uint32_t prot);
int inode_check_shared_map(const struct inode *inode, uint32_t prot)
{
	(void)inode;
	(void)prot;
	return 0;
}

static const struct file_ops image_ops = { .kind = "image", .map_page = image_map_page };
static const struct file_ops ram_ops = { .kind = "ram", .map_page = ram_map_page };
struct file image_file = { .ops = &image_ops, .refs = 1, .flags = O_RDONLY };
struct file ram_file = { .ops = &ram_ops, .refs = 1, .flags = O_RDWR };

/* ---- the processor ---- */

const uint64_t *walk_entry(uint64_t va, unsigned *level)
{
	uint64_t *table = (uint64_t *)LV_PML4;

	for (*level = 3;; --*level) {
		uint64_t *entry = &table[va >> (12 + 9 * *level) & 511];

		if (!(*entry & LV_PTE_P) || *level == 0 || (*level == 1 && *entry & LV_PTE_PS))
			return entry;
		table = (uint64_t *)(*entry & LV_PTE_ADDR);
	}
}

/* 0, or what mm_fault() said. */
static int access_byte(uint64_t va, uint8_t *byte, bool write)
{
	for (int tries = 0; tries < 3; tries++) {
		unsigned level;
		uint64_t entry = *walk_entry(va, &level);
		uint64_t mask = (LV_PAGE << (9 * level)) - 1;
		uint8_t *at = (uint8_t *)((entry & LV_PTE_ADDR & ~mask) + (va & mask));
		int r;

		if (entry & LV_PTE_P && (!write || entry & LV_PTE_W)) {
			assert_true(entry & LV_PTE_U && entry & LV_PTE_A);
			if (write)
				*at = *byte;
			else
				*byte = *at;
			return 0;
		}
		r = mm_fault(va, 4 | (write ? 2 : 0) | (entry & LV_PTE_P));
		if (r)
			return r;
	}
	fail_msg("the fault at %lx comes again and again", va);
	return -1;
}

int peek(uint64_t va)
{
	uint8_t byte = 0;
	int r = access_byte(va, &byte, false);

	return r ? -1000 - r : byte;
}

int poke(uint64_t va, uint8_t byte)
{
	return access_byte(va, &byte, true);
}

/* ---- what tests ask ---- */

void check_sorted(void)
{
	uint64_t below = 0;
	int n = 0;

	for (const struct vma *vma = mm_first(); vma; vma = mm_next(vma), n++) {
		assert_true(vma->start < vma->end);
		assert_true(below <= vma->start);
		below = vma->end;
	}
	assert_int_equal(space->count, n);
}

uint64_t used(void)
{
	return page_total_bytes() - page_free_bytes();
}

int world_set_up(void **state)
{
	int fixed = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE;
	void *window = mmap((void *)LV_BASE, LV_RAM - LV_BASE + RAM_LIMIT, PROT_READ | PROT_WRITE, fixed, -1, 0);
	char *image = mmap((void *)IMAGE, IMAGE_PAGES * LV_PAGE, PROT_READ | PROT_WRITE, fixed, -1, 0);

	assert_ptr_equal(window, (void *)LV_BASE);
	assert_ptr_equal(image, (void *)IMAGE);
	for (uint64_t i = 0; i < IMAGE_PAGES; i++)
		memset(image + i * LV_PAGE, i + 1, LV_PAGE);
	memset(image + IMAGE_PAGES * LV_PAGE - LV_PAGE / 2, 0, LV_PAGE / 2);
	page_of_devices = (struct lv_device_page *)LV_DEVICE;
	page_of_devices->ram_size = RAM_START;
	page_of_devices->ram_limit = RAM_LIMIT;
	page_of_devices->heap_start = LV_RAM + HEAP_OFFSET;
	*(uint64_t *)LV_PML4 = LV_PDPT | LV_PTE_P | LV_PTE_W | LV_PTE_U | LV_PTE_A;
	mm_init();
	ram_pages = page_alloc_zeroed(2);
	return 0;
}

uint64_t map(uint64_t addr, uint64_t len, uint32_t prot, uint32_t flags)
{
	int64_t r = mm_map(addr, len, prot, flags, NULL, 0, NULL);

	assert_true(r > 0);
	return r;
}
