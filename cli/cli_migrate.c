/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm migrate: a VM goes on at another host. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/migrate_send.h"
#include "node/vm_config.h"

#define NS_PER_US 1000
#define THROTTLE_MOST 90 /* percent: it answers still */

struct migrate_options {
	bool stop_and_copy, pre_copy, post_copy, hybrid, with_storage, recover, no_throttle, compare, no_ktls;
	const char *max_downtime, *resolve, *format;
	uint64_t bandwidth, memory;
};

#define AT(field) offsetof(struct migrate_options, field)
static const struct option_spec migrate_options[] = {
	{ "stop-and-copy", 0, OPTION_FLAG, AT(stop_and_copy), NULL, "the VM stands still while all of it is sent" },
	{ "pre-copy", 0, OPTION_FLAG, AT(pre_copy), NULL, "it runs while its memory is sent, in rounds, and stands still for what changed in the last one (the default)" },
	{ "post-copy", 0, OPTION_FLAG, AT(post_copy), NULL, "it runs there at once, and gets its memory as it asks for it, and the rest meanwhile; where the other host may not do that, it is --pre-copy" },
	{ "hybrid", 0, OPTION_FLAG, AT(hybrid), NULL, "all of its memory is sent once while it runs, then as with --post-copy what was written meanwhile" },
	{ "max-downtime", 0, OPTION_STRING, AT(max_downtime), "TIME", "with --pre-copy: rounds go on until it is expected to stand still for no longer than this (50ms), or until they do not help; 16 at most", .complete = "none" },
	{ "bandwidth", 0, OPTION_SIZE, AT(bandwidth), "SIZE", "bytes a second that are sent, at most", .low = 65536 },
	{ "memory", 'm', OPTION_SIZE, AT(memory), "SIZE", "the most memory that it may use there: at least what it has taken, at most what it may use here", .low = CONFIG_MEMORY_LEAST, .high = CONFIG_MEMORY_MOST },
	{ "with-storage", 0, OPTION_FLAG, AT(with_storage), NULL, "its disks, too (not yet)" },
	{ "no-throttle", 0, OPTION_FLAG, AT(no_throttle), NULL, "with --pre-copy: let it write at its full speed also where that is faster than the connection; otherwise its processors stand still for up to 90 % of the time" },
	{ "compare", 0, OPTION_FLAG, AT(compare), NULL, "find what was written by comparing copies, as has to be done where the host's kernel does not tell (before Linux 6.7); with --post-copy the VM stands still while its memory is copied within this host" },
	{ "no-ktls", 0, OPTION_FLAG, AT(no_ktls), NULL, "have a process of ours encrypt, also where the kernel can" },
	{ "resolve", 0, OPTION_STRING, AT(resolve), "WHO", "of a VM that stands still because the connection was lost at the wrong moment: ask the other host who runs it; or decide, if that is gone for good: it "
							   "goes on here (source), or is gone from here (destination)", .words = "ask source destination" },
	{ "recover", 0, OPTION_FLAG, AT(recover), NULL, "of a VM whose connection was lost after --post-copy or --hybrid had switched it to the other host: send that the memory that it waits for" },
	{ "format", 0, OPTION_STRING, AT(format), "FORMAT", "text or json", .words = "text json" },
	{ 0 },
};

/* ---- what is told ---- */

static void show_progress(void *context, const struct migrate_progress *progress)
{
	char done[24], total[24], speed[24], round[24] = "", at[40] = "", throttle[48] = "";
	bool memory = progress->round && progress->step[0] == 'm';
	if (memory)
		snprintf(round, sizeof(round), ", round %u", progress->round);
	if (memory && progress->speed)
		snprintf(at, sizeof(at), ", %s/s", size_print(progress->speed, speed, sizeof(speed)));
	if (progress->throttle)
		snprintf(throttle, sizeof(throttle), ", held back by %u %%", progress->throttle);
	fprintf(stderr, "\r%s%s: %s of %s%s%s\033[K", progress->step, round, size_print(progress->done, done, sizeof(done)), size_print(progress->total, total, sizeof(total)), at, throttle);
}

