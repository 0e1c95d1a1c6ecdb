/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the program as execve(2) does: segments, interpreter, scripts; its stack: exec_stack.c. */
#include "libos/fs/linux_fs.h"
#include "libos/fs/fs.h"
#include "libos/mm/mm.h"
#include "libos/proc/exec.h"
#include "libos/proc/proc.h"

#include <linux/elf.h>

#define COPIED_AHEAD (2ull << 20) /* of a segment of a file that does not lie in the image */
#define HEADERS_MAX (64ull << 10) /* of a file that does not lie in the image: read so far */
#define SCRIPT_LINE 256


const char *exec_path(void)
{
	return current->process->path;
}

const struct exec_layout *exec_layout(void)
{
	return &current->process->layout;
}

static int fail(struct program *program, int error, const char *why)
{
	*program->why = why;
	return error;
}

/* ---- files ---- */

/* A file of the image lies there as a whole: NULL if it does not. */
static const uint8_t *in_place(struct file *file, uint64_t size)
{
	uint64_t last = ALIGN_DOWN(size - 1, LV_PAGE), first = file->inode && file->inode->lower && !file->inode->dirty ? file->ops->map_page(file, 0, false) : 0;

	if (first < LV_WINDOW || first >= LV_BASE || file->ops->map_page(file, last, false) - first != last)
		return NULL;
	return (const uint8_t *)first;
}

/* Program headers and the interpreter's name must be in the part that was copied. */
static bool headers_present(const struct image *image)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)image->data;
	const Elf64_Phdr *ph;

	if (image->data_size == image->size || image->data_size < sizeof(*header))
		return true;
	if (header->e_phoff > image->data_size || header->e_phoff % 8 || header->e_phnum * sizeof(*ph) > image->data_size - header->e_phoff)
		return false;
	ph = (const Elf64_Phdr *)(image->data + header->e_phoff);
	for (unsigned i = 0; i < header->e_phnum; i++)
		if (ph[i].p_type == PT_INTERP && (ph[i].p_offset > image->data_size || ph[i].p_filesz > image->data_size - ph[i].p_offset))
			return false;
	return true;
}

static int read_headers(struct program *program, struct image *image)
{
	int64_t n;

	image->data_size = MIN(image->size, HEADERS_MAX);
	image->data = image->copy = kmalloc(image->data_size);
	if (!image->copy)
		return fail(program, -ENOMEM, "out of memory");
	n = image->file->ops->read ? image->file->ops->read(image->file, (uaddr_t)image->copy, image->data_size, &(int64_t){ 0 }) : -ENOEXEC;
	if (n != (int64_t)image->data_size)
		return fail(program, n < 0 ? (int)n : -ENOEXEC, "cannot be read");
	return headers_present(image) ? 0 : fail(program, -ENOEXEC, "its headers do not lie at its beginning");
}

/* Of a file that is open. Of the image it is read in place. */
static int image_look(struct program *program, struct image *image)
{
	struct stat st;
	int err = file_stat(image->file, &st);

	if (err || !S_ISREG(st.st_mode) || !image->file->ops->map_page)
		return fail(program, -EACCES, "not a regular file");
	if (!(st.st_mode & 0111) || inode_permission(image->file->inode, LINUX_X_OK))
		return fail(program, -EACCES, "not executable (no x permission)");
	if (st.st_size == 0)
		return fail(program, -ENOEXEC, "an empty file");
	for (const struct process *process = processes; process; process = process->next)
		if (fd_table_opens(process->files, image->file->inode, NULL, true))
			return fail(program, -ETXTBSY, "open for writing");
	image->size = image->data_size = st.st_size;
	image->data = in_place(image->file, image->size);
	return image->data ? 0 : read_headers(program, image);
}

static int image_open(struct program *program, struct image *image, const char *path)
{
	int err = file_open_kernel(path, &image->file);

	if (err)
		return fail(program, err, err == -ENOENT ? "no such file in the image" : "cannot be opened");
	return image_look(program, image);
}

static void image_close(struct image *image)
{
	if (image->file)
		file_put(image->file);
	kfree(image->copy);
	*image = (struct image){ 0 };
}

static char *keep(struct program *program, char *text)
{
	return program->owned[program->owned_count++] = text;
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
	size_t n = MIN(program->main.data_size, SCRIPT_LINE - 1);
	char *line, *end, *interp, *argument;

	if (n < 3 || memcmp(program->main.data, "#!", 2) != 0)
		return 0;
	if (program->prefixes + 2 >= PREFIX_MAX)
		return fail(program, -ELOOP, "a script whose interpreter is a script, too many times");
	line = keep(program, kzalloc(SCRIPT_LINE)); /* lives as long as the arguments that point into it */
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
	char *script = keep(program, kstrdup(program->path));

	if (!script)
		return fail(program, -ENOMEM, "out of memory");
	prefix_add(program, script, *argument ? argument : NULL, interp);
	snprintf(program->path, sizeof(program->path), "%s", interp);
	return 1;
}

static int open_program(struct program *program)
{
	program->asked = keep(program, kstrdup(program->path));
	if (!program->asked)
		return fail(program, -ENOMEM, "out of memory");
	for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
		int err = program->main.file ? image_look(program, &program->main) : image_open(program, &program->main, program->path);

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
	if (r >= 0 && load->filesz && image->copy)
		vma_copy_ahead(low, MIN(middle, low + COPIED_AHEAD));
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
	err = load_image(program, image);
	for (int i = 0; !err && i < image->elf.loads; i++)
		if (image->elf.load[i].flags & PF_X)
			mm_patch_cpuid(ALIGN_DOWN(image->bias + image->elf.load[i].vaddr, LV_PAGE));
	return err;
}

