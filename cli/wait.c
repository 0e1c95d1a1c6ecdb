/* SPDX-License-Identifier: Apache-2.0 */
/* lightvm wait, and the waiting of run -d --wait. */
#include "cli/wait.h"

#include <errno.h>
#include <string.h>

#include "cli/all_verbs.h"
#include "cli/describe.h"
#include "node/vm_config.h"
#include "node/vm_wait.h"

int wait_check(const char *what, const struct vm_config *config, struct error *error)
{
	if (what && !config->detached)
		return error_set(error, -EINVAL, "--wait is for -d: in the foreground lightvm stays until the end");
	if (what && !strcmp(what, "healthy"))
		return error_set(error, -EOPNOTSUPP, "--wait=healthy: a VM has no health check that could be asked; --wait=listen waits for its first TCP port");
	if (what && !strcmp(what, "listen") && config->guest.is_linux)
		return error_set(error, -EOPNOTSUPP, "--wait=listen: a Linux guest does not tell when a program listens; ask its port instead");
	return 0;
}

int wait_for(const char *what, const struct vm_dir *vm, uint64_t seconds, int *status, struct error *error)
{
	struct lv_status record;
	*status = 0;
	if (!strcmp(what, "listen"))
		return vm_await_listen(vm, (int)seconds * 1000, error);
	int err = vm_await_end(vm, seconds ? (int)seconds * 1000 : -1, error);
	if (err)
		return err;
	*status = !vm_status(vm, &record) && record.state == LV_STATE_EXITED ? vm_exit_code(record.wait_status) : EXIT_OWN;
	return 0;
}

/* ---- the verb ---- */

struct wait_options {
	bool listen;
	uint64_t seconds;
};

#define AT(field) offsetof(struct wait_options, field)
static const struct option_spec options[] = {
	{ "listen", 0, OPTION_FLAG, AT(listen), NULL, "wait until the program listens on a TCP port, and print nothing" },
	{ "time", 't', OPTION_NUMBER, AT(seconds), "SECONDS", "fail after so long (default: with --listen 60, otherwise never)", .low = 1, .high = WAIT_SECONDS_MAX },
	{ 0 },
};

static int wait_one(const struct state *state, struct vm_info *info, void *context, struct error *error)
{
	const struct wait_options *given = context;
	if (!info->alive && info->state == VM_CREATED)
		return vm_not_alive(info, error);
	if (given->listen)
		return vm_await_listen(&info->dir, (int)(given->seconds ? given->seconds : WAIT_SECONDS) * 1000, error);
	struct vm_info after;
	int err = vm_await_end(&info->dir, given->seconds ? (int)given->seconds * 1000 : -1, error);
	if (err)
		return err;
	err = vm_info_open(state, info->dir.id, &after);
	struct text out = { 0 };
	if (!err)
		text_format(&out, "%d\n", after.exit_code >= 0 ? after.exit_code : EXIT_OWN);
	vm_info_close(&after);
	if (err)
		return error_set(error, err, "VM %s was removed", info->dir.id);
	return text_print(&out) ? -EIO : 0;
}

static int run(const struct context *context, void *given, struct operands operands, struct error *error)
{
	return vm_for_each(operands, wait_one, given);
}

const struct verb verb_wait = {
	.name = "wait",
	.operands = "VM...",
	.summary = "Wait until virtual machines have ended and print their exit status",
	.text = "With --listen it waits for the program's first TCP port instead: what connects from then on is answered. A VM that ends\n"
		"before that is an error. A Linux guest does not tell when its programs listen.",
	.examples = "lightvm wait --listen web && curl http://127.0.0.1:8080/",
	.options = options,
	.options_size = sizeof(struct wait_options),
	.complete = "vm",
	.min = 1,
	.max = -1,
	.run = run,
};
