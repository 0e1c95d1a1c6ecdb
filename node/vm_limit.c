/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_limit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/number.h"
#include "node/monitor_control.h"
#include "node/vm_config.h"

static int refusal(const struct vm_info *info, uint64_t bytes, int err, struct error *error)
{
	char asked[24], has[24], made[24];
	const char *id = info->dir.id;
	size_print(bytes, asked, sizeof(asked));
	size_print(info->status.ram_size, has, sizeof(has));
	size_print(info->status.ram_limit, made, sizeof(made));
	if (err == -EBUSY)
		return error_set(error, err, "VM %s has %s already, and cannot be limited to %s while it runs", id, has, asked);
	if (err == -ERANGE)
		return error_set(error, err, "%s is more than VM %s was started with; stop it, update it, and start it again", asked, id);
	if (err == -EOPNOTSUPP || err == -EPROTONOSUPPORT)
		return error_set(error, -EOPNOTSUPP, "VM %s was started by an older lightvm, whose limit does not change while it runs", id);
	if (err == -ENODEV || err == -ENOTCONN)
		return error_set(error, -ENOTCONN, "VM %s: its kernel has no driver for the balloon, by which memory is taken from it", id);
	return error_set(error, err, "VM %s: its limit: %s", id, strerror(-err));
}

static int limit_running(struct vm_info *info, uint64_t bytes, struct error *error)
{
	int err = vm_info_refresh(info, CONTROL_PATIENCE_MS);
	bool linux_guest = info->status.guest == LV_GUEST_LINUX;
	if (!err && linux_guest && bytes > info->status.ram_size)
		err = -ERANGE;
	if (!err)
		err = control_ask(info->dir.dir, linux_guest ? LV_CTL_BALLOON : LV_CTL_LIMIT,
				  (int64_t)(linux_guest ? info->status.ram_size - bytes : bytes), NULL, deadline_in(CONTROL_PATIENCE_MS));
	return err ? refusal(info, bytes, err, error) : 0;
}

/* For the next start. */
static int note(const struct vm_info *info, uint64_t bytes, struct error *error)
{
	int lock = vm_lock(&info->dir, error);
	if (lock < 0)
		return lock;
	json_t *config = config_read(info->dir.dir);
	int err = config ? 0 : error_set(error, -ENOENT, "VM %s was removed, or has no configuration", info->dir.id);
	if (!err)
		err = json_object_set_new(config, "memory", json_integer((json_int_t)bytes)) ? error_set(error, -ENOMEM, "out of memory") : 0;
	if (!err)
		err = config_write_json(config, info->dir.dir, error);
	json_decref(config);
	close(lock);
	return err;
}

int vm_limit_memory(struct vm_info *info, uint64_t bytes, struct error *error)
{
	char asked[24];
	if (bytes < CONFIG_MEMORY_LEAST || bytes > CONFIG_MEMORY_MOST)
		return error_set(error, -ERANGE, "--memory %s is not between 4M and 64G", size_print(bytes, asked, sizeof(asked)));
	int err = info->alive ? limit_running(info, bytes, error) : 0;
	return err ? err : note(info, bytes, error);
}
