/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm start: a VM that has ended, once more, from the configuration that it left. */
#include <errno.h>
#include <unistd.h>

#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "cli/run_vm.h"
#include "node/config_open.h"

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

static int prepare(const struct vm_info *info, bool attach, struct vm_config *config, struct error *error)
{
	if (info->alive)
		return error_set(error, -EBUSY, "VM %s still runs", info->dir.id);
	if (vm_is_litter(info))
		return error_set(error, -ENOENT, "VM %s was started with --rm: it has ended, and nothing of it is kept", info->dir.id);
	int err = config_load(config, info->dir.dir, error);
	config->detached = !attach;
	config->remove = false;
	if (!err && attach && config->terminal && !isatty(STDIN_FILENO))
		err = error_set(error, -ENOTTY, "-a: the program has a terminal, and standard input is none");
	if (!err)
		err = config_validate(config, error);
	if (!err)
		err = config_open(config, error);
	return err ? error_prefix(error, "VM %s", info->dir.id) : 0;
}

static int start_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	struct start *start = context;
	struct vm_config config;
	struct lv_report report;
	bool failed = false;
	vm_report(&info->dir, &report);
	config_init(&config);
	int status = prepare(info, start->attach, &config, error);
	if (!status)
		status = vm_renew(&info->dir, error);
	if (!status && !(status = config_write(&config, info->dir.dir, error))) {
		status = vm_run(&info->dir, &config, start->start_ns, &failed, error);
		if (failed)
			vm_put_back(&info->dir, &info->status, &report);
	}
	config_free(&config);
	start->status = status;
	return status < 0 ? status : 0;
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
