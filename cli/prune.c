/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm prune: what VMs that have ended left. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/number.h"
#include "cli/all_verbs.h"
#include "node/vm_filter.h"
#include "node/vm_prune.h"

struct prune_options {
	bool force;
	struct strings filter;
};

static const struct option_spec options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct prune_options, force), NULL, "do not ask" },
	{ "filter", 0, OPTION_LIST, offsetof(struct prune_options, filter), "KEY=VALUE", "only VMs that \"lightvm ps -a --filter\" shows with it; may be repeated, all must match" },
	{ 0 },
};

struct pruning {
	const struct strings *filter;
	struct text out;
};

static bool passes(void *context, const struct vm_info *info)
{
	const struct pruning *pruning = context;
	struct vm_row row;
	vm_row_from_json(info->config, &row);
	return vm_filter_passes(pruning->filter, info, &row);
}

static void removed(void *context, const struct vm_info *info)
{
	struct pruning *pruning = context;
	text_format(&pruning->out, "%s\n", info->dir.id);
}

/* Who types this at a terminal is shown what it would do; what has none has to say that it means it. */
static int confirm(const struct vm_pruned *found, struct error *error)
{
	char size[24], word[8] = "";
	if (!isatty(STDIN_FILENO))
		return error_set(error, -EPERM, "this removes %u VMs that have ended, with their logs; standard input is no terminal to ask at: use -f", found->vms);
	fprintf(stderr, "This removes %u VMs that have ended, with logs and records (%s). Go on? [y/N] ", found->vms,
		size_print(found->bytes, size, sizeof(size)));
	return fgets(word, sizeof(word), stdin) && (word[0] == 'y' || word[0] == 'Y') ? 1 : 0;
}

static int prune(const struct state *state, const struct prune_options *given, struct error *error)
{
	struct pruning pruning = { .filter = &given->filter };
	struct vm_pruned found;
	char size[24];
	int err = given->force ? 0 : vm_prune(state, true, passes, NULL, &pruning, &found, error);
	if (!err && !given->force && found.vms) {
		int answer = confirm(&found, error);
		if (answer <= 0)
			return answer;
	}
	if (!err)
		err = vm_prune(state, false, passes, removed, &pruning, &found, error);
	if (!err)
		text_format(&pruning.out, "%u VMs removed, %s\n", found.vms, size_print(found.bytes, size, sizeof(size)));
	return text_print(&pruning.out) && !err ? EXIT_OWN : err;
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct prune_options *given = opaque;
	struct state state = STATE_NONE;
	bool deep;
	int err = vm_filter_check(&given->filter, "--filter", &deep, error);
	if (!err)
		err = state_open(&state, true, error);
	if (!err)
		err = prune(&state, given, error);
	state_close(&state);
	return err;
}

const struct verb verb_prune = {
	.name = "prune",
	.no_guess = true,
	.summary = "Remove all virtual machines that do not run, and what was left behind",
	.text = "VMs that have ended or were only created, with their logs and records, and names that lead to none; not those that\n"
		"wait for their restart policy. On a terminal it asks first. Images and kernels stay; \"lightvm image rm -a\" removes what was packed.",
	.examples = "lightvm prune -f --filter label=job=nightly",
	.options = options,
	.options_size = sizeof(struct prune_options),
	.run = run,
};
