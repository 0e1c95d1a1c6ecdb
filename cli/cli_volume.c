/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm volume: directories that have a name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "node/named_volumes.h"
#include "node/vm_config.h"

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option_spec list_options[] = {
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct list_options, quiet), NULL, "names only" },
	{ "format", 0, OPTION_STRING, offsetof(struct list_options, format), "FORMAT", "table or json", .words = "table json" },
	{ 0 },
};

/* The views of these names, or of all. A new reference. */
static json_t *views(const struct strings *names, struct error *error)
{
	json_t *all = json_array();
	for (size_t i = 0; i < names->count; i++) {
		json_t *view = named_volume_view(names->item[i], error);
		if (!view) {
			json_decref(all);
			return NULL;
		}
		json_array_append_new(all, view);
	}
	return all;
}

static void add_row(const json_t *view, struct strings *cells)
{
	strings_add(cells, config_string(view, "name"));
	strings_take(cells, alloc_format("%zu", json_array_size(json_object_get(view, "vms"))));
	strings_add(cells, config_string(view, "path"));
}

static int list(const struct context *context, void *options, struct operands operands, struct error *error)
{
	static const char *const heads[] = { "NAME", ">VMS", "DIRECTORY", NULL };
	const struct list_options *given = options;
	struct strings names = { 0 }, cells = { 0 };
	struct text out = { 0 };
	int err = named_volumes(&names, error);
	json_t *all = err ? NULL : views(&names, error);
	strings_free(&names);
	if (!all)
		return err ? err : error->code;
	if (given->format && !strcmp(given->format, "json"))
		return json_print(all);
	for (size_t i = 0; i < json_array_size(all); i++)
		if (given->quiet)
			text_format(&out, "%s\n", config_string(json_array_get(all, i), "name"));
		else
			add_row(json_array_get(all, i), &cells);
	if (!given->quiet)
		table_print(heads, &cells, &out);
	strings_free(&cells);
	json_decref(all);
	return text_print(&out);
}

static const struct verb verb_list = {
	.name = "ls",
	.summary = "List volumes that have a name",
	.text = "VMS is how many virtual machines have it, those that have ended and are kept among them.",
	.options = list_options,
	.options_size = sizeof(struct list_options),
	.run = list,
};

static int create(const struct context *context, void *options, struct operands operands, struct error *error)
{
	bool made;
	char *path = named_volume_path(operands.argv[0], true, &made, error);
	if (!path)
		return error->code;
	free(path);
	puts(operands.argv[0]);
	return 0;
}

static const struct verb verb_create_volume = {
	.name = "create",
	.operands = "NAME",
	.summary = "Make a volume",
	.text = "An empty directory in the user's own place; \"lightvm run -v NAME:/PATH\" makes one that is not there, too. One that is there stays as it is.",
	.min = 1,
	.max = 1,
	.run = create,
};

static int inspect_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct strings names = { 0 };
	for (int i = 0; i < operands.argc; i++)
		strings_add(&names, operands.argv[i]);
	json_t *all = views(&names, error);
	strings_free(&names);
	return all ? json_print(all) : error->code;
}

static const struct verb verb_inspect_volume = {
	.name = "inspect",
	.operands = "NAME...",
	.summary = "Print what there is to say of volumes, as JSON",
	.min = 1,
	.max = -1,
	.run = inspect_run,
};

static int remove_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return word_for_each(operands, named_volume_remove);
}

static const struct verb verb_remove = {
	.name = "rm",
	.no_guess = true,
	.operands = "NAME...",
	.summary = "Remove volumes, with all that is in them",
	.text = "One that a virtual machine has, be it one that has ended and is kept, stays, and is told.",
	.min = 1,
	.max = -1,
	.run = remove_run,
};

static int prune(const struct context *context, void *options, struct operands operands, struct error *error)
{
	struct strings names = { 0 };
	struct text out = { 0 };
	int err = named_volumes(&names, error);
	for (size_t i = 0; i < names.count && !err; i++) {
		err = named_volume_remove(names.item[i], error);
		if (!err)
			text_format(&out, "%s\n", names.item[i]);
		if (err == -EBUSY)
			err = 0;
	}
	strings_free(&names);
	int printed = text_print(&out);
	return err ? err : printed;
}

static const struct verb verb_prune_volumes = {
	.name = "prune",
	.no_guess = true,
	.summary = "Remove all volumes that no virtual machine has",
	.run = prune,
};

static const struct verb *const verbs_of_volume[] = { &verb_list, &verb_create_volume, &verb_inspect_volume, &verb_remove, &verb_prune_volumes, NULL };

const struct verb verb_volume = {
	.name = "volume",
	.summary = "Directories with a name, for VMs to keep things in",
	.text = "\"lightvm run -v NAME:/PATH\" gives a VM one, live, and makes it if it is not there.",
	.sub = verbs_of_volume,
};
