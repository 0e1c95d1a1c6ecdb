/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the program as execve(2) does: segments, interpreter, scripts, and the stack with arguments, environment and
 * auxiliary vector (System V psABI for AMD64, section 3.4.1). The stack is written through libos' own view of it.
 */
#include "libos/fs/linux_fs.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/proc.h"
#include "parse/elf.h"

#include <linux/auxvec.h>
#include <linux/elf.h>

#define SCRIPT_DEPTH 4
#define SCRIPT_LINE 256
#define PREFIX_MAX (2 * SCRIPT_DEPTH + 1)
#define AUXV_MAX 24
#define STACK_GAP (1ull << 20) /* above the stack: the dynamic linker and small mappings, so that they share a page table */

struct image { /* a file that is being loaded */
	struct file *file;
	const uint8_t *data; /* all of it, in the image */
	uint64_t size;
	struct elf elf;
	uint64_t bias;
};

struct program {
	char path[256];
	/* What scripts put before the arguments: interpreter, its option, script. The program's own name goes then. */
	const char *prefix[PREFIX_MAX];
	unsigned prefixes;
	struct image main, interp;
	const char **why;
};

static char path_of_program[512];

const char *exec_path(void)
{
	return path_of_program;
}

static struct exec_layout layout;

const struct exec_layout *exec_layout(void)
{
	return &layout;
}

static int fail(struct program *program, int error, const char *why)
{
	*program->why = why;
	return error;
}

/* ---- files ---- */

/* Programs are read in place, so all of the file must lie together in the image. */
static int image_open(struct program *program, struct image *image, const char *path)
{
	struct stat st;
	uint64_t first, last;
	int err = file_open_kernel(path, &image->file);

	if (err)
		return fail(program, err, err == -ENOENT ? "no such file in the image" : "cannot be opened");
	err = file_stat(image->file, &st);
	if (err || !S_ISREG(st.st_mode) || !image->file->ops->map_page)
		return fail(program, -EACCES, "not a regular file");
	if (!(st.st_mode & 0111))
		return fail(program, -EACCES, "not executable (no x permission)");
	if (st.st_size == 0)
		return fail(program, -ENOEXEC, "an empty file");
	first = image->file->ops->map_page(image->file, 0, false);
	last = image->file->ops->map_page(image->file, ALIGN_DOWN((uint64_t)st.st_size - 1, LV_PAGE), false);
	if (!first || last - first != ALIGN_DOWN((uint64_t)st.st_size - 1, LV_PAGE))
		return fail(program, -EIO, "its contents do not lie together in the image");
	image->data = (const uint8_t *)first;
	image->size = st.st_size;
	return 0;
}

static void image_close(struct image *image)
{
	if (image->file)
		file_put(image->file);
	image->file = NULL;
}

/* ---- scripts ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The script takes the place of argument zero, its interpreter and option go before it. */
static void prefix_add(struct program *program, const char *script, const char *argument, const char *interp)
{
	unsigned more = argument ? 2 : 1;

	if (program->prefixes == 0)
		program->prefixes = 1;
	program->prefix[0] = script;
	memmove(program->prefix + more, program->prefix, program->prefixes * sizeof(*program->prefix));
	program->prefix[0] = interp;
	if (argument)
		program->prefix[1] = argument;
	program->prefixes += more;
}

/* "#!interpreter [one argument]" of the main file: 1 if it was one, and the path is the interpreter's now. */
static int read_script(struct program *program)
{
	size_t n = MIN(program->main.size, SCRIPT_LINE - 1);
	char *line, *end, *interp, *argument;

	if (n < 3 || memcmp(program->main.data, "#!", 2) != 0)
		return 0;
	if (program->prefixes + 2 >= PREFIX_MAX)
		return fail(program, -ELOOP, "a script whose interpreter is a script, too many times");
	line = kzalloc(SCRIPT_LINE); /* lives as long as the arguments that point into it */
	if (!line)
		return fail(program, -ENOMEM, "out of memory");
	memcpy(line, program->main.data, n);
	end = memchr(line, '\n', n);
	if (end)
		*end = 0;
	for (interp = line + 2; blank(*interp); interp++)
		;
	for (argument = interp; *argument && !blank(*argument); argument++)
		;
	if (interp == argument || strnlen(interp, sizeof(program->path)) >= sizeof(program->path))
		return fail(program, -ENOEXEC, "a script without a usable interpreter in its first line");
	while (blank(*argument))
		*argument++ = 0;
	for (end = argument + strlen(argument); end > argument && (blank(end[-1]) || end[-1] == '\r'); end--)
		end[-1] = 0;
	prefix_add(program, kstrdup(program->path), *argument ? argument : NULL, interp);
	snprintf(program->path, sizeof(program->path), "%s", interp);
	return 1;
}

