/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm ps: lists VMs, and clears away what killed monitors left. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"
#include "base/parallel.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/terminal.h"
#include "node/vm_filter.h"
#include "node/record.h"
#include "node/save_dir.h"
#include "node/vm_config.h"
#include "node/vm_row.h"
#include "node/vm_template.h"
#include "node/vm_view.h"

#define PATIENCE_MS 200
#define PART 128 /* VMs that one thread looks at before it takes the next ones: fewer are not worth a second thread */
#define PROCESSORS_MOST 8
#define COMMAND_LEAST 8 /* characters, on a terminal; elsewhere all is whole */

struct ps_options {
	bool all, quiet, latest, whole;
	uint64_t last; /* 0: all */
	const char *format;
	struct strings filter;
};

#define AT(field) offsetof(struct ps_options, field)
static const struct option_spec options[] = {
	{ "all", 'a', OPTION_FLAG, AT(all), NULL, "also VMs that have ended" },
	{ "quiet", 'q', OPTION_FLAG, AT(quiet), NULL, "ids only" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "table or json", .words = "table json" },
	{ "filter", 'f', OPTION_LIST, AT(filter), "KEY=VALUE", "only VMs of which this is so (state=exited, label=tier=web); a name or program has VALUE in it, an id begins with it; keys: " VM_FILTER_KEYS "; may be repeated, all must match" },
	{ "last", 'n', OPTION_NUMBER, AT(last), "N", "the N that were made last, whatever their state", .low = 1, .high = UINT32_MAX },
	{ "latest", 'l', OPTION_FLAG, AT(latest), NULL, "as --last 1" },
	{ "no-trunc", 0, OPTION_FLAG, AT(whole), NULL, "cut nothing on a terminal either" },
	{ 0 },
};

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

struct look { /* at one VM */
	struct vm_row shown;
	struct vm_info info; /* with its configuration for JSON only */
};

struct row { /* what is kept of it: there may be thousands */
	char id[STATE_ID + 1];
	uint64_t created_ns, memory;
	json_t *json; /* NULL: not asked for */
	char *state_text;
	const char *name, *kernel, *ports, *command; /* in text */
	char text[];
};

struct listing {
	const struct state *state;
	const struct ps_options *given;
	int vms;
	bool json, deep; /* deep: a filter asks for what only the configuration has */
	char (*id)[STATE_ID + 1];
	struct row **row; /* of each id, then of those that are shown */
	size_t count, room;
};

static bool wanted(const struct listing *listing, const struct look *look)
{
	const struct ps_options *given = listing->given;
	return vm_filter_passes(&given->filter, &look->info, &look->shown) && (look->info.alive || given->all || given->filter.count || given->last);
}

static void row_free(struct row *row)
{
	json_decref(row->json);
	free(row->state_text);
	free(row);
}

/* The texts follow each other in look, as they do in the row. */
static struct row *row_of(const struct listing *listing, const struct look *look)
{
	const struct vm_row *shown = &look->shown;
	size_t size = (size_t)(shown->command - shown->text) + strlen(shown->command) + 1;
	struct row *row = alloc_zero(sizeof(*row) + size);
	if (!row)
		return NULL;
	memcpy(row->text, shown->text, size);
	memcpy(row->id, look->info.dir.id, sizeof(row->id));
	row->name = row->text + (shown->name - shown->text);
	row->kernel = row->text + (shown->kernel - shown->text);
	row->ports = row->text + (shown->ports - shown->text);
	row->command = row->text + (shown->command - shown->text);
	row->created_ns = shown->created_ns;
	row->memory = look->info.status.memory_used;
	row->state_text = vm_view_status(&look->info);
	row->json = listing->json ? vm_view_row(&look->info) : NULL;
	return row;
}

/* What was started with --rm and has ended; its configuration says so, and no monitor can write that. */
static bool swept(const struct listing *listing, const char *id)
{
	struct vm_info info;
	bool litter = !vm_info_open(listing->state, id, &info) && vm_is_litter(&info);
	if (litter)
		vm_info_remove(listing->state, &info, NULL);
	vm_info_close(&info);
	return litter;
}

