/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/record.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/number.h"
#include "base/text.h"

static const char *const syscall_names[] = {
#include "cli/syscall_names.inc" /* made from the kernel's header at build time */
};

const char *syscall_name(uint32_t number, char *buffer, size_t room)
{
	if (number < sizeof(syscall_names) / sizeof(*syscall_names) && syscall_names[number])
		return syscall_names[number];
	snprintf(buffer, room, "#%u", number);
	return buffer;
}

static const struct {
	const char *step, *text;
} steps[LV_STEPS] = {
	{ "command", "lightvm started" },
	{ "monitor", "lightvm-vmm started" },
	{ "vm", "VM and vCPU created" },
	{ "memory", "memory mapped, device page written" },
	{ "run", "vCPU started" },
	{ "libos", "first instruction of the library OS" },
	{ "ready", "library OS initialised" },
	{ "program", "program's first instruction" },
	{ "listen", "program listens on a port" },
	{ "exit", "program ended" },
};

int ledger_lines(const struct lv_status *status, struct ledger_line lines[LV_STEPS], uint64_t *unaccounted)
{
	uint64_t start = status->ledger[0].ns, before = start, last = start, covered = 0;
	int count = 0;
	if (!start) { /* the monitor was not started by lightvm */
		start = before = last = status->ledger[LV_STEP_MONITOR].ns;
	}
	for (int i = 0; i < LV_STEPS; i++) {
		uint64_t ns = status->ledger[i].ns;
		last = ns > last ? ns : last;
		if (!ns || ns < before)
			continue;
		lines[count++] = (struct ledger_line){ steps[i].step, steps[i].text, ns - start, ns - before, status->ledger[i].exits };
		/* A step is explained if the one before it was marked as well; listen is optional. */
		bool known = i == 0 || status->ledger[i - 1].ns || (i == LV_STEP_EXIT && status->ledger[LV_STEP_PROGRAM].ns) || i == LV_STEP_MONITOR;
		covered += known ? ns - before : 0;
		before = ns;
	}
	*unaccounted = last - start - covered;
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

static json_t *missing_json(const struct lv_status *status)
{
	json_t *array = json_array();
	char buffer[16];
	for (int i = 0; i < LV_MISSING_SLOTS; i++)
		if (status->missing[i].count)
			json_array_append_new(array, json_pack("{s:s, s:I, s:I}", "name", syscall_name(status->missing[i].nr, buffer, sizeof(buffer)),
							       "number", (json_int_t)status->missing[i].nr, "count",
							       (json_int_t)status->missing[i].count));
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
	for (char *c = plain; *c; c++)
		if ((unsigned char)*c >= 128)
			*c = '?';
	string = json_string(plain);
	free(plain);
	return string;
}

static json_t *device_json(const struct lv_device_stats *device)
{
	static const char *const types[] = { "none", "net", "block", "console" };
	static const char *const queues[][LV_MAX_QUEUES] = { { 0 }, { "rx", "tx" }, { "requests" }, { "stdin", "stdout", "stderr" } };
	uint32_t type = device->type < 4 ? device->type : 0;
	json_t *object = json_object(), *list = json_array();
	json_object_set_new(object, "type", json_string(types[type]));
	for (int i = 0; i < LV_MAX_QUEUES && queues[type][i]; i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "queue", queues[type][i], "requests", (json_int_t)device->requests[i], "bytes",
						      (json_int_t)device->bytes[i]));
	json_object_set_new(object, "queues", list);
	json_object_set_new(object, "doorbells", json_integer((json_int_t)device->doorbells));
	json_object_set_new(object, "wakes", json_integer((json_int_t)device->wakes));
	json_object_set_new(object, "needs_reset", json_boolean(device->needs_reset));
	if (device->needs_reset)
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

json_t *record_json(const struct lv_status *status)
{
	json_t *object = json_object();
	json_object_set_new(object, "pid", json_integer(status->pid));
	if (status->state == LV_STATE_EXITED && WIFSIGNALED(status->wait_status))
		json_object_set_new(object, "signal", json_string(signal_name(WTERMSIG(status->wait_status))));
	json_object_set_new(object, "started_ns", json_integer((json_int_t)status->start_realtime_ns));
	json_object_set_new(object, "kvm", json_field(status->kvm_kind, sizeof(status->kvm_kind)));
	json_object_set_new(object, "memory",
			    json_pack("{s:I, s:I, s:I}", "size", (json_int_t)status->ram_size, "limit", (json_int_t)status->ram_limit, "used",
				      (json_int_t)status->memory_used));
	json_object_set_new(object, "vm_exits",
			    json_pack("{s:I, s:I, s:I, s:I}", "all", (json_int_t)status->exits, "mmio", (json_int_t)status->exits_mmio, "signal",
				      (json_int_t)status->exits_signal, "waits", (json_int_t)status->waits));
	json_object_set_new(object, "boot", ledger_json(status));
	json_object_set_new(object, "devices", devices_json(status));
	json_object_set_new(object, "missing_system_calls", missing_json(status));
	if (status->error[0])
		json_object_set_new(object, "error", json_field(status->error, sizeof(status->error)));
	return object;
}