static int open_program(struct program *program)
{
	for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
		int err = image_open(program, &program->main, program->path);

		if (err == -ENOENT && depth)
			return fail(program, err, "the interpreter in the first line of the script is not in the image");
		if (err)
			return err;
		err = read_script(program);
		if (err <= 0)
			return err ? err : elf_parse(&program->main.elf, program->main.data, program->main.size, program->why);
		image_close(&program->main);
	}
	return fail(program, -ELOOP, "a script whose interpreter is a script, too many times");
}

/* ---- segments ---- */

static uint32_t prot_of(uint32_t flags)
{
	return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

/* Zeroes what the last page of the file part holds beyond it. */
static int zero_tail(uint64_t start, uint64_t end)
{
	char *tail;

	if (start == end)
		return 0;
	tail = vma_own_page(start);
	if (!tail)
		return -ENOMEM;
	memset(tail, 0, end - start);
	return 0;
}

static int load_segment(struct image *image, const struct elf_load *load)
{
	uint64_t start = image->bias + load->vaddr, file_end = start + load->filesz, end = ALIGN_UP(start + load->memsz, LV_PAGE);
	uint64_t low = ALIGN_DOWN(start, LV_PAGE), middle = load->filesz ? ALIGN_UP(file_end, LV_PAGE) : low;
	uint32_t flags = MAP_PRIVATE | MAP_FIXED;
	int64_t r = 0;

	if (load->filesz)
		r = mm_map(low, middle - low, prot_of(load->flags), flags, image->file, ALIGN_DOWN(load->offset, LV_PAGE), NULL);
	if (r >= 0 && middle < end)
		r = mm_map(middle, end - middle, prot_of(load->flags), flags | MAP_ANONYMOUS, NULL, 0, NULL);
	if (r >= 0 && load->filesz && load->memsz > load->filesz && load->flags & PF_W)
		r = zero_tail(file_end, MIN(middle, end));
	return r < 0 ? r : 0;
}

static int load_image(struct program *program, struct image *image)
{
	const struct elf *elf = &image->elf;

	if (!space_allows(image->bias + elf->low, image->bias + elf->high))
		return fail(program, -ENOEXEC, "linked at an address that programs cannot have here");
	for (int i = 0; i < elf->loads; i++) {
		int err = load_segment(image, &elf->load[i]);

		if (err)
			return fail(program, err, "not enough memory to load it");
	}
	return 0;
}

/* Programs linked low keep everything in their own GiB: each page-table page costs as much as a page of data. */
static int place_main(struct program *program)
{
	struct image *image = &program->main;

	if (image->elf.pie) {
		image->bias = SPACE_PIE - image->elf.low;
		if (image->elf.high - image->elf.low > SPACE_TOP - SPACE_PIE - 2 * STACK_SIZE)
			return fail(program, -ENOMEM, "too large");
	} else if (image->elf.high < SPACE_TOP_FIXED - 4 * STACK_SIZE) {
		mm_set_top(SPACE_TOP_FIXED);
	}
	return load_image(program, image);
}

static int load_interp(struct program *program)
{
	struct image *image = &program->interp;
	int err = image_open(program, image, program->main.elf.interp);

	if (err == -ENOENT)
		return fail(program, err, "its dynamic linker is not in the image");
	if (!err)
		err = elf_parse(&image->elf, image->data, image->size, program->why);
	if (err)
		return err;
	if (image->elf.pie) {
		uint64_t at = space_find(image->elf.high - image->elf.low, LV_PAGE);

		if (!at)
			return fail(program, -ENOMEM, "no room for its dynamic linker");
		image->bias = at - image->elf.low;
	}
	return load_image(program, image);
}

/* ---- the stack ---- */

struct stack {
	uint64_t at; /* in the program; grows down */
	bool full;
};

static int stack_map(struct stack *stack, bool executable)
{
	uint32_t prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
	int64_t r;

	stack->at = mm_top() - STACK_GAP;
	r = mm_map(stack->at - STACK_SIZE, STACK_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN | MAP_NORESERVE,
	           NULL, 0, "[stack]");
	return r < 0 ? r : 0;
}

/* Writes page by page through libos' own view: the program's pages need not be present for the processor yet. */
static uint64_t push(struct stack *stack, const void *data, size_t size)
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

static uint64_t push_string(struct stack *stack, const char *s)
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

static void fill_auxv(struct auxv *auxv, const struct program *program, struct stack *stack, uint64_t execfn)
{
	const struct elf *elf = &program->main.elf;
	uint8_t random[16];

	random_bytes(random, sizeof(random));
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
	aux(auxv, AT_UID, device_page->uid);
	aux(auxv, AT_EUID, device_page->uid);
	aux(auxv, AT_GID, device_page->gid);
	aux(auxv, AT_EGID, device_page->gid);
	aux(auxv, AT_SECURE, 0);
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
static unsigned push_vectors(struct stack *stack, const struct program *program, uint64_t *vector, uint64_t *argc)
{
	const char *s = (const char *)device_page->args, *end = s + device_page->args_size;
	unsigned n = program->prefixes, skip = program->prefixes && device_page->argc ? 1 : 0;
	uint64_t address;

	if (skip)
		s += MIN(strnlen(s, end - s) + 1, (size_t)(end - s));
	address = push(stack, s, end - s);
	layout.args_start = address;
	for (unsigned i = n; i-- > 0;)
		vector[i] = layout.args_start = push_string(stack, program->prefix[i]);
	n = list_strings(vector, n, device_page->argc - skip, &address, &s, end);
	layout.args_end = layout.env_start = address;
	*argc = n;
	vector[n++] = 0;
	n = list_strings(vector, n, device_page->envc, &address, &s, end);
	layout.env_end = address;
	vector[n++] = 0;
	return n;
}

static int stack_fill(struct stack *stack, const struct program *program)
{
	unsigned slots = device_page->argc + device_page->envc + program->prefixes + 2, n;
	uint64_t *vector, argc, execfn;
	struct auxv auxv = { 0 };

	if (device_page->args_size + slots * sizeof(*vector) > STACK_SIZE / 4)
		return -E2BIG;
	vector = kmalloc(slots * sizeof(*vector));
	if (!vector)
		return -ENOMEM;
	push(stack, (const uint64_t[]){ 0 }, sizeof(uint64_t));
	execfn = push_string(stack, program->path);
	n = push_vectors(stack, program, vector, &argc);
	fill_auxv(&auxv, program, stack, execfn);
	/* argc, vectors and auxv end up with argc at a multiple of 16. */
	stack->at = ALIGN_DOWN(stack->at, 16) - (n + 1) % 2 * 8;
	push(stack, auxv.pair, auxv.count * sizeof(auxv.pair[0]));
	push(stack, vector, n * sizeof(*vector));
	layout.stack = push(stack, &argc, sizeof(argc));
	kfree(vector);
	return stack->full ? -ENOMEM : 0;
}

/* ---- */

static void name_program(const struct program *program)
{
	const char *base = program->path;
	char buffer[512];

	snprintf(path_of_program, sizeof(path_of_program), "%s", file_path(program->main.file, buffer, sizeof(buffer)));
	for (const char *s = program->path; *s; s++)
		if (*s == '/')
			base = s + 1;
	snprintf(current->name, sizeof(current->name), "%s", base);
}

static int load(struct program *program, uint64_t *entry, uint64_t *sp)
{
	struct stack stack = { 0 };
	int err = open_program(program);

	if (!err)
		err = place_main(program);
	if (err)
		return err;
	*entry = program->main.bias + program->main.elf.entry;
	/* The stack before the dynamic linker, which then takes the place above it, in the same page table. */
	err = stack_map(&stack, program->main.elf.stack_flags & PF_X);
	if (!err && program->main.elf.interp) {
		err = load_interp(program);
		*entry = program->interp.bias + program->interp.elf.entry;
		if (err)
			return err;
	}
	if (!err)
		err = stack_fill(&stack, program);
	if (err)
		return fail(program, err, err == -E2BIG ? "its arguments and environment are too long" : "not enough memory for its stack");
	*sp = stack.at;
	return 0;
}

static void note_segments(const struct program *program)
{
	const struct elf *elf = &program->main.elf;

	layout.code_start = ~0ull;
	for (int i = 0; i < elf->loads; i++) {
		uint64_t start = program->main.bias + elf->load[i].vaddr, end = start + elf->load[i].filesz;

		if (elf->load[i].flags & PF_X) {
			layout.code_start = MIN(layout.code_start, start);
			layout.code_end = MAX(layout.code_end, end);
		}
		layout.data_start = MAX(layout.data_start, start);
		layout.data_end = MAX(layout.data_end, end);
	}
}

static void set_brk(const struct program *program)
{
	mm_set_brk(program->main.bias + program->main.elf.high);
}

int exec_load(uint64_t *entry, uint64_t *stack, const char **why)
{
	struct program *program = kzalloc(sizeof(*program));
	int err;

	if (!program)
		return -ENOMEM;
	program->why = why;
	snprintf(program->path, sizeof(program->path), "%s", device_page->program);
	err = load(program, entry, stack);
	if (!err) {
		set_brk(program);
		note_segments(program);
		name_program(program);
	}
	image_close(&program->main);
	image_close(&program->interp);
	kfree(program);
	return err;
}
