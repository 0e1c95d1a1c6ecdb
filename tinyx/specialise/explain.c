/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define PREFIX "CONFIG_"

/* ---- what the configuration says ---- */

static bool sets(const char *line, const char *name)
{
	size_t len = strlen(name);
	if (text_starts(line, "# " PREFIX))
		line += 2;
	if (!text_starts(line, PREFIX) || strncmp(line + strlen(PREFIX), name, len))
		return false;
	line += strlen(PREFIX) + len;
	return *line == '=' || text_starts(line, " is not set");
}

/* The length of the line at comment, NULL: none. */
static int line_length(const char *comment)
{
	return comment ? (int)strcspn(comment, "\n") : 0;
}

/*
 * What stands above the last line about it: the heading of its part ("# --- time") and the last comment in it, which may be about the lines between, too. The caller's;
 * NULL: the configuration does not name it.
 */
static char *reason_of(const char *asked, const char *name)
{
	const char *part = NULL, *comment = NULL;
	char *reason = NULL;
	for (const char *line = asked; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (sets(line, name)) {
			free(reason);
			reason = alloc_format("%.*s%s%.*s", line_length(part), part ? part : "", part && comment ? "; " : "", line_length(comment), comment ? comment : "");
		} else if (text_starts(line, "# --- ")) {
			part = line + strlen("# --- ");
			comment = NULL;
		} else if (*line == '#' && !text_starts(line, "# " PREFIX)) {
			comment = line + 1 + strspn(line + 1, " ");
		} else if (*line == '\n') {
			part = comment = NULL;
		}
	}
	return reason;
}

static void say_value(const struct explain *explain, const char *name, struct text *out)
{
	const char *value = dot_config_value(explain->built, name);
	char *reason = explain->asked ? reason_of(explain->asked, name) : NULL;
	if (*value)
		text_format(out, "  kernel %s has it: %s\n", explain->kernel, value);
	else
		text_format(out, "  kernel %s does not have it\n", explain->kernel);
	if (reason)
		text_format(out, *reason ? "  its configuration says so, below: %s\n" : "  its configuration says so%s\n", reason);
	free(reason);
}

/* ---- what Kconfig says ---- */

static void say_expression(const struct explain *explain, const char *what, const char *expression, struct text *out)
{
	static const char *const truths[] = { "does not hold", "holds for modules", "holds" };
	const struct kconfig_values all = dot_config_values(explain->built);
	int worth = kconfig_evaluate(expression, &all);
	text_format(out, "  %s %s: %s\n", what, expression, worth < 0 ? "not understood" : truths[worth]);
}

static void say_entry(const struct explain *explain, const struct kconfig_entry *entry, struct text *out)
{
	text_format(out, "  %s:%u: %s%s%s\n", entry->file, entry->line, entry->type ? entry->type : "more of it", entry->prompt ? ", " : ", not asked for: selected, or by default",
		    entry->prompt ? entry->prompt : "");
	for (size_t i = 0; i < entry->depends.count; i++)
		say_expression(explain, "depends on", entry->depends.item[i], out);
	for (size_t i = 0; i < entry->defaults.count; i++)
		text_format(out, "  default %s\n", entry->defaults.item[i]);
}

/* Options that are set, and select it under a condition that holds. */
static void say_selectors(const struct explain *explain, const struct kconfig *kconfig, const char *name, struct text *out)
{
	const struct kconfig_values all = dot_config_values(explain->built);
	for (size_t i = 0; i < kconfig->count; i++) {
		const struct kconfig_entry *entry = &kconfig->entry[i];
		if (*dot_config_value(explain->built, entry->name) && kconfig_selects(entry, name, &all))
			text_format(out, "  selected by %s (%s:%u)\n", entry->name, entry->file, entry->line);
	}
}

