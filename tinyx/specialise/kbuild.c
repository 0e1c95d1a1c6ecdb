/* SPDX-License-Identifier: Apache-2.0 */
/* From an object up to the top of the source: which Makefile names it, and under which option. */
#include "tinyx/specialise/kbuild.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In the place of a directory: these name directories from the top. */
static const char *const top_makefiles[] = { "arch/x86/Makefile", "Makefile" };
#define TOPS (sizeof(top_makefiles) / sizeof(*top_makefiles))
#define STEPS_MAX 64 /* from an object to the top: directories, composite objects, lists */

struct walk {
	struct kbuild *kbuild;
	bool (*set)(void *context, const char *option);
	void *context;
	struct kbuild_needs *needs;
	struct error *error;
	unsigned steps;
};

/* ---- files ---- */

/* 0, or -ENOENT; others have a message. */
static int read_as(struct kbuild *kbuild, struct kbuild_file *file, const char *path, struct error *error)
{
	char *text = NULL;
	size_t size;
	int err = kbuild->source->read(kbuild->source->context, path, &text, &size);
	if (err == -ENOENT)
		return err;
	err = err ? error_set(error, err, "%s: %s", path, strerror(-err)) : kbuild_parse(file, path, text, size, error);
	free(text);
	return err;
}

static bool is_makefile(const char *directory)
{
	bool is = false;
	for (size_t i = 0; i < TOPS; i++)
		is |= !strcmp(directory, top_makefiles[i]);
	return is;
}

/* Kbuild goes before Makefile; a directory without either is a file without rules, which is kept, too. */
static int read_directory(struct kbuild *kbuild, struct kbuild_file *file, const char *directory, struct error *error)
{
	static const char *const names[] = { "Kbuild", "Makefile" };
	int err = is_makefile(directory) ? read_as(kbuild, file, directory, error) : -ENOENT;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && err == -ENOENT; i++) {
		char *path = alloc_format("%s%s", directory, names[i]);
		err = path ? read_as(kbuild, file, path, error) : -ENOMEM;
		free(path);
	}
	return err == -ENOENT ? 0 : err;
}

static int make_room(struct kbuild *kbuild, struct error *error)
{
	if (kbuild->count < kbuild->room)
		return 0;
	size_t room = kbuild->room ? 2 * kbuild->room : 16;
	struct kbuild_file *grown = alloc_again(kbuild->file, room * sizeof(*grown));
	if (!grown)
		return error_set(error, -ENOMEM, "no memory");
	kbuild->file = grown;
	kbuild->room = room;
	return 0;
}

/* directory: "" or with a slash at its end. *file: a copy, since more files may be read while it is looked at. */
static int open_directory(struct kbuild *kbuild, const char *directory, struct kbuild_file *file, struct error *error)
{
	for (size_t i = 0; i < kbuild->count; i++)
		if (!strcmp(kbuild->file[i].directory, directory)) {
			*file = kbuild->file[i];
			return 0;
		}
	int err = make_room(kbuild, error);
	*file = (struct kbuild_file){ 0 };
	if (!err)
		err = read_directory(kbuild, file, directory, error);
	if (!err && !(file->directory = alloc_copy(directory)))
		err = -ENOMEM;
	if (err)
		kbuild_free(file);
	else
		kbuild->file[kbuild->count++] = *file;
	return err;
}

void kbuild_close(struct kbuild *kbuild)
{
	for (size_t i = 0; i < kbuild->count; i++)
		kbuild_free(&kbuild->file[i]);
	free(kbuild->file);
	*kbuild = (struct kbuild){ .source = kbuild->source };
}

/* ---- rules ---- */

static bool holds(const struct walk *walk, const struct kbuild_rule *rule)
{
	bool all = !rule->option || walk->set(walk->context, rule->option);
	for (size_t i = 0; i < rule->around.count && all; i++)
		all = walk->set(walk->context, rule->around.item[i]);
	return all;
}

/* The first rule with that word that holds, or else the first; a list that is a part of itself is not followed. */
static const struct kbuild_rule *rule_for(const struct walk *walk, const struct kbuild_file *file, const char *word)
{
	const struct kbuild_rule *found = NULL;
	for (size_t i = 0; i < file->count; i++) {
		const struct kbuild_rule *rule = &file->rule[i];
		if (strcmp(rule->word, word))
			continue;
		if (holds(walk, rule))
			return rule;
		found = found ? found : rule;
	}
	return found;
}

