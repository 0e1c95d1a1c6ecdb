/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm checkpoint: the VMs that were saved in the user's place. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "node/save_chain.h"
#include "node/save_view.h"

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option_spec list_options[] = {
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct list_options, quiet), NULL, "names only" },
	{ "format", 0, OPTION_STRING, offsetof(struct list_options, format), "FORMAT", "table or json", .words = "table json" },
	{ 0 },
};

static void add_row(const json_t *view, struct strings *cells)
{
	char size[24];
	const char *program = config_string(view, "program"), *error = config_string(view, "error");
	strings_add(cells, config_string(view, "name"));
	strings_add(cells, *error ? "-" : config_string(view, "vm"));
	time_t saved = (time_t)((uint64_t)json_integer_value(json_object_get(view, "saved_ns")) / NS_PER_S);
	struct tm at;
	char when[32] = "-";
	if (!*error && localtime_r(&saved, &at))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &at);
	strings_add(cells, when);
	strings_add(cells, *error ? "-" : size_print((uint64_t)json_integer_value(json_object_get(view, "size")), size, sizeof(size)));
	const char *base = config_string(view, "parent"), *slash = strrchr(base, '/');
	strings_add(cells, slash ? slash + 1 : "-");
	strings_take(cells, *error ? alloc_format("damaged: %s", error) : alloc_copy(program));
}

static int list(const struct context *context, void *options, struct operands operands, struct error *error)
{
	static const char *const heads[] = { "NAME", "VM", "SAVED", ">SIZE", "BASE", "PROGRAM", NULL };
	const struct list_options *given = options;
	struct strings cells = { 0 };
	struct text out = { 0 };
	json_t *all = saves_list(error);
	if (!all)
		return error->code;
	if (given->format && !strcmp(given->format, "json"))
		return json_print(all);
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *view = json_array_get(all, i);
		if (given->quiet)
			text_format(&out, "%s\n", config_string(view, "name"));
		else
			add_row(view, &cells);
	}
	if (!given->quiet)
		table_print(heads, &cells, &out);
	strings_free(&cells);
	json_decref(all);
	return text_print(&out);
}

static const struct verb verb_list = {
	.name = "ls",
	.summary = "List saved virtual machines",
	.text = "Those of the user's own place, the newest first; what was saved to a directory or file of its own is where it was put. SIZE is what it takes on disk;\n"
		"BASE the one that it holds only the changes since: without that it does not go on.",
	.options = list_options,
	.options_size = sizeof(struct list_options),
	.run = list,
};

/* ---- rm ---- */

static int remove_one(const char *word, struct error *error)
{
	char *path = save_find_kept(word, error);
	int err = path ? save_give_up(path, error) : error->code;
	free(path);
	return err;
}

static int remove_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return word_for_each(operands, remove_one);
}

static const struct verb verb_remove = {
	.name = "rm",
	.no_guess = true,
	.operands = "NAME|DIR|FILE...",
	.summary = "Remove saved virtual machines",
	.text = "A NAME is looked for as \"lightvm restore\" does: what would go on is what is removed. VMs that were restored from them and run are not disturbed. One that others in the user's own place are only changes since stays, and is told: remove those before.",
	.complete = "checkpoint",
	.min = 1,
	.max = -1,
	.run = remove_run,
};

/* ---- inspect ---- */

static int inspect_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	json_t *array = json_array();
	int err = 0;
	for (int i = 0; i < operands.argc && !err; i++) {
		char *path = save_find_kept(operands.argv[i], error);
		json_t *view = path ? save_view(path, error) : NULL;
		err = view ? 0 : error->code;
		if (view)
			json_array_append_new(array, view);
		free(path);
	}
	if (!err)
		return json_print(array);
	json_decref(array);
	return err;
}

static const struct verb verb_inspect_saved = {
	.name = "inspect",
	.operands = "NAME|DIR|FILE...",
	.summary = "Print the manifests of saved virtual machines, as JSON",
	.complete = "checkpoint",
	.min = 1,
	.max = -1,
	.run = inspect_run,
};

/* ---- what it is called elsewhere ---- */

static int create_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return error_set(error, -EINVAL, "checkpoint create: use \"lightvm save --leave-running VM\", or \"lightvm save VM\", which ends it; --name names what is saved, and \"lightvm "
					 "restore NAME\" goes on from it");
}

static const struct verb verb_create_saved = { .name = "create", .hidden = true, .max = -1, .run = create_run };

static const struct verb *const verbs_of_checkpoint[] = { &verb_list, &verb_inspect_saved, &verb_remove, &verb_create_saved, NULL };

const struct verb verb_checkpoint = {
	.name = "checkpoint",
	.summary = "List and remove saved virtual machines",
	.sub = verbs_of_checkpoint,
};