static const char *outcome_word(enum lv_migrate_outcome outcome)
{
	return outcome == LV_MIG_DESTINATION_RUNS ? "destination" : outcome == LV_MIG_SOURCE_RUNS ? "source" : "undecided";
}

/* To the microsecond: what is below that was not measured. */
static json_t *ms_json(uint64_t ns)
{
	return json_real((double)((ns + NS_PER_US / 2) / NS_PER_US) / (NS_PER_MS / NS_PER_US));
}

static json_t *rounds_to_json(const struct migrate_report *report)
{
	json_t *rounds = json_array();
	for (unsigned i = 0; i < report->rounds && i < MIGRATE_ROUNDS; i++)
		json_array_append_new(rounds, json_pack("{s:I, s:o, s:i}", "bytes", (json_int_t)report->round[i].bytes, "ms", ms_json(report->round[i].ns),
							"throttle", (int)report->round[i].throttle));
	return rounds;
}

static int print_json(const struct migrate_report *report, const struct error *error, int err)
{
	json_t *json = json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:i, s:b, s:b, s:s, s:s}", "runs", outcome_word(report->outcome), "total_ms", ms_json(report->total_ns),
				 "downtime_ms", ms_json(report->downtime_ns), "image_bytes", (json_int_t)report->image_bytes, "memory_bytes",
				 (json_int_t)report->memory_bytes, "state_bytes", (json_int_t)report->state_bytes, "rounds", (int)report->rounds, "compared", report->compares, "converged", report->converged, "encryption",
				 report->kernel_sends ? "kernel" : "process", "cipher", report->cipher);
	if (json && report->instead)
		json_object_set_new(json, "instead", json_string(report->instead));
	if (json)
		json_object_set_new(json, "pushed_bytes", json_integer((json_int_t)report->pushed_bytes));
	if (json)
		json_object_set_new(json, "round", rounds_to_json(report));
	if (json && err)
		json_object_set_new(json, "error", json_string(error->text));
	int status = json_print(json);
	return err ? EXIT_OWN : status;
}

static int print_text(const char *id, const char *host, const struct migrate_report *report)
{
	char memory[24];
	struct text out = { 0 };
	text_format(&out, "%s runs at %s: %.1f ms in all, it stood still for %.1f ms; %s of memory\n", id, host, (double)report->total_ns / NS_PER_MS,
		    (double)report->downtime_ns / NS_PER_MS, size_print(report->memory_bytes, memory, sizeof(memory)));
	if (!report->converged && report->pre_copy)
		log_warn("it wrote faster than the connection carries: it stood still for longer than it should have");
	return text_print(&out);
}

static int print_recovered(const char *id, const struct migrate_report *report)
{
	struct text out = { 0 };
	text_format(&out, report->outcome == LV_MIG_SOURCE_RUNS ? "%s goes on here\n" : "%s has all of its memory there\n", id);
	return text_print(&out);
}

/* ---- the verb ---- */

static int read_wish(const struct migrate_options *given, struct migrate_wish *wish, struct error *error)
{
	if (given->with_storage)
		return error_set(error, -EOPNOTSUPP, "--with-storage is not there yet");
	if (given->stop_and_copy + given->pre_copy + given->post_copy + given->hybrid > 1 && !given->stop_and_copy)
		return error_set(error, -EINVAL, "one of --pre-copy, --post-copy and --hybrid");
	if (given->stop_and_copy && (given->post_copy || given->hybrid))
		return error_set(error, -EINVAL, "--stop-and-copy is one way, %s another", given->post_copy ? "--post-copy" : "--hybrid");
	if (given->stop_and_copy && (given->pre_copy || given->max_downtime))
		return error_set(error, -EINVAL, "--stop-and-copy is one way, %s another", given->pre_copy ? "--pre-copy" : "--max-downtime");
	if (given->max_downtime && (duration_parse(given->max_downtime, &wish->max_downtime_ns) || !wish->max_downtime_ns))
		return error_set(error, -EINVAL, "--max-downtime: \"%s\" is not a time (examples: 10ms, 1s)", given->max_downtime);
	wish->mode = given->stop_and_copy ? MIGRATE_STOP_AND_COPY : given->post_copy ? MIGRATE_POST_COPY : given->hybrid ? MIGRATE_HYBRID : MIGRATE_PRE_COPY;
	wish->bandwidth = given->bandwidth;
	wish->memory = given->memory;
	wish->max_throttle = given->no_throttle ? 0 : THROTTLE_MOST;
	wish->compare = given->compare;
	wish->relay = given->no_ktls;
	return 0;
}

