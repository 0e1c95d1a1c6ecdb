/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/vm_seen.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/number.h"
#include "node/record.h"

#define LATENCY_MOST (3600 * NS_PER_S)
#define OUT_OF_MEMORY "lightvm: out of memory: the program used all that -m gives it" /* as libos says it */

static void tell(const struct vm_seen *vm, struct events *events, enum event_type type, json_t *attributes)
{
	events_add(events, type, vm->id, vm->name, vm->labels, attributes);
}

static void put(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

uint64_t vm_seen_latency(const struct lv_status *status)
{
	uint64_t from = status->ledger[LV_STEP_COMMAND].ns, to = status->ledger[LV_STEP_PROGRAM].ns;
	return from && to > from && to - from < LATENCY_MOST ? to - from : 0;
}

static bool is_end(enum vm_state state)
{
	return state == VM_EXITED || state == VM_CRASHED || state == VM_DEAD || state == VM_SAVED;
}

/* ---- start ---- */

static bool has_run(const struct vm_info *info)
{
	return info->state == VM_RUNNING || info->state == VM_PAUSED || (is_end(info->state) && info->status.ledger[LV_STEP_RUN].ns);
}

static void tell_start(struct vm_seen *vm, struct events *events, const struct lv_status *status, unsigned running, uint64_t latency_ns)
{
	json_t *attributes = json_object();
	vm->started = true;
	if (!is_end(vm->state))
		oom_mark_set(&vm->oom, (pid_t)status->pid); /* it has come to its place by now */
	if (vm->quiet)
		return json_decref(attributes);
	json_object_set_new(attributes, "kernel", json_string(status->guest == LV_GUEST_LINUX ? "linux" : "libos"));
	put(attributes, "pid", status->pid);
	put(attributes, "running", running);
	if (status->claim)
		json_object_set_new(attributes, "claim", json_string(claim_word(status->claim)));
	if (latency_ns)
		put(attributes, "latency_ns", latency_ns);
	tell(vm, events, EVENT_START, attributes);
}

/* ---- end ---- */

static bool ran_out_of_memory(const struct vm_info *info)
{
	struct lv_report report;
	int status = info->status.wait_status;
	if (info->status.guest != LV_GUEST_LIBOS || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL || info->dir.status < 0 || vm_report(&info->dir, &report))
		return false;
	return memmem(report.tail, report.tail_size, OUT_OF_MEMORY, strlen(OUT_OF_MEMORY)) != NULL;
}

static json_t *end_of(const struct vm_info *info)
{
	const struct lv_status *status = &info->status;
	json_t *attributes = json_object();
	uint64_t ran_ns = ledger_ran(status);
	json_object_set_new(attributes, "state", json_string(info->state == VM_CRASHED ? "crashed" : vm_state_word(info->state)));
	json_object_set_new(attributes, "exit_status", info->exit_code < 0 ? json_null() : json_integer(info->exit_code));
	if (info->state != VM_DEAD && WIFSIGNALED(status->wait_status))
		json_object_set_new(attributes, "signal", json_string(signal_name(WTERMSIG(status->wait_status))));
	if (status->error[0])
		json_object_set_new(attributes, "error", json_field(status->error, sizeof(status->error)));
	if (ran_ns)
		put(attributes, "ran_ns", ran_ns);
	return attributes;
}

static void tell_end(struct vm_seen *vm, struct events *events, const struct vm_info *info)
{
	vm->ended = true;
	if (vm->quiet)
		return;
	if (info && info->state == VM_CRASHED)
		tell(vm, events, EVENT_CRASH, json_pack("{s:s}", "signal", signal_name((int)info->status.crash_signal)));
	else if (info && ran_out_of_memory(info))
		tell(vm, events, EVENT_OOM, json_pack("{s:s}", "limit", "memory of the VM"));
	else if (info && info->state == VM_DEAD && oom_mark_rose(&vm->oom))
		tell(vm, events, EVENT_OOM, json_pack("{s:s}", "limit", "control group"));
	/* Without a record: it went before it could be read. */
	tell(vm, events, EVENT_DIE, info ? end_of(info) : json_pack("{s:n}", "exit_status"));
}

/* ---- a look ---- */

/* A monitor that was not there before: the VM was started again, and how it ended before may have been written over. */
static void see_life(struct vm_seen *vm, struct events *events, const struct lv_status *status)
{
	uint64_t began = status->ledger[LV_STEP_MONITOR].ns;
	if (!status->pid || (status->pid == vm->pid && began == vm->began_ns))
		return;
	if (vm->started && !vm->ended)
		tell_end(vm, events, NULL);
	vm->pid = status->pid;
	vm->began_ns = began;
	if (!is_end(vm->state))
		oom_mark_set(&vm->oom, (pid_t)status->pid);
	vm->started = vm->listens = vm->paused = vm->ended = vm->measured = false;
}

static void see_pause(struct vm_seen *vm, struct events *events, bool paused)
{
	if (paused != vm->paused && !vm->quiet)
		tell(vm, events, paused ? EVENT_PAUSE : EVENT_RESUME, NULL);
	vm->paused = paused;
}

static void see_listen(struct vm_seen *vm, struct events *events, const struct lv_status *status)
{
	uint64_t from = status->ledger[LV_STEP_COMMAND].ns, at = status->ledger[LV_STEP_LISTEN].ns;
	if (!at || vm->listens)
		return;
	vm->listens = true;
	if (!vm->quiet)
		tell(vm, events, EVENT_LISTEN, from && at > from && at - from < LATENCY_MOST ? json_pack("{s:I}", "latency_ns", (json_int_t)(at - from)) : NULL);
}

bool vm_seen_take(struct vm_seen *vm, struct events *events, const struct vm_info *info, unsigned running, bool patient, uint64_t *latency_ns)
{
	const struct lv_status *status = &info->status;
	uint64_t latency = vm_seen_latency(status);
	*latency_ns = 0;
	vm->state = info->state;
	see_life(vm, events, status);
	if (!vm->started && has_run(info)) {
		if (patient && !vm->quiet && !latency && info->state == VM_RUNNING && status->guest == LV_GUEST_LIBOS)
			return true;
		tell_start(vm, events, status, running, latency);
	}
	if (vm->started && latency && !vm->measured) {
		vm->measured = true;
		*latency_ns = vm->quiet ? 0 : latency;
	}
	if (vm->started) {
		see_listen(vm, events, status);
		if (info->state == VM_RUNNING || info->state == VM_PAUSED)
			see_pause(vm, events, info->state == VM_PAUSED);
	}
	if (is_end(info->state) && vm->pid && !vm->ended)
		tell_end(vm, events, info);
	return false;
}

void vm_seen_gone(struct vm_seen *vm, struct events *events)
{
	if (vm->started && !vm->ended)
		tell_end(vm, events, NULL);
	tell(vm, events, EVENT_DESTROY, NULL);
}

void vm_seen_rename(struct vm_seen *vm, struct events *events, const char *name)
{
	json_t *attributes = json_pack("{s:o}", "from", json_field(vm->name, strlen(vm->name)));
	size_t n = strlen(name);
	if (n >= sizeof(vm->name))
		n = sizeof(vm->name) - 1;
	memcpy(vm->name, name, n);
	vm->name[n] = 0;
	tell(vm, events, EVENT_RENAME, attributes);
}
