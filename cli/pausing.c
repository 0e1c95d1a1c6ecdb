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

struct resume_options {
	bool advance;
};

static const struct option_spec resume_options[] = {
	{ "advance", 0, OPTION_FLAG, offsetof(struct resume_options, advance), NULL, "its monotonic clock counts the pause, as if it had run" },
	{ 0 },
};

static int resume_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct resume_options *given = context;
	return vm_resume(info, given->advance, error);
}

static int resume_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	return vm_for_each(operands, resume_one, options);
}

const struct verb verb_pause = {
	.name = "pause",
	.no_guess = true,
	.operands = "VM...",
	.summary = "Have virtual machines stand still",
	.text = "The program does not run, and nothing is read or written for it, until \"lightvm resume\". It keeps its memory, its network and its\n"
		"place in \"lightvm ps\"; whoever talks to it waits. It can be stopped, killed and removed as it stands. When it goes on it finds what a\n"
		"machine finds that slept: its wall clock is right, its monotonic clock and the time-outs that go by it did not go on.",
	.examples = "lightvm pause web db\nlightvm resume web db",
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = pause_run,
};

#define RESUME_TEXT "The wall clock is set right, and what was to happen by it meanwhile happens now. The monotonic clock goes on where it stood, and so do\n" \
	"time-outs, unless --advance is given: then what fell due happens now, once."
#define RESUME .text = RESUME_TEXT, .options = resume_options, .options_size = sizeof(struct resume_options), .no_guess = true, .operands = "VM...", .summary = "Have virtual machines go on that were paused", .complete = "vm", .min = 1, .max = -1, .run = resume_run

const struct verb verb_resume = { .name = "resume", RESUME };
/* What Docker calls it. */
const struct verb verb_unpause = { .name = "unpause", .hidden = true, RESUME };
