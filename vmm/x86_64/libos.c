/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory as libos expects to find it: page tables, descriptor tables, trap stubs, libos, image, device page. */
#include "abi/layout.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "abi/libos.h"
#include "parse/elf.h"
#include "vmm/log.h"
#include "vmm/vm.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; not in every C library's header yet */
#endif
#define MIB (1024ull * 1024)
#define HUGE (2 * MIB)
#define HOT_HEAP (10 * LV_PAGE) /* what libos takes of its pool before the program starts */
#define FIRST_RAM LV_RAM_SMALL /* KVM keeps 10 bytes for each page of a slot; more is added when libos asks for it */
#define LEAF (LV_PTE_P | LV_PTE_U | LV_PTE_A)            /* accessed: lets page-table KVM map neighbours at once */
#define LEAF_RW (LEAF | LV_PTE_W | LV_PTE_D | LV_PTE_NX)
#define TABLE (LV_PTE_P | LV_PTE_W | LV_PTE_U | LV_PTE_A)

static void *at(const struct vm *vm, uint64_t address)
{
	return vm->window + (address - LV_BASE);
}

static uint64_t *table(const struct vm *vm, uint64_t address)
{
	return at(vm, address);
}

/* ---- mapping ---- */

static int measure_image(struct vm *vm, int fd)
{
	struct stat st;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return log_error("the image is not a regular file, or empty"), -EINVAL;
	if ((uint64_t)st.st_size > LV_IMAGE_MAX)
		return log_error("the image has %lld bytes; the most is %llu", (long long)st.st_size, LV_IMAGE_MAX), -EFBIG;
	vm->image_size = st.st_size;
	return 0;
}