/* ---- */

static void name_program(const struct program *program)
{
	const char *base = program->asked;
	char buffer[512];

	snprintf(current->process->path, sizeof(current->process->path), "%s", file_path(program->main.file, buffer, sizeof(buffer)));
	for (const char *s = program->asked; *s; s++)
		if (*s == '/')
			base = s + 1;
	snprintf(current->name, sizeof(current->name), "%s", base);
}

/* A script's own bits do not count: the file is its interpreter by now. */
static int take_ids(struct program *program)
{
	struct stat st;
	int err = file_stat(program->main.file, &st);

	program->euid = credentials()->euid;
	program->egid = credentials()->egid;
	if (err || process_no_new_privs())
		return err;
	if (st.st_mode & S_ISUID)
		program->euid = st.st_uid;
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		program->egid = st.st_gid;
	return 0;
}

static int load(struct program *program, uint64_t *entry, uint64_t *sp)
{
	struct exec_stack stack = { 0 };
	int err = open_program(program);

	if (!err)
		err = take_ids(program);
	if (!err)
		err = place_main(program);
	if (err)
		return err;
	*entry = program->main.bias + program->main.elf.entry;
	/* The stack before the dynamic linker, which then takes the place above it, in the same page table. */
	err = exec_stack_map(&stack, program->main.elf.stack_flags & PF_X);
	if (!err && program->main.elf.interp) {
		err = load_interp(program);
		*entry = program->interp.bias + program->interp.elf.entry;
		if (err)
			return err;
	}
	if (!err) {
		program->vdso = mm_map_vdso();
		err = exec_stack_fill(&stack, program);
	}
	if (err)
		return fail(program, err, err == -E2BIG ? "its arguments and environment are too long" : "not enough memory for its stack");
	*sp = stack.at;
	return 0;
}

static void note_segments(struct program *program)
{
	const struct elf *elf = &program->main.elf;
	struct exec_layout *layout = &program->layout;

	layout->code_start = ~0ull;
	for (int i = 0; i < elf->loads; i++) {
		uint64_t start = program->main.bias + elf->load[i].vaddr, end = start + elf->load[i].filesz;

		if (elf->load[i].flags & PF_X) {
			layout->code_start = MIN(layout->code_start, start);
			layout->code_end = MAX(layout->code_end, end);
		}
		layout->data_start = MAX(layout->data_start, start);
		layout->data_end = MAX(layout->data_end, end);
	}
}

/*
 * A static program has its system calls in itself, and most lead a jump some 4 or 21 MB behind them (libos/mm/patch.h): its heap begins
 * behind that, as it may on Linux, which leaves up to 32 MiB.
 */
#define JUMP_ROOM (24ull << 20)
static void set_brk(const struct program *program)
{
	mm_set_brk(program->main.bias + program->main.elf.high + (program->main.elf.interp ? 0 : JUMP_ROOM));
}

static struct program *program_new(const char **why)
{
	struct program *program = kzalloc(sizeof(*program));

	if (program)
		program->why = why;
	return program;
}

static void program_free(struct program *program)
{
	image_close(&program->main);
	image_close(&program->interp);
	for (unsigned i = 0; i < program->owned_count; i++)
		kfree(program->owned[i]);
	kfree(program);
}

/* Into the address space that is in use: all but what the process is called. */
static int load_here(struct program *program, uint64_t *entry, uint64_t *stack)
{
	int err = load(program, entry, stack);

	if (err)
		return err;
	set_brk(program);
	note_segments(program);
	return 0;
}

static void become(const struct program *program)
{
	struct process *process = current->process;

	inode_get(program->main.file->inode);
	if (process->program)
		inode_put(process->program);
	process->program = program->main.file->inode;
	credentials_execute(program->euid, program->egid);
	process->layout = program->layout;
	name_program(program);
}

int exec_load(uint64_t *entry, uint64_t *stack, const char **why)
{
	struct program *program = program_new(why);
	int err;

	if (!program)
		return -ENOMEM;
	snprintf(program->path, sizeof(program->path), "%s", device_page->program);
	program->args = (const char *)device_page->args;
	program->args_size = device_page->args_size;
	program->argc = device_page->argc;
	program->envc = device_page->envc;
	err = load_here(program, entry, stack);
	if (!err)
		become(program);
	program_free(program);
	return err;
}

int exec_replace(struct exec_request *request, uint64_t *entry, uint64_t *stack, int (*commit)(struct space *new))
{
	const char *why = NULL;
	struct program *program = program_new(&why);
	struct space *new = program ? space_new() : NULL, *old;
	int err = -ENOMEM;

	if (new) {
		snprintf(program->path, sizeof(program->path), "%s", request->path);
		program->main.file = request->file;
		request->file = NULL;
		program->args = request->args;
		program->args_size = request->args_size;
		program->argc = request->argc;
		program->envc = request->envc;
		old = space_use(new);
		err = load_here(program, entry, stack);
		space_use(old);
	}
	if (!err)
		err = commit(new);
	if (!err)
		become(program);
	else
		space_put(new);
	if (program)
		program_free(program);
	return err;
}
