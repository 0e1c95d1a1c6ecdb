/* SPDX-License-Identifier: Apache-2.0 */
#include "node/image_entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tinyx/plan.h"

#define SCRIPTS_MAX 4 /* as the kernel: a script's interpreter may be a script */
#define LINE_LIMIT 256
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* 0: it is a file that may be executed. */
static int find_file(const struct image *image, const char *path, struct erofs_inode *inode)
{
	int err = path ? erofs_walk(&image->fs, path, inode) : -ENOMEM;
	return err ? err : !S_ISREG(inode->mode) || !(inode->mode & 0111) ? -EACCES : 0;
}

/* The path of a word's file; NULL: there is none. */
static char *look_for(const struct image *image, const char *path, const char *cwd, const char *word, struct erofs_inode *inode)
{
	char *found = strchr(word, '/') ? path_clean(cwd, word) : NULL;
	if (found && !find_file(image, found, inode))
		return found;
	free(found);
	for (path = path ? path : DEFAULT_PATH; *word && !strchr(word, '/') && *path; path += strcspn(path, ":"), path += *path == ':') {
		char *full = alloc_format("%.*s/%s", (int)strcspn(path, ":"), path, word);
		found = full ? path_clean(cwd, full) : NULL;
		free(full);
		if (!find_file(image, found, inode))
			return found;
		free(found);
	}
	return NULL;
}

static char *trimmed(char *word)
{
	word += strspn(word, " \t");
	for (char *end = word + strlen(word); end > word && strchr(" \t\r", end[-1]);)
		*--end = 0;
	return word;
}

/* Line: "#!INTERPRETER [ARGUMENT]", which is cut up. env's word is the interpreter: it would only look for that, and start it. */
static int read_line(char *line, char **interpreter, char **argument)
{
	char *word = trimmed(line + 2), *rest = word + strcspn(word, " \t");
	if (*rest) {
		*rest++ = 0;
		rest = trimmed(rest);
	}
	if (text_ends(word, "/env")) {
		if (text_starts(rest, "-S"))
			rest = trimmed(rest + 2);
		word = rest;
		rest += strcspn(rest, " \t");
		if (*rest)
			*rest++ = 0;
		if (*word == '-' || strchr(word, '='))
			return -ENOEXEC;
	}
	*interpreter = word;
	*argument = trimmed(rest);
	return *word ? 0 : -ENOEXEC;
}

/* In place of the first of args: the interpreter, its argument, and the script. */
static void put_in_front(struct strings *args, const char *interpreter, const char *argument, const char *script)
{
	struct strings made = { 0 };
	strings_add(&made, interpreter);
	if (*argument)
		strings_add(&made, argument);
	strings_add(&made, script);
	for (size_t i = 1; i < args->count; i++)
		strings_add(&made, args->item[i]);
	strings_free(args);
	*args = made;
}

int image_entry_find(const struct image *image, const char *path, const char *cwd, struct strings *args, char **program, struct error *error)
{
	char *name = alloc_copy(args->item[0]), *found = NULL;
	int err = 0;
	for (int depth = 0;; depth++) {
		struct erofs_inode inode;
		char line[LINE_LIMIT] = "", *interpreter, *argument;
		if (!name || strings_error(args)) {
			err = error_set(error, -ENOMEM, "out of memory");
			break;
		}
		found = look_for(image, path, cwd, name, &inode);
		if (!found) {
			err = depth ? error_set(error, -ENOENT, "a script needs the interpreter \"%s\", which is not in it", name) :
				      error_set(error, -ENOENT, "there is no program \"%s\" in it", name);
			break;
		}
		if (erofs_read(&image->fs, &inode, 0, line, sizeof(line) - 1) < 0)
			err = error_set(error, -EIO, "image damaged: %s cannot be read", found);
		if (err || !memcmp(line, "\177ELF", 4))
			break;
		line[strcspn(line, "\n")] = 0;
		if (line[0] != '#' || line[1] != '!' || read_line(line, &interpreter, &argument)) {
			err = error_set(error, -ENOEXEC, "%s is neither a program of Linux nor a script whose first line names one", found);
			break;
		}
		if (depth == SCRIPTS_MAX) {
			err = error_set(error, -ELOOP, "%s: too many scripts that interpret scripts", found);
			break;
		}
		put_in_front(args, interpreter, argument, found);
		free(name);
		free(found);
		found = NULL;
		name = alloc_copy(interpreter);
	}
	free(name);
	if (err) {
		free(found);
		found = NULL;
	}
	*program = found;
	return err;
}
