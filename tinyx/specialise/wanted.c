/* SPDX-License-Identifier: Apache-2.0 */
#include "tinyx/specialise/wanted.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tinyx/kernel.h"
#include "tinyx/specialise/guards.h"
#include "tinyx/specialise/kbuild.h"
#include "tinyx/specialise/kconfig.h"

/* ---- the list ---- */

static struct wanted_option *find(const struct wanted *wanted, const char *name)
{
	for (size_t i = 0; i < wanted->count; i++)
		if (!strcmp(wanted->option[i].name, name))
			return &wanted->option[i];
	return NULL;
}

/* Takes reason. The first reason counts; what general has not is nobody's. */
static int want(struct wanted *wanted, const struct wanted_source *from, const char *name, char *reason, struct error *error)
{
	if (find(wanted, name) || !*dot_config_value(from->general, name)) {
		free(reason);
		return 0;
	}
	if (wanted->count == wanted->room) {
		size_t room = wanted->room ? 2 * wanted->room : 64;
		struct wanted_option *grown = alloc_again(wanted->option, room * sizeof(*grown));
		if (!grown) {
			free(reason);
			return error_set(error, -ENOMEM, "no memory");
		}
		wanted->option = grown;
		wanted->room = room;
	}
	struct wanted_option *option = &wanted->option[wanted->count++];
	*option = (struct wanted_option){ .name = alloc_copy(name), .reason = reason };
	return option->name && reason ? 0 : error_set(error, -ENOMEM, "no memory");
}

void wanted_free(struct wanted *wanted)
{
	for (size_t i = 0; i < wanted->count; i++) {
		free(wanted->option[i].name);
		free(wanted->option[i].reason);
	}
	free(wanted->option);
	strings_free(&wanted->objects);
	strings_free(&wanted->unknown);
	*wanted = (struct wanted){ 0 };
}

/* ---- from calls ---- */

struct adding {
	struct wanted *wanted;
	const struct wanted_source *from;
	struct kbuild kbuild;
	struct error *error;
};

static char *call_reason(const struct adding *at, const struct evidence_call *call, const char *path, unsigned line)
{
	char buffer[16];
	bool known = call->call >= 0;
	return alloc_format("%s of %s (%s:%u) was called by %s%s%s", call->function, call->object, path, line, call->comm, known ? " in " : "",
			    known ? at->from->call_name((uint32_t)call->call, buffer, sizeof(buffer)) : "");
}

static bool everybody_calls(const struct adding *at, const struct evidence_call *call)
{
	const struct evidence *baseline = at->from->baseline;
	for (size_t i = 0; baseline && i < baseline->count; i++) {
		const struct evidence_call *other = &baseline->call[i];
		if (other->phase == EVIDENCE_PROGRAM && other->object && !strcmp(other->function, call->function) && !strcmp(other->object, call->object))
			return true;
	}
	return false;
}

static bool counts(const struct adding *at, const struct evidence_call *call)
{
	return call->phase == EVIDENCE_PROGRAM && call->object && !everybody_calls(at, call);
}

/* An object that no Makefile names is the kernel's own, or made by functions of make: the build and the test tell whether something is missing. */
static int add_object(struct adding *at, const struct evidence_call *call)
{
	struct kbuild_needs needs = { 0 };
	struct error error = { 0 };
	int err = kbuild_find(&at->kbuild, call->object, dot_config_has, (void *)at->from->general, &needs, &error);
	if (err == -ENOENT && !strings_have(&at->wanted->unknown, call->object))
		strings_add(&at->wanted->unknown, call->object);
	if (err == -ENOENT)
		err = 0;
	else if (err)
		error_set(at->error, err, "%s", error.text);
	for (size_t i = 0; i < needs.count && !err; i++)
		err = want(at->wanted, at->from, needs.item[i].option, call_reason(at, call, needs.item[i].path, needs.item[i].line), at->error);
	free(needs.item);
	return err;
}

