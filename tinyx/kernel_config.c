/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel configurations: those that come with lightvm, those of users, and whether Linux took what they ask for. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/options.h"
#include "tinyx/kernel.h"
#include "tinyx/kernel_files.h"

#define INCLUDE "#include "
#define NESTING_MAX 4

static const struct builtin {
	const char *name, *text;
} builtins[] = {
	{ "general", kernel_general_config },
	{ "base", kernel_base_config },
	{ "container", kernel_container_config },
	{ "trace", kernel_trace_config },
};
#define BUILTINS (sizeof(builtins) / sizeof(*builtins))

const char *kernel_config_name(size_t i)
{
	return i < BUILTINS ? builtins[i].name : NULL;
}

static const char *name_at(const void *context, size_t i)
{
	return kernel_config_name(i);
}

static const char *builtin_text(const char *name)
{
	for (size_t i = 0; i < BUILTINS; i++)
		if (!strcmp(builtins[i].name, name))
			return builtins[i].text;
	return NULL;
}

/* ---- reading ---- */

/* "CONFIG_A=y" or "# CONFIG_A is not set": the length of the name and where it begins; 0: something else. */
static size_t option_name(const char *line, const char **name)
{
	static const char unset[] = " is not set";
	bool off = text_starts(line, "# CONFIG_");
	*name = off ? line + 2 : line;
	if (!text_starts(*name, "CONFIG_"))
		return 0;
	size_t n = 7 + strspn(*name + 7, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
	if (n == 7 || (off ? !text_starts(*name + n, unset) : (*name)[n] != '='))
		return 0;
	return n;
}

static int expand(const char *text, const char *from, int depth, struct text *out, struct error *error);

static int include(const char *name, const char *from, int line, int depth, struct text *out, struct error *error)
{
	const char *text = builtin_text(name), *near;
	if (!text) {
		near = options_nearest(name, BUILTINS, name_at, NULL);
		return error_set(error, -EINVAL, "%s:%d: there is no configuration \"%s\" to include%s%s%s", from, line, name,
				 near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
	if (depth == NESTING_MAX)
		return error_set(error, -ELOOP, "%s:%d: configurations include each other", from, line);
	return expand(text, name, depth + 1, out, error);
}

static int expand_line(const char *line, const char *from, int number, int depth, struct text *out, struct error *error)
{
	const char *name;
	if (text_starts(line, INCLUDE))
		return include(line + strlen(INCLUDE), from, number, depth, out, error);
	if (*line && *line != '#' && !option_name(line, &name))
		return error_set(error, -EINVAL, "%s:%d: \"%.60s\" is neither CONFIG_NAME=VALUE nor a comment", from, number, line);
	text_format(out, "%s\n", line);
	return 0;
}

static int expand(const char *text, const char *from, int depth, struct text *out, struct error *error)
{
	char *copy = alloc_copy(text), *at = copy;
	int err = 0, number = 1;
	for (char *line; !err && (line = strsep(&at, "\n")); number++)
		err = at || *line ? expand_line(line, from, number, depth, out, error) : 0;
	free(copy);
	return err;
}

static int no_such(const char *word, struct error *error)
{
	const char *near = options_nearest(word, BUILTINS, name_at, NULL);
	if (near)
		return error_set(error, -ENOENT, "there is no kernel configuration \"%s\"; did you mean \"%s\"?", word, near);
	return error_set(error, -ENOENT, "there is no kernel configuration \"%s\": give base, general, container, trace or a file", word);
}

/* What a kernel is called goes into file names. */
static bool name_is_fit(const char *name)
{
	return *name && *name != '.' && *name != '-' && strlen(name) <= 40 &&
	       !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-")];
}

int kernel_config_make(struct kernel_config *config, const char *name, const char *lines, const char *from, struct error *error)
{
	struct text text = { 0 };
	*config = (struct kernel_config){ .name = alloc_copy(name) };
	if (!name_is_fit(name) || builtin_text(name) || !strcmp(name, "linux") || !strcmp(name, "libos") || !strcmp(name, "auto"))
		return error_set(error, -EINVAL, "%s: its kernel cannot be called \"%s\"; give %s another name", from, name, !strcmp(from, name) ? "it" : "the file");
	int err = expand(lines, from, 0, &text, error);
	config->text = text.data;
	return err;
}

static int load_file(struct kernel_config *config, const char *path, struct error *error)
{
	char *data;
	size_t size;
	int err = file_read(AT_FDCWD, path, KERNEL_CONFIG_MAX, &data, &size);
	if (err == -ENOENT && !strchr(path, '/'))
		return no_such(path, error);
	if (err)
		return error_set(error, err, "%s: %s", path, strerror(-err));
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char *name = alloc_format("%.*s", (int)(strlen(base) - (text_ends(base, ".config") ? strlen(".config") : 0)), base);
	if (strlen(data) != size)
		err = error_set(error, -EINVAL, "%s: it has zero bytes in it; a configuration is text", path);
	else
		err = kernel_config_make(config, name, data, path, error);
	free(name);
	free(data);
	return err;
}

int kernel_config_load(struct kernel_config *config, const char *word, struct error *error)
{
	struct text text = { 0 };
	const char *builtin = builtin_text(word);
	*config = (struct kernel_config){ 0 };
	if (!builtin)
		return load_file(config, word, error);
	config->name = alloc_copy(word);
	int err = expand(builtin, word, 0, &text, error);
	config->text = text.data;
	return err;
}

void kernel_config_free(struct kernel_config *config)
{
	free(config->name);
	free(config->text);
	*config = (struct kernel_config){ 0 };
}

/* ---- checking what came of it ---- */

/* Where in text the last line about this option is; NULL: nowhere. */
static const char *last_line(const char *text, const char *name, size_t len)
{
	const char *found = NULL, *its;
	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (option_name(line, &its) == len && !strncmp(its, name, len))
			found = line;
	return found;
}

static bool agrees(const char *wanted, const char *result, const char *name, size_t len)
{
	const char *got = last_line(result, name, len);
	if (*wanted == '#' || !strncmp(wanted + len, "=n\n", 3))
		return !got || *got == '#';
	size_t n = strcspn(wanted, "\n");
	return got && strcspn(got, "\n") == n && !strncmp(got, wanted, n);
}

void kernel_config_missing(const char *text, const char *result, struct strings *missing)
{
	for (const char *line = text, *name; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		size_t len = option_name(line, &name);
		if (len && last_line(text, name, len) == line && !agrees(line, result, name, len))
			strings_take(missing, alloc_format("%.*s", (int)len, name));
	}
}
