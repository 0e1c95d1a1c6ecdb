/* SPDX-License-Identifier: Apache-2.0 */
#include "node/record.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/number.h"
#include "base/text.h"

static const char *const syscall_names[] = {
#include "node/syscall_names.inc" /* made from the kernel's header at build time */
};

const char *syscall_name(uint32_t number, char *buffer, size_t room)
{
	if (number < sizeof(syscall_names) / sizeof(*syscall_names) && syscall_names[number])
		return syscall_names[number];
	snprintf(buffer, room, "#%u", number);
	return buffer;
}

/* In the order in which a VM comes to them; linux_text: what the step is in a Linux guest, NULL if it has none. */
static const struct {
	enum lv_step step;
	const char *name, *libos_text, *linux_text;
} steps[] = {
	{ LV_STEP_COMMAND, "command", "lightvm started", "lightvm started" },
	{ LV_STEP_IMAGE, "image", "image found in the cache, or packed", "image found in the cache, or packed" },
	{ LV_STEP_CLAIMED, "claimed", "a monitor that was ready is claimed", NULL },
	{ LV_STEP_MONITOR, "monitor", "lightvm-vmm started", "lightvm-vmm started" },
	{ LV_STEP_VM, "vm", "VM and vCPU created", "VM, interrupt controllers and vCPUs created" },
	{ LV_STEP_MEMORY, NULL, NULL, "kernel and initial RAM disk loaded" },
	{ LV_STEP_RUN, "run", "vCPU started", "kernel's entry" },
	{ LV_STEP_LIBOS, "libos", "first instruction of the library OS", NULL },
	{ LV_STEP_BOOTED, "booted", "library OS waits for its configuration", NULL },
	{ LV_STEP_CONFIGURED, "configured", "configuration received", NULL },
	{ LV_STEP_MEMORY, "memory", "image mapped, device page written", NULL },
	{ LV_STEP_RESUMED, "resumed", "rights dropped, vCPU goes on", NULL },
	{ LV_STEP_INITCALL, "initcall", NULL, "kernel's first initcall" },
	{ LV_STEP_READY, "ready", "library OS initialised", "first instruction of PID 1" },
	{ LV_STEP_PROGRAM, "program", "program's first instruction", "program's execve" },
	{ LV_STEP_LISTEN, "listen", "program listens on a port", "program listens on a port" },
	{ LV_STEP_EXIT, "exit", "program ended", "VM ended" },
};

#define STEPS (int)(sizeof(steps) / sizeof(*steps))

/* Not every VM has this step: a foreign kernel tells of none, a program that is no server not of its last, what is no program is not packed. */
static bool optional(enum lv_step step, bool on_linux)
{
	return step == LV_STEP_LISTEN || step == LV_STEP_IMAGE || step >= LV_STEP_BOOTED || (on_linux && (step == LV_STEP_INITCALL || step == LV_STEP_READY || step == LV_STEP_PROGRAM));
}

/* A shell has them before there is a command. */
static bool made_ahead(enum lv_step step)
{
	return step == LV_STEP_MONITOR || step == LV_STEP_VM || step == LV_STEP_RUN || step == LV_STEP_LIBOS || step == LV_STEP_BOOTED;
}

uint64_t ledger_ran(const struct lv_status *status)
{
	uint64_t resumed = status->ledger[LV_STEP_RESUMED].ns, from = resumed ? resumed : status->ledger[LV_STEP_RUN].ns, to = status->ledger[LV_STEP_EXIT].ns;
	return from && to > from ? to - from : 0;
}

int ledger_lines(const struct lv_status *status, struct ledger_line lines[LV_STEPS], uint64_t *unaccounted)
{
	/* Started by hand, the monitor is the first. */
	uint64_t start = status->ledger[status->ledger[LV_STEP_COMMAND].ns ? LV_STEP_COMMAND : LV_STEP_MONITOR].ns;
	uint64_t before = start, covered = 0;
	bool on_linux = status->guest == LV_GUEST_LINUX, claimed = status->claim == LV_CLAIM_HIT, known = true;
	int count = 0;
	for (int i = 0; i < STEPS; i++) {
		const char *text = on_linux ? steps[i].linux_text : steps[i].libos_text;
		const struct lv_step_mark *mark = &status->ledger[steps[i].step];
		if (!text || (!mark->ns && optional(steps[i].step, on_linux)) || (claimed && made_ahead(steps[i].step)))
			continue;
		if (!mark->ns || mark->ns < before) {
			known = i == 0; /* the time until the next mark belongs to two steps: nobody knows how much to which */
			continue;
		}
		lines[count++] = (struct ledger_line){ steps[i].name, text, mark->ns - start, mark->ns - before, mark->exits };
		covered += known ? mark->ns - before : 0;
		before = mark->ns;
		known = true;
	}
	*unaccounted = before - start - covered;
	return count;
}

