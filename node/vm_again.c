/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_again.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/deadline.h"
#include "node/config_open.h"
#include "node/launch.h"
#include "node/vm_end.h"
#include "node/vm_policy.h"

#define PORTS_MS (LINK_END_MS + 1000) /* for what served the VM's ports to end, after its monitor */
#define PORTS_RETRY_MS 5

static int prepare(const struct vm_info *info, bool attached, struct vm_config *config, struct error *error)
{
	int err = config_load(config, info->dir.dir, error);
	config->detached = !attached;
	config->remove = false;
	if (!err)
		err = config_validate(config, error);
	if (!err)
		err = config_open(config, error);
	return err ? error_prefix(error, "VM %s", info->dir.id) : 0;
}

/* The configuration is read and written under the VM's lock: a name that it gets meanwhile stays. */
static int renew(struct vm_info *info, bool attached, struct vm_config *config, struct error *error)
{
	int lock = vm_lock(&info->dir, error);
	if (lock < 0)
		return lock;
	int err = prepare(info, attached, config, error);
	if (!err)
		err = vm_renew(&info->dir, error);
	if (!err)
		err = config_write(config, info->dir.dir, error);
	close(lock);
	return err;
}

static int litter(const struct vm_info *info, struct error *error)
{
	return error_set(error, -ENOENT, "VM %s was started with --rm: it has ended, and nothing of it is kept", info->dir.id);
}

/*
 * What forwarded its ports ends by itself after the monitor, or is made to: who starts it again right after its end waits for that. A port that
 * is somebody else's is told by the start.
 */
static void await_ports(const struct vm_info *info, const struct vm_config *config)
{
	uint64_t ended = info->status.ledger[LV_STEP_EXIT].ns, end = ended + PORTS_MS * NS_PER_MS;
	while (ended && deadline_left(end) > 0 && link_check_ports(&config->net, NULL) == -EADDRINUSE)
		poll(NULL, 0, PORTS_RETRY_MS);
}

int vm_start_by(struct vm_info *info, bool attached, uint64_t start_ns,
		int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), int *status,
		struct error *error)
{
	struct vm_config config;
	struct lv_report report;
	bool failed = false;
	if (info->alive)
		return error_set(error, -EBUSY, "VM %s still runs", info->dir.id);
	if (vm_is_litter(info))
		return litter(info, error);
	vm_report(&info->dir, &report);
	config_init(&config);
	int err = renew(info, attached, &config, error);
	if (!err) {
		await_ports(info, &config);
		*status = run(&info->dir, &config, start_ns, &failed, error);
		err = *status < 0 ? *status : 0;
		if (failed)
			vm_put_back(&info->dir, &info->status, &report);
	}
	config_free(&config);
	return err;
}

static int start_quietly(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error)
{
	struct launch launch;
	int err = launch_start(&launch, config, vm, start_ns, error);
	if (!err)
		err = launch_settle(&launch, error);
	launch_end(&launch);
	*failed = err < 0;
	return err;
}

int vm_start(struct vm_info *info, uint64_t start_ns, struct error *error)
{
	int status;
	return vm_start_by(info, false, start_ns, start_quietly, &status, error);
}

int vm_restart(struct vm_info *info, int wait_ms, uint64_t start_ns,
	       int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), struct error *error)
{
	int status, err = 0;
	if (json_is_true(json_object_get(info->config, "remove")))
		return info->alive ? error_set(error, -EPERM, "VM %s was started with --rm: it is removed when it ends, and could not start again", info->dir.id)
				   : litter(info, error);
	if (info->alive) {
		/* Nobody else starts it in between. */
		if ((err = policy_stop(info->dir.id, error)))
			return err;
		err = vm_end(info, wait_ms, error);
		vm_status(&info->dir, &info->status); /* of this end, should the start fail */
		info->alive = false;
	}
	policy_begin(&info->dir);
	return err ? err : vm_start_by(info, false, start_ns, run ? run : start_quietly, &status, error);
}
