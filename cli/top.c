/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm top: what runs in a VM. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "node/vm_config.h"
#include "node/vm_top.h"

/* "1:02.34": minutes, seconds, hundredths. */
static char *time_text(uint64_t ns)
{
	return alloc_format("%" PRIu64 ":%02u.%02u", (uint64_t)(ns / NS_PER_S / 60), (unsigned)(ns / NS_PER_S % 60), (unsigned)(ns / (NS_PER_S / 100) % 100));
}

static int print_table(const json_t *list, uint32_t total, bool processes)
{
	static const char *const thread_heads[] = { ">TID", "STATE", ">TIME", "NAME", NULL };
	static const char *const process_heads[] = { ">PID", ">PPID", "STATE", ">THREADS", ">MEMORY", ">TIME", "COMMAND", NULL };
	struct strings cells = { 0 };
	struct text out = { 0 };
	char size[24];
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *one = json_array_get(list, i);
		strings_take(&cells, alloc_format("%lld", json_number(one, "id")));
		if (processes)
			strings_take(&cells, alloc_format("%lld", json_number(one, "parent")));
		strings_add(&cells, config_string(one, "state"));
		if (processes) {
			strings_take(&cells, alloc_format("%lld", json_number(one, "threads")));
			strings_add(&cells, size_print((uint64_t)json_number(one, "memory"), size, sizeof(size)));
		}
		strings_take(&cells, time_text((uint64_t)json_number(one, "cpu_ns")));
		strings_add(&cells, config_string(one, "name"));
	}
	table_print(processes ? process_heads : thread_heads, &cells, &out);
	if (total > json_array_size(list))
		text_format(&out, "and %u more\n", total - (unsigned)json_array_size(list));
	strings_free(&cells);
	return text_print(&out);
}

static int top_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct format_options *given = context;
	uint32_t total;
	json_t *list = vm_top(info, &total, error);
	if (!list)
		return error->code;
	if (format_is_json(given))
		return json_print(list) ? -EIO : 0;
	int status = print_table(list, total, json_object_get(json_array_get(list, 0), "parent"));
	json_decref(list);
	return status ? -EIO : 0;
}

static int run(const struct context *context, void *given, struct operands operands, struct error *error)
{
	return vm_for_each(operands, top_one, given);
}

const struct verb verb_top = {
	.name = "top",
	.operands = "VM",
	.summary = "Show what runs in a virtual machine: threads, or processes",
	.text = "Its processes: number, parent, state as /proc has it (R runs or could, S waits), threads, memory, processor time and command. It is\n"
		"printed once. A VM of the library OS that has no memory for one process more has the threads of all its processes shown instead.",
	.examples = "lightvm top web",
	.options = format_options,
	.options_size = sizeof(struct format_options),
	.complete = "vm",
	.min = 1,
	.max = 1,
	.run = run,
};