static int move(const struct state *state, struct vm_info *info, const char *host, const struct migrate_options *given, struct error *error)
{
	struct migrate_wish wish = { .host = host };
	struct migrate_report report;
	bool json = given->format && !strcmp(given->format, "json"), shows = isatty(STDERR_FILENO);
	char id[STATE_ID + 1];
	int err = read_wish(given, &wish, error);
	if (err)
		return err;
	memcpy(id, info->dir.id, sizeof(id));
	wish.progress = shows ? show_progress : NULL;
	err = given->recover ? migrate_recover(state, info, &wish, &report, error) : migrate_vm(state, info, &wish, &report, error);
	if (shows)
		fputs("\r\033[K", stderr);
	if (json)
		return print_json(&report, error, err);
	if (!err && report.instead)
		log_warn("it was moved by --pre-copy: %s", report.instead);
	return err ? err : given->recover ? print_recovered(id, &report) : print_text(id, host, &report);
}

static int resolve(const struct state *state, struct vm_info *info, const char *who, struct error *error)
{
	struct text out = { 0 };
	enum lv_migrate_outcome outcome = !strcmp(who, "source") ? LV_MIG_SOURCE_RUNS : LV_MIG_DESTINATION_RUNS;
	char id[STATE_ID + 1];
	memcpy(id, info->dir.id, sizeof(id));
	int err = !strcmp(who, "ask") ? migrate_ask(state, info, &outcome, error) : migrate_decide(state, info, outcome, error);
	if (err)
		return err;
	text_format(&out, outcome == LV_MIG_SOURCE_RUNS ? "%s goes on here\n" : "%s is the other host's, and gone from here\n", id);
	return text_print(&out);
}

static int migrate(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct migrate_options *given = opaque;
	struct state state;
	struct vm_info info;
	if (operands.argc != (given->resolve || given->recover ? 1 : 2))
		return error_set(error, -EINVAL, given->resolve || given->recover ? "--resolve and --recover are for one VM, and no host" : "usage: lightvm migrate [OPTIONS] VM [HOST]; without HOST only with --resolve or --recover");
	int err = state_open(&state, false, error);
	if (err == -ENOENT)
		return error_set(error, err, "there is no VM \"%s\"", operands.argv[0]);
	if (err)
		return err;
	err = vm_info_find(&state, operands.argv[0], &info, error);
	if (!err)
		err = given->resolve ? resolve(&state, &info, given->resolve, error) : move(&state, &info, operands.argv[1], given, error);
	vm_info_close(&info);
	state_close(&state);
	return err;
}

const struct verb verb_migrate = {
	.name = "migrate",
	.no_guess = true,
	.operands = "VM [HOST]",
	.summary = "Move a running virtual machine to another host",
	.text = "HOST is a name of \"lightvm host ls\", where \"lightvm host serve\" runs; it is left out with --resolve and --recover, and not otherwise. The VM keeps its id, name, memory, files, hardware address and IP address; where both\n"
		"hosts have a bridge in the same network, its connections go on. With passt they end, and published ports are the other host's.\n"
		"Disks are not sent: both hosts have to have the same files at the same paths (host serve --disks).\n"
		"Its image is sent if that host lacks it. All that has to fit there (processor, library OS, bridge, ports, name) is checked first.\n"
		"Whatever fails before the other host has been told to run it: it runs on here, and nothing is left there. If the connection is lost after\n"
		"that and before the answer, it stands still here until --resolve; the other host remembers for as long as the VM is there, and for seven days.",
	.examples = "lightvm migrate web big\nlightvm migrate --format json db big\nlightvm migrate --resolve ask web",
	.options = migrate_options,
	.options_size = sizeof(struct migrate_options),
	.complete = "vm",
	.min = 1,
	.max = 2,
	.run = migrate,
};