static json_t *ledger_json(const struct lv_status *status)
{
	struct ledger_line line[LV_STEPS];
	uint64_t unaccounted;
	int count = ledger_lines(status, line, &unaccounted);
	json_t *array = json_array();
	for (int i = 0; i < count; i++)
		json_array_append_new(array, json_pack("{s:s, s:I, s:I, s:I}", "step", line[i].step, "ns", (json_int_t)line[i].ns, "delta_ns",
						       (json_int_t)line[i].delta, "exits", (json_int_t)line[i].exits));
	return array;
}

static json_t *missing_json(const struct lv_crash_report *report)
{
	json_t *array = json_array();
	char buffer[16];
	for (int i = 0; i < LV_MISSING_SLOTS; i++)
		if (report->missing[i].count)
			json_array_append_new(array, json_pack("{s:s, s:I, s:I}", "name", syscall_name(report->missing[i].nr, buffer, sizeof(buffer)),
							       "number", (json_int_t)report->missing[i].nr, "count",
							       (json_int_t)report->missing[i].count));
	return array;
}

json_t *json_field(const char *field, size_t room)
{
	size_t len = strnlen(field, room);
	json_t *string = json_stringn(field, len);
	if (string)
		return string;
	/* Not UTF-8: what can be read of it is better than nothing. */
	char *plain = alloc_format("%.*s", (int)len, field);
	if (!plain)
		return NULL;
	for (char *c = plain; *c; c++)
		if ((unsigned char)*c >= 128)
			*c = '?';
	string = json_string(plain);
	free(plain);
	return string;
}

static const struct device_words {
	const char *name, *queue[LV_MAX_QUEUES];
} device_words[] = {
	[LV_DEV_NONE] = { "unknown", { 0 } },
	[LV_DEV_NET] = { "net", { "rx", "tx" } },
	[LV_DEV_BLOCK] = { "block", { "requests" } },
	[LV_DEV_CONSOLE] = { "console", { "stdin", "stdout", "stderr", "terminal" } },
	[LV_DEV_RNG] = { "rng", { "requests" } },
	[LV_DEV_BALLOON] = { "balloon", { "inflate", "deflate", "statistics", "reports" } },
	[LV_DEV_VSOCK] = { "vsock", { "rx", "tx", "events" } },
	[LV_DEV_FS] = { "fs", { "priority", "requests" } },
};

static const struct device_words *words_of(uint32_t type)
{
	bool known = type < sizeof(device_words) / sizeof(*device_words) && device_words[type].name;
	return &device_words[known ? type : LV_DEV_NONE];
}

const char *device_name(uint32_t type)
{
	return words_of(type)->name;
}

static json_t *device_json(const struct lv_device_stats *device)
{
	const struct device_words *words = words_of(device->type);
	const char *const *queue = words->queue;
	json_t *object = json_object(), *list = json_array();
	json_object_set_new(object, "type", json_string(words->name));
	for (int i = 0; i < LV_MAX_QUEUES && queue[i]; i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "queue", queue[i], "requests", (json_int_t)device->requests[i], "bytes",
						      (json_int_t)device->bytes[i]));
	json_object_set_new(object, "queues", list);
	json_object_set_new(object, "doorbells", json_integer((json_int_t)device->doorbells));
	json_object_set_new(object, "wakes", json_integer((json_int_t)device->wakes));
	json_object_set_new(object, "needs_reset", json_boolean(device->needs_reset));
	if (device->error[0]) /* why it needs a reset, or what of it the host failed */
		json_object_set_new(object, "error", json_field(device->error, sizeof(device->error)));
	return object;
}

static json_t *devices_json(const struct lv_status *status)
{
	json_t *array = json_array();
	for (uint32_t i = 0; i < status->device_count && i < LV_MAX_DEVICES; i++)
		json_array_append_new(array, device_json(&status->device[i]));
	return array;
}

