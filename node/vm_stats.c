/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "node/monitor_control.h"

#define ROLLUP_MAX 8192

/* The process' clock, which counts nanoseconds where /proc counts ticks. */
static uint64_t processor_time(uint32_t pid)
{
	clockid_t clock;
	struct timespec time;
	if (!pid || clock_getcpuclockid((pid_t)pid, &clock) || clock_gettime(clock, &time))
		return VM_STATS_UNKNOWN;
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

/* "Shared_Clean:        1234 kB" */
static uint64_t rollup_bytes(const char *text, const char *key)
{
	const char *line = strstr(text, key);
	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

static void memory_of(uint32_t pid, struct vm_stats *stats)
{
	char path[40], *text = NULL;
	size_t size;
	snprintf(path, sizeof(path), "/proc/%u/smaps_rollup", pid);
	stats->memory_shared = stats->memory_private = VM_STATS_UNKNOWN;
	if (!pid || file_read(AT_FDCWD, path, ROLLUP_MAX, &text, &size))
		return;
	stats->memory_shared = rollup_bytes(text, "Shared_Clean:") + rollup_bytes(text, "Shared_Dirty:");
	stats->memory_private = rollup_bytes(text, "Private_Clean:") + rollup_bytes(text, "Private_Dirty:");
	free(text);
}

static void add_devices(const struct lv_status *status, struct vm_stats *stats)
{
	for (uint32_t i = 0; i < status->device_count && i < LV_MAX_DEVICES; i++) {
		const struct lv_device_stats *device = &status->device[i];
		if (device->type == LV_DEV_BLOCK)
			stats->block_bytes += device->bytes[0];
		/* Of several queues each pair is one for what comes and one for what goes. */
		for (unsigned queue = 0; device->type == LV_DEV_NET && queue + 1 < LV_MAX_QUEUES; queue += 2) {
			stats->net_received += device->bytes[queue];
			stats->net_sent += device->bytes[queue + 1];
		}
	}
}

/* Of a monitor that does answer: one that does not is waited for once. */
static void add_calls(struct vm_info *info, bool answers, uint64_t deadline, struct vm_stats *stats)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	bool known = answer && answers && info->status.guest == LV_GUEST_LIBOS && info->status.control_version >= 6 &&
		     !control_ask(info->dir.dir, LV_CTL_CALLS, 0, answer, deadline);
	stats->calls = known ? answer->report.calls.calls.made : VM_STATS_UNKNOWN;
	stats->calls_trapped = known ? answer->report.calls.calls.trapped : VM_STATS_UNKNOWN;
	free(answer);
}

int vm_stats_read(struct vm_info *info, int patience_ms, struct vm_stats *stats, struct error *error)
{
	if (!info->alive)
		return vm_not_alive(info, error);
	const uint64_t deadline = deadline_in(patience_ms);
	const bool answers = !vm_info_refresh(info, patience_ms);
	const struct lv_status *status = &info->status;
	*stats = (struct vm_stats){ .at_ns = clock_now(), .cpu_ns = processor_time(status->pid), .memory_used = status->memory_used,
		.memory_limit = status->ram_limit - (status->balloon.target < status->ram_limit ? status->balloon.target : 0), .exits = status->exits, .exits_mmio = status->exits_mmio, .exits_signal = status->exits_signal,
		.waits = status->waits };
	memory_of(status->pid, stats);
	add_devices(status, stats);
	add_calls(info, answers, deadline, stats);
	/* The numbers were of this process only if it still lives. */
	return vm_alive(&info->dir) ? 0 : error_set(error, -ESRCH, "VM %s has ended", info->dir.id);
}

double vm_stats_cpu(const struct vm_stats *before, const struct vm_stats *now, const struct vm_info *info)
{
	uint64_t since = before ? before->at_ns : info->status.ledger[LV_STEP_MONITOR].ns, used = before ? before->cpu_ns : 0;
	if (now->cpu_ns == VM_STATS_UNKNOWN || used > now->cpu_ns || !since || now->at_ns <= since)
		return -1;
	return 100.0 * (double)(now->cpu_ns - used) / (double)(now->at_ns - since);
}

static json_t *number(uint64_t value)
{
	return value == VM_STATS_UNKNOWN ? json_null() : json_integer((json_int_t)value);
}

json_t *vm_stats_json(const struct vm_stats *before, const struct vm_stats *now, const struct vm_info *info)
{
	double cpu = vm_stats_cpu(before, now, info);
	json_t *object = json_pack("{s:s, s:s}", "id", info->dir.id, "state", vm_state_word(info->state));
	const struct {
		const char *key;
		uint64_t value;
	} field[] = { { "cpu_ns", now->cpu_ns }, { "memory_used", now->memory_used }, { "memory_limit", now->memory_limit },
		{ "memory_shared", now->memory_shared }, { "memory_private", now->memory_private }, { "net_received", now->net_received },
		{ "net_sent", now->net_sent }, { "block_bytes", now->block_bytes }, { "exits", now->exits }, { "exits_mmio", now->exits_mmio },
		{ "exits_signal", now->exits_signal }, { "waits", now->waits }, { "system_calls", now->calls }, { "system_calls_trapped", now->calls_trapped } };
	json_object_set(object, "name", json_object_get(info->config, "name"));
	json_object_set_new(object, "cpu_percent", cpu < 0 ? json_null() : json_real((double)(long)(cpu * 100 + 0.5) / 100));
	for (size_t i = 0; i < sizeof(field) / sizeof(*field); i++)
		json_object_set_new(object, field[i].key, number(field[i].value));
	return object;
}
