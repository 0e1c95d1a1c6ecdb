/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_pause.h"

#include <errno.h>
#include <string.h>

#include "node/monitor_control.h"

static int refusal(const struct vm_info *info, enum lv_control_op op, int err, struct error *error)
{
	const char *id = info->dir.id, *what = op == LV_CTL_PAUSE ? "pause" : "resume";
	if (err == -EOPNOTSUPP || err == -EPROTONOSUPPORT)
		return error_set(error, -EOPNOTSUPP, "VM %s was started by an older lightvm, whose monitor cannot pause; start it anew for this", id);
	if (err == -ECONNREFUSED || err == -ENOENT || err == -ECONNRESET)
		return error_set(error, -ESRCH, "VM %s has ended", id);
	if (err == -ECANCELED)
		return error_set(error, err, "VM %s was resumed before it stood still", id);
	if (err == -ETIMEDOUT && op == LV_CTL_PAUSE)
		return error_set(error, err, "VM %s did not come to a stop within a second, and runs on", id);
	if (err == -ETIMEDOUT)
		return error_set(error, err, "VM %s: its monitor does not answer", id);
	return error_set(error, err, "VM %s: %s: %s", id, what, strerror(-err));
}

static int ask(const struct vm_info *info, enum lv_control_op op, struct error *error)
{
	bool pause = op == LV_CTL_PAUSE;
	if (!info->alive)
		return vm_not_alive(info, error);
	if (info->state == (pause ? VM_PAUSED : VM_RUNNING))
		return error_set(error, -EALREADY, pause ? "VM %s is paused already" : "VM %s is not paused", info->dir.id);
	if (info->state != VM_RUNNING && info->state != VM_PAUSED)
		return error_set(error, -EAGAIN, "VM %s is still starting", info->dir.id);
	int err = control_ask(info->dir.dir, op, 0, NULL, deadline_in(CONTROL_PATIENCE_MS));
	return err ? refusal(info, op, err, error) : 0;
}

int vm_pause(const struct vm_info *info, struct error *error)
{
	return ask(info, LV_CTL_PAUSE, error);
}

int vm_resume(const struct vm_info *info, struct error *error)
{
	return ask(info, LV_CTL_RESUME, error);
}