static int add_guards(struct adding *at, const struct evidence_call *call, const char *path, const char *text)
{
	struct guards guards;
	int err = guards_find(text, call->function, &guards);
	if (err)
		error_set(at->error, err, "no memory");
	for (size_t i = 0; i < guards.options.count && !err; i++)
		err = want(at->wanted, at->from, guards.options.item[i], call_reason(at, call, path, guards.line), at->error);
	guards_free(&guards);
	return err;
}

/* The functions of the object of call i that the program called: what stands around them in its source. Without a C file (assembler, made by the build) nothing is known. */
static int add_functions(struct adding *at, const struct evidence *evidence, size_t i)
{
	const char *object = evidence->call[i].object;
	char *path = alloc_format("%.*sc", (int)strlen(object) - 1, object), *text = NULL;
	size_t size;
	int err = path ? at->from->source->read(at->from->source->context, path, &text, &size) : -ENOMEM;
	if (err && err != -ENOENT)
		error_set(at->error, err, "%s: %s", path ? path : object, strerror(-err));
	for (; i < evidence->count && !err; i++) {
		const struct evidence_call *call = &evidence->call[i];
		if (call->object && !strcmp(call->object, object) && counts(at, call))
			err = add_guards(at, call, path, text);
	}
	free(text);
	free(path);
	return err == -ENOENT ? 0 : err;
}

int wanted_add(struct wanted *wanted, const struct wanted_source *from, const struct evidence *evidence, struct error *error)
{
	struct adding at = { .wanted = wanted, .from = from, .kbuild = { .source = from->source }, .error = error };
	struct strings seen = { 0 };
	int err = 0;
	for (size_t i = 0; i < evidence->count && !err; i++) {
		const struct evidence_call *call = &evidence->call[i];
		if (!call->object || strings_have(&seen, call->object) || !counts(&at, call))
			continue;
		strings_add(&seen, call->object);
		if (!strings_have(&wanted->objects, call->object))
			strings_add(&wanted->objects, call->object);
		err = add_object(&at, call);
		if (!err)
			err = add_functions(&at, evidence, i);
	}
	if (!err && (strings_error(&seen) || strings_error(&wanted->objects) || strings_error(&wanted->unknown)))
		err = error_set(error, -ENOMEM, "no memory");
	strings_free(&seen);
	kbuild_close(&at.kbuild);
	return err;
}

int wanted_ask(struct wanted *wanted, const struct wanted_source *from, const char *name, struct error *error)
{
	if (!*dot_config_value(from->general, name))
		return error_set(error, -ENOENT, "CONFIG_%s: kernel general does not have that option, and options are taken from there", name);
	return want(wanted, from, name, alloc_copy("asked for by --with"), error);
}

/* ---- from each other ---- */

struct closing {
	struct wanted *wanted;
	const struct wanted_source *from;
	const struct kconfig *kconfig;
	struct kconfig_values values;
	struct error *error;
};

static bool holds(const struct closing *at, const struct kconfig_entry *entry)
{
	for (size_t i = 0; i < entry->depends.count; i++)
		if (kconfig_evaluate(entry->depends.item[i], &at->values) == KCONFIG_NO)
			return false;
	return true;
}

/* What an option's place in Kconfig depends on, and what makes those conditions true in general. */
static int want_holders(struct closing *at, const struct kconfig_entry *entry)
{
	int err = 0;
	for (size_t i = 0; i < entry->depends.count && !err; i++) {
		struct strings names = { 0 };
		kconfig_holders(entry->depends.item[i], &at->values, &names);
		for (size_t k = 0; k < names.count && !err; k++)
			err = want(at->wanted, at->from, names.item[k], alloc_format("%s depends on it (%s:%u)", entry->name, entry->file, entry->line), at->error);
		if (!err && strings_error(&names))
			err = error_set(at->error, -ENOMEM, "no memory");
		strings_free(&names);
	}
	return err;
}

