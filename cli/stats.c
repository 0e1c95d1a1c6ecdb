/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm stats: what VMs use, live. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/text_table.h"
#include "cli/terminal.h"
#include "node/vm_stats.h"

#define PATIENCE_MS 200  /* one monitor that hangs must not hold up the others */
#define INTERVAL_MS 1000
#define ONCE_MS 200      /* between the two readings that a share of a processor is made of */

struct stats_options {
	bool once, all;
	const char *format;
};

#define AT(field) offsetof(struct stats_options, field)
static const struct option_spec options[] = {
	{ "no-stream", 0, OPTION_FLAG, AT(once), NULL, "print once and end" },
	{ "all", 'a', OPTION_FLAG, AT(all), NULL, "accepted; VMs that have ended use nothing, and are not shown" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table, or json: a list each time, on a line of its own without --no-stream", .words = "table json" },
	{ 0 },
};

struct reading {
	char id[STATE_ID + 1];
	struct vm_stats stats;
};

struct readings {
	struct reading *item;
	size_t count, room;
};

struct look { /* one time around */
	const struct readings *before;
	struct readings now;
	struct strings cells;
	json_t *json; /* NULL: a table */
};

static const struct vm_stats *reading_of(const struct readings *readings, const char *id)
{
	for (size_t i = 0; i < readings->count; i++)
		if (!strcmp(readings->item[i].id, id))
			return &readings->item[i].stats;
	return NULL;
}

static void keep(struct readings *readings, const char *id, const struct vm_stats *stats)
{
	if (readings->count == readings->room) {
		readings->room = readings->room ? 2 * readings->room : 16;
		readings->item = alloc_again(readings->item, readings->room * sizeof(*readings->item));
	}
	struct reading *reading = &readings->item[readings->count++];
	memcpy(reading->id, id, sizeof(reading->id));
	reading->stats = *stats;
}

/* ---- the table ---- */

static const char *const heads[] = { "ID", "NAME", ">CPU %", ">MEMORY", ">LIMIT", ">SHARED", ">PRIVATE", ">NET IN", ">OUT", ">BLOCK", ">EXITS",
	">CALLS", ">KICKS", ">WAITS", ">SYSTEM CALLS", ">TRAPPED", NULL };

static void add_size(struct strings *cells, uint64_t bytes)
{
	char size[24];
	strings_add(cells, bytes == VM_STATS_UNKNOWN ? "-" : size_print(bytes, size, sizeof(size)));
}

static void add_cells(struct strings *cells, const struct vm_info *info, const struct vm_stats *before, const struct vm_stats *now)
{
	const char *name = json_string_value(json_object_get(info->config, "name"));
	double cpu = vm_stats_cpu(before, now, info);
	const uint64_t sizes[] = { now->memory_used, now->memory_limit, now->memory_shared, now->memory_private, now->net_received, now->net_sent,
		now->block_bytes };
	const uint64_t counts[] = { now->exits, now->exits_mmio, now->exits_signal, now->waits, now->calls, now->calls_trapped };
	strings_add(cells, info->dir.id);
	strings_take(cells, name ? alloc_copy(name) : alloc_copy("-"));
	strings_take(cells, cpu < 0 ? alloc_copy("-") : alloc_format("%.1f", cpu));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		add_size(cells, sizes[i]);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++)
		strings_take(cells, counts[i] == VM_STATS_UNKNOWN ? alloc_copy("-") : alloc_format("%" PRIu64, counts[i]));
}

/* ---- reading ---- */

static int read_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	struct look *look = context;
	struct vm_stats stats;
	int err = vm_stats_read(info, PATIENCE_MS, &stats, error);
	if (err)
		return err;
	const struct vm_stats *before = reading_of(look->before, info->dir.id);
	keep(&look->now, info->dir.id, &stats);
	if (look->json)
		json_array_append_new(look->json, vm_stats_json(before, &stats, info));
	else
		add_cells(&look->cells, info, before, &stats);
	return 0;
}

struct all {
	const struct state *state;
	struct look *look;
};

/* One that ends between two looks is no error where nobody named it. */
static int read_any(void *context, const char *id)
{
	struct all *all = context;
	struct vm_info info;
	struct error ignored = { 0 };
	if (!vm_info_open(all->state, id, &info) && info.alive)
		read_one(all->state, &info, all->look, &ignored);
	vm_info_close(&info);
	return 0;
}

static int read_all(struct look *look, struct error *error)
{
	struct state state;
	struct all all = { &state, look };
	int err = state_open(&state, false, error);
	if (!err)
		err = state_each(&state, read_any, &all);
	state_close(&state);
	return err == -ENOENT ? 0 : err;
}

