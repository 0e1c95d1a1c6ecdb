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
	config->remove = json_is_true(json_object_get(info->config, "remove"));
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
	if (!err && config->remove)
		err = vm_mark_litter(&info->dir, error);
	close(lock);
	return err;
}

static int litter(const struct vm_info *info, struct error *error)
{
	return error_set(error, -ENOENT, "VM %s was started with --rm: it has ended, and nothing of it is kept", info->dir.id);
}

/* A start would lose from sight where it was. */
static int was_saved(const struct vm_info *info, struct error *error)
{
	const char *id = info->dir.id;
	return error_set(error, -EBUSY, "VM %s was saved: it goes on with: lightvm restore %s; to start it from its beginning, remove what was saved: lightvm checkpoint rm %s", id, id, id);
}

void vm_await_ports(const struct lv_status *before, const struct net_spec *net)
{
	uint64_t ended = before->ledger[LV_STEP_EXIT].ns, end = ended + PORTS_MS * NS_PER_MS;
	while (ended && deadline_left(end) > 0 && link_check_ports(net, NULL) == -EADDRINUSE)
		poll(NULL, 0, PORTS_RETRY_MS);
}

static int start_by(struct vm_info *info, bool attached, uint64_t start_ns,
		    int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), int *status,
		    struct error *error)
{
	struct vm_config config;
	struct lv_report report;
	bool failed = false;
	if (info->state == VM_SAVED)
		return was_saved(info, error);
	vm_report(&info->dir, &report);
	config_init(&config);
	int err = renew(info, attached, &config, error);
	if (!err) {
		vm_await_ports(&info->status, &config.net);
		*status = run(&info->dir, &config, start_ns, &failed, error);
		err = *status < 0 ? *status : 0;
		if (failed)
			vm_put_back(&info->dir, &info->status, &report);
	}
	config_free(&config);
	return err;
}

int vm_start_by(struct vm_info *info, bool attached, uint64_t start_ns,
		int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), int *status,
		struct error *error)
{
	if (info->alive)
		return error_set(error, -EBUSY, "VM %s still runs", info->dir.id);
	return vm_is_litter(info) ? litter(info, error) : start_by(info, attached, start_ns, run, status, error);
}

int vm_start(struct vm_info *info, uint64_t start_ns, struct error *error)
{
	int status;
	return vm_start_by(info, false, start_ns, launch_quietly, &status, error);
}

/* Of one that was started with --rm: whether whoever finds that it has ended removes it. */
static int set_remove(const struct vm_info *info, bool remove, struct error *error)
{
	int lock = vm_lock(&info->dir, error), err = lock < 0 ? lock : 0;
	json_t *config = err ? NULL : config_read(info->dir.dir);
	if (!err && (!config || json_object_set_new(config, "remove", json_boolean(remove))))
		err = error_set(error, -ENOENT, "VM %s was removed, or has no configuration", info->dir.id);
	if (!err)
		err = config_write_json(config, info->dir.dir, error);
	if (!err && remove)
		err = vm_mark_litter(&info->dir, error);
	else if (!err)
		unlinkat(info->dir.dir, STATE_LITTER, 0);
	json_decref(config);
	if (lock >= 0)
		close(lock);
	return err;
}

/* Nobody else starts it in between, or removes it. */
static int end_for_restart(struct vm_info *info, int wait_ms, struct error *error)
{
	bool remove = json_is_true(json_object_get(info->config, "remove"));
	if (remove && !json_is_true(json_object_get(info->config, "detached")))
		return error_set(error, -EPERM, "VM %s runs in the foreground with --rm: the command that waits for its end removes it then", info->dir.id);
	int err = remove ? set_remove(info, false, error) : policy_stop(info->dir.id, error);
	if (!err && (err = vm_end(info, wait_ms, error)) && remove)
		set_remove(info, true, NULL); /* it runs on as it did */
	return err;
}

int vm_restart(struct vm_info *info, int wait_ms, uint64_t start_ns,
	       int (*run)(struct vm_dir *vm, const struct vm_config *config, uint64_t start_ns, bool *failed, struct error *error), struct error *error)
{
	int status, err = 0;
	if (vm_is_litter(info))
		return litter(info, error);
	if (info->alive) {
		if ((err = end_for_restart(info, wait_ms, error)))
			return err;
		vm_status(&info->dir, &info->status); /* of this end, should the start fail */
		info->alive = false;
	}
	policy_begin(&info->dir);
	return start_by(info, false, start_ns, run ? run : launch_quietly, &status, error);
}
