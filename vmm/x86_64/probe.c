/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kind of KVM is this? A self-test, since CPUID does not tell: the same SYSCALL instruction arrives at level 0
 * where the processor itself runs the guest (VT-x, AMD-V), and still at level 3 where KVM works by page tables.
 * A program of a few bytes in a scratch VM reports the CS it finds at its system-call entry. Another one asks CPUID: what a guest gets
 * is not everywhere what KVM was told to answer.
 */
#include "vmm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/layout.h"
#include "abi/shared.h"
#include "base/log.h"

#define CODE (LV_BASE + 0x10000)
#define ENTRY (LV_BASE + 0x11000)
#define LEAVES (LV_BASE + 0x12000)
#define SCRATCH_SIZE (2ull << 20)

static const uint8_t code[] = {0x0f, 0x05};         /* syscall */
static const uint8_t ask[] = {0x48, 0xbe, 0x00, 0x20, 0x01, 0x00, 0x40, 0x00, 0x00, 0x00, /* movabs $LEAVES, %rsi */
	0x8b, 0x06, 0x8b, 0x4e, 0x04,               /* again: mov (%rsi), %eax; mov 4(%rsi), %ecx */
	0x0f, 0xa2,                                 /* cpuid */
	0x89, 0x46, 0x08, 0x89, 0x5e, 0x0c, 0x89, 0x4e, 0x10, 0x89, 0x56, 0x14, /* mov %eax, 8(%rsi); and %ebx, %ecx, %edx behind it */
	0x48, 0x83, 0xc6, 0x18,                     /* add $24, %rsi */
	0xff, 0xcd, 0x75, 0xe5,                     /* dec %ebp; jne again: the monitor sets RBP */
	0x0f, 0x05};                                /* syscall */
static const uint8_t entry[] = {0x8c, 0xc8,         /* mov %cs, %eax */
	0x48, 0xbb, 0x00, 0xa0, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00, /* movabs $LV_BELL, %rbx */
	0x89, 0x03};                                /* mov %eax, (%rbx): MMIO, which leaves to us with the answer */

static void build(uint8_t *memory, const uint8_t *program, size_t size)
{
	uint64_t *pml4 = (uint64_t *)memory, *pdpt = (uint64_t *)(memory + 0x1000), *pd = (uint64_t *)(memory + 0x2000);
	uint64_t *pt = (uint64_t *)(memory + 0x3000), *gdt = (uint64_t *)(memory + (LV_DESC - LV_BASE));
	const uint64_t flags = LV_PTE_P | LV_PTE_W | LV_PTE_U;
	pml4[0] = LV_PDPT | flags;
	pdpt[LV_BASE >> 30 & 511] = LV_PD | flags;
	pd[0] = LV_PT | flags;
	for (int i = 0; i < 512; i++)
		pt[i] = (LV_BASE + i * LV_PAGE) | flags;
	pt[(LV_BELL - LV_BASE) / LV_PAGE] = LV_BELL_GPA | flags;
	gdt[LV_CS0 / 8] = 0x00af9b000000ffff;
	gdt[LV_SS0 / 8] = 0x00cf93000000ffff;
	gdt[LV_SS3 / 8] = 0x00cff3000000ffff;
	gdt[LV_CS3 / 8] = 0x00affb000000ffff;
	gdt[LV_TR / 8] = 103 | ((LV_DESC + 0x100) & 0xffffff) << 16 | 0x89ull << 40 | ((LV_DESC + 0x100) >> 24 & 0xff) << 56;
	gdt[LV_TR / 8 + 1] = (LV_DESC + 0x100) >> 32;
	memcpy(memory + 0x10000, program, size);
	memcpy(memory + 0x11000, entry, sizeof(entry));
}

static int add_memory(struct vm *vm)
{
	int err = mem_add_slot(&vm->mem, vm->fd, &(struct mem_slot){ .gpa = LV_BASE, .len = SCRATCH_SIZE, .hva = vm->libos.window });
	return err ? log_error("memory of the scratch VM: %s", strerror(-err)) : 0;
}

