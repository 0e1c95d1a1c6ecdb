/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack that a program starts with: arguments, environment and auxiliary vector (System V psABI for AMD64, section 3.4.1).
 * It is written through libos' own view of it.
 */
#include "libos/fs/linux_fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/exec.h"
#include "libos/proc/proc.h"

#include <linux/auxvec.h>
#include <linux/elf.h>

#define AUXV_MAX 24
#define STACK_GAP (1ull << 20) /* above the stack: the dynamic linker and small mappings, so that they share a page table */

int exec_stack_map(struct exec_stack *stack, bool executable)
{
	uint32_t prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
	int64_t r;

	stack->at = mm_top() - STACK_GAP;
	r = mm_map(stack->at - STACK_SIZE, STACK_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_NORESERVE,
	           NULL, 0, "[stack]");
	return r < 0 ? r : 0;
}

/* Writes page by page through libos' own view: the program's pages need not be present for the processor yet. */
static uint64_t push(struct exec_stack *stack, const void *data, size_t size)
{
	stack->at -= size;
	for (size_t done = 0; done < size;) {
		uint64_t to = stack->at + done;
		size_t n = MIN(size - done, LV_PAGE - to % LV_PAGE);
		void *view = vma_own_page(to);

		if (!view) {
			stack->full = true;
			break;
		}
		memcpy(view, (const char *)data + done, n);
		done += n;
	}
	return stack->at;
}

static uint64_t push_string(struct exec_stack *stack, const char *s)
{
	return push(stack, s, strlen(s) + 1);
}

struct auxv {
	uint64_t pair[AUXV_MAX][2];
	unsigned count;
};

static void aux(struct auxv *auxv, uint64_t type, uint64_t value)
{
	auxv->pair[auxv->count][0] = type;
	auxv->pair[auxv->count++][1] = value;
}

static void fill_auxv(struct auxv *auxv, const struct program *program, struct exec_stack *stack, uint64_t execfn)
{
	const struct elf *elf = &program->main.elf;
	uint8_t random[16];

	random_bytes(random, sizeof(random));
	if (program->vdso)
		aux(auxv, AT_SYSINFO_EHDR, program->vdso);
	aux(auxv, AT_MINSIGSTKSZ, 1024 + ALIGN_UP(device_page->xsave_size, 64));
	aux(auxv, AT_PAGESZ, LV_PAGE);
	aux(auxv, AT_CLKTCK, 100);
	if (elf->phdr_vaddr)
		aux(auxv, AT_PHDR, program->main.bias + elf->phdr_vaddr);
	aux(auxv, AT_PHENT, sizeof(Elf64_Phdr));
	aux(auxv, AT_PHNUM, elf->phnum);
	aux(auxv, AT_BASE, program->interp.file ? program->interp.bias + program->interp.elf.low : 0);
	aux(auxv, AT_FLAGS, 0);
	aux(auxv, AT_ENTRY, program->main.bias + elf->entry);
	aux(auxv, AT_UID, credentials()->uid);
	aux(auxv, AT_EUID, program->euid);
	aux(auxv, AT_GID, credentials()->gid);
	aux(auxv, AT_EGID, program->egid);
	aux(auxv, AT_SECURE, program->euid != credentials()->uid || program->egid != credentials()->gid);
	aux(auxv, AT_RANDOM, push(stack, random, sizeof(random)));
	aux(auxv, AT_HWCAP, device_page->cpu_features);
	aux(auxv, AT_HWCAP2, 0);
	aux(auxv, AT_EXECFN, execfn);
	aux(auxv, AT_PLATFORM, push_string(stack, "x86_64"));
	aux(auxv, AT_NULL, 0);
}

/* The strings at the address, one after the other up to the end: into vector[n] and on, at most this many; how many there are now. */
static unsigned list_strings(uint64_t *vector, unsigned n, unsigned most, uint64_t *address, const char **s, const char *end)
{
	for (unsigned i = 0; i < most && *s < end; i++) {
		size_t size = strnlen(*s, end - *s) + 1;

		vector[n++] = *address;
		*address += size;
		*s += size;
	}
	return n;
}

/*
 * Strings as Linux lays them: those of argv, those of envp, rising, end to end (setproctitle and others write over them),
 * then the program's file, and a null word at the end of the stack. The device page has argv and envp so already; what
 * scripts put before goes before them. vector: argv and envp, each ended by NULL. The number of slots used.
 */
static unsigned push_vectors(struct exec_stack *stack, struct program *program, uint64_t *vector, uint64_t *argc)
{
	const char *s = program->args, *end = s + program->args_size;
	struct exec_layout *layout = &program->layout;
	unsigned n = program->prefixes, skip = program->prefixes && program->argc ? 1 : 0;
	uint64_t address;

	if (skip)
		s += MIN(strnlen(s, end - s) + 1, (size_t)(end - s));
	address = push(stack, s, end - s);
	layout->args_start = address;
	for (unsigned i = n; i-- > 0;)
		vector[i] = layout->args_start = push_string(stack, program->prefix[i]);
	n = list_strings(vector, n, program->argc - skip, &address, &s, end);
	layout->args_end = layout->env_start = address;
	*argc = n;
	vector[n++] = 0;
	n = list_strings(vector, n, program->envc, &address, &s, end);
	layout->env_end = address;
	vector[n++] = 0;
	return n;
}

int exec_stack_fill(struct exec_stack *stack, struct program *program)
{
	unsigned slots = program->argc + program->envc + program->prefixes + 2, n;
	uint64_t *vector, argc, execfn;
	struct auxv auxv = { 0 };

	if (program->args_size + slots * sizeof(*vector) > STACK_SIZE / 4)
		return -E2BIG;
	vector = kmalloc(slots * sizeof(*vector));
	if (!vector)
		return -ENOMEM;
	push(stack, (const uint64_t[]){ 0 }, sizeof(uint64_t));
	execfn = push_string(stack, program->asked);
	n = push_vectors(stack, program, vector, &argc);
	fill_auxv(&auxv, program, stack, execfn);
	/* argc, vectors and auxv end up with argc at a multiple of 16. */
	stack->at = ALIGN_DOWN(stack->at, 16) - (n + 1) % 2 * 8;
	program->layout.auxv_start = push(stack, auxv.pair, auxv.count * sizeof(auxv.pair[0]));
	program->layout.auxv_end = program->layout.auxv_start + auxv.count * sizeof(auxv.pair[0]);
	push(stack, vector, n * sizeof(*vector));
	program->layout.stack = push(stack, &argc, sizeof(argc));
	kfree(vector);
	return stack->full ? -ENOMEM : 0;
}
