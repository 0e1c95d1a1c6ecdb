/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm stop, kill, rm: how VMs end. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/agent_client.h"
#include "node/vm_end.h"
#include "node/vm_policy.h"

/* ---- stop ---- */

struct stop_options {
	uint64_t seconds;
};

static const struct option_spec stop_options[] = {
	{ "time", 't', OPTION_NUMBER, offsetof(struct stop_options, seconds), "SECONDS", "how long the program may take to end (default 10)", .high = 86400 },
	{ "timeout", 0, OPTION_NUMBER, offsetof(struct stop_options, seconds), "SECONDS", "as --time", .high = 86400 },
	{ 0 },
};

static void stop_defaults(void *options)
{
	((struct stop_options *)options)->seconds = 10;
}

static int stop_one(const struct state *state, struct vm_info *info, const struct vm_row *row, void *context, struct error *error)
{
	const struct stop_options *given = context;
	int err = policy_stop(info->dir.id, error);
	if (!err)
		err = vm_end(info, (int)given->seconds * 1000, error);
	if (!err && row->remove)
		vm_remove(state, &info->dir, row->name, NULL);
	return err;
}

static int stop(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each_at_once(operands, stop_one, options);
}

const struct verb verb_stop = {
	.name = "stop",
	.no_guess = true,
	.operands = "VM...",
	.summary = "Ask programs to end, then kill",
	.text = "Sends SIGTERM to the program; if it has not ended after the time given, the VM is killed. A restart policy does not start it\n"
		"again before \"lightvm start\" does.\n"
		"Several VMs are stopped at the same time.",
	.options = stop_options,
	.options_size = sizeof(struct stop_options),
	.defaults = stop_defaults,
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = stop,
};

/* ---- kill ---- */

struct kill_options {
	const char *signal;
};

static const struct option_spec kill_options[] = {
	{ "signal", 's', OPTION_STRING, offsetof(struct kill_options, signal), "SIGNAL", "a name or number; KILL (the default) ends the VM at once",
	  .words = NULL, .complete = "none" },
	{ 0 },
};

static int kill_one(const struct state *state, struct vm_info *info, const struct vm_row *row, void *context, struct error *error)
{
	int number = *(int *)context;
	if (!info->alive)
		return vm_not_alive(info, error);
	int held = number == SIGKILL || number == SIGTERM ? policy_stop(info->dir.id, error) : 0;
	if (held)
		return held;
	if (number == SIGKILL) {
		int killed = vm_end(info, 0, error);
		if (!killed && row->remove)
			vm_remove(state, &info->dir, row->name, NULL);
		return killed;
	}
	/* Its agent could not hear of it; the library OS finds the signal when it goes on. */
	if (info->state == VM_PAUSED && info->status.guest == LV_GUEST_LINUX)
		return error_set(error, -EAGAIN, "VM %s is paused, and %s cannot reach its program; let it go on with: lightvm resume %s", info->dir.id,
				 signal_name(number), info->dir.id);
	int err = vm_signal(info->dir.dir, number, deadline_in(AGENT_ANSWER_MS));
	return err ? error_set(error, err, "VM %s: %s: %s", info->dir.id, signal_name(number), strerror(-err)) : 0;
}

static int kill_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct kill_options *given = options;
	int number = SIGKILL;
	if (given->signal && signal_parse(given->signal, &number))
		return error_set(error, -EINVAL, "--signal: \"%s\" is not a signal (examples: TERM, HUP, 10)", given->signal);
	return vm_for_each_at_once(operands, kill_one, &number);
}

const struct verb verb_kill = {
	.name = "kill",
	.no_guess = true,
	.operands = "VM...",
	.summary = "End virtual machines at once, or send a signal",
	.options = kill_options,
	.options_size = sizeof(struct kill_options),
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = kill_run,
};

/* ---- rm ---- */

struct rm_options {
	bool force, ended, volumes;
};

static const struct option_spec rm_options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct rm_options, force), NULL, "kill VMs that still run" },
	{ "ended", 'e', OPTION_FLAG, offsetof(struct rm_options, ended), NULL, "all VMs that have ended" },
	{ "volumes", 'v', OPTION_FLAG, offsetof(struct rm_options, volumes), NULL, "changes nothing: what a VM had, copies of volumes too, is gone with it in any case" },
	{ 0 },
};

static int rm_one(const struct state *state, struct vm_info *info, const struct vm_row *row, void *context, struct error *error)
{
	const struct rm_options *given = context;
	const char *name = row->name[0] ? row->name : info->dir.id;
	if (info->alive && !given->force)
		return error_set(error, -EBUSY, "VM %s still runs; stop it first, or use: lightvm rm -f %s", name, name);
	int err = policy_stop(info->dir.id, error);
	if (!err)
		err = vm_end(info, 0, error);
	return err ? err : vm_remove(state, &info->dir, row->name, error);
}

static int rm_if_ended(void *context, const char *id)
{
	const struct state *state = context;
	struct vm_info info;
	if (!vm_info_open(state, id, &info) && !info.alive && !policy_waits(&info))
		vm_info_remove(state, &info, NULL);
	vm_info_close(&info);
	return 0;
}

static int rm(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct rm_options *given = options;
	struct state state;
	if (!given->ended && !operands.argc)
		return error_set(error, -EINVAL, "which VMs? Give their names or ids, or --ended");
	if (given->ended) {
		int err = state_open(&state, false, error);
		if (!err)
			state_each(&state, rm_if_ended, &state);
		state_close(&state);
		if (err && err != -ENOENT)
			return err;
	}
	return vm_for_each_at_once(operands, rm_one, options);
}

const struct verb verb_rm = {
	.name = "rm",
	.no_guess = true,
	.operands = "[VM...]",
	.summary = "Remove what virtual machines that have ended left: logs, record, name",
	.options = rm_options,
	.options_size = sizeof(struct rm_options),
	.complete = "vm",
	.min = 0,
	.max = -1,
	.run = rm,
};
