/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm pool: the daemon's pools of shells, monitors whose library OS has booted and waits for a program. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "node/daemon_client.h"
#include "node/json_rows.h"
#include "node/pool_plan.h"

#define UNSET UINT64_MAX

static int call(const char *order, struct text *said, struct error *error)
{
	int fd = daemon_open();
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return error_set(error, fd, "pools are lightvmd's, and none runs; VMs start without it. \"systemctl start lightvmd.socket\" or \"lightvmd\" starts it");
	if (fd < 0)
		return error_set(error, fd, "lightvmd's socket: %s", strerror(-fd));
	int err = daemon_call(fd, LV_DMN_POOLS, order, strlen(order), NULL, 0, said, NULL, NULL, error);
	close(fd);
	return err;
}

/* Takes over the pool's JSON. *answer NULL: nobody wants it. */
static int ask(const char *what, json_t *pool, json_t **answer, struct error *error)
{
	struct text said = { 0 };
	json_t *order = what ? json_pack("{s:s, s:o}", "do", what, "pool", pool) : NULL;
	char *words = order ? json_dumps(order, JSON_COMPACT) : NULL;
	int err = what && !words ? error_set(error, -ENOMEM, "out of memory") : call(words ? words : "", &said, error);
	free(words);
	json_decref(order);
	if (!err && answer && !(*answer = json_loadb(said.data, said.size, 0, NULL)))
		err = error_set(error, -EPROTO, "lightvmd's answer is no JSON");
	text_free(&said);
	return err;
}

/* ---- ls ---- */

static void add_row(const json_t *pool, struct strings *cells)
{
	char size[24];
	strings_take(cells, alloc_copy(json_string_value(json_object_get(pool, "name"))));
	strings_take(cells, alloc_copy(size_print((uint64_t)json_number(pool, "memory"), size, sizeof(size))));
	strings_take(cells, alloc_format("%lld", json_number(pool, "ready")));
	strings_take(cells, alloc_format("%lld", json_number(pool, "wanted")));
	strings_take(cells, alloc_format("%lld-%lld", json_number(pool, "least"), json_number(pool, "most")));
	strings_take(cells, alloc_format("%lld", json_number(pool, "hits")));
	strings_take(cells, alloc_format("%lld", json_number(pool, "empty")));
	strings_take(cells, alloc_format("%lld", json_number(pool, "stale")));
	strings_take(cells, alloc_copy(size_print((uint64_t)json_number(pool, "memory_held"), size, sizeof(size))));
	strings_take(cells, alloc_format("%lld", json_number(pool, "saved_ns") / 1000000));
}

static void print_pools(const json_t *answer, struct text *out)
{
	static const char *const heads[] = { "POOL", ">MEMORY", ">READY", ">WANTED", ">BOUNDS", ">HITS", ">EMPTY", ">STALE", ">HELD", ">SAVED ms", NULL };
	const json_t *pool;
	struct strings cells = { 0 };
	size_t i;
	json_array_foreach(json_object_get(answer, "pools"), i, pool)
		add_row(pool, &cells);
	table_print(heads, &cells, out);
	strings_free(&cells);
	if (json_number(answer, "unfit"))
		text_format(out, "%lld VMs were to be what no pool has.\n", json_number(answer, "unfit"));
	json_array_foreach(json_object_get(answer, "pools"), i, pool) {
		const char *name = json_string_value(json_object_get(pool, "name")), *why = json_string_value(json_object_get(pool, "error"));
		if (json_is_true(json_object_get(pool, "pressed")))
			text_format(out, "pool %s: the machine is short of memory, nothing is kept ready.\n", name);
		if (why && *why)
			text_format(out, "pool %s: %s\n", name, why);
	}
}

static int ls(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct format_options *given = opaque;
	json_t *answer = NULL;
	struct text out = { 0 };
	int err = ask(NULL, NULL, &answer, error);
	if (err)
		return err;
	if (format_is_json(given))
		return json_print(answer);
	print_pools(answer, &out);
	json_decref(answer);
	return text_print(&out);
}

static const struct verb verb_pool_ls = {
	.name = "ls",
	.summary = "List the pools",
	.text = "READY are the shells that wait for a program, WANTED as many as the demand asks for, within BOUNDS. HITS are the VMs that got one;\n"
		"EMPTY and STALE those that started cold, since nothing was ready, or what was had ended or was of another build. HELD is the memory\n"
		"that the shells take, SAVED the time that VMs did not have to wait. \"lightvm inspect\" says of a VM which it was.",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.run = ls,
};

/* ---- add, set, rm ---- */

struct plan_options {
	uint64_t memory, room, ram, least, most;
	const char *template;
};

