/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm start, restart: a VM once more, from the configuration that it left. */
#include <errno.h>
#include <unistd.h>

#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/run_vm.h"
#include "node/vm_again.h"
#include "node/vm_policy.h"

struct start_options {
	bool attach;
};

static const struct option_spec start_options[] = {
	{ "attach", 'a', OPTION_FLAG, offsetof(struct start_options, attach), NULL, "stay in the foreground, as \"lightvm run\" does; for one VM" },
	{ 0 },
};

struct start {
	uint64_t start_ns;
	bool attach;
	int status; /* with attach: the program's */
};

/* Before anything of the VM is touched. */
static int check_terminal(const struct vm_info *info, struct error *error)
{
	if (json_is_true(json_object_get(info->config, "terminal")) && !isatty(STDIN_FILENO))
		return error_set(error, -ENOTTY, "VM %s: -a: the program has a terminal, and standard input is none", info->dir.id);
	return 0;
}

static int start_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	struct start *start = context;
	vm_info_settle(info);
	int err = start->attach ? check_terminal(info, error) : 0;
	if (!err && start->attach && policy_of(info->config).policy != RESTART_NO)
		err = error_set(error, -EINVAL, "VM %s has a restart policy, which is for VMs in the background: leave -a out", info->dir.id);
	if (!err && !info->alive)
		policy_begin(&info->dir);
	if (!err)
		err = vm_start_by(info, start->attach, start->start_ns, vm_run, &start->status, error);
	if (!err && start->attach && json_is_true(json_object_get(info->config, "remove")))
		vm_info_remove(state, info, NULL); /* of "create --rm": as "run --rm" does at its end */
	return err;
}

static int start(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct start_options *given = options;
	struct start start = { .start_ns = context->start_ns, .attach = given->attach };
	if (start.attach && operands.argc > 1)
		return error_set(error, -EINVAL, "-a is for one VM");
	int result = vm_for_each(operands, start_one, &start);
	return result ? result : start.status;
}

const struct verb verb_start = {
	.name = "start",
	.operands = "VM...",
	.summary = "Start virtual machines again that have ended",
	.text = "The program runs from its beginning, with the arguments, memory, network, disks, name and id that it had; its log goes on.\n"
		"What it wrote into memory is gone, as always at the end of a VM. It starts in the background and its id is printed.",
	.examples = "lightvm start web",
	.options = start_options,
	.options_size = sizeof(struct start_options),
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = start,
};

/* ---- restart ---- */

struct restart_options {
	uint64_t seconds;
};

static const struct option_spec restart_options[] = {
	{ "time", 't', OPTION_NUMBER, offsetof(struct restart_options, seconds), "SECONDS", "how long the program may take to end (default 10)", .high = 86400 },
	{ "timeout", 0, OPTION_NUMBER, offsetof(struct restart_options, seconds), "SECONDS", "as --time", .high = 86400 },
	{ 0 },
};

static void restart_defaults(void *options)
{
	((struct restart_options *)options)->seconds = 10;
}

struct restart {
	uint64_t start_ns;
	int wait_ms;
};

static int restart_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct restart *restart = context;
	return vm_restart(info, restart->wait_ms, restart->start_ns, vm_run, error);
}

static int restart_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	const struct restart_options *given = options;
	struct restart restart = { .start_ns = context->start_ns, .wait_ms = (int)given->seconds * 1000 };
	return vm_for_each(operands, restart_one, &restart);
}

const struct verb verb_restart = {
	.name = "restart",
	.no_guess = true,
	.operands = "VM...",
	.summary = "Stop virtual machines, and start them again",
	.text = "As \"lightvm stop\" and then \"lightvm start\": the program is asked to end by SIGTERM and killed after the time given. A VM that\n"
		"has ended is only started. It runs in the background then, and its id is printed.",
	.examples = "lightvm restart -t 30 db",
	.options = restart_options,
	.options_size = sizeof(struct restart_options),
	.defaults = restart_defaults,
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = restart_run,
};
