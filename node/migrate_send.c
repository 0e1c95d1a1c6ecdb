/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_send.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"
#include "node/migrate_disks.h"
#include "node/migrate_kernels.h"
#include "node/migrate_link.h"
#include "node/migrate_memory.h"
#include "node/migrate_movable.h"
#include "node/migrate_record.h"
#include "node/monitor_control.h"
#include "node/vm_end.h"
#include "node/vm_policy.h"
#include "node/vm_save.h"

#define END_MS 5000
#define ASK_MS 10000 /* for the other host to come back after the connection was lost at the worst moment */
#define ASK_EVERY_MS 200

struct sending {
	const struct state *state;
	struct vm_info *info;
	const struct migrate_wish *wish;
	struct migrate_report *report;
	struct wire wire;
	struct save_manifest manifest;
	uint8_t uuid[LV_MIGRATE_UUID];
	struct copying copy;
	bool was_paused;
};

/* ---- what can be moved ---- */

static int check(struct vm_info *info, struct error *error)
{
	struct migrate_mark mark;
	const char *id = info->dir.id;
	if (!info->alive)
		return vm_not_alive(info, error);
	if (migrate_mark_read(info->dir.dir, &mark))
		return error_set(error, -EBUSY, "VM %s waits to hear what became of its migration to %s: lightvm migrate --resolve ask %s", id, mark.host, id);
	if (info->state != VM_RUNNING && info->state != VM_PAUSED)
		return error_set(error, -EAGAIN, "VM %s is still starting", id);
	return migrate_movable(info->config, id, error);
}

/* Another limit there: between what it has taken, and what it may have. */
static int resize(struct sending *send, struct error *error)
{
	char asked[24], has[24];
	const uint64_t bytes = send->wish->memory;
	const struct lv_status *status = &send->info->status;
	const char *id = send->info->dir.id;
	if (!bytes)
		return 0;
	size_print(bytes, asked, sizeof(asked));
	if (status->guest == LV_GUEST_LINUX)
		return error_set(error, -EOPNOTSUPP, "--memory %s: VM %s is a Linux guest, which keeps the memory that it was started with", asked, id);
	if (bytes < status->ram_size)
		return error_set(error, -EBUSY, "--memory %s: VM %s has %s already", asked, id, size_print(status->ram_size, has, sizeof(has)));
	if (bytes > status->ram_limit)
		return error_set(error, -ERANGE, "--memory %s: VM %s may have %s here, and gets no more on the way (lightvm update)", asked, id, size_print(status->ram_limit, has, sizeof(has)));
	json_t *config = json_deep_copy(send->manifest.config); /* the VM's own stays as it is */
	if (!config || json_object_set_new(config, "memory", json_integer((json_int_t)bytes))) {
		json_decref(config);
		return error_set(error, -ENOMEM, "out of memory");
	}
	json_decref(send->manifest.config);
	send->manifest.config = config;
	send->manifest.memory_limit = bytes;
	return 0;
}

static int describe(struct sending *send, struct error *error)
{
	int err = vm_info_refresh(send->info, CONTROL_PATIENCE_MS);
	if (err)
		return error_set(error, err, "VM %s: its monitor does not answer: %s", send->info->dir.id, strerror(-err));
	send->was_paused = send->info->state == VM_PAUSED;
	err = vm_save_describe(send->info, &send->manifest, error);
	if (!err)
		err = resize(send, error);
	/* The files are not there yet: as large as they may become, which is for people. */
	send->manifest.memory_size = send->manifest.memory_limit;
	send->manifest.memory_taken = send->manifest.memory_used;
	send->manifest.state_size = LV_MIGRATE_STATE_MAX;
	return err;
}

/* ---- the conversation up to COMMIT ---- */