/* Everything of the VM. 0 or -errno: it went away meanwhile. */
static int look_closely(const struct listing *listing, const char *id, struct look *look)
{
	int err = vm_info_open(listing->state, id, &look->info);
	if (err)
		return err;
	vm_row_from_json(look->info.config, &look->shown);
	/* One monitor that hangs must not hold up the list. */
	if (listing->json)
		vm_info_refresh(&look->info, PATIENCE_MS);
	return 0;
}

/* A link, the record and its lock: nobody is asked, and nothing is parsed. */
static int glance(const struct listing *listing, const char *id, struct look *look)
{
	if (listing->json || listing->deep || vm_row_read(listing->vms, id, &look->shown))
		return look_closely(listing, id, look);
	return vm_info_glance(listing->vms, id, &look->info);
}

static struct row *look_at(const struct listing *listing, const char *id)
{
	struct look look;
	struct row *row = NULL;
	int err = glance(listing, id, &look);
	bool gone = err || (look.shown.remove && !look.info.alive && swept(listing, id));
	if (!gone && wanted(listing, &look))
		row = row_of(listing, &look);
	vm_info_close(&look.info);
	return row;
}

static int add_id(void *context, const char *id)
{
	struct listing *listing = context;
	if (strlen(id) != STATE_ID)
		return 0;
	if (listing->count == listing->room) {
		listing->room = listing->room ? 2 * listing->room : 64;
		listing->id = alloc_again(listing->id, listing->room * sizeof(*listing->id));
	}
	if (!listing->id)
		return -ENOMEM;
	memcpy(listing->id[listing->count++], id, STATE_ID + 1);
	return 0;
}

static void look_at_part(void *context, size_t part)
{
	struct listing *listing = context;
	for (size_t i = part * PART; i < listing->count && i < (part + 1) * PART; i++)
		listing->row[i] = look_at(listing, listing->id[i]);
}

/* Most of it is the kernel's time, some microseconds a VM, on as many processors as there are; monitors, where they are asked, mostly wait. */
static int look_at_all(struct listing *listing)
{
	size_t kept = 0;
	listing->row = alloc_zero((listing->count + 1) * sizeof(*listing->row));
	if (!listing->row)
		return -ENOMEM;
	const unsigned most = parallel_processors(PROCESSORS_MOST);
	parallel_each((listing->count + PART - 1) / PART, listing->json ? 2 * most : most, look_at_part, listing);
	for (size_t i = 0; i < listing->count; i++)
		if (listing->row[i])
			listing->row[kept++] = listing->row[i];
	listing->count = kept;
	return 0;
}

static bool has_id(const struct listing *listing, const char *id)
{
	struct vm_dir vm;
	bool has = !vm_open(listing->state, id, &vm);
	vm_close(&vm);
	for (size_t i = 0; i < listing->count && !has; i++)
		has = !strcmp(listing->row[i]->id, id);
	return has;
}

/* One whose directory went, with the machine's run for one, and which can go on all the same. */
static int add_saved(void *context, const char *name, struct save *save, const struct error *error)
{
	struct listing *listing = context;
	const struct save_manifest *manifest = &save->manifest;
	if (template_is_name(name)) /* nobody has run it for its own sake; "checkpoint ls" has it */
		return 0;
	if (error || !manifest->ended || has_id(listing, manifest->id))
		return 0;
	struct look look = { .info = { .dir = VM_DIR_NONE, .config = manifest->config, .state = VM_SAVED, .exit_code = -1, .status = { .memory_used = manifest->memory_used } } };
	strcpy(look.info.dir.id, manifest->id);
	vm_row_from_json(manifest->config, &look.shown);
	struct row *row = wanted(listing, &look) ? row_of(listing, &look) : NULL;
	struct row **more = row ? alloc_again(listing->row, (listing->count + 2) * sizeof(*more)) : NULL;
	if (!row)
		return 0;
	if (!more)
		return -ENOMEM;
	listing->row = more;
	more[listing->count++] = row;
	return 0;
}

/* Two sorted lists, one behind the other, become one in out. */
static void merge(struct row *const *list, size_t middle, size_t count, struct row **out)
{
	for (size_t i = 0, j = middle; i < middle || j < count;)
		*out++ = j == count || (i < middle && list[i]->created_ns >= list[j]->created_ns) ? list[i++] : list[j++];
}

