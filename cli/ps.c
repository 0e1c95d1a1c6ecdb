/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm ps: lists VMs, and clears away what killed monitors left. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "node/vm_config.h"
#include "node/monitor_control.h"
#include "cli/describe.h"

#define PATIENCE_MS 200

struct ps_options {
	bool all, quiet;
	const char *format;
	struct strings filter;
};

#define AT(field) offsetof(struct ps_options, field)
static const struct option_spec options[] = {
	{ "all", 'a', OPTION_FLAG, AT(all), NULL, "also VMs that have ended" },
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "ids only" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table or json", .words = "table json" },
	{ "filter", 'f', OPTION_LIST, AT(filter), "KEY=VALUE", "only VMs with this state, name, program or kernel (state=exited); may be repeated, all must match" },
	{ 0 },
};

struct row {
	struct vm_info info;
	char *state_text;
	int64_t created_ns;
};

struct listing {
	const struct state *state;
	const struct ps_options *given;
	struct row *row;
	size_t count;
};

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool filter_matches(const struct vm_info *info, const char *filter)
{
	const char *value = strchr(filter, '=');
	size_t key = value ? (size_t)(value - filter) : 0;
	if (!value)
		return false;
	value++;
	if (!strncmp(filter, "state", key) && key == 5)
		return !strcmp(vm_state_word(info->state), value);
	if (!strncmp(filter, "kernel", key) && key == 6)
		return !strcmp(config_string(info->config, "kernel"), value);
	if (!strncmp(filter, "name", key) && key == 4)
		return strstr(config_string(info->config, "name"), value) != NULL;
	return !strncmp(filter, "program", key) && key == 7 && strstr(config_string(info->config, "program"), value) != NULL;
}

static bool wanted(const struct listing *listing, const struct vm_info *info)
{
	const struct strings *filter = &listing->given->filter;
	for (size_t i = 0; i < filter->count; i++)
		if (!filter_matches(info, filter->item[i]))
			return false;
	return info->alive || listing->given->all || filter->count;
}

static int add_row(void *context, const char *id)
{
	struct listing *listing = context;
	struct vm_info info;
	if (vm_info_open(listing->state, id, &info)) {
		vm_info_close(&info);
		return 0; /* it went away meanwhile */
	}
	if (vm_is_litter(&info))
		vm_info_remove(listing->state, &info, NULL);
	if (vm_is_litter(&info) || !wanted(listing, &info)) {
		vm_info_close(&info);
		return 0;
	}
	listing->row = alloc_again(listing->row, (listing->count + 1) * sizeof(*listing->row));
	struct row *row = &listing->row[listing->count++];
	*row = (struct row){ .info = info, .state_text = vm_state_text(&info),
		.created_ns = json_integer_value(json_object_get(info.config, "created_ns")) };
	if (info.alive && !listing->given->quiet) /* one monitor that hangs must not hold up the list */
		control_status(info.dir.dir, PATIENCE_MS, &row->info.status);
	/* The files are not needed any more, and there may be thousands of VMs. */
	vm_close(&row->info.dir);
	memcpy(row->info.dir.id, id, STATE_ID);
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	int64_t x = ((const struct row *)a)->created_ns, y = ((const struct row *)b)->created_ns;
	return x < y ? 1 : x > y ? -1 : 0;
}

static char *age(int64_t since_ns)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t seconds = now.tv_sec - since_ns / 1000000000;
	if (seconds < 120)
		return alloc_format("%" PRId64 "s", seconds);
	if (seconds < 7200)
		return alloc_format("%" PRId64 "m", seconds / 60);
	return seconds < 172800 ? alloc_format("%" PRId64 "h", seconds / 3600) : alloc_format("%" PRId64 "d", seconds / 86400);
}

static char *ports_text(const json_t *config)
{
	const json_t *ports = json_object_get(json_object_get(config, "net"), "ports");
	struct text out = { 0 };
	text_put(&out, "");
	for (size_t i = 0; i < json_array_size(ports); i++) {
		const json_t *port = json_array_get(ports, i);
		const char *ip = json_string_value(json_object_get(port, "host_ip")), *kind = json_string_value(json_object_get(port, "protocol"));
		text_format(&out, "%s%s%s%lld->%lld%s", i ? "," : "", ip ? ip : "", ip ? ":" : "",
			    (long long)json_integer_value(json_object_get(port, "host")), (long long)json_integer_value(json_object_get(port, "guest")),
			    kind && !strcmp(kind, "udp") ? "/udp" : "");
	}
	return out.data;
}

