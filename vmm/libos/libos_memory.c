/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as libos expects to find it: the window with libos and RAM, the image before it, the page tables. */
#include "abi/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/libos_header.h"
#include "parse/elf.h"
#include "base/log.h"
#include "vmm/vm.h"

#define MIB (1024ull * 1024)
#define HUGE (2 * MIB)
#define CONFIGURATION LV_PAGE /* what one without a network takes of the boot area */
#define LEAF (LV_PTE_P | LV_PTE_U | LV_PTE_A)            /* accessed: lets page-table KVM map neighbours at once */
#define LEAF_RW (LEAF | LV_PTE_W | LV_PTE_D | LV_PTE_NX)
#define TABLE (LV_PTE_P | LV_PTE_W | LV_PTE_U | LV_PTE_A)

void *libos_at(const struct vm *vm, uint64_t address)
{
	return vm->libos.window + (address - LV_BASE);
}

static uint64_t *table(const struct vm *vm, uint64_t address)
{
	return libos_at(vm, address);
}

/* ---- mapping ---- */

static uint64_t whole_huge(uint64_t bytes)
{
	return (bytes + HUGE - 1) & ~(HUGE - 1);
}

int libos_measure_image(int fd, uint64_t *size)
{
	struct stat st;
	if (fd < 0)
		return *size = 0, 0;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return log_error("the image is not a regular file, or empty"), -EINVAL;
	if ((uint64_t)st.st_size > LV_IMAGE_MAX)
		return log_error("the image has %lld bytes; the most is %llu", (long long)st.st_size, LV_IMAGE_MAX), -EFBIG;
	*size = st.st_size;
	return 0;
}