/* Newest first, and otherwise as they came. By hand: this C library's qsort calls memcpy for each pointer, a fifth of the time of a long list. */
static void sort_rows(struct listing *listing)
{
	struct row **from = listing->row, **to = alloc_zero((listing->count + 1) * sizeof(*to));
	for (size_t width = 1; width < listing->count; width *= 2) {
		for (size_t at = 0; at < listing->count; at += 2 * width) {
			size_t left = listing->count - at;
			merge(from + at, left < width ? left : width, left < 2 * width ? left : 2 * width, to + at);
		}
		struct row **swap = from;
		from = to;
		to = swap;
	}
	listing->row = from;
	free(to);
}

/* ---- the table ---- */

static void print_age(uint64_t since_ns, int64_t now, char out[24])
{
	static const struct {
		int64_t below, unit;
		char letter;
	} scale[] = { { 120, 1, 's' }, { 7200, 60, 'm' }, { 172800, 3600, 'h' }, { INT64_MAX, 86400, 'd' } };
	int64_t seconds = now - (int64_t)(since_ns / NS_PER_S);
	size_t i = 0;
	if (seconds < 0) /* the clock was set back */
		seconds = 0;
	while (seconds >= scale[i].below)
		i++;
	unsigned n = number_print((uint64_t)(seconds / scale[i].unit), out);
	out[n] = scale[i].letter;
	out[n + 1] = 0;
}

struct widths {
	int name, kernel, state, ports; /* kernel 0: all run on the library OS; ports 0: nothing is published */
	int command; /* -1: as long as it is */
};

static void widen(int *width, const char *word)
{
	int n = (int)strlen(word);
	if (n > *width)
		*width = n;
}

/* What is too wide is cut, the least needed first, until the command has room. */
static void fit(struct widths *w, int columns)
{
	struct {
		int *width, least;
	} cut[] = { { &w->name, 20 }, { &w->ports, 24 }, { &w->kernel, 12 }, { &w->name, 10 }, { &w->state, 16 }, { &w->ports, 12 } };
	int used = 12 + 2 + w->name + 2 + (w->kernel ? w->kernel + 2 : 0) + w->state + 2 + 5 + 2 + 6 + 2 + (w->ports ? w->ports + 2 : 0);
	for (size_t i = 0; i < sizeof(cut) / sizeof(*cut) && (columns - used < COMMAND_LEAST || i == 0); i++) {
		int spare = *cut[i].width - cut[i].least, want = i ? COMMAND_LEAST - (columns - used) : spare;
		if (spare <= 0)
			continue;
		*cut[i].width -= spare < want ? spare : want;
		used -= spare < want ? spare : want;
	}
	w->command = columns - used > COMMAND_LEAST ? columns - used : COMMAND_LEAST;
}

/* Columns are as wide as what is in them; on a terminal the command, which is the last one, gets what is left of a line. */
static struct widths widths_of(const struct listing *listing)
{
	struct widths w = { .name = 4, .state = 5, .command = -1 };
	uint16_t lines, columns;
	bool others = false, published = false;
	for (size_t i = 0; i < listing->count; i++) {
		const struct row *row = listing->row[i];
		others |= strcmp(row->kernel, "libos") != 0;
		published |= row->ports[0] != 0;
		widen(&w.name, row->name);
		widen(&w.kernel, base_of(row->kernel));
		widen(&w.state, row->state_text);
		widen(&w.ports, row->ports);
	}
	w.kernel = !others ? 0 : w.kernel < 6 ? 6 : w.kernel;
	w.ports = !published ? 0 : w.ports < 5 ? 5 : w.ports;
	if (listing->given->whole || !isatty(STDOUT_FILENO) || !terminal_size(&lines, &columns) || !columns)
		return w;
	fit(&w, columns);
	return w;
}

/* As many characters as there is room for. */
static int bytes_of(const char *words, int characters)
{
	int n = 0;
	for (; words[n] && (characters || (words[n] & 0xc0) == 0x80); n++)
		characters -= characters && (words[n + 1] & 0xc0) != 0x80;
	return n;
}

/* By hand: a table of thousands of rows is made of these. */
static char *put_bytes(char *at, const char *word, int n)
{
	for (int i = 0; i < n; i++)
		*at++ = word[i];
	return at;
}

static char *put_cell(char *at, const char *word, int width, bool right)
{
	int n = (int)strlen(word), gap = n < width ? width - n : 0;
	if (!width)
		return at;
	for (int i = 0; right && i < gap; i++)
		*at++ = ' ';
	at = put_bytes(at, word, right || n < width ? n : width);
	for (int i = right ? gap : 0; i < gap; i++)
		*at++ = ' ';
	return put_bytes(at, "  ", 2);
}

