/* SPDX-License-Identifier: Apache-2.0 */
#include "node/vm_pause.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "node/agent_client.h"
#include "node/migrate_record.h"
#include "node/monitor_control.h"


static int refusal(const struct vm_info *info, enum lv_control_op op, int64_t how, int err, struct error *error)
{
	const char *id = info->dir.id, *what = op == LV_CTL_PAUSE ? "pause" : "resume";
	if (err == -EPROTONOSUPPORT && how)
		return error_set(error, -EOPNOTSUPP, "VM %s was started by an older lightvm, whose monitor always has its clocks count a pause", id);
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

static int ask(const struct vm_info *info, enum lv_control_op op, int64_t how, struct error *error)
{
	bool pause = op == LV_CTL_PAUSE;
	if (!info->alive)
		return vm_not_alive(info, error);
	if (info->state == (pause ? VM_PAUSED : VM_RUNNING))
		return error_set(error, -EALREADY, pause ? "VM %s is paused already" : "VM %s is not paused", info->dir.id);
	if (info->state != VM_RUNNING && info->state != VM_PAUSED)
		return error_set(error, -EAGAIN, "VM %s is still starting", info->dir.id);
	int err = control_ask(info->dir.dir, op, how, NULL, deadline_in(CONTROL_PATIENCE_MS));
	return err ? refusal(info, op, how, err, error) : 0;
}

int vm_pause(const struct vm_info *info, struct error *error)
{
	return ask(info, LV_CTL_PAUSE, 0, error);
}

/* It may run elsewhere by now. */
static int check_migration(const struct vm_info *info, struct error *error)
{
	struct migrate_mark mark;
	const char *id = info->dir.id;
	if (!info->alive || !migrate_mark_read(info->dir.dir, &mark))
		return 0;
	return error_set(error, -EINPROGRESS, "VM %s may run at host %s, to which it was being moved when the connection was lost: lightvm migrate --resolve ask %s", id, mark.host, id);
}

int vm_resume(const struct vm_info *info, bool advance, struct error *error)
{
	int err = check_migration(info, error);
	if (!err)
		err = ask(info, LV_CTL_RESUME, advance ? LV_RESUME_ADVANCE : 0, error);
	/* Of a library OS the monitor does that. A Linux guest without our agent has a wall clock that is late until it asks somebody. */
	if (!err && !faccessat(info->dir.dir, "vsock", F_OK, 0))
		agent_renew(info->dir.dir, false, NULL, deadline_in(AGENT_ANSWER_MS));
	return err;
}