/* Of at least so many bytes, aligned to 2 MiB, so that the host can back 2 MiB of the guest with one page. NULL: there is none. */
static uint8_t *reserve(uint64_t bytes)
{
	uint8_t *map = mmap(NULL, bytes + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return map == MAP_FAILED ? NULL : (uint8_t *)(((uintptr_t)map + HUGE - 1) & ~(HUGE - 1));
}

/* Room for an image, and behind it for the window; what the image does not take of its room stays out of reach. */
static int reserve_window(struct vm *vm)
{
	struct libos_guest *guest = &vm->libos;
	uint64_t image;
	int err = libos_measure_image(vm->config->image_fd, &image);
	if (err)
		return err;
	guest->room = whole_huge(vm->config->image_fd < 0 ? vm->config->image_room : image);
	vm->ram_limit = whole_huge(vm->config->memory);
	/* KVM keeps 10 bytes for each page of a slot; more is added when libos asks for it. */
	vm->ram_size = guest->slot_ram = vm->ram_limit < vm->config->first_ram ? vm->ram_limit : whole_huge(vm->config->first_ram);
	uint8_t *start = reserve(guest->room + LV_RAM - LV_BASE + vm->ram_limit);
	guest->window = start + guest->room;
	if (!start || mprotect(guest->window, LV_RAM - LV_BASE + vm->ram_size, PROT_READ | PROT_WRITE) < 0)
		return log_error("no address space for %llu MiB of guest memory: %s", (unsigned long long)(vm->ram_limit / MIB), strerror(errno)), -ENOMEM;
	guest->boot_next = LV_RAM;
	guest->more_next = LV_RAM + LV_RAM_EARLY;
	return 0;
}

static bool inside_window(uint64_t address)
{
	return address > LV_LIBOS && address < LV_LIBOS_END;
}

static int check_header(struct vm *vm, const struct elf *elf)
{
	const struct lv_libos_header *h = (const void *)(elf->base + elf->load[0].offset);
	if (elf->load[0].vaddr != LV_LIBOS || elf->load[0].filesz < sizeof(*h) || h->magic != LV_LIBOS_MAGIC)
		return log_error("the libos file is an ELF file, but not a libos: no header at %#llx", LV_LIBOS), -ENOEXEC;
	if (h->abi_version != LV_LIBOS_ABI)
		return log_error("libos speaks version %u of the guest ABI, this monitor version %u", h->abi_version, LV_LIBOS_ABI), -ENOEXEC;
	if (h->build.id_size != LV_BUILD_ID || memcmp(h->build.name, "GNU", 4) != 0)
		return log_error("libos has no build id in its header: it was not linked by libos.ld"), -ENOEXEC;
	memcpy(vm->status.record.libos_build, h->build.id, LV_BUILD_ID);
	vm->libos.entry = h->entry;
	vm->libos.boot_stack = h->boot_stack;
	vm->libos.trap_entry = h->trap_entry;
	vm->libos.upcall_entry = h->upcall_entry;
	vm->libos.syscall_entry = h->syscall_entry;
	vm->libos.text_start = h->text_start;
	vm->libos.text_end = h->text_end;
	vm->libos.leave_start = h->leave_start;
	vm->libos.leave_end = h->leave_end;
	vm->libos.leave_again = h->leave_again;
	vm->libos.touch_entry = h->touch_entry;
	vm->libos.hot_end = inside_window(h->hot_end) ? h->hot_end : LV_LIBOS;
	vm->libos.hot_data_end = inside_window(h->hot_data_end) && h->hot_data_end > h->boot_stack ? h->hot_data_end : h->boot_stack;
	return 0;
}

/* Text and constants stay the page cache's pages, shared by all VMs; data is copied page by page when it is written. */
static int map_load(struct vm *vm, int fd, const struct elf_load *load)
{
	uint64_t start = load->vaddr & ~(LV_PAGE - 1), skew = load->vaddr - start;
	bool hot = !(load->flags & 2); /* text and constants: a copy of our own in part, see libos_populate() */
	int prot = PROT_READ | (load->flags & 2 || hot ? PROT_WRITE : 0);
	if (load->vaddr < LV_LIBOS || load->vaddr + load->memsz > LV_LIBOS_END)
		return log_error("libos segment at %#llx lies outside its window", (unsigned long long)load->vaddr), -ENOEXEC;
	if (load->filesz == 0)
		return 0;
	if (mmap(libos_at(vm, start), load->filesz + skew, prot, MAP_PRIVATE | MAP_FIXED, fd, load->offset - skew) == MAP_FAILED)
		return log_error("mapping libos: %s", strerror(errno)), -errno;
	uint64_t end = load->vaddr + load->filesz;
	if (hot && end < vm->libos.boot_stack)
		vm->libos.shared_end = end;
	if (load->memsz > load->filesz && end % LV_PAGE) /* the file's next bytes are not zero bytes */
		memset(libos_at(vm, end), 0, LV_PAGE - end % LV_PAGE);
	return 0;
}

static void protect_load(struct vm *vm, const struct elf_load *load)
{
	uint64_t flags = LEAF | (load->flags & 2 ? LV_PTE_W | LV_PTE_D : 0) | (load->flags & 1 ? 0 : LV_PTE_NX);
	for (uint64_t page = load->vaddr & ~(LV_PAGE - 1); page < load->vaddr + load->memsz; page += LV_PAGE)
		table(vm, LV_PT)[(page - LV_BASE) / LV_PAGE] = page | flags;
}

/* Buffers of libos' drivers may lie in its data. */
static int add_load(struct vm *vm, const struct elf_load *load)
{
	const struct mem_file file = { .hva = libos_at(vm, load->vaddr), .len = load->filesz, .fd = -1 };
	int err = load->flags & 2 ? mem_add(&vm->mem, load->vaddr, load->memsz, file.hva, true) : 0;
	return err || !file.len ? err : mem_note_file(&vm->mem, &file);
}

static int map_libos(struct vm *vm, int fd)
{
	struct stat st;
	struct elf elf;
	const char *why;
	if (fstat(fd, &st) < 0 || st.st_size == 0)
		return log_error("libos: cannot be read, or empty"), -EINVAL;
	void *file = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		return log_error("mapping libos: %s", strerror(errno)), -errno;
	int err = elf_parse(&elf, file, st.st_size, &why);
	if (err < 0)
		log_error("libos: %s", why);
	else
		err = check_header(vm, &elf);
	for (int i = 0; err == 0 && i < elf.loads; i++)
		if ((err = map_load(vm, fd, &elf.load[i])) == 0) {
			protect_load(vm, &elf.load[i]);
			err = add_load(vm, &elf.load[i]);
		}
	munmap(file, st.st_size);
	return err;
}

/*
 * All VMs have the page cache's pages. The guest cannot write them: neither mapping nor descriptor allow it. Private where the guest may get copies of its own of some
 * (libos_prefault.c): that is no other memory as long as nothing is written.
 */
static int map_file(const struct vm *vm, uint8_t *at, int fd, uint64_t offset, uint64_t size)
{
	const int flags = vm->config->prefault_fd >= 0 ? MAP_PRIVATE : MAP_SHARED;
	return mmap(at, size, PROT_READ, flags | MAP_FIXED, fd, offset) == MAP_FAILED ? log_errno("mapping the image") : 0;
}

/*
 * It is larger than its room in the first slot: all of it lies in an address space of its own, for devices; the guest has its end by way of
 * the room, and the rest by one slot more.
 */
static int map_large(struct vm *vm, int fd, uint64_t size)
{
	struct libos_guest *guest = &vm->libos;
	const uint64_t before = whole_huge(size) - guest->room;
	guest->image = reserve(whole_huge(size));
	if (!guest->image)
		return log_errno("address space for the image");
	int err = map_file(vm, guest->image, fd, 0, size);
	if (!err && guest->room)
		err = map_file(vm, guest->window - guest->room, fd, before, size - before);
	if (err)
		return err;
	const struct mem_slot slot = { .gpa = LV_IMAGE(size), .len = before, .hva = guest->image, .kind = MEM_IMAGE };
	err = mem_add_slot(&vm->mem, vm->fd, &slot);
	return err ? log_error("the image's memory (KVM_SET_USER_MEMORY_REGION): %s", strerror(-err)), err : 0;
}

static int map_image(struct vm *vm, int fd)
{
	struct libos_guest *guest = &vm->libos;
	uint64_t size;
	int err = libos_measure_image(fd, &size);
	if (err || fd < 0)
		return err;
	guest->image_size = size;
	guest->image = guest->window - whole_huge(size);
	err = whole_huge(size) > guest->room ? map_large(vm, fd, size) : map_file(vm, guest->image, fd, 0, size);
	return err ? err : mem_add(&vm->mem, LV_IMAGE(size), (size + LV_PAGE - 1) & ~(LV_PAGE - 1), guest->image, false);
}

/* One slot for image, libos and the first RAM: making one takes the host's kernel a grace period. */
static int add_window(struct vm *vm)
{
	const struct libos_guest *guest = &vm->libos;
	const struct mem_slot slot = { .gpa = LV_BASE - guest->room, .len = guest->room + LV_RAM - LV_BASE + vm->ram_size,
				       .hva = guest->window - guest->room, .kind = MEM_WINDOW, .image = guest->room };
	int err = mem_add_slot(&vm->mem, vm->fd, &slot);
	return err ? log_error("guest memory (KVM_SET_USER_MEMORY_REGION): %s", strerror(-err)), err : 0;
}

int libos_map(struct vm *vm, int libos_fd)
{
	int err = reserve_window(vm);
	if (err == 0)
		err = map_libos(vm, libos_fd);
	if (err == 0)
		err = add_window(vm);
	vm->libos.device_page = libos_at(vm, LV_DEVICE);
	vm->libos.shared = libos_at(vm, LV_SHARED);
	return err;
}

/*
 * The configuration may want less than there was room made for: what its limit leaves of the first RAM is taken out of reach. most: what it has of that, to
 * begin with.
 */
static int settle_memory(struct vm *vm, uint64_t limit, uint64_t most)
{
	uint64_t first = vm->ram_size;
	if (limit > vm->ram_limit)
		return log_error("--mem: this monitor was made for %llu MiB at most", (unsigned long long)(vm->ram_limit / MIB)), -EINVAL;
	vm->ram_limit = limit;
	int err = 0;
	if (first > limit)
		err = mprotect(libos_at(vm, LV_RAM + (vm->ram_size = limit)), first - limit, PROT_NONE);
	else if (first < limit)
		err = mprotect(libos_at(vm, LV_RAM + first), limit - first, PROT_READ | PROT_WRITE);
	if (err)
		return log_error("no address space for %llu MiB of guest memory: %s", (unsigned long long)(limit / MIB), strerror(errno)), -ENOMEM;
	if (vm->ram_size > most)
		vm->ram_size = most;
	return mem_add(&vm->mem, LV_RAM, vm->ram_size, libos_at(vm, LV_RAM), true);
}

int libos_add_ram(struct vm *vm, uint64_t from, uint64_t bytes)
{
	const uint64_t slot = vm->libos.slot_ram, left = from < slot ? slot - from : 0, here = bytes < left ? bytes : left;
	const struct mem_slot rest = { .gpa = LV_RAM + from + here, .len = bytes - here, .hva = libos_at(vm, LV_RAM + from + here), .kind = MEM_RAM };
	/* KVM first: it can refuse what the list cannot take back. */
	int err = rest.len ? mem_add_slot(&vm->mem, vm->fd, &rest) : 0;
	return err ? err : mem_add(&vm->mem, LV_RAM + from, bytes, libos_at(vm, LV_RAM + from), true);
}

int libos_limit(struct vm *vm, uint64_t bytes)
{
	uint64_t limit = whole_huge(bytes);
	if (limit > whole_huge(vm->config->memory))
		return -ERANGE;
	if (limit < vm->ram_size)
		return -EBUSY;
	vm->status.record.ram_limit = vm->ram_limit = vm->libos.device_page->ram_limit = limit;
	return 0;
}

/* ---- the boot area ---- */

static bool take_area(uint64_t *next, uint64_t end, size_t size, size_t align, gpa_t *start)
{
	*start = (*next + align - 1) & ~(uint64_t)(align - 1);
	if (*start > end || size > end - *start)
		return false;
	*next = *start + size;
	return true;
}

gpa_t libos_alloc(void *context, size_t size, size_t align)
{
	struct vm *vm = context;
	struct libos_guest *guest = &vm->libos;
	gpa_t start;
	if (take_area(&guest->boot_next, LV_RAM + LV_BOOT_SIZE, size, align, &start) ||
	    take_area(&guest->more_next, LV_RAM + vm->ram_size, size, align, &start))
		return start;
	return (gpa_t)-1;
}

/* ---- page tables ---- */

/* The page directory of a GiB. (gpa_t)-1: no room for one. */
static uint64_t directory(struct vm *vm, uint64_t gib)
{
	uint64_t *entry = &table(vm, LV_PDPT)[(gib >> 30) & 511], made;
	if (*entry)
		return *entry & LV_PTE_ADDR;
	made = libos_alloc(vm, LV_PAGE, LV_PAGE);
	if (made != (gpa_t)-1)
		*entry = made | TABLE;
	return made;
}

/* 2 MiB pages for [start, start + len). What was not there can be added while the guest waits: it is looked up when it is used. */
static int map_huge(struct vm *vm, uint64_t start, uint64_t len, uint64_t flags)
{
	for (uint64_t gib = start & ~(1024 * MIB - 1); gib < start + len; gib += 1024 * MIB) {
		uint64_t pd = directory(vm, gib);
		if (pd == (gpa_t)-1)
			return log_error("%llu MiB are not enough to start", (unsigned long long)(vm->ram_limit / MIB)), -ENOMEM;
		for (uint64_t page = gib; page < gib + 1024 * MIB && page < start + len; page += HUGE)
			if (page >= start)
				table(vm, pd)[(page - gib) / HUGE] = page | flags | LV_PTE_PS;
	}
	return 0;
}

static void build_page_tables(struct vm *vm)
{
	table(vm, LV_PML4)[0] = LV_PDPT | TABLE;
	table(vm, LV_PDPT)[(LV_BASE >> 30) & 511] = LV_PD | TABLE;
	table(vm, LV_PD)[0] = LV_PT | TABLE;
	uint64_t *pt = table(vm, LV_PT);
	static const struct { uint64_t page, flags; } fixed[] = {
		/* libos builds the program's page tables, so it may write these */
		{LV_PML4, LEAF_RW}, {LV_PDPT, LEAF_RW}, {LV_PD, LEAF_RW}, {LV_PT, LEAF_RW},
		{LV_DESC, LEAF_RW & ~LV_PTE_U},
		{LV_STUBS, LEAF & ~LV_PTE_U},
		{LV_TRAP, LEAF_RW}, {LV_SHARED, LEAF_RW},
		{LV_DEVICE, LEAF | LV_PTE_NX},
	};
	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		pt[(fixed[i].page - LV_BASE) / LV_PAGE] = fixed[i].page | fixed[i].flags;
	pt[(LV_BELL - LV_BASE) / LV_PAGE] = LV_BELL_GPA | LEAF_RW;
	/*
	 * Empty directories for the GiBs that every program uses: its own addresses, its stack, its image. The PDPT is in use from
	 * the first instruction on, and page-table KVM emulates every later write to it.
	 */
	static const uint64_t used[] = {0, LV_STACK_TOP - 1, LV_BASE - 1};
	for (size_t i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		directory(vm, used[i]);
}

/*
 * Pages that every guest writes within its first microseconds. Page-table KVM takes 24 us for the first touch of a page
 * (and twice more if it was read before: the zero page comes first), but maps eight at once where the host has them.
 */
void libos_populate(struct vm *vm, uint64_t start, uint64_t end)
{
	start &= ~(LV_PAGE - 1);
	end = (end + LV_PAGE - 1) & ~(LV_PAGE - 1);
	madvise(libos_at(vm, start), end - start, MADV_POPULATE_WRITE); /* an old kernel refuses: slower, not wrong */
}

/* The configuration comes into the boot area, and libos takes some of its pool before the program starts. */
static void populate_ram(struct vm *vm)
{
	libos_populate(vm, LV_RAM, vm->libos.populated = vm->libos.boot_next + CONFIGURATION);
	libos_populate(vm, LV_RAM + LV_BOOT_SIZE, LV_RAM + LV_BOOT_SIZE + LV_HOT_HEAP);
}

/* The memory that it may have and, in it, the directories of all that can be mapped by 2 MiB pages. */
int libos_prepare(struct vm *vm)
{
	libos_populate(vm, LV_BASE, LV_DESC + LV_PAGE);
	libos_populate(vm, LV_LIBOS, vm->libos.hot_end);
	libos_populate(vm, vm->libos.boot_stack - LV_PAGE, vm->libos.hot_data_end);
	libos_write_stubs(vm);
	build_page_tables(vm);
	vm->libos.reach = vm->ram_limit;
	int err = map_huge(vm, LV_RAM, vm->ram_limit, LEAF_RW);
	populate_ram(vm);
	return err;
}

int libos_map_saved(struct vm *vm, uint64_t limit, uint64_t ram_size)
{
	int err = settle_memory(vm, limit, ram_size);
	return err ? err : map_image(vm, vm->config->image_fd);
}

int libos_map_program(struct vm *vm)
{
	int err = libos_map_saved(vm, whole_huge(vm->config->memory), UINT64_MAX);
	if (!err)
		libos_prefault(vm);
	return err ? err : map_huge(vm, LV_IMAGE(vm->libos.image_size), vm->libos.image_size, LEAF | LV_PTE_NX);
}