static void put_cells(struct text *out, const struct widths *w, const char *const cell[8])
{
	const int width[] = { 12, w->name, w->kernel, w->state, 5, 6, w->ports };
	int command = w->command < 0 ? (int)strlen(cell[7]) : bytes_of(cell[7], w->command);
	size_t most = (size_t)command + 1;
	for (size_t i = 0; i < 7; i++)
		most += 2 + (i == 4 || i == 5 ? 24 : (size_t)width[i]); /* an age or a size is never cut */
	char *start = text_room(out, most), *at = start;
	if (!start)
		return;
	for (size_t i = 0; i < 7; i++)
		at = put_cell(at, cell[i], width[i], i == 4 || i == 5);
	at = put_bytes(at, cell[7], command);
	at = put_bytes(at, "\n", 1);
	*at = 0;
	out->size += (size_t)(at - start);
}

static void print_table(const struct listing *listing, struct text *out)
{
	struct widths w = widths_of(listing);
	int64_t now = (int64_t)(clock_wall() / NS_PER_S);
	put_cells(out, &w, (const char *const[]){ "ID", "NAME", "KERNEL", "STATE", "AGE", "MEMORY", "PORTS", "PROGRAM" });
	for (size_t i = 0; i < listing->count; i++) {
		const struct row *row = listing->row[i];
		char size[24], age[24];
		print_age(row->created_ns, now, age);
		put_cells(out, &w, (const char *const[]){ row->id, row->name[0] ? row->name : "-", base_of(row->kernel),
			row->state_text, age, size_print(row->memory, size, sizeof(size)), row->ports[0] ? row->ports : "-", row->command });
	}
}

static int print(const struct listing *listing)
{
	struct text out = { 0 };
	if (listing->json) {
		json_t *array = json_array();
		for (size_t i = 0; i < listing->count; i++)
			json_array_append_new(array, json_incref(listing->row[i]->json));
		return json_print(array);
	}
	if (!listing->given->quiet)
		print_table(listing, &out);
	for (size_t i = 0; i < listing->count && listing->given->quiet; i++) {
		text_add(&out, listing->row[i]->id, STATE_ID);
		text_add(&out, "\n", 1);
	}
	return text_print(&out);
}

static void cut_to(struct listing *listing, uint64_t last)
{
	if (listing->count)
		sort_rows(listing);
	while (last && listing->count > last)
		row_free(listing->row[--listing->count]);
}

static void listing_free(struct listing *listing)
{
	for (size_t i = 0; listing->row && i < listing->count; i++)
		row_free(listing->row[i]);
	free(listing->row);
	free(listing->id);
	if (listing->vms >= 0)
		close(listing->vms);
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	struct state state;
	struct ps_options *given = opaque;
	struct listing listing = { .state = &state, .given = given, .vms = -1 };
	int status = vm_filter_check(&given->filter, "--filter", &listing.deep, error);
	if (status)
		return status;
	given->last = given->latest ? 1 : given->last;
	listing.json = given->format && !strcmp(given->format, "json");
	int err = state_open(&state, false, error);
	if (!err)
		listing.vms = openat(state.dir, "vms", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!err)
		err = state_each(&state, add_id, &listing);
	if (!err)
		err = look_at_all(&listing);
	if ((!err || err == -ENOENT) && given->all)
		save_each(add_saved, &listing);
	if (!err || err == -ENOENT) {
		cut_to(&listing, given->last);
		err = print(&listing);
	}
	listing_free(&listing);
	state_close(&state);
	return err;
}

const struct verb verb_ps = {
	.name = "ps",
	.summary = "List virtual machines",
	.text = "Lists the VMs that run; with -a also those that have ended, and those that were saved. A VM whose monitor was killed is shown as dead, and\n"
		"removed if it was started with --rm. MEMORY is what the program and the library OS used when the VM last waited or asked\n"
		"for more; no monitor is asked for it. On a terminal a row is one line, and long cells are cut; with --format json\n"
		"they are whole, and each monitor is asked. KERNEL and PORTS are there if a VM has something to show in them.",
	.options = options,
	.options_size = sizeof(struct ps_options),
	.run = run,
};