static int offer(struct sending *send, bool *wants_image, struct error *error)
{
	struct lv_migrate_wanted wanted;
	send->manifest.saved_ns = clock_wall();
	json_t *disks = migrate_disks_tell(send->info->config, error);
	if (!disks)
		return error->code;
	send->copy.disks = json_array_size(disks) > 0;
	json_t *json = json_pack("{s:o, s:b, s:o}", "vm", save_manifest_to_json(&send->manifest), "paused", send->was_paused, "disks", disks);
	int err = json ? migrate_kernels_tell(send->info->config, json, error) : 0;
	char *text = json && !err ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!err)
		err = text ? wire_send(&send->wire, LV_MIG_CONFIG, text, strlen(text), NULL, 0, error) : error_set(error, -ENOMEM, "out of memory");
	free(text);
	json_decref(json);
	migrate_expect(&send->wire.migration, send->manifest.image_size);
	if (!err)
		err = wire_expect(&send->wire, LV_MIG_WANTED, error);
	if (!err) {
		memcpy(&wanted, send->wire.body, sizeof(wanted));
		*wants_image = wanted.image;
		if (send->wish->mode >= MIGRATE_POST_COPY && send->copy.disks)
			send->report->instead = "it has disks, and what has disks is not moved otherwise yet";
		else if (send->wish->mode >= MIGRATE_POST_COPY && !wanted.post_copy)
			send->report->instead = send->wire.migration.version < 2 ? "the other host's lightvm is older and knows only pre-copy" :
				"the other host may not wait for faults (\"lightvm doctor\" there says which right is missing)";
	}
	return err;
}

static int send_image(struct sending *send, struct error *error)
{
	const char *path = config_string(send->info->config, "image");
	struct pieces pieces = { .wire = &send->wire, .type = LV_MIG_IMAGE, .step = "image", .told = copying_tell, .context = &send->copy, .bandwidth = send->wish->bandwidth };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	int err = pieces_send_all(&pieces, fd, send->manifest.image_size, error);
	close(fd);
	send->report->image_bytes = pieces.sent;
	return err ? err : copying_round_end(&send->copy, error);
}

static int move(struct sending *send, struct error *error)
{
	bool wants_image = false;
	int err = offer(send, &wants_image, error);
	if (!err && wants_image)
		err = send_image(send, error);
	if (!err)
		err = copying_run(&send->copy, error);
	return err ? err : copying_expect(&send->copy, LV_MIG_READY, error);
}

/* ---- COMMIT, and what comes after it ---- */

/* From here on the VM stands still whoever is killed: on disk, and for the monitor, which otherwise has it go on when our connection ends. */
static int hold(struct sending *send, struct error *error)
{
	const char *id = send->info->dir.id;
	struct migrate_mark mark = { .paused = send->was_paused, .post = send->wire.migration.post };
	strncpy(mark.host, send->wish->host, sizeof(mark.host) - 1);
	memcpy(mark.uuid, send->uuid, sizeof(mark.uuid));
	int err = migrate_mark_write(send->info->dir.dir, &mark, error);
	if (err)
		return err;
	err = control_ask(send->info->dir.dir, LV_CTL_PAUSE, 0, NULL, deadline_in(CONTROL_PATIENCE_MS));
	return err && err != -EALREADY ? error_set(error, err, "VM %s: its monitor does not keep it paused: %s", id, strerror(-err)) : 0;
}

/* It is another host's. Its end here is no end of the VM: nothing starts it again, and nothing of it stays. */
static int leave(const struct state *state, struct vm_info *info, int connection, struct error *error)
{
	int handle = vm_monitor_open(info), err = policy_stop(info->dir.id, error);
	if (!err && connection >= 0 && (err = control_call(connection, LV_CTL_KILL, 0, NULL, 0, NULL)))
		error_set(error, err, "VM %s: %s", info->dir.id, strerror(-err));
	if (!err && connection >= 0 && handle >= 0) {
		struct pollfd wait = { .fd = handle, .events = POLLIN };
		poll(&wait, 1, END_MS);
	}
	if (handle >= 0)
		close(handle);
	err = vm_end(info, 0, error); /* whatever came of that */
	if (!err) {
		vm_info_judge(info);
		migrate_mark_remove(info->dir.dir);
		err = vm_info_remove(state, info, error);
	}
	return err ? error_prefix(error, "VM %s runs at the other host; here", info->dir.id) : 0;
}