/* Whether a value stands there that is set without anybody's choice. */
static bool is_default(const struct closing *at, const struct kconfig_entry *entry)
{
	for (size_t i = 0; i < entry->defaults.count; i++) {
		const char *condition;
		char *value = kconfig_condition(entry->defaults.item[i], &condition);
		bool does = value && (!condition || kconfig_evaluate(condition, &at->values) > KCONFIG_NO) && kconfig_evaluate(value, &at->values) > KCONFIG_NO;
		free(value);
		if (does)
			return true;
	}
	return false;
}

/*
 * Nobody can ask for an option without a prompt: it comes by default, or one that selects it has to be there. One that is wanted already will do; of others none is
 * taken, unless it is the only one in general.
 */
static int want_selector(struct closing *at, size_t index)
{
	const char *name = at->wanted->option[index].name;
	const struct kconfig_entry *only = NULL;
	size_t count = 0;
	for (size_t i = 0; i < at->kconfig->count; i++) {
		const struct kconfig_entry *entry = &at->kconfig->entry[i];
		if (!*dot_config_value(at->from->general, entry->name) || !kconfig_selects(entry, name, &at->values))
			continue;
		if (find(at->wanted, entry->name))
			return 0;
		count += !only || strcmp(only->name, entry->name) != 0;
		only = entry;
	}
	at->wanted->option[index].open = count != 1;
	return count == 1 ? want(at->wanted, at->from, only->name, alloc_format("selects %s (%s:%u)", name, only->file, only->line), at->error) : 0;
}

static int close_one(struct closing *at, size_t index)
{
	const char *name = at->wanted->option[index].name;
	size_t count;
	bool asked = false, follows = false;
	const struct kconfig_entry *entry = kconfig_find(at->kconfig, name, &count);
	int err = 0;
	for (size_t i = 0; i < count && !err; i++) {
		if (!holds(at, &entry[i]))
			continue;
		bool is = entry[i].prompt, by_default = is_default(at, &entry[i]);
		asked |= is;
		follows |= by_default;
		if (is || by_default)
			err = want_holders(at, &entry[i]);
	}
	at->wanted->option[index].follows = !asked;
	return err || asked || follows ? err : want_selector(at, index);
}

int wanted_close(struct wanted *wanted, const struct wanted_source *from, struct error *error)
{
	struct kconfig kconfig;
	int err = kconfig_read(&kconfig, from->source, "Kconfig", error);
	struct closing at = { .wanted = wanted, .from = from, .kconfig = &kconfig, .values = dot_config_values(from->general), .error = error };
	for (size_t i = 0; i < wanted->count && !err; i++) /* it grows meanwhile */
		err = close_one(&at, i);
	kconfig_free(&kconfig);
	return err;
}

/* ---- the configuration ---- */

/* Whether it was printed: base does not have it. */
static bool print_option(const struct wanted_option *option, const char *value, const char *base, struct text *out)
{
	struct strings missing = { 0 };
	char *line = alloc_format("CONFIG_%s=%s\n", option->name, value);
	kernel_config_missing(line ? line : "", base, &missing);
	const bool lacks = missing.count;
	if (lacks && option->open)
		text_format(out, "# %s: several options could bring what that is for, %s\n", option->reason, option->name);
	else if (lacks)
		text_format(out, "# %s\n%s", option->reason, line);
	out->failed |= !line;
	strings_free(&missing);
	free(line);
	return lacks;
}

size_t wanted_print(const struct wanted *wanted, const struct wanted_source *from, const char *base, struct text *out)
{
	size_t printed = 0;
	struct text follows = { 0 };
	for (size_t i = 0; i < wanted->count; i++) {
		const struct wanted_option *option = &wanted->option[i];
		const char *value = dot_config_value(from->general, option->name);
		if (option->follows)
			print_option(option, value, base, &follows);
		else
			printed += print_option(option, value, base, out);
	}
	if (follows.size)
		text_format(out, "\n# --- nobody is asked for these: the build ends if one of them has not followed\n%s", follows.data);
	out->failed |= text_error(&follows) != 0;
	text_free(&follows);
	return printed;
}
