/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/agent_client.h"
#include "node/call_report.h"
#include "node/crash_report.h"
#include "node/monitor_control.h"
#include "node/record.h"
#include "node/vm_config.h"
#include "node/vm_files.h"
#include "node/vm_policy.h"

/* A VM that is held by less than the full jail is told apart. */
char *vm_view_status(const struct vm_info *info)
{
	char *text = vm_state_text(info);
	if (!text || !info->alive || info->status.jail == LV_JAIL_FULL || info->status.jail == LV_JAIL_UNKNOWN)
		return text;
	char *longer = alloc_format("%s (jail: %s)", text, jail_word(info->status.jail));
	free(text);
	return longer;
}

static void put(json_t *object, const char *key, const json_t *config)
{
	json_t *value = json_object_get(config, key);
	json_object_set_new(object, key, value ? json_incref(value) : json_null());
}

json_t *vm_view_row(const struct vm_info *info)
{
	json_t *object = json_object();
	char *text = vm_view_status(info);
	json_object_set_new(object, "id", json_string(info->dir.id));
	put(object, "name", info->config);
	put(object, "program", info->config);
	put(object, "kernel", info->config);
	put(object, "image", info->config);
	json_object_set_new(object, "state", json_string(vm_state_word(info->state)));
	json_object_set_new(object, "crashed", json_boolean(info->state == VM_CRASHED));
	json_object_set_new(object, "status", json_string(text ? text : ""));
	json_object_set_new(object, "exit_status", info->exit_code < 0 ? json_null() : json_integer(info->exit_code));
	put(object, "created_ns", info->config);
	json_object_set_new(object, "pid", info->alive ? json_integer(info->status.pid) : json_null());
	json_object_set_new(object, "jail", json_string(jail_word(info->status.jail)));
	json_object_set_new(object, "memory_used", json_integer((json_int_t)info->status.memory_used));
	put(object, "labels", info->config);
	put(object, "net", info->config);
	free(text);
	return object;
}

/* A Linux guest's own words: null where it has no agent, or none that answers. */
static json_t *guest_json(const struct vm_info *info)
{
	struct lv_agent_resources r;
	if (!info->alive || faccessat(info->dir.dir, "vsock", F_OK, 0) || agent_resources(info->dir.dir, &r, deadline_in(AGENT_ANSWER_MS)))
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:[f, f, f]}", "uptime_ns", (json_int_t)r.uptime_ns, "memory_total",
			 (json_int_t)r.memory_total, "memory_free", (json_int_t)r.memory_free, "memory_available", (json_int_t)r.memory_available,
			 "memory_cached", (json_int_t)r.memory_cached, "cpu_busy_ns", (json_int_t)r.cpu_busy_ns, "cpu_idle_ns",
			 (json_int_t)r.cpu_idle_ns, "processes", (int)r.processes, "processors", (int)r.processors, "load", r.load[0] / 100.0,
			 r.load[1] / 100.0, r.load[2] / 100.0);
}

static void add_text(json_t *object, const char *key, struct text *text)
{
	if (text->size)
		json_object_set_new(object, key, json_field(text->data, text->size));
	text_free(text);
}

/* What a trimmed image lacks and the program has looked for. */
static void add_lacks(json_t *object, const struct vm_info *info)
{
	struct vm_files files;
	struct image image = IMAGE_CLOSED;
	struct text lines = { 0 };
	if (!vm_files_open(&files, &info->dir) && !image_open(&image, config_string(info->config, "image"), NULL))
		vm_files_left(&files, &image, info->exit_code > 0, &lines);
	add_text(object, "trimmed_files_missed", &lines);
	image_close(&image);
	vm_files_close(&files);
}

int vm_view_add(json_t *object, struct vm_info *info, int patience_ms)
{
	struct text report = { 0 }, tail = { 0 };
	struct lv_report *said = alloc_zero(sizeof(*said));
	if (!object || !said) {
		free(said);
		return -ENOMEM;
	}
	/* A living monitor knows more than it has written. */
	if (vm_info_refresh(info, patience_ms) || control_report(info->dir.dir, patience_ms, said))
		vm_report(&info->dir, said);
	json_object_set(object, "config", info->config);
	json_object_set_new(object, "restart", policy_json(info));
	json_object_set_new(object, "record", record_json(&info->status, &said->what));
	if (info->status.guest == LV_GUEST_LIBOS) {
		json_t *record = json_object_get(object, "record");
		json_object_set_new(record, "system_calls", call_report_json(&info->status, &said->calls, config_string(info->config, "image")));
		json_object_set_new(record, "rings", json_pack("{s:I, s:I}", "doorbells_rung", (json_int_t)said->calls.calls.bells, "frames_copied",
							       (json_int_t)said->calls.frames_copied));
	}
	json_object_set_new(object, "guest", guest_json(info));
	if (info->status.crashed) {
		crash_report(&info->status, said, config_string(info->config, "image"), &report);
		add_text(object, "crash", &report);
	}
	text_add(&tail, said->tail, said->tail_size);
	add_text(object, "last_output", &tail);
	add_lacks(object, info);
	free(said);
	return 0;
}

json_t *vm_view_all(struct vm_info *info, int patience_ms)
{
	vm_info_refresh(info, patience_ms);
	json_t *object = vm_view_row(info);
	if (!vm_view_add(object, info, patience_ms))
		return object;
	json_decref(object);
	return NULL;
}

json_t *vm_view_ledger(const struct vm_info *info)
{
	struct ledger_line line[LV_STEPS];
	uint64_t unaccounted;
	int count = ledger_lines(&info->status, line, &unaccounted);
	json_t *steps = json_array();
	for (int i = 0; i < count; i++)
		json_array_append_new(steps, json_pack("{s:s, s:s, s:I, s:I, s:I}", "step", line[i].step, "text", line[i].text, "ns",
						       (json_int_t)line[i].ns, "delta_ns", (json_int_t)line[i].delta, "exits",
						       (json_int_t)line[i].exits));
	return json_pack("{s:s, s:o, s:I}", "id", info->dir.id, "steps", steps, "unaccounted_ns", (json_int_t)unaccounted);
}