/* They may be the other host's still, where a monitor that has the VM is ended now. */
static int take_disks_back(const struct vm_info *info)
{
	uint64_t end = deadline_in(ASK_MS);
	int err;
	while ((err = control_ask(info->dir.dir, LV_CTL_LEND, LV_LEND_BACK, NULL, deadline_in(CONTROL_PATIENCE_MS))) == -EBUSY && deadline_left(end))
		poll(NULL, 0, ASK_EVERY_MS);
	return err == -EBUSY ? err : 0; /* a monitor that does not know the question has lent none */
}

/* The mark goes last of all that could fail, and before it runs. Without its disks the VM stays as it is: who has them may be the VM itself, elsewhere. */
static int come_back(struct vm_info *info, bool stays_paused, struct error *error)
{
	if (take_disks_back(info))
		return error_set(error, -EBUSY, "VM %s: others have its disks, and it stands still: perhaps it runs at the other host. When that is not so: lightvm migrate --resolve source %s", info->dir.id, info->dir.id);
	migrate_mark_remove(info->dir.dir);
	int err = stays_paused ? 0 : control_ask(info->dir.dir, LV_CTL_RESUME, 0, NULL, deadline_in(CONTROL_PATIENCE_MS));
	return err && err != -EALREADY ? error_set(error, err, "VM %s: it does not go on: %s", info->dir.id, strerror(-err)) : 0;
}

static int ask_once(const char *host, const uint8_t *uuid, enum lv_migrate_outcome *outcome, struct error *error)
{
	struct wire wire;
	*outcome = LV_MIG_UNDECIDED;
	int err = migrate_link_open(&(const struct link_order){ .host = host }, uuid, &wire, error);
	if (!err)
		err = wire_send(&wire, LV_MIG_RESOLVE, NULL, 0, NULL, 0, error);
	if (!err)
		err = wire_expect(&wire, LV_MIG_RESOLVED, error);
	if (!err)
		*outcome = migrate_outcome(&wire.migration);
	wire_close(&wire);
	return err;
}

static void ask_for_a_while(const struct sending *send, enum lv_migrate_outcome *outcome)
{
	struct error ignored;
	for (uint64_t end = deadline_in(ASK_MS); *outcome == LV_MIG_UNDECIDED && deadline_left(end); poll(NULL, 0, ASK_EVERY_MS))
		if (!ask_once(send->wish->host, send->uuid, outcome, &ignored) && *outcome != LV_MIG_UNDECIDED)
			return;
}

/* It runs there, and what it needs is here: it does not run here any more, whatever becomes of the rest. If that cannot be written, it waits for an answer as before. */
static void note_switched(const struct sending *send)
{
	struct migrate_mark mark;
	struct error ignored;
	if (!migrate_mark_read(send->info->dir.dir, &mark) || !mark.post)
		return;
	mark.switched = true;
	migrate_mark_write(send->info->dir.dir, &mark, &ignored);
}

static int push(struct sending *send, struct error *error)
{
	note_switched(send);
	return copying_push(&send->copy, error);
}

static int commit(struct sending *send, struct error *error)
{
	int err = hold(send, error);
	if (!err)
		err = wire_send(&send->wire, LV_MIG_COMMIT, NULL, 0, NULL, 0, error);
	if (!err)
		err = copying_expect(&send->copy, LV_MIG_COMMITTED, error);
	send->report->downtime_ns = clock_now() - send->copy.stopped_ns;
	return err || !migrate_is_pushing(&send->wire.migration) ? err : push(send, error);
}

/* What the machine of the conversation says is what counts, whichever way it ended. */
static int conclude(struct sending *send, int err, struct error *error)
{
	enum lv_migrate_outcome outcome = migrate_outcome(&send->wire.migration);
	const char *id = send->info->dir.id;
	struct error why = *error;
	if (outcome == LV_MIG_UNDECIDED)
		ask_for_a_while(send, &outcome);
	send->report->outcome = outcome;
	if (outcome == LV_MIG_DESTINATION_RUNS && send->wire.migration.post && !migrate_ended(&send->wire.migration)) {
		note_switched(send);
		return error_set(error, -EINPROGRESS, "VM %s was switched to host %s, and stands still there until it has the memory that is still here: %s. When that host answers again: lightvm migrate --recover %s",
				 id, send->wish->host, why.text, id);
	}
	if (outcome == LV_MIG_DESTINATION_RUNS)
		return leave(send->state, send->info, send->copy.connection, error);
	if (outcome == LV_MIG_UNDECIDED)
		return error_set(error, -EINPROGRESS, "VM %s stands still: %s after host %s had been told to run it, and it may. When that host answers again: lightvm migrate --resolve ask %s",
				 id, why.text, send->wish->host, id);
	struct migrate_mark mark;
	copying_let_go(&send->copy); /* it goes on as it was, unless it is marked */
	if (migrate_mark_read(send->info->dir.dir, &mark) && come_back(send->info, send->was_paused, error))
		return error->code;
	return error_set(error, err, "VM %s was not moved, and %s here: %s", id, send->was_paused ? "stays" : "runs on", why.text);
}

