/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm pause, resume: VMs that stand still for a while. */
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/vm_pause.h"

static int pause_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	return vm_pause(info, error);
}

static int pause_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each(operands, pause_one, NULL);
}

static int resume_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	return vm_resume(info, error);
}

static int resume_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each(operands, resume_one, NULL);
}

const struct verb verb_pause = {
	.name = "pause",
	.no_guess = true,
	.operands = "VM...",
	.summary = "Have virtual machines stand still",
	.text = "The program does not run, and nothing is read or written for it, until \"lightvm resume\". It keeps its memory, its network and its\n"
		"place in \"lightvm ps\"; whoever talks to it waits. Its clocks go on: timers that would have fired are late. It can be stopped, killed\n"
		"and removed as it stands.",
	.examples = "lightvm pause web db\nlightvm resume web db",
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = pause_run,
};

#define RESUME .no_guess = true, .operands = "VM...", .summary = "Have virtual machines go on that were paused", .complete = "vm", .min = 1, .max = -1, .run = resume_run

const struct verb verb_resume = { .name = "resume", RESUME };
/* What Docker calls it. */
const struct verb verb_unpause = { .name = "unpause", .hidden = true, RESUME };