static void unset(void *options)
{
	*(struct plan_options *)options = (struct plan_options){ UNSET, UNSET, UNSET, UNSET, UNSET, NULL };
}

#define BOUNDS \
	{ "min", 0, OPTION_NUMBER, offsetof(struct plan_options, least), "N", "so many shells are ready whatever the demand", .high = POOL_MOST }, \
	{ "max", 0, OPTION_NUMBER, offsetof(struct plan_options, most), "N", "and never more than so many", .high = POOL_MOST }

static const struct option_spec add_options[] = {
	{ "memory", 'm', OPTION_SIZE, offsetof(struct plan_options, memory), "SIZE", "VMs that may have up to so much memory (default 1G)", .low = 4u << 20 },
	{ "image-room", 0, OPTION_SIZE, offsetof(struct plan_options, room), "SIZE", "images up to this size need no memory slot of their own (default 8M)" },
	{ "ram", 0, OPTION_SIZE, offsetof(struct plan_options, ram), "SIZE", "the same of what VMs have in use that are restored, or cloned (default 6M)" },
	{ "template", 0, OPTION_STRING, offsetof(struct plan_options, template), "TEMPLATE", "shells that are copies of this template (\"lightvm checkpoint ls\") already: for what \"lightvm run --template-at call\" has of it, and nothing else; their size is the template's", .complete = "checkpoint" },
	BOUNDS, { 0 },
};
static const struct option_spec set_options[] = { BOUNDS, { 0 } };

static void put(json_t *pool, const char *key, uint64_t value)
{
	if (value != UNSET)
		json_object_set_new(pool, key, json_integer((json_int_t)value));
}

static json_t *pool_json(const char *name, const struct plan_options *given)
{
	json_t *pool = json_pack("{s:s}", "name", name);
	if (given) {
		put(pool, "memory", given->memory);
		put(pool, "room", given->room);
		put(pool, "ram", given->ram);
		put(pool, "least", given->least);
		put(pool, "most", given->most);
		if (given->template)
			json_object_set_new(pool, "template", json_text(given->template));
	}
	return pool;
}

static int add(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct plan_options *given = opaque;
	if (given->template && (given->memory != UNSET || given->room != UNSET || given->ram != UNSET))
		return error_set(error, -EINVAL, "pool %s: --memory, --image-room and --ram are the template's", operands.argv[0]);
	return ask("add", pool_json(operands.argv[0], opaque), NULL, error);
}

static int set(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct plan_options *given = opaque;
	if (given->least == UNSET && given->most == UNSET)
		return error_set(error, -EINVAL, "pool %s: nothing to change; give --min or --max", operands.argv[0]);
	return ask("set", pool_json(operands.argv[0], opaque), NULL, error);
}

static int rm(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	return ask("rm", pool_json(operands.argv[0], NULL), NULL, error);
}

static const struct verb verb_pool_add = {
	.name = "add", .operands = "NAME", .summary = "Make a pool", .options = add_options, .options_size = sizeof(struct plan_options), .defaults = unset,
	.text = "A VM takes a shell from the first pool whose memory suffices: make one with more for VMs that get more with -m. Larger limits cost a shell\n"
		"nothing, more room for images and RAM 10 bytes of host memory for each page. Of those whose memory suffices, one with room for a VM's image, and for the RAM that a\n"
		"restored one has, is taken before others: without room it starts, too, and takes longer.\n\n"
		"With --template each shell is a copy of the template, with all of its memory and its pages known to KVM, and waits to be told what it is to do: the memory of the\n"
		"template for each shell, and the quickest start that there is for such a program.",
	.examples = "lightvm pool add large -m 8G --min 4\nlightvm pool add python -m 4G --image-room 128M --ram 64M\n"
		    "lightvm pool add json --min 4 --template template-35847befb032757d08fc9bfe",
	.min = 1, .max = 1, .run = add,
};
static const struct verb verb_pool_set = {
	.name = "set", .complete = "pool", .operands = "NAME", .summary = "Change the bounds of a pool", .options = set_options, .options_size = sizeof(struct plan_options),
	.defaults = unset, .examples = "lightvm pool set default --min 20 --max 200", .min = 1, .max = 1, .run = set,
};
static const struct verb verb_pool_rm = {
	.name = "rm", .complete = "pool", .operands = "NAME", .summary = "Remove a pool and its shells", .text = "VMs that came from it go on.", .min = 1, .max = 1, .no_guess = true, .run = rm,
};

static const struct verb *const subs[] = { &verb_pool_ls, &verb_pool_add, &verb_pool_set, &verb_pool_rm, NULL };

const struct verb verb_pool = {
	.name = "pool",
	.summary = "Keep virtual machines ready that have booted (needs lightvmd)",
	.sub = subs,
};