static void finish(struct sending *send)
{
	copying_free(&send->copy);
	wire_close(&send->wire);
	save_manifest_free(&send->manifest);
}

int migrate_vm(const struct state *state, struct vm_info *info, const struct migrate_wish *wish, struct migrate_report *report, struct error *error)
{
	struct sending send = { .state = state, .info = info, .wish = wish, .report = report, .wire = WIRE_NONE,
		.copy = { .wire = &send.wire, .info = info, .wish = wish, .report = report, .connection = -1, .moment = MOMENT_NONE, .first = MOMENT_NONE } };
	const struct link_order order = { .host = wish->host, .relay = wish->relay, .reached = copying_ahead, .context = &send.copy };
	uint64_t start = clock_now();
	*report = (struct migrate_report){ .outcome = LV_MIG_SOURCE_RUNS };
	int err = check(info, error);
	if (!err && getrandom(send.uuid, sizeof(send.uuid), 0) != (ssize_t)sizeof(send.uuid))
		err = error_set(error, -EIO, "no random numbers");
	if (!err)
		err = describe(&send, error);
	if (!err)
		err = migrate_link_open(&order, send.uuid, &send.wire, error);
	if (err) { /* nothing has begun */
		wire_abandon(&send.wire, error->text);
		finish(&send);
		return err;
	}
	report->kernel_sends = send.wire.link.kernel_sends;
	memcpy(report->cipher, send.wire.link.cipher, sizeof(report->cipher));
	err = move(&send, error);
	if (!err)
		err = commit(&send, error);
	if (err) {
		if (migrate_outcome(&send.wire.migration) == LV_MIG_SOURCE_RUNS)
			copying_let_go(&send.copy); /* it goes on first */
		wire_abandon(&send.wire, error->text);
	}
	err = conclude(&send, err, error);
	report->total_ns = clock_now() - start;
	finish(&send);
	return err;
}

/* ---- afterwards ---- */

/* All that it had when it stood still is sent: what the other host has of it by now is the same. */
static int push_again(struct vm_info *info, struct wire *wire, const struct migrate_wish *wish, struct migrate_report *report, struct error *error)
{
	struct copying copy = { .wire = wire, .info = info, .wish = wish, .report = report, .connection = -1, .moment = MOMENT_NONE, .first = MOMENT_NONE };
	struct changes all = { 0 };
	int err = moment_prepare(&MOMENT_NONE, &copy.moment, error);
	if (!err && (copy.connection = moment_take(info, &copy.moment, error)) < 0)
		err = copy.connection;
	if (!err)
		err = moment_data(&copy.moment, &all, error);
	if (!err)
		err = copying_push_all(&copy, &all, error);
	changes_free(&all);
	copying_free(&copy);
	return err;
}

static int recover_by(struct vm_info *info, const struct migrate_mark *mark, struct wire *wire, const struct migrate_wish *wish, struct migrate_report *report, struct error *error)
{
	int err = wire_send(wire, LV_MIG_RECOVER, NULL, 0, NULL, 0, error);
	if (!err)
		err = wire_receive(wire, error);
	if (err)
		return err;
	report->outcome = migrate_outcome(&wire->migration);
	if (wire->frame.type == LV_MIG_COMMITTED)
		return push_again(info, wire, wish, report, error);
	if (report->outcome == LV_MIG_UNDECIDED)
		return error_set(error, -EAGAIN, "host %s has not seen yet that the connection was lost; try again", mark->host);
	if (report->outcome == LV_MIG_SOURCE_RUNS && mark->switched)
		return error_set(error, -ESTALE, "host %s knows of it no more: it ran there, and does not go on here; lightvm migrate --resolve destination %s removes what is here", mark->host, info->dir.id);
	return 0;
}

