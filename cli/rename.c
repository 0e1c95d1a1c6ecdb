/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm rename: another name for a VM. */
#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/vm_rename.h"

static int rename_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	return vm_rename(state, info, context, error);
}

static int rename_run(const struct context *context, void *options, struct operands operands, struct error *error)
{
	char *name = operands.argv[1];
	operands.argc = 1;
	return vm_for_each(operands, rename_one, name);
}

const struct verb verb_rename = {
	.name = "rename",
	.no_guess = true,
	.operands = "VM NAME",
	.summary = "Give a virtual machine another name",
	.text = "It may run meanwhile, and may have had no name before. Its host name stays what it was.",
	.examples = "lightvm rename web web-old",
	.complete = "vm",
	.min = 2,
	.max = 2,
	.run = rename_run,
};