static int explain_option(const struct explain *explain, const struct kconfig *kconfig, const char *name, struct text *out, struct error *error)
{
	size_t count;
	const struct kconfig_entry *entry = kconfig_find(kconfig, name, &count);
	if (!entry)
		return error_set(error, -ENOENT, "the source of kernel %s has no option CONFIG_%s", explain->kernel, name);
	text_format(out, "CONFIG_%s\n", name);
	say_value(explain, name, out);
	for (size_t i = 0; i < count; i++)
		say_entry(explain, &entry[i], out);
	say_selectors(explain, kconfig, name, out);
	return 0;
}

/* ---- what Makefiles say ---- */

static int explain_file(const struct explain *explain, const char *path, struct text *out, struct error *error)
{
	struct kbuild kbuild = { .source = explain->source };
	struct kbuild_needs needs = { 0 };
	size_t len = strlen(path) - (text_ends(path, ".c") || text_ends(path, ".S") || text_ends(path, ".o") ? 2 : 0);
	char *object = path[len] ? alloc_format("%.*s.o", (int)len, path) : alloc_copy(path);
	int err = object ? kbuild_find(&kbuild, object, dot_config_has, (void *)explain->built, &needs, error) : -ENOMEM;
	if (!err)
		text_format(out, "%s\n%s", path, needs.count ? "" : "  every kernel has it\n");
	for (size_t i = 0; i < needs.count && !err; i++)
		text_format(out, "  needs CONFIG_%s (%s:%u), which kernel %s %s\n", needs.item[i].option, needs.item[i].path, needs.item[i].line, explain->kernel,
			    dot_config_has((void *)explain->built, needs.item[i].option) ? "has" : "does not have");
	free(object);
	free(needs.item);
	kbuild_close(&kbuild);
	return err;
}

static bool is_file(const char *word)
{
	return strchr(word, '/') || text_ends(word, ".o") || text_ends(word, ".c");
}

int explain_words(const struct explain *explain, char *const *words, size_t count, struct text *out, struct error *error)
{
	struct kconfig kconfig = { 0 }; /* read once, for the first option */
	int err = 0;
	for (size_t i = 0; i < count && !err; i++) {
		const char *name = dot_option_name(words[i]);
		if (is_file(words[i])) {
			err = explain_file(explain, words[i], out, error);
			continue;
		}
		if (!kconfig.count)
			err = kconfig_read(&kconfig, explain->source, "Kconfig", error);
		if (!err)
			err = explain_option(explain, &kconfig, name, out, error);
	}
	kconfig_free(&kconfig);
	return err;
}

/* ---- a kernel of the cache ---- */

/* What it was asked for, as a build keeps it; of an older build the text that comes with lightvm under its name. The caller's; NULL: not known. */
static char *asked_of(const struct kernel *kernel)
{
	struct kernel_config config = { 0 };
	char *path = alloc_format("%s/asked", kernel->directory), *text = NULL;
	size_t size;
	if (path && !file_read(AT_FDCWD, path, KERNEL_CONFIG_MAX, &text, &size)) {
		free(path);
		return text;
	}
	for (size_t i = 0; kernel_config_name(i) && !text; i++)
		if (!strcmp(kernel_config_name(i), kernel->name) && !kernel_config_load(&config, kernel->name, NULL))
			text = config.text ? alloc_copy(config.text) : NULL;
	kernel_config_free(&config);
	free(path);
	return text;
}

int explain_kernel(const struct kernel *kernel, char *const *words, size_t count, struct text *out, struct error *error)
{
	struct dot_config built;
	char *tree = source_unpacked(kernel, error);
	if (!tree)
		return -ENODATA;
	struct kernel_source source = { .read = source_read_tree, .context = tree };
	struct explain explain = { .kernel = kernel->name, .built = &built, .source = &source };
	int err = dot_config_load(&built, kernel, error);
	char *asked = asked_of(kernel);
	explain.asked = asked;
	if (!err)
		err = explain_words(&explain, words, count, out, error);
	free(asked);
	dot_config_free(&built);
	free(tree);
	return err;
}