static int recover_once(struct vm_info *info, const struct migrate_mark *mark, const struct migrate_wish *wish, struct migrate_report *report, struct error *error)
{
	struct wire wire;
	int err = migrate_link_open(&(const struct link_order){ .host = mark->host, .relay = wish->relay }, mark->uuid, &wire, error);
	report->kernel_sends = wire.link.kernel_sends;
	memcpy(report->cipher, wire.link.cipher, sizeof(report->cipher));
	if (!err)
		err = recover_by(info, mark, &wire, wish, report, error);
	wire_close(&wire);
	return err;
}

int migrate_recover(const struct state *state, struct vm_info *info, const struct migrate_wish *wish, struct migrate_report *report, struct error *error)
{
	struct migrate_mark mark;
	uint64_t start = clock_now();
	*report = (struct migrate_report){ .outcome = LV_MIG_UNDECIDED };
	if (!migrate_mark_read(info->dir.dir, &mark) || !mark.post)
		return error_set(error, -ENOENT, "VM %s has no memory that another host waits for", info->dir.id);
	int err = recover_once(info, &mark, wish, report, error);
	/* Its process may not have seen yet that we have gone, or not have ended. */
	for (uint64_t end = deadline_in(ASK_MS); err == -EAGAIN && deadline_left(end); err = recover_once(info, &mark, wish, report, error))
		poll(NULL, 0, ASK_EVERY_MS);
	if (!err)
		err = report->outcome == LV_MIG_SOURCE_RUNS ? come_back(info, mark.paused, error) : leave(state, info, -1, error);
	report->total_ns = clock_now() - start;
	return err;
}

int migrate_decide(const struct state *state, struct vm_info *info, enum lv_migrate_outcome outcome, struct error *error)
{
	struct migrate_mark mark;
	if (!migrate_mark_read(info->dir.dir, &mark))
		return error_set(error, -ENOENT, "VM %s does not wait for the outcome of a migration", info->dir.id);
	if (outcome == LV_MIG_SOURCE_RUNS && mark.switched)
		return error_set(error, -EPERM, "VM %s ran at host %s after the switch, and does not go on here: what is here is older than what it did there", info->dir.id, mark.host);
	return outcome == LV_MIG_DESTINATION_RUNS ? leave(state, info, -1, error) : come_back(info, mark.paused, error);
}

int migrate_ask(const struct state *state, struct vm_info *info, enum lv_migrate_outcome *outcome, struct error *error)
{
	struct migrate_mark mark;
	*outcome = LV_MIG_UNDECIDED;
	if (!migrate_mark_read(info->dir.dir, &mark))
		return error_set(error, -ENOENT, "VM %s does not wait for the outcome of a migration", info->dir.id);
	int err = ask_once(mark.host, mark.uuid, outcome, error);
	/* Its process may not have seen yet that we have gone. */
	for (uint64_t end = deadline_in(ASK_MS); !err && *outcome == LV_MIG_UNDECIDED && deadline_left(end); err = ask_once(mark.host, mark.uuid, outcome, error))
		poll(NULL, 0, ASK_EVERY_MS);
	if (!err && *outcome == LV_MIG_UNDECIDED)
		err = error_set(error, -EAGAIN, "host %s does not know yet; ask again", mark.host);
	if (!err && *outcome == LV_MIG_SOURCE_RUNS && mark.old)
		err = error_set(error, -ESTALE, "host %s knows of no such migration, but one of more than %d days ago it may have forgotten: if the VM neither runs there nor has, "
				"lightvm migrate --resolve source %s", mark.host, MIGRATE_KEPT_DAYS, info->dir.id);
	if (!err && *outcome == LV_MIG_DESTINATION_RUNS && mark.post)
		err = error_set(error, -EINPROGRESS, "VM %s runs at host %s, and waits for memory that is still here: lightvm migrate --recover %s", info->dir.id, mark.host, info->dir.id);
	return err ? err : migrate_decide(state, info, *outcome, error);
}