/* Room for the image, and behind it for the window; what the image leaves of its last 2 MiB stays out of reach. */
static int reserve_window(struct vm *vm)
{
	size_t before = LV_BASE - LV_IMAGE(vm->image_size);
	vm->ram_limit = (vm->config->memory + HUGE - 1) & ~(HUGE - 1);
	vm->ram_size = vm->ram_limit < FIRST_RAM ? vm->ram_limit : FIRST_RAM;
	vm->window_size = LV_RAM - LV_BASE + vm->ram_limit;
	/* Aligned to 2 MiB, so that the host can back 2 MiB of the guest with one page. */
	uint8_t *map = mmap(NULL, before + vm->window_size + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	vm->image = (uint8_t *)(((uintptr_t)map + HUGE - 1) & ~(HUGE - 1));
	vm->window = vm->image + before;
	if (map == MAP_FAILED || mprotect(vm->window, vm->window_size, PROT_READ | PROT_WRITE) < 0)
		return log_error("no address space for %llu MiB of guest memory: %s", (unsigned long long)(vm->ram_limit / MIB), strerror(errno)), -ENOMEM;
	vm->boot_next = LV_RAM;
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
	if (h->abi_version != LV_ABI_VERSION)
		return log_error("libos speaks version %u of the guest ABI, this monitor version %u", h->abi_version, LV_ABI_VERSION), -ENOEXEC;
	vm->entry = h->entry;
	vm->boot_stack = h->boot_stack;
	vm->trap_entry = h->trap_entry;
	vm->upcall_entry = h->upcall_entry;
	vm->syscall_entry = h->syscall_entry;
	vm->text_start = h->text_start;
	vm->text_end = h->text_end;
	vm->hot_end = inside_window(h->hot_end) ? h->hot_end : LV_LIBOS;
	vm->hot_data_end = inside_window(h->hot_data_end) && h->hot_data_end > h->boot_stack ? h->hot_data_end : h->boot_stack;
	return 0;
}

/* Text and constants stay the page cache's pages, shared by all VMs; data is copied page by page when it is written. */
static int map_load(struct vm *vm, int fd, const struct elf_load *load)
{
	uint64_t start = load->vaddr & ~(LV_PAGE - 1), skew = load->vaddr - start;
	bool hot = !(load->flags & 2); /* text and constants: a copy of our own in part, see populate() */
	int prot = PROT_READ | (load->flags & 2 || hot ? PROT_WRITE : 0);
	if (load->vaddr < LV_LIBOS || load->vaddr + load->memsz > LV_LIBOS_END)
		return log_error("libos segment at %#llx lies outside its window", (unsigned long long)load->vaddr), -ENOEXEC;
	if (load->filesz == 0)
		return 0;
	if (mmap(at(vm, start), load->filesz + skew, prot, MAP_PRIVATE | MAP_FIXED, fd, load->offset - skew) == MAP_FAILED)
		return log_error("mapping libos: %s", strerror(errno)), -errno;
	uint64_t end = load->vaddr + load->filesz;
	if (load->memsz > load->filesz && end % LV_PAGE) /* the file's next bytes are not zero bytes */
		memset(at(vm, end), 0, LV_PAGE - end % LV_PAGE);
	return 0;
}

static void protect_load(struct vm *vm, const struct elf_load *load)
{
	uint64_t flags = LEAF | (load->flags & 2 ? LV_PTE_W | LV_PTE_D : 0) | (load->flags & 1 ? 0 : LV_PTE_NX);
	for (uint64_t page = load->vaddr & ~(LV_PAGE - 1); page < load->vaddr + load->memsz; page += LV_PAGE)
		table(vm, LV_PT)[(page - LV_BASE) / LV_PAGE] = page | flags;
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
	int result = elf_parse(&elf, file, st.st_size, &why);
	if (result < 0)
		log_error("libos: %s", why);
	else
		result = check_header(vm, &elf);
	for (int i = 0; result == 0 && i < elf.loads; i++)
		if ((result = map_load(vm, fd, &elf.load[i])) == 0) {
			protect_load(vm, &elf.load[i]);
			if (elf.load[i].flags & 2) /* buffers of libos' drivers may lie in its data */
				result = mem_add(&vm->mem, elf.load[i].vaddr, elf.load[i].memsz, at(vm, elf.load[i].vaddr), true);
		}
	munmap(file, st.st_size);
	return result;
}

/* Shared, so that all VMs have the page cache's pages. The guest cannot write them: neither mapping nor descriptor allow it. */
static int map_image(struct vm *vm, int fd)
{
	if (fd < 0)
		return 0;
	if (mmap(vm->image, vm->image_size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return log_error("mapping the image: %s", strerror(errno)), -errno;
	return mem_add(&vm->mem, LV_IMAGE(vm->image_size), (vm->image_size + LV_PAGE - 1) & ~(LV_PAGE - 1), vm->image, false);
}

int libos_map(struct vm *vm, int libos_fd, int image_fd)
{
	int result = measure_image(vm, image_fd);
	if (result == 0)
		result = reserve_window(vm);
	if (result == 0)
		result = map_image(vm, image_fd);
	if (result == 0)
		result = map_libos(vm, libos_fd);
	if (result == 0)
		result = mem_add(&vm->mem, LV_RAM, vm->ram_size, at(vm, LV_RAM), true);
	if (result == 0)
		result = kvm_add_slot(vm, LV_IMAGE(vm->image_size), vm->window - vm->image + LV_RAM - LV_BASE + vm->ram_size, vm->image, false);
	vm->device_page = at(vm, LV_DEVICE);
	vm->shared = at(vm, LV_SHARED);
	return result;
}

/* ---- the boot area ---- */

gpa_t libos_alloc(void *context, size_t size, size_t align)
{
	struct vm *vm = context;
	uint64_t start = (vm->boot_next + align - 1) & ~(uint64_t)(align - 1);
	if (start + size > LV_RAM + vm->ram_size)
		return (gpa_t)-1;
	vm->boot_next = start + size;
	return start;
}

/* ---- page tables ---- */

/* One page directory of 2 MiB pages for each GiB of [start, start + len). */
static int map_huge(struct vm *vm, uint64_t start, uint64_t len, uint64_t flags, bool first_is_there)
{
	for (uint64_t gib = start & ~(1024 * MIB - 1); gib < start + len; gib += 1024 * MIB) {
		uint64_t pd = gib == LV_BASE && first_is_there ? LV_PD : libos_alloc(vm, LV_PAGE, LV_PAGE);
		if (pd == (gpa_t)-1)
			return log_error("%llu MiB are not enough to start", (unsigned long long)(vm->ram_limit / MIB)), -ENOMEM;
		for (uint64_t page = gib; page < gib + 1024 * MIB && page < start + len; page += HUGE)
			if (page >= start)
				table(vm, pd)[(page - gib) / HUGE] = page | flags | LV_PTE_PS;
		table(vm, LV_PDPT)[(gib >> 30) & 511] = pd | TABLE;
	}
	return 0;
}

static int build_page_tables(struct vm *vm)
{
	table(vm, LV_PML4)[0] = LV_PDPT | TABLE;
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
	 * Empty directories for the two GiBs that every program uses: its own addresses and its stack. The PDPT is in use from
	 * the first instruction on, and page-table KVM emulates every later write to it.
	 */
	static const uint64_t gib[] = {0, LV_STACK_TOP - 1};
	for (size_t i = 0; i < sizeof(gib) / sizeof(gib[0]); i++)
		table(vm, LV_PDPT)[gib[i] >> 30] = libos_alloc(vm, LV_PAGE, LV_PAGE) | TABLE;
	int result = map_huge(vm, LV_RAM, vm->ram_limit, LEAF_RW, true);
	return result < 0 ? result : map_huge(vm, LV_IMAGE(vm->image_size), vm->image_size, LEAF | LV_PTE_NX, false);
}

/* ---- descriptor tables and trap stubs ---- */

static bool has_error_code(int vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30;
}

static uint8_t *emit(uint8_t *to, const void *bytes, size_t n)
{
	return (uint8_t *)memcpy(to, bytes, n) + n;
}
#define EMIT(to, ...) emit(to, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#define COMMON 0x300
#define BREAK 0x380

/* Saves RAX and CR2 above the vector and goes on at level 3 in libos, with RSP at what was saved. */
static void build_common(uint8_t *p, uint64_t trap_entry)
{
	p = EMIT(p, 0x50, 0x0f, 0x20, 0xd0, 0x50);              /* push %rax; mov %cr2, %rax; push %rax */
	p = EMIT(p, 0x48, 0x89, 0xe0, 0x6a, LV_SS3, 0x50);      /* mov %rsp, %rax; push $SS3; push %rax */
	p = EMIT(p, 0x6a, LV_RFLAGS, 0x6a, LV_CS3, 0x48, 0xb8); /* push $RFLAGS; push $CS3; movabs $trap_entry, %rax */
	p = emit(p, &trap_entry, 8);
	EMIT(p, 0x50, 0x48, 0xcf);                              /* push %rax; iretq */
}

static void build_stubs(struct vm *vm)
{
	uint8_t *stubs = at(vm, LV_STUBS);
	uint64_t *idt = table(vm, LV_DESC + 0x200);
	for (int vector = 0; vector < 32; vector++) {
		uint64_t address = LV_STUBS + vector * 16;
		uint64_t gate = vector == 3 ? 0xee00 : 0x8e00; /* INT3 may be used at level 3 */
		uint8_t *p = stubs + vector * 16;
		if (vector == 3)
			address = LV_STUBS + BREAK;
		if (!has_error_code(vector))
			p = EMIT(p, 0x6a, 0);
		p = EMIT(p, 0x6a, vector, 0xe9); /* push $vector; jmp common */
		int32_t distance = stubs + COMMON - (p + 4);
		emit(p, &distance, 4);
		idt[vector * 2] = (address & 0xffff) | (uint64_t)LV_CS0 << 16 | gate << 32 | (address >> 16 & 0xffff) << 48;
		idt[vector * 2 + 1] = address >> 32;
	}
	build_common(stubs + COMMON, vm->trap_entry);
	uint8_t *p = EMIT(stubs + BREAK, 0x48, 0x3d);          /* cmp $FLUSH_MAGIC, %rax */
	p = emit(p, &(uint32_t){LV_FLUSH_MAGIC}, 4);
	p = EMIT(p, 0x75, 13, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8, 0xb8); /* jne +13; mov %cr3, %rax; mov %rax, %cr3 */
	p = emit(p, &(uint32_t){LV_FLUSH_MAGIC}, 4);           /* mov $FLUSH_MAGIC, %eax: no register changes */
	p = EMIT(p, 0x48, 0xcf);                               /* iretq */
	p = EMIT(p, 0xe9);                                     /* jmp to vector 3's own stub */
	int32_t distance = stubs + 3 * 16 - (p + 4);
	emit(p, &distance, 4);
}

static void build_descriptors(struct vm *vm)
{
	uint64_t *gdt = table(vm, LV_DESC), tss = LV_DESC + 0x100;
	gdt[LV_CS0 / 8] = 0x00af9b000000ffff;
	gdt[LV_SS0 / 8] = 0x00cf93000000ffff;
	gdt[LV_SS3 / 8] = 0x00cff3000000ffff;
	gdt[LV_CS3 / 8] = 0x00affb000000ffff;
	gdt[LV_TR / 8] = 103 | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24 & 0xff) << 56;
	gdt[LV_TR / 8 + 1] = tss >> 32;
	uint8_t *t = at(vm, tss);
	memcpy(t + 4, &(uint64_t){LV_TRAP + LV_PAGE}, 8); /* RSP0 */
	memcpy(t + 102, &(uint16_t){104}, 2);             /* no I/O bitmap: ports are forbidden */
}

/* ---- the device page ---- */

static uint64_t ns_of(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void write_clock(struct vm *vm, struct lv_device_page *page)
{
	page->tsc_hz = ioctl(vm->vcpu.fd, KVM_GET_TSC_KHZ, 0) * 1000ull;
	page->tsc_mult = (uint64_t)(((unsigned __int128)1000000000 << 32) / page->tsc_hz);
	page->tsc_base = __builtin_ia32_rdtsc();
	page->monotonic_base_ns = ns_of(CLOCK_MONOTONIC);
	page->realtime_base_ns = ns_of(CLOCK_REALTIME);
	vm->status.clock = (struct status_clock){page->tsc_base, page->tsc_mult, page->monotonic_base_ns};
}

static int write_arguments(struct vm *vm, struct lv_device_page *page)
{
	const struct vm_config *config = vm->config;
	size_t size = 0;
	for (int i = 0; i < config->argc; i++)
		size += strlen(config->argv[i]) + 1;
	for (int i = 0; i < config->envc; i++)
		size += strlen(config->env[i]) + 1;
	gpa_t gpa = libos_alloc(vm, size, 8);
	if (gpa == (gpa_t)-1 || size > UINT32_MAX)
		return log_error("arguments and environment take %zu bytes: they do not fit", size), -E2BIG;
	char *to = at(vm, gpa);
	for (int i = 0; i < config->argc; i++)
		to = stpcpy(to, config->argv[i]) + 1;
	for (int i = 0; i < config->envc; i++)
		to = stpcpy(to, config->env[i]) + 1;
	page->args = gpa;
	page->args_size = size;
	page->argc = config->argc;
	page->envc = config->envc;
	return 0;
}

static int write_device_page(struct vm *vm)
{
	struct lv_device_page *page = vm->device_page;
	const struct vm_config *config = vm->config;
	*page = (struct lv_device_page){.magic = LV_DEVICE_MAGIC, .abi_version = LV_ABI_VERSION, .size = sizeof(*page),
		.ram_size = vm->ram_size, .ram_limit = vm->ram_limit, .image_size = vm->image_size, .generation = 1,
		.uid = config->uid, .gid = config->gid};
	if (getrandom(page->random_seed, sizeof(page->random_seed), 0) != sizeof(page->random_seed))
		return log_error("getrandom: %s", strerror(errno)), -errno;
	strncpy(page->program, config->program, sizeof(page->program) - 1);
	strncpy(page->cwd, config->cwd, sizeof(page->cwd) - 1);
	strncpy(page->hostname, config->hostname, sizeof(page->hostname) - 1);
	write_clock(vm, page);
	int result = write_arguments(vm, page);
	if (result == 0)
		result = devices_describe(&vm->devices, page, libos_alloc, vm);
	page->heap_start = (vm->boot_next + LV_PAGE - 1) & ~(LV_PAGE - 1);
	return result;
}

/*
 * Pages that every guest writes within its first microseconds. Page-table KVM takes 24 us for the first touch of a page
 * (and twice more if it was read before: the zero page comes first), but maps eight at once where the host has them.
 */
static void populate(struct vm *vm, uint64_t start, uint64_t end)
{
	start &= ~(LV_PAGE - 1);
	end = (end + LV_PAGE - 1) & ~(LV_PAGE - 1);
	madvise(at(vm, start), end - start, MADV_POPULATE_WRITE); /* an old kernel refuses: slower, not wrong */
}

int libos_prepare(struct vm *vm)
{
	populate(vm, LV_BASE, LV_BELL);
	populate(vm, LV_LIBOS, vm->hot_end);
	populate(vm, vm->boot_stack - LV_PAGE, vm->hot_data_end);
	build_descriptors(vm);
	build_stubs(vm);
	int result = build_page_tables(vm);
	if (result == 0)
		result = write_device_page(vm);
	if (result == 0)
		populate(vm, LV_RAM, vm->device_page->heap_start + HOT_HEAP);
	return result;
}

/* ---- hypercalls on memory ---- */

int libos_grow(struct vm *vm, uint64_t bytes)
{
	uint64_t room = vm->ram_limit - vm->ram_size;
	if (bytes == 0 || bytes > room || vm->mem.count == MEM_RANGES)
		return -ENOMEM;
	bytes = (bytes + HUGE - 1) & ~(HUGE - 1);
	gpa_t gpa = LV_RAM + vm->ram_size;
	int result = mem_add(&vm->mem, gpa, bytes, at(vm, gpa), true);
	if (result == 0)
		result = kvm_add_slot(vm, gpa, bytes, at(vm, gpa), false);
	if (result < 0)
		return -ENOMEM;
	/* Large memory is worth large pages: programs that touch it will touch it in large areas. */
	madvise(at(vm, gpa), bytes, MADV_HUGEPAGE);
	vm->ram_size += bytes;
	vm->device_page->ram_size = vm->ram_size;
	return 0;
}

int libos_release(struct vm *vm, const struct lv_range *range)
{
	uint64_t start = range->gpa - LV_RAM;
	if (range->gpa < LV_RAM || start > vm->ram_size || range->len > vm->ram_size - start || (range->gpa | range->len) % LV_PAGE)
		return -EINVAL;
	return madvise(at(vm, range->gpa), range->len, MADV_DONTNEED) < 0 ? -errno : 0;
}

int libos_fetch(struct vm *vm, gpa_t to, gpa_t from, uint64_t len)
{
	void *target = len && len <= LV_FETCH_MAX && to % LV_PAGE == 0 && len % LV_PAGE == 0 && to >= LV_RAM ? mem_at(&vm->mem, to, len) : NULL;
	const void *source = from ? mem_at_ro(&vm->mem, from, len) : NULL;
	if (!target || (from && !source))
		return -EINVAL;
	populate(vm, to, to + len);
	if (source)
		memmove(target, source, len);
	return 0;
}
