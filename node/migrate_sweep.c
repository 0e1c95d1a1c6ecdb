/* SPDX-License-Identifier: Apache-2.0 */
/* What killed processes have left of migrations on the destination. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/agent_client.h"
#include "node/migrate_sweep.h"
#include "node/monitor_control.h"
#include "node/vm_end.h"
#include "node/vm_info.h"
#include "node/vm_policy.h"

/* Its directory, shown or hidden still. */
static int open_either(const struct state *state, const char *id, struct vm_dir *vm, bool *hidden)
{
	char path[32];
	*hidden = false;
	if (!vm_open(state, id, vm))
		return 0;
	*hidden = true;
	snprintf(path, sizeof(path), "vms/.%s", id);
	*vm = VM_DIR_NONE;
	strcpy(vm->id, id);
	vm->dir = openat(state->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	vm->status = vm->dir < 0 ? -1 : openat(vm->dir, "status", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	int err = vm->status < 0 ? -errno : 0;
	if (err)
		vm_close(vm);
	return err;
}

static int go_on(const struct vm_dir *vm, struct error *error)
{
	struct lv_status status;
	int err = control_status(vm->dir, CONTROL_PATIENCE_MS, &status);
	if (!err && status.state == LV_STATE_RUNNING)
		return 0;
	if (!err)
		err = control_ask(vm->dir, LV_CTL_RESUME, 0, NULL, deadline_in(CONTROL_PATIENCE_MS));
	/* One that has ended since has run, too. */
	if (err && !vm_alive(vm))
		return 0;
	return err ? error_set(error, err, "VM %s has come, and does not go on: %s", vm->id, strerror(-err)) : 0;
}

int migrate_finish(const struct state *state, const struct migrate_record *record, struct error *error)
{
	struct vm_dir vm;
	bool hidden;
	if (record->step == MIGRATE_HAS_RUN) /* what is here of that id by now came by another migration, which may not have taken COMMIT */
		return 0;
	if (open_either(state, record->id, &vm, &hidden))
		return 0; /* it ran, ended, and was removed */
	json_t *config = config_read(vm.dir);
	int err = hidden ? vm_publish(state, &vm, NULL, error) : 0; /* it has its name since before READY */
	if (!err && !record->paused)
		err = go_on(&vm, error);
	if (!err && hidden && policy_of(config).policy != RESTART_NO)
		policy_tell(vm.id);
	json_decref(config);
	vm_close(&vm);
	return err;
}

#define RENEW_MS 30000 /* nobody waits for that, and a guest that has just come may have more to do; it has the wrong time until it hears */

void migrate_renew(const struct state *state, const struct migrate_record *record)
{
	struct vm_dir vm;
	const uint64_t end = deadline_in(RENEW_MS);
	if (record->paused || vm_open(state, record->id, &vm))
		return;
	/* Each time with the time that it is by then. */
	while (!faccessat(vm.dir, "vsock", F_OK, 0) && agent_renew(vm.dir, false, NULL, deadline_in(AGENT_ANSWER_MS)) == -ETIMEDOUT && deadline_left(end))
		;
	vm_close(&vm);
}

void migrate_discard(const struct state *state, struct migrate_record *record)
{
	struct vm_dir vm;
	struct vm_info info = { 0 };
	bool hidden;
	if (record->id[0] && !open_either(state, record->id, &vm, &hidden)) {
		json_t *config = config_read(vm.dir);
		const char *name = config_string(config, "name");
		info.dir = vm;
		vm_info_judge(&info);
		vm_end(&info, 0, NULL);
		if (*name)
			vm_drop_name(state, &vm, name);
		if (hidden)
			vm_abandon(state, &vm);
		json_decref(config);
		vm_close(&vm);
	}
	migrate_record_remove(record);
}

static bool is_old(const struct migrate_record *record)
{
	struct stat st;
	return !fstat(record->fd, &st) && migrate_is_old(&st);
}

/* As long as it is, whoever asks hears so, however late: both would run it otherwise. */
static bool is_here(const struct state *state, const char *id)
{
	struct vm_dir vm;
	bool hidden, here = !open_either(state, id, &vm, &hidden);
	if (here)
		vm_close(&vm);
	return here;
}

static int sweep_one(void *context, const char *uuid)
{
	const struct state *state = context;
	struct migrate_record record;
	struct error error;
	int err = migrate_record_open(state, uuid, &record, &error);
	if (!err && record.step == MIGRATE_RECEIVING)
		migrate_discard(state, &record);
	else if (!err && is_old(&record) && !is_here(state, record.id))
		migrate_record_remove(&record);
	else if (!err && record.step == MIGRATE_HAS_COMMITTED && !migrate_finish(state, &record, &error))
		migrate_record_done(&record);
	migrate_record_close(&record);
	return 0;
}

void migrate_sweep(const struct state *state)
{
	migrate_record_each(state, sweep_one, (void *)state);
}
