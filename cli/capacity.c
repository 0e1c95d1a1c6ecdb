/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm capacity: how many more VMs of a program fit this machine. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/run_config.h"
#include "cli/text_table.h"
#include "node/machine_limits.h"
#include "node/vm_probe.h"

#define PROBES 2
#define PATIENCE_MS 5000

struct capacity_options {
	struct run_options run;
	uint64_t each;
	const char *format;
};

#define AT(field) offsetof(struct capacity_options, field)
static const struct option_spec options[] = {
	{ "each", 0, OPTION_SIZE, AT(each), "SIZE", "what one takes of the host's memory, instead of measuring it", .low = 1 },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table or json", .words = "table json" },
	{ "memory", 'm', OPTION_SIZE, AT(run.memory), "SIZE", "as of \"lightvm run\"", .low = CONFIG_MEMORY_LEAST, .high = CONFIG_MEMORY_MOST },
	{ "net", 0, OPTION_STRING, AT(run.net), "KIND", "as of \"lightvm run\"", .words = "none passt passt,host tap: bridge:" },
	{ "env", 'e', OPTION_LIST, AT(run.env), "NAME=VALUE", "as of \"lightvm run\"" },
	{ "volume", 'v', OPTION_LIST, AT(run.volumes), "HOST:/PATH", "as of \"lightvm run\"", .complete = "file" },
	{ "kernel", 0, OPTION_STRING, AT(run.kernel), "KERNEL", "as of \"lightvm run\"", .complete = "kernel" },
	{ "cpus", 0, OPTION_NUMBER, AT(run.cpus), "N", "as of \"lightvm run\"", .low = 1, .high = 32 },
	{ "entrypoint", 0, OPTION_STRING, AT(run.entrypoint), "PROGRAM", "as of \"lightvm run\"", .complete = "none" },
	{ 0 },
};

struct capacity {
	const char *measured; /* how memory is known */
	uint64_t memory;
	unsigned of; /* VMs it was measured of */
	struct limit limit[LIMITS_MAX];
	int limits;
};

static int measure(const struct state *state, struct vm_config *config, const struct capacity_options *given, struct capacity *capacity, struct error *error)
{
	*capacity = (struct capacity){ .measured = "given", .memory = given->each };
	if (given->each)
		return 0;
	capacity->measured = "running";
	int err = config->image ? vm_probe_running(state, config->image, &capacity->memory, &capacity->of, error) : -ENOENT;
	if (err != -ENOENT)
		return err;
	capacity->measured = "probes";
	capacity->of = PROBES;
	return vm_probe_start(state, config, PROBES, PATIENCE_MS, &capacity->memory, error);
}

/* ---- printing ---- */

static json_t *limit_json(const struct limit *limit)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "name", limit->name, "most", (json_int_t)(limit->most >> 63 ? INT64_MAX : limit->most), "used",
			 (json_int_t)limit->used, "each", (json_int_t)limit->each, "room", (json_int_t)(limit->room >> 63 ? INT64_MAX : limit->room), "fix", limit->fix);
}

static int print_json(const struct capacity *capacity, const struct vm_config *config)
{
	json_t *object = json_object(), *list = json_array();
	for (int i = 0; i < capacity->limits; i++)
		json_array_append_new(list, limit_json(&capacity->limit[i]));
	json_object_set_new(object, "program", json_string(config->program));
	json_object_set_new(object, "fits", json_integer((json_int_t)capacity->limit[0].room));
	json_object_set_new(object, "first", json_string(capacity->limit[0].name));
	json_object_set_new(object, "memory_each", json_integer((json_int_t)capacity->memory));
	json_object_set_new(object, "measured", json_string(capacity->measured));
	json_object_set_new(object, "limits", list);
	return json_print(object);
}

/* Bytes as sizes, all else as numbers. */
static char *amount(const struct limit *limit, uint64_t value)
{
	char size[24];
	bool bytes = limit->each >= 4096;
	return bytes ? alloc_copy(size_print(value, size, sizeof(size))) : alloc_format("%" PRIu64, value);
}

