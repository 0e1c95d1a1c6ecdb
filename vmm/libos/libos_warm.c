/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page-table KVM takes a fault for each page that a guest touches first, or for eight of them; of a copy of a template these faults are most of its time. One that nobody has asked for yet
 * takes them before: the guest reads a byte of each page that the template has used, in its own page tables, by a few instructions of libos (touch_entry). What the memory is made of may be
 * hostile, and its page tables and its IDT are, so its code may run here: as a guest, that is contained by KVM and by the jail of a shell, whose filter takes a few calls more than that of a
 * VM that runs (seccomp-shell.list). What it can do is to end this early, or not at all: the pool then ends this monitor after its patience, and counts a failure.
 */
#include "vmm/libos/libos_guest.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "abi/layout.h"
#include "vmm/state/ram_file.h"
#include "vmm/vm.h"

#define ENTRIES 512u
#define TABLES_MOST 4096u /* that are looked at: of a GiB of pages that were used each there are 512 */
#define PAGES_MOST (1u << 18)

struct walk {
	struct vm *vm;
	unsigned tables, pages;
	uint64_t from, to; /* pages in a row, not read yet */
	bool over;
};

static bool touched(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write && run->mmio.phys_addr == LV_BELL_GPA + LV_BELL_HYPERCALL && run->mmio.data[0] == LV_HC_TOUCHED;
}

/* What it left for is completed, or KVM would go on with that. */
static void complete(struct vcpu *vcpu)
{
	vcpu->run->immediate_exit = 1;
	ioctl(vcpu->fd, KVM_RUN, 0);
}

/* False: it did something else. */
static bool read_pages(struct vm *vm, uint64_t from, uint64_t to)
{
	struct vcpu *vcpu = &vm->vcpu[0];
	const struct kvm_regs regs = { .rdi = from, .rsi = to, .rsp = vm->libos.boot_stack, .rip = vm->libos.touch_entry, .rflags = LV_RFLAGS };
	int result;
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return false;
	vcpu->run->immediate_exit = 0;
	do
		result = ioctl(vcpu->fd, KVM_RUN, 0);
	while (result < 0 && (errno == EINTR || errno == EAGAIN));
	if (result < 0 || !touched(vcpu->run))
		return false;
	complete(vcpu);
	return true;
}

static void flush(struct walk *walk)
{
	if (walk->to > walk->from && !read_pages(walk->vm, walk->from, walk->to))
		walk->over = true;
	walk->from = walk->to = 0;
}

static void add(struct walk *walk, uint64_t page)
{
	if (page != walk->to)
		flush(walk);
	if (++walk->pages > PAGES_MOST)
		walk->over = true;
	if (walk->to == 0)
		walk->from = page;
	walk->to = page + LV_PAGE;
}

static bool in_memory(const struct vm *vm, uint64_t gpa)
{
	return gpa >= LV_IMAGE(vm->libos.image_size) && gpa < LV_RAM + vm->ram_size && gpa - LV_BELL >= LV_PAGE;
}

/* A table, copied: the guest does not run, but it is its memory. */
static bool read_table(const struct walk *walk, uint64_t gpa, uint64_t table[ENTRIES])
{
	if (gpa < LV_BASE || gpa >= LV_RAM + walk->vm->ram_size)
		return false;
	memcpy(table, libos_at(walk->vm, gpa), LV_PAGE);
	return true;
}

/* level 4 to 1, as the processor counts. Pages of 2 MiB are libos' own view of memory; what it has used of that is not told, and most of it is what the program has. */
static void walk_table(struct walk *walk, uint64_t gpa, unsigned level, uint64_t address)
{
	const uint64_t need = LV_PTE_P | LV_PTE_U | (level == 1 ? LV_PTE_A : 0);
	const unsigned shift = 12 + 9 * (level - 1);
	uint64_t table[ENTRIES];
	if (++walk->tables > TABLES_MOST || !read_table(walk, gpa, table))
		return;
	for (unsigned i = 0; i < (level == 4 ? ENTRIES / 2 : ENTRIES) && !walk->over; i++) {
		const uint64_t to = table[i] & LV_PTE_ADDR, at = address | (uint64_t)i << shift;
		if ((table[i] & need) != need)
			continue;
		if (level > 1 && !(table[i] & LV_PTE_PS))
			walk_table(walk, to, level - 1, at);
		else if (level == 1 && in_memory(walk->vm, to))
			add(walk, at);
	}
}

void libos_warm(struct vm *vm)
{
	struct walk walk = { .vm = vm };
	struct kvm_sregs sregs;
	if (ioctl(vm->vcpu[0].fd, KVM_GET_SREGS, &sregs) < 0)
		return;
	walk_table(&walk, sregs.cr3 & LV_PTE_ADDR, 4, 0);
	flush(&walk);
}
