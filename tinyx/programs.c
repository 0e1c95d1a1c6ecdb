/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/programs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "tinyx/commands.h"
#include "tinyx/companions.h"
#include "tinyx/compiler.h"
#include "tinyx/image_volume.h"
#include "tinyx/libraries.h"
#include "tinyx/own_tree.h"

#define SCRIPTS_MAX 4 /* as the kernel: a script's interpreter may be a script */
#define LINE_MAX_SCRIPT 256

/* "#!/usr/bin/env [-S] NAME [ARG]" is resolved here: the image needs no env, and the guest no second start. */
static int script_env(const struct plan *plan, char *rest, const char *script, char **interpreter, char **argument, struct error *error)
{
	char *name = rest ? rest + strspn(rest, " \t") : NULL;
	if (name && text_starts(name, "-S"))
		name += 2 + strspn(name + 2, " \t");
	if (!name || !*name || *name == '-' || strchr(name, '='))
		return error_set(error, -ENOEXEC, "%s: its first line does not name an interpreter after env", script);
	size_t n = strcspn(name, " \t");
	*argument = name[n] ? name + n + strspn(name + n, " \t") : NULL;
	name[n] = 0;
	*interpreter = program_find_for(plan, name);
	return *interpreter ? 0 : error_set(error, -ENOENT, "%s: its interpreter \"%s\" is not in PATH", script, name);
}

/* Reads "#!INTERPRETER [ARGUMENT]"; 1 for a script (interpreter and argument are the caller's), 0 for something else. */
static int script_read(const struct plan *plan, const char *path, char **interpreter, char **argument, struct error *error)
{
	char line[LINE_MAX_SCRIPT] = "";
	uint64_t at;
	size_t size;
	int fd = plan_open(plan, path, &at, &size);
	if (fd < 0)
		return error_set(error, fd, "cannot read %s: %s", path, strerror(-fd));
	ssize_t n = pread(fd, line, size < sizeof(line) ? size : sizeof(line) - 1, (off_t)at);
	close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return 0;
	line[strcspn(line, "\n")] = 0;
	char *word = line + 2 + strspn(line + 2, " \t"), *rest = word + strcspn(word, " \t"), *found = NULL;
	if (*rest) {
		*rest++ = 0;
		rest += strspn(rest, " \t");
	}
	for (char *end = rest + strlen(rest); end > rest && strchr(" \t\r", end[-1]);)
		*--end = 0;
	int err = 0;
	if (text_ends(word, "\r"))
		err = error_set(error, -ENOEXEC, "%s has the line ends of Windows, which belong to its interpreter's name; run: sed -i 's/\\r$//' %s", path, path);
	else if (text_ends(word, "/env"))
		err = script_env(plan, rest, path, &found, &rest, error);
	else if (word[0] != '/')
		err = error_set(error, -ENOEXEC, "%s: its interpreter \"%s\" is not an absolute path", path, word);
	else
		found = alloc_copy(word);
	if (err)
		return err;
	*interpreter = found;
	*argument = rest && *rest ? alloc_copy(rest) : NULL;
	return 1;
}

/* A program that a volume brings. A link that leads out of it is kept, as in every volume; what it leads to comes from the host. */
static int add_from_volume(struct plan *plan, const char *host, const char *guest, struct error *error)
{
	char target[PATH_MAX];
	ssize_t n = readlink(host, target, sizeof(target) - 1);
	if (n <= 0 || target[0] != '/')
		return plan_add_as(plan, host, guest, error);
	target[n] = 0;
	return plan_add(plan, target, false, error);
}

int programs_add(struct plan *plan, const char *program, const struct strings *volumes, struct packed *packed, char **elf, struct error *error)
{
	struct strings args = { 0 };
	packed->program = alloc_copy(program);
	plan_why(plan, "the program that is started, or on the way to it");
	for (int depth = 0;; depth++) {
		char *interpreter = NULL, *argument = NULL;
		free(*elf);
		*elf = plan->from ? alloc_copy(packed->program) : volume_host(volumes, packed->program);
		int err = strcmp(*elf, packed->program) ? add_from_volume(plan, *elf, packed->program, error) : plan_add(plan, *elf, false, error);
		if (err)
			return depth ? error_prefix(error, "%s needs the interpreter %s", program, packed->program) : err;
		err = script_read(plan, *elf, &interpreter, &argument, error);
		if (err < 0)
			return err;
		if (!err)
			break;
		if (depth == SCRIPTS_MAX) {
			free(interpreter);
			free(argument);
			return error_set(error, -ELOOP, "%s: too many scripts that interpret scripts", program);
		}
		/* [interpreter, argument, script] + what was in front already, without its own first word */
		strings_add(&args, interpreter);
		if (argument)
			strings_add(&args, argument);
		strings_add(&args, packed->program);
		for (size_t i = 1; i < packed->args.count; i++)
			strings_add(&args, packed->args.item[i]);
		strings_free(&packed->args);
		packed->args = args;
		args = (struct strings){ 0 };
		plan_why(plan, "the interpreter of the script %s, or on the way to it", packed->program);
		free(packed->program);
		free(argument);
		packed->program = interpreter;
	}
	struct program_facts facts;
	int err = program_check(plan, *elf, &facts, error);
	packed->need = facts.need;
	return err;
}

void programs_add_command(struct plan *plan, const char *command)
{
	struct error ignored;
	char *path = alloc_copy(command);
	plan_why(plan, "%s, which a shell's words or a script's name, or on the way to it", command);
	for (int depth = 0; path && depth < SCRIPTS_MAX; depth++) {
		char *interpreter = NULL, *argument = NULL;
		bool script = !plan_add(plan, path, false, &ignored) && script_read(plan, path, &interpreter, &argument, &ignored) == 1;
		own_tree_add(plan, path);
		companions_add(plan, path, script, &ignored);
		compiler_add(plan, path);
		free(path);
		free(argument);
		path = script ? interpreter : NULL;
	}
	free(path);
}