static int need(struct walk *walk, const char *option, const struct kbuild_file *file, unsigned line)
{
	struct kbuild_needs *needs = walk->needs;
	for (size_t i = 0; i < needs->count; i++)
		if (!strcmp(needs->item[i].option, option))
			return 0;
	struct kbuild_need *grown = alloc_again(needs->item, (needs->count + 1) * sizeof(*grown));
	if (!grown)
		return error_set(walk->error, -ENOMEM, "no memory");
	needs->item = grown;
	grown[needs->count++] = (struct kbuild_need){ option, file->path, line };
	return 0;
}

static int need_all(struct walk *walk, const struct kbuild_file *file, const struct kbuild_rule *rule)
{
	int err = rule->option ? need(walk, rule->option, file, rule->line) : 0;
	for (size_t i = 0; i < rule->around.count && !err; i++)
		err = need(walk, rule->around.item[i], file, rule->line);
	return err;
}

/* ---- the way up ---- */

static int find_word(struct walk *walk, const char *directory, const char *word);

/* obj, lib, core, libs, drivers and what is like them are what is linked: these are part of no other. */
static bool is_top(const char *list)
{
	static const char *const tops[] = { "obj", "lib", "core", "libs", "drivers", "net", "virt", "init" };
	for (size_t i = 0; i < sizeof(tops) / sizeof(*tops); i++)
		if (!strcmp(list, tops[i]))
			return true;
	return false;
}

static int find_directory(struct walk *walk, const char *directory)
{
	return *directory && !is_makefile(directory) ? find_word(walk, "", directory) : 0;
}

/* The list is a composite object, or it is named by another list: which of both, its own Makefile says. */
static int find_list(struct walk *walk, const struct kbuild_file *file, const char *directory, const char *list)
{
	if (is_top(list))
		return find_directory(walk, directory);
	char *object = alloc_format("%s.o", list), *reference = alloc_format("$%s", list);
	int err = object && reference ? find_word(walk, directory, rule_for(walk, file, reference) ? reference : object) : -ENOMEM;
	free(object);
	free(reference);
	return err;
}

/* 1: the Makefile of that directory does not name the word. */
static int find_in(struct walk *walk, const char *directory, const char *word)
{
	struct kbuild_file file;
	int err = open_directory(walk->kbuild, directory, &file, walk->error);
	if (err)
		return err;
	const struct kbuild_rule *rule = rule_for(walk, &file, word);
	if (!rule)
		return 1;
	err = need_all(walk, &file, rule);
	return err ? err : find_list(walk, &file, directory, rule->list);
}

/* From the directory that holds path up to the top. 1: none of them names it. */
static int find_path(struct walk *walk, const char *path)
{
	size_t split = strlen(path);
	int err = 1;
	split -= split && path[split - 1] == '/';
	while (err == 1 && split) {
		while (split && path[split - 1] != '/')
			split--;
		char *directory = alloc_format("%.*s", (int)split, path);
		err = directory ? find_in(walk, directory, path + split) : -ENOMEM;
		free(directory);
		split -= split > 0;
	}
	for (size_t i = 0; i < TOPS && err == 1; i++)
		err = find_in(walk, top_makefiles[i], path);
	return err;
}

/* word: below directory, or a list in its Makefile. */
static int find_word(struct walk *walk, const char *directory, const char *word)
{
	if (++walk->steps > STEPS_MAX)
		return error_set(walk->error, -ELOOP, "%s%s: lists of Makefiles name each other", directory, word);
	char *path = alloc_format("%s%s", directory, word);
	int err = !path ? -ENOMEM : *word == '$' ? find_in(walk, directory, word) : find_path(walk, path);
	if (err == 1)
		err = error_set(walk->error, -ENOENT, "%s: no Makefile names it", path);
	free(path);
	return err;
}

int kbuild_find(struct kbuild *kbuild, const char *object, bool (*set)(void *context, const char *option), void *context,
		struct kbuild_needs *needs, struct error *error)
{
	struct error own = { 0 };
	struct walk walk = { .kbuild = kbuild, .set = set, .context = context, .needs = needs, .error = error ? error : &own };
	walk.error->code = 0;
	return find_word(&walk, "", object);
}