/* Runs the program in it, up to the exit at the end; for ask, leaves [0, count). Negative: it could not, and that was reported. */
static int scratch_run(struct vm *vm, const uint8_t *program, size_t size, const struct lv_cpuid_leaf *leaf, unsigned count)
{
	static struct machine_config config = {.cpuid_fd = -1};
	struct kvm_regs regs;
	vm->config = &config;
	vcpus_init(vm);
	vm->libos.window = mmap(NULL, SCRATCH_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (vm->libos.window == MAP_FAILED)
		return log_error("no memory for the scratch VM: %s", strerror(errno));
	build(vm->libos.window, program, size);
	vm->libos.entry = CODE;
	vm->libos.boot_stack = LV_BASE + 0x20000;
	vm->libos.syscall_entry = ENTRY;
	if ((!vm->cpuid && kvm_read_cpuid(vm) < 0) || kvm_create_vm(vm) < 0 || kvm_create_vcpu(vm) < 0 || add_memory(vm) < 0 || libos_set_start(vm) < 0)
		return -1;
	if (count) {
		memcpy((char *)vm->libos.window + (LEAVES - LV_BASE), leaf, count * sizeof(*leaf));
		if (ioctl(vm->vcpu[0].fd, KVM_GET_REGS, &regs) < 0)
			return log_errno("KVM_GET_REGS");
		regs.rbp = count;
		if (ioctl(vm->vcpu[0].fd, KVM_SET_REGS, &regs) < 0)
			return log_errno("KVM_SET_REGS");
	}
	if (ioctl(vm->vcpu[0].fd, KVM_RUN, 0) < 0)
		return log_error("KVM_RUN in the scratch VM: %s", strerror(errno));
	if (vm->vcpu[0].run->exit_reason != KVM_EXIT_MMIO || vm->vcpu[0].run->mmio.phys_addr != LV_BELL_GPA)
		return log_error("the scratch VM ended in KVM exit %u: this KVM cannot run LightVM guests", vm->vcpu[0].run->exit_reason);
	return 0;
}

/* 1: hardware, 0: page tables; negative: it could not be found out, and that was reported. */
static int self_test(struct vm *vm)
{
	int err = scratch_run(vm, code, sizeof(code), NULL, 0);
	return err < 0 ? err : (vm->vcpu[0].run->mmio.data[0] & 3) == 0;
}

/* In a scratch VM of its own, whatever the VM that asks looks like. */
int probe_kind(const struct vm *vm)
{
	static struct vm scratch = { .fd = -1 };
	scratch.kvm_fd = dup(vm->kvm_fd);
	scratch.cpuid = vm->cpuid; /* asking anew would overwrite it */
	int kind = self_test(&scratch);
	kvm_close(&scratch);
	return kind;
}

/* What programs ask when they start: all that the C library's dynamic linker does, on processors of either maker. */
static const struct { uint32_t function, first, last; } asked[] = {
	{ 0x0, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x1, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x2, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x4, 0, 4 },
	{ 0x7, 0, 1 }, { 0xb, 0, 1 }, { 0xd, 0, 7 }, { 0x14, 0, 0 }, { 0x19, LV_CPUID_ANY, LV_CPUID_ANY },
	{ 0x80000000, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x80000001, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x80000005, LV_CPUID_ANY, LV_CPUID_ANY },
	{ 0x80000006, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x80000007, LV_CPUID_ANY, LV_CPUID_ANY }, { 0x80000008, LV_CPUID_ANY, LV_CPUID_ANY },
	{ 0x8000001d, 0, 4 },
};

/* In a scratch VM, too. How many there are; 0: they could not be asked. */
unsigned probe_leaves(const struct vm *vm, struct lv_cpuid_leaf *leaf)
{
	static struct vm scratch = { .fd = -1 };
	unsigned count = 0;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		for (uint32_t index = asked[i].first; index <= asked[i].last && count < LV_CPUID_LEAVES; index++) {
			leaf[count++] = (struct lv_cpuid_leaf){ .function = asked[i].function, .index = index };
			if (index == LV_CPUID_ANY)
				break;
		}
	scratch.kvm_fd = dup(vm->kvm_fd);
	scratch.cpuid = vm->cpuid;
	if (scratch_run(&scratch, ask, sizeof(ask), leaf, count) < 0)
		count = 0;
	else
		memcpy(leaf, (char *)scratch.libos.window + (LEAVES - LV_BASE), count * sizeof(*leaf));
	kvm_close(&scratch);
	return count;
}

int probe_print(void)
{
	static struct vm vm = { .fd = -1, .kvm_fd = -1 };
	int kind = kvm_open(&vm) < 0 ? -1 : self_test(&vm);
	kvm_close(&vm);
	if (kind < 0)
		return 125;
	puts(kind ? "hardware" : "page-table");
	return 0;
}
