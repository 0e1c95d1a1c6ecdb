/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm update: another limit for the memory of VMs. */
#include <errno.h>
#include <stddef.h>

#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/vm_config.h"
#include "node/vm_limit.h"

struct update_options {
	uint64_t memory;
};

static const struct option_spec options[] = {
	{ "memory", 'm', OPTION_SIZE, offsetof(struct update_options, memory), "SIZE", "the most memory the VM may use, 4M to 64G", .low = CONFIG_MEMORY_LEAST, .high = CONFIG_MEMORY_MOST },
	{ 0 },
};

static int update_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	return vm_limit_memory(info, ((const struct update_options *)context)->memory, error);
}

static int run(const struct context *context, void *opaque, struct operands operands, struct error *error)
{
	const struct update_options *given = opaque;
	if (!given->memory)
		return error_set(error, -EINVAL, "what shall be updated? Give --memory");
	return vm_for_each(operands, update_one, opaque);
}

const struct verb verb_update = {
	.name = "update",
	.no_guess = true,
	.operands = "VM...",
	.summary = "Give virtual machines another limit of memory",
	.text = "One that has ended has it when it starts. While it runs, a VM of the library OS is limited to any size between what it has taken\n"
		"already and what it was started with; from a Linux guest its balloon takes what is above, in the guest's own time (\"lightvm balloon\"\n"
		"tells how far it is). More than a VM was started with needs another start.",
	.examples = "lightvm update -m 128M web",
	.options = options,
	.options_size = sizeof(struct update_options),
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = run,
};