static void print_table(const struct listing *listing, struct text *out)
{
	text_format(out, "%-12s  %-16s  %-16s  %-12s  %-22s  %5s  %6s  %s\n", "ID", "NAME", "PROGRAM", "KERNEL", "STATE", "AGE", "MEMORY", "PORTS");
	for (size_t i = 0; i < listing->count; i++) {
		const struct row *row = &listing->row[i];
		const char *name = config_string(row->info.config, "name");
		char size[24], *how_old = age(row->created_ns), *ports = ports_text(row->info.config);
		text_format(out, "%-12s  %-16s  %-16.16s  %-12.12s  %-22s  %5s  %6s  %s\n", row->info.dir.id, *name ? name : "-",
			    base_of(config_string(row->info.config, "program")), base_of(config_string(row->info.config, "kernel")), row->state_text, how_old, size_print(row->info.status.memory_used, size, sizeof(size)), ports);
		free(how_old);
		free(ports);
	}
}

static json_t *row_json(const struct row *row)
{
	const struct vm_info *info = &row->info;
	json_t *object = json_object();
	json_object_set_new(object, "id", json_string(info->dir.id));
	json_object_set(object, "name", json_object_get(info->config, "name"));
	json_object_set(object, "program", json_object_get(info->config, "program"));
	json_object_set(object, "kernel", json_object_get(info->config, "kernel"));
	json_object_set(object, "image", json_object_get(info->config, "image"));
	json_object_set_new(object, "state", json_string(vm_state_word(info->state)));
	json_object_set_new(object, "crashed", json_boolean(info->state == VM_CRASHED));
	json_object_set_new(object, "status", json_string(row->state_text));
	json_object_set_new(object, "exit_status", info->exit_code < 0 ? json_null() : json_integer(info->exit_code));
	json_object_set_new(object, "created_ns", json_integer(row->created_ns));
	json_object_set_new(object, "pid", info->alive ? json_integer(info->status.pid) : json_null());
	json_object_set_new(object, "memory_used", json_integer((json_int_t)info->status.memory_used));
	json_object_set(object, "net", json_object_get(info->config, "net"));
	return object;
}

static int print(const struct listing *listing)
{
	struct text out = { 0 };
	const char *format = listing->given->format;
	if (format && !strcmp(format, "json")) {
		json_t *array = json_array();
		for (size_t i = 0; i < listing->count; i++)
			json_array_append_new(array, row_json(&listing->row[i]));
		return json_print(array);
	}
	if (!listing->given->quiet)
		print_table(listing, &out);
	for (size_t i = 0; i < listing->count && listing->given->quiet; i++)
		text_format(&out, "%s\n", listing->row[i].info.dir.id);
	return text_print(&out);
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	struct state state;
	struct listing listing = { .state = &state, .given = opaque };
	for (size_t i = 0; i < listing.given->filter.count; i++)
		if (!text_starts(listing.given->filter.item[i], "state=") && !text_starts(listing.given->filter.item[i], "name=") &&
		    !text_starts(listing.given->filter.item[i], "program=") && !text_starts(listing.given->filter.item[i], "kernel="))
			return error_set(error, -EINVAL, "--filter: \"%s\" is none of state=..., name=..., program=..., kernel=...", listing.given->filter.item[i]);
	int err = state_open(&state, false, error);
	if (!err)
		err = state_each(&state, add_row, &listing);
	if (err && err != -ENOENT) {
		state_close(&state);
		return err;
	}
	if (listing.count)
		qsort(listing.row, listing.count, sizeof(*listing.row), newest_first);
	int status = print(&listing);
	for (size_t i = 0; i < listing.count; i++) {
		free(listing.row[i].state_text);
		vm_info_close(&listing.row[i].info);
	}
	free(listing.row);
	state_close(&state);
	return status;
}

const struct verb verb_ps = {
	.name = "ps",
	.summary = "List virtual machines",
	.text = "Lists the VMs that run; with -a also those that have ended. A VM whose monitor was killed is shown as dead, and\n"
		"removed if it was started with --rm.",
	.options = options,
	.options_size = sizeof(struct ps_options),
	.run = run,
};