/* 0, EXIT_OWN where one of those that were named is not there (said), or a negative errno. */
static int look_at(struct operands operands, struct look *look, struct error *error)
{
	return operands.argc ? vm_for_each(operands, read_one, look) : read_all(look, error);
}

/* ---- printing ---- */

static int print(struct look *look, bool clear, bool pretty)
{
	struct text out = { 0 };
	if (look->json && pretty)
		return json_print(json_incref(look->json));
	if (look->json) {
		char *line = json_dumps(look->json, JSON_COMPACT | JSON_ENSURE_ASCII);
		text_format(&out, "%s\n", line);
		free(line);
	} else {
		table_print(heads, &look->cells, &out);
	}
	if (clear) /* our own bytes, which text_print would show */
		fputs("\033[H\033[J", stdout);
	fflush(stdout);
	return text_print(&out);
}

static void look_end(struct look *look, struct readings *before)
{
	free(before->item);
	*before = look->now;
	strings_free(&look->cells);
	json_decref(look->json);
}

/* ---- live ---- */

/* Waits for the next time; true: q, Ctrl-C, or another order to end. */
static bool ends(int signals, bool keys, int milliseconds)
{
	struct pollfd fds[] = { { .fd = signals, .events = POLLIN }, { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN } };
	char key;
	uint64_t until = deadline_in(milliseconds);
	while (poll(fds, 2, deadline_left(until)) > 0) {
		if (fds[0].revents)
			return true;
		if (fds[1].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == 3))
			return true;
	}
	return false;
}

static int watch(const struct stats_options *given, struct operands operands, struct error *error)
{
	bool json = given->format && !strcmp(given->format, "json"), screen = !json && isatty(STDOUT_FILENO);
	struct readings before = { 0 };
	struct terminal terminal = { 0 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int signals = signalfd(-1, &set, SFD_CLOEXEC), status = 0;
	if (signals < 0)
		return error_set(error, -errno, "signalfd: %s", strerror(errno));
	bool keys = screen && isatty(STDIN_FILENO) && !terminal_keys(&terminal), first = true;
	do {
		struct look look = { .before = &before, .json = json ? json_array() : NULL };
		status = look_at(operands, &look, error);
		bool shown = !status && !(first && !screen);
		if (shown)
			status = print(&look, screen, false);
		look_end(&look, &before);
		if (!status && ends(signals, keys, first ? ONCE_MS : INTERVAL_MS))
			break;
		first = false;
	} while (!status);
	terminal_leave(&terminal);
	close(signals);
	free(before.item);
	return status;
}

static int once(const struct stats_options *given, struct operands operands, struct error *error)
{
	bool json = given->format && !strcmp(given->format, "json");
	struct readings before = { 0 };
	struct look first = { .before = &before };
	int status = look_at(operands, &first, error);
	look_end(&first, &before);
	if (status < 0)
		return status;
	/* Those that were named and are not there have been told: not twice. */
	if (!status && before.count)
		poll(NULL, 0, ONCE_MS);
	struct look second = { .before = &before, .json = json ? json_array() : NULL };
	if (!status)
		status = look_at(operands, &second, error);
	if (!status)
		status = print(&second, false, true);
	look_end(&second, &before);
	free(before.item);
	return status;
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct stats_options *given = opaque;
	return given->once ? once(given, operands, error) : watch(given, operands, error);
}

const struct verb verb_stats = {
	.name = "stats",
	.operands = "[VM...]",
	.summary = "Show what virtual machines use, live",
	.text = "All that live, or those that are named, once a second until q or Ctrl-C. CPU % is of one processor, and counts what the monitor\n"
		"does for the VM. MEMORY is what the VM uses, of LIMIT; SHARED is what other processes have mapped too (image and library OS), PRIVATE\n"
		"what this VM alone holds of the host's memory; \"-\" where this user may not know. EXITS are VM exits to the monitor: CALLS of the\n"
		"guest, KICKS by the monitor, and how many of the calls were WAITS. SYSTEM CALLS are the program's, on the library OS; those that\n"
		"TRAPPED are slow where \"lightvm doctor\" says \"page-table\": \"lightvm inspect\" lists where they come from.",
	.examples = "lightvm stats web db\n"
		    "lightvm stats --no-stream --format json | jq '.[] | {name, memory_private}'",
	.options = options,
	.options_size = sizeof(struct stats_options),
	.complete = "vm",
	.max = -1,
	.run = run,
};