static int print_table(const struct capacity *capacity, const struct vm_config *config)
{
	static const char *const heads[] = { "WHAT RUNS OUT", ">ROOM", ">EACH", ">IN USE", ">MOST", "RAISE IT WITH", NULL };
	const struct limit *first = &capacity->limit[0];
	struct strings cells = { 0 };
	struct text out = { 0 };
	char each[24], most[24];
	for (int i = 0; i < capacity->limits; i++) {
		const struct limit *limit = &capacity->limit[i];
		strings_add(&cells, limit->name);
		strings_take(&cells, alloc_format("%" PRIu64, limit->room));
		strings_take(&cells, amount(limit, limit->each));
		strings_take(&cells, amount(limit, limit->used));
		strings_take(&cells, amount(limit, limit->most));
		strings_add(&cells, limit->fix[0] ? limit->fix : "-");
	}
	table_print(heads, &cells, &out);
	size_print(capacity->memory, each, sizeof(each));
	text_format(&out, "\n%" PRIu64 " more VMs of %s fit; what ends first: %s\n", first->room, config->program, first->name);
	if (capacity->of)
		text_format(&out, "Each takes %s of the host's memory, measured of %u %s; it may grow to %s.\n", each, capacity->of,
			    strcmp(capacity->measured, "running") ? "that were started for it" : "that run", size_print(config->memory, most, sizeof(most)));
	strings_free(&cells);
	return text_print(&out);
}

static int tell(const struct state *state, struct vm_config *config, const struct capacity_options *given, struct error *error)
{
	struct capacity *capacity = alloc_zero(sizeof(*capacity));
	int err = measure(state, config, given, capacity, error);
	struct limits_need need = { .memory = capacity->memory, .is_linux = config->guest.is_linux, .vcpus = config->guest.cpus, .net = &config->net };
	if (!err && (capacity->limits = limits_read(&need, state, capacity->limit, error)) < 0)
		err = capacity->limits;
	if (!err)
		err = given->format && !strcmp(given->format, "json") ? print_json(capacity, config) : print_table(capacity, config);
	free(capacity);
	return err;
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	struct capacity_options *given = opaque;
	struct vm_config config;
	struct state state = STATE_NONE;
	struct source source = { 0 };
	struct template_wish template = { 0 };
	if (given->run.template_at)
		return error_set(error, -EINVAL, "--template-at: what copies of a template take is not measured; \"lightvm stats\" tells it of those that run");
	config_init(&config);
	given->run.detach = true;
	int status = vm_new_id(config.id, error);
	if (!status)
		status = run_config(&config, &given->run, operands, &source, &template, error);
	if (!status)
		status = state_open(&state, true, error);
	if (!status)
		status = tell(&state, &config, given, error);
	state_close(&state);
	config_free(&config);
	if (status < 0 && source.status) {
		log_error("%s", error->text);
		return source.status;
	}
	return status;
}

const struct verb verb_capacity = {
	.name = "capacity",
	.operands = "PROGRAM|IMAGE.lvm [ARG...]",
	.summary = "Tell how many more virtual machines of a program fit, and what runs out first",
	.text = "What one takes is measured: of VMs of this image that run, otherwise of two that are started with these arguments for it, until\n"
		"their programs wait, and removed again. Then each limit of the machine is looked at: memory, processes, descriptors, the users that\n"
		"monitors run as, ports of a bridge, control groups. Nothing is reserved: what else the machine does changes the answer.",
	.examples = "lightvm capacity --net none ./server --port 80\n"
		    "lightvm capacity --each 20M --format json web.lvm | jq .fits",
	.options = options,
	.options_size = sizeof(struct capacity_options),
	.complete = "file",
	.min = 1,
	.max = -1,
	.first_ends = true,
	.run = run,
};