/* As free(1), vmstat(8) and virsh call them; in the order of enum lv_balloon_stat. */
static const struct {
	const char *name;
	bool count; /* of something; bytes otherwise */
} balloon_stats[LV_BALLOON_STATS] = {
	[LV_BALLOON_SWAP_IN] = { "swap_in", false }, [LV_BALLOON_SWAP_OUT] = { "swap_out", false },
	[LV_BALLOON_MAJOR_FAULTS] = { "major_faults", true }, [LV_BALLOON_MINOR_FAULTS] = { "minor_faults", true },
	[LV_BALLOON_FREE] = { "free", false }, [LV_BALLOON_TOTAL] = { "total", false }, [LV_BALLOON_AVAILABLE] = { "available", false },
	[LV_BALLOON_CACHES] = { "caches", false }, [LV_BALLOON_HUGE_GOT] = { "huge_pages_got", true },
	[LV_BALLOON_HUGE_FAILED] = { "huge_pages_failed", true },
};

bool balloon_is_count(const char *name)
{
	for (int i = 0; i < LV_BALLOON_STATS; i++)
		if (!strcmp(balloon_stats[i].name, name))
			return balloon_stats[i].count;
	return false;
}

json_t *balloon_json(const struct lv_balloon *balloon)
{
	json_t *object = json_pack("{s:I, s:I, s:I}", "target", (json_int_t)balloon->target, "actual", (json_int_t)balloon->actual, "reported",
				   (json_int_t)balloon->reported);
	for (int i = 0; balloon->stats_ns && i < LV_BALLOON_STATS; i++)
		if (balloon->stat[i] != UINT64_MAX)
			json_object_set_new(object, balloon_stats[i].name, json_integer((json_int_t)balloon->stat[i]));
	return object;
}

/* As lightvm doctor says it; empty: not known. */
static const char *const kvm_words[] = { [LV_KVM_UNKNOWN] = "", [LV_KVM_PAGE_TABLE] = "page-table", [LV_KVM_HARDWARE] = "hardware" };

const char *jail_word(uint32_t jail)
{
	static const char *const words[] = { [LV_JAIL_UNKNOWN] = "", [LV_JAIL_OFF] = "off", [LV_JAIL_BASIC] = "basic", [LV_JAIL_FULL] = "full" };
	return words[jail < sizeof(words) / sizeof(*words) ? jail : LV_JAIL_UNKNOWN];
}

const char *claim_word(uint32_t claim)
{
	static const char *const words[] = { [LV_CLAIM_NONE] = "", [LV_CLAIM_HIT] = "hit", [LV_CLAIM_FLAVOUR] = "miss: flavour", [LV_CLAIM_EMPTY] = "miss: empty",
		[LV_CLAIM_STALE] = "miss: stale", [LV_CLAIM_LATE] = "miss: late" };
	return words[claim < LV_CLAIMS ? claim : LV_CLAIM_NONE];
}

json_t *record_json(const struct lv_status *status, const struct lv_crash_report *report)
{
	json_t *object = json_object();
	json_object_set_new(object, "pid", json_integer(status->pid));
	if (status->state == LV_STATE_EXITED && WIFSIGNALED(status->wait_status))
		json_object_set_new(object, "signal", json_string(signal_name(WTERMSIG(status->wait_status))));
	json_object_set_new(object, "started_ns", json_integer((json_int_t)status->start_realtime_ns));
	json_object_set_new(object, "kvm", json_string(kvm_words[status->kvm < sizeof(kvm_words) / sizeof(*kvm_words) ? status->kvm : LV_KVM_UNKNOWN]));
	json_object_set_new(object, "jail", json_string(jail_word(status->jail)));
	json_object_set_new(object, "claim", json_string(claim_word(status->claim)));
	json_object_set_new(object, "memory",
			    json_pack("{s:I, s:I, s:I}", "size", (json_int_t)status->ram_size, "limit", (json_int_t)status->ram_limit, "used",
				      (json_int_t)status->memory_used));
	json_object_set_new(object, "files_full", json_integer(status->files_full));
	json_object_set_new(object, "vm_exits",
			    json_pack("{s:I, s:I, s:I, s:I}", "all", (json_int_t)status->exits, "mmio", (json_int_t)status->exits_mmio, "signal",
				      (json_int_t)status->exits_signal, "waits", (json_int_t)status->waits));
	json_object_set_new(object, "boot", ledger_json(status));
	json_object_set_new(object, "devices", devices_json(status));
	if (status->balloon.present)
		json_object_set_new(object, "balloon", balloon_json(&status->balloon));
	json_object_set_new(object, "missing_system_calls", missing_json(report));
	if (status->error[0])
		json_object_set_new(object, "error", json_field(status->error, sizeof(status->error)));
	return object;
}
