/* SPDX-License-Identifier: Apache-2.0 */
/* A program that is being loaded, for exec.c and exec_stack.c. */
#ifndef LV_LIBOS_EXEC_H
#define LV_LIBOS_EXEC_H

#include "libos/proc/proc.h"
#include "parse/elf.h"

#define SCRIPT_DEPTH 4
#define PREFIX_MAX (2 * SCRIPT_DEPTH + 1)

struct image { /* a file that is being loaded */
	struct file *file;
	const uint8_t *data; /* all of it, in the image; of other files their beginning, copied */
	uint64_t size, data_size;
	uint8_t *copy;
	struct elf elf;
	uint64_t bias;
};

struct program {
	char path[EXEC_PATH_MAX]; /* as it was asked for, or the interpreter of the script */
	const char *asked; /* the first path: of the script */
	const char *args; /* strings of argv and envp, end to end */
	size_t args_size;
	uint32_t argc, envc;
	struct exec_layout layout;
	char *owned[2 * (SCRIPT_DEPTH + 2)]; /* that prefix points into */
	unsigned owned_count;
	/* What scripts put before the arguments: interpreter, its option, script. The program's own name goes then. */
	const char *prefix[PREFIX_MAX];
	unsigned prefixes;
	struct image main, interp;
	uint64_t vdso; /* 0: none */
	uint32_t euid, egid; /* that it runs with: of the file, if that has the set-id bits */
	const char **why;
};

struct exec_stack {
	uint64_t at; /* in the program; grows down */
	bool full;
};

/* Maps the stack below the top of the space that is in use, empty. 0 or a negative errno. */
int exec_stack_map(struct exec_stack *stack, bool executable);
/* Puts onto it all that the program finds there, and fills in the layout. 0, -E2BIG: arguments and environment are too long, -ENOMEM. */
int exec_stack_fill(struct exec_stack *stack, struct program *program);

#endif
