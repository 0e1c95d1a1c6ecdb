/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/clock.h"
#include "base/file.h"
#include "node/monitor_control.h"
#include "node/vm_save.h"

#define DOWNTIME_NS (50 * NS_PER_MS) /* unless told otherwise */
#define FIXED_NS (5 * NS_PER_MS) /* of the downtime, however little is left to send: a monitor that is told there what it runs, and two answers */
#define EARLY (LV_RAM + LV_BOOT_SIZE + LV_HOT_HEAP - LV_BASE) /* bytes of memory, of the library OS */
#define LAST_MOST (1ull << 20)
#define THROTTLE_FIRST 30 /* percent, when a round did not make the rest smaller; and so much more each further time */
#define THROTTLE_MORE 20
#define FIRST_BANDWIDTH (100ull << 20) /* bytes a second, until there is a measure */

/* Of the round before, in bytes a second. */
static uint64_t speed_of(const struct copying *copy)
{
	return copy->last.bytes ? (uint64_t)((unsigned __int128)copy->last.bytes * NS_PER_S / (copy->last.ns + 1)) : FIRST_BANDWIDTH;
}

void copying_tell(void *copying, const char *step, uint64_t done, uint64_t total)
{
	const struct copying *copy = copying;
	const struct migrate_progress progress = { .step = step, .round = copy->report->rounds, .throttle = copy->throttle, .done = done, .total = total, .speed = copy->last.bytes ? speed_of(copy) : 0 };
	if (copy->wish->progress)
		copy->wish->progress(copy->wish->context, &progress);
}

int copying_round_end(struct copying *copy, struct error *error)
{
	int err = wire_send(copy->wire, LV_MIG_ROUND, NULL, 0, NULL, 0, error);
	return err ? err : wire_expect(copy->wire, LV_MIG_TAKEN, error);
}

void copying_let_go(struct copying *copy)
{
	if (copy->connection >= 0)
		close(copy->connection);
	copy->connection = -1;
}

/* ---- parts of all ways ---- */

static void note_round(struct copying *copy, uint64_t bytes, uint64_t ns)
{
	copy->last = (struct migrate_round){ .bytes = bytes, .ns = ns, .throttle = copy->throttle };
	if (copy->report->rounds <= MIGRATE_ROUNDS)
		copy->report->round[copy->report->rounds - 1] = copy->last;
}

/* What is told of it is told of its own size: memory's says little of what is left. */
static int send_moment(struct copying *copy, const struct moment *moment, const struct changes *changes, struct error *error)
{
	struct pieces pieces = { .wire = copy->wire, .type = LV_MIG_MEMORY, .step = "memory", .of = changes->bytes, .told = copying_tell, .context = copy, .bandwidth = copy->wish->bandwidth };
	uint64_t begun = clock_now();
	copy->report->rounds++;
	int err = moment_send(&pieces, moment, changes, error);
	copy->report->memory_bytes += pieces.sent;
	note_round(copy, pieces.sent, clock_now() - begun);
	return err;
}

static int send_round(struct copying *copy, const struct changes *changes, struct error *error)
{
	return send_moment(copy, &copy->moment, changes, error);
}

static int send_state(struct copying *copy, struct error *error)
{
	struct pieces pieces = { .wire = copy->wire, .type = LV_MIG_STATE, .step = "state", .told = copying_tell, .context = copy };
	int err = pieces_send_all(&pieces, copy->moment.state, copy->moment.state_size, error);
	copy->report->state_bytes = pieces.sent;
	return err;
}

static int stand_still(struct copying *copy, struct error *error)
{
	copy->stopped_ns = clock_now();
	copy->connection = moment_take(copy->info, &copy->moment, error);
	return copy->connection < 0 ? copy->connection : 0;
}

static uint64_t most_ns(const struct copying *copy)
{
	return copy->wish->max_downtime_ns ? copy->wish->max_downtime_ns : DOWNTIME_NS;
}

static uint64_t sending_ns(const struct copying *copy, uint64_t bytes)
{
	return (uint64_t)((unsigned __int128)bytes * NS_PER_S / (speed_of(copy) + 1));
}

static bool gets_smaller(uint64_t rest, uint64_t before)
{
	return rest <= before - before / 4;
}

/* ---- stop-and-copy ---- */

static int stop_and_copy(struct copying *copy, struct error *error)
{
	const struct moment nothing = MOMENT_NONE;
	struct changes changes = { 0 };
	int err = moment_prepare(&nothing, &copy->moment, error);
	if (!err)
		err = stand_still(copy, error);
	if (!err)
		err = moment_compare(&nothing, &copy->moment, &changes, error);
	if (!err)
		err = send_round(copy, &changes, error);
	changes_free(&changes);
	return err;
}

/* ---- pre-copy: the monitor tells what was written since it was asked last, and the VM runs meanwhile ---- */

void copying_ahead(void *copying)
{
	struct copying *copy = copying;
	struct error ignored;
	bool looks = copy->wish->mode != MIGRATE_STOP_AND_COPY && !copy->wish->compare;
	copy->ahead = looks && !moment_prepare(&MOMENT_NONE, &copy->moment, &ignored) && !moment_ask(copy->info, &copy->connection, &copy->moment, false, 0, &ignored);
}

static int look(struct copying *copy, bool last, struct error *error)
{
	if (copy->ahead) {
		copy->ahead = false;
		return moment_look(copy->info, &copy->connection, &copy->moment, error);
	}
	moment_drop(&copy->moment);
	int err = moment_prepare(&MOMENT_NONE, &copy->moment, error);
	if (last)
		copy->stopped_ns = clock_now();
	if (!err)
		err = moment_ask(copy->info, &copy->connection, &copy->moment, last, copy->throttle, error);
	return err ? err : moment_look(copy->info, &copy->connection, &copy->moment, error);
}

/* *rest: bytes of it. */
static int look_and_send(struct copying *copy, bool last, uint64_t *rest, struct error *error)
{
	struct changes changes = { 0 };
	int err = look(copy, last, error);
	if (!err)
		err = moment_data(&copy->moment, &changes, error);
	*rest = changes.bytes;
	if (!err)
		err = send_round(copy, &changes, error);
	changes_free(&changes);
	return err;
}

/* What it took until all of it was there: what still lies in buffers would be part of the downtime. */
static int take_round(struct copying *copy, struct error *error)
{
	uint64_t waited = clock_now();
	moment_drop(&copy->moment); /* which is work, too, and has time now */
	int err = copying_round_end(copy, error);
	note_round(copy, copy->last.bytes, copy->last.ns + clock_now() - waited);
	return err;
}

/* It may stand still now. Below half of what is the same however little is left, another round would gain less than it takes. */
static bool fits(struct copying *copy, uint64_t rest)
{
	uint64_t expected = sending_ns(copy, rest);
	copy->report->converged = FIXED_NS + expected <= most_ns(copy);
	return copy->report->converged || expected <= FIXED_NS / 2;
}

/* Another round makes sense, if need be with less processor time for who writes. */
static bool goes_on(struct copying *copy, uint64_t rest, uint64_t before)
{
	unsigned most = copy->wish->max_throttle, more = copy->throttle ? copy->throttle + THROTTLE_MORE : THROTTLE_FIRST;
	if (copy->report->rounds >= MIGRATE_ROUNDS - 1)
		return false;
	if (gets_smaller(rest, before))
		return true;
	if (copy->throttle >= most)
		return false;
	copy->throttle = more < most ? more : most;
	return true;
}

/* The rest of the last round is not known before it stands still: while one is sent about so much is written as is written while the next one is. */
static int pre_copy(struct copying *copy, struct error *error)
{
	uint64_t rest = UINT64_MAX, before;
	int err = 0;
	do {
		before = rest;
		err = look_and_send(copy, false, &rest, error);
		if (!err)
			err = take_round(copy, error);
	} while (!err && (copy->report->rounds == 1 || (!fits(copy, rest) && goes_on(copy, rest, before))));
	copy->throttle = 0;
	return err ? err : look_and_send(copy, true, &rest, error);
}

/* ---- pre-copy where the monitor cannot tell: two moments are compared ---- */

static bool is_enough(struct copying *copy, uint64_t rest, uint64_t before)
{
	copy->report->converged = clock_now() - copy->stopped_ns + FIXED_NS + sending_ns(copy, rest) <= most_ns(copy);
	return copy->report->converged || copy->report->rounds >= MIGRATE_ROUNDS - 1 || !gets_smaller(rest, before);
}

/* What differs from the moment before, of which the other side has all. *last: it is to stay still. */
static int next_round(struct copying *copy, const struct moment *before, uint64_t *rest, bool *last, struct error *error)
{
	struct changes changes = { 0 };
	int err = stand_still(copy, error);
	if (!err && !before->map)
		copying_let_go(copy); /* all of it is sent, and looked through, while it runs */
	if (!err)
		err = moment_compare(before, &copy->moment, &changes, error);
	*last = !err && before->map && is_enough(copy, changes.bytes, *rest);
	*rest = before->map ? changes.bytes : UINT64_MAX;
	if (!*last)
		copying_let_go(copy);
	if (!err)
		err = send_round(copy, &changes, error);
	changes_free(&changes);
	return err;
}

static int pre_copy_by_comparing(struct copying *copy, struct error *error)
{
	struct moment before = MOMENT_NONE;
	uint64_t rest = UINT64_MAX;
	bool last = false;
	int err = 0;
	while (!err && !last) {
		moment_drop(&before);
		before = copy->moment;
		err = moment_prepare(&before, &copy->moment, error);
		if (!err && copy->report->rounds) /* it arrives while we prepare */
			err = copying_round_end(copy, error);
		if (!err)
			err = next_round(copy, &before, &rest, &last, error);
	}
	moment_drop(&before);
	return err;
}

static int lend_disks(const struct copying *copy, struct error *error)
{
	struct control_answer *answer = alloc_zero(sizeof(*answer));
	int err = answer ? control_call(copy->connection, LV_CTL_LEND, 0, NULL, 0, answer) : -ENOMEM;
	if (err)
		error_set(error, err, "VM %s: %s", copy->info->dir.id, answer && *answer->why ? answer->why : strerror(-err));
	free(answer);
	return err;
}

/* ---- post-copy ---- */

/* What every VM of the library OS touches at once, and the monitor when it loads its state; and what was written last, if that is little: it would be asked for before anything else. */
static int send_early(struct copying *copy, const struct changes *last, struct error *error)
{
	int err = copy->info->status.guest == LV_GUEST_LINUX ? 0 : push_send(&copy->push, &copy->pieces, 0, EARLY, error);
	for (size_t i = 0; i < last->count && last->bytes <= LAST_MOST && !err; i++)
		err = push_send(&copy->push, &copy->pieces, last->run[i].at, last->run[i].at + last->run[i].size, error);
	return err;
}

/* What is in older or, if it is there, in newer (NULL: nothing is). */
static int begin_push(struct copying *copy, const struct moment *older, const struct moment *newer, const struct changes *all, const struct changes *last, struct error *error)
{
	copy->pieces = (struct pieces){ .wire = copy->wire, .type = LV_MIG_MEMORY, .step = "memory", .told = copying_tell, .context = copy, .bandwidth = copy->wish->bandwidth, .asked = true };
	copy->report->rounds++;
	int err = push_begin(&copy->push, older, newer, error);
	if (err)
		return err;
	if (copy->wish->mode == MIGRATE_POST_COPY)
		push_add(&copy->push, all, 0, UINT64_MAX);
	push_add(&copy->push, last, 0, UINT64_MAX);
	copy->pieces.of = copy->push.left * LV_MIGRATE_PAGE;
	err = send_early(copy, last, error);
	return err || !copy->push.left ? err : push_tell(&copy->push, copy->wire, error);
}

/* It stands still only for what was written since the first look, and its state. Nobody gives up silently from here on: what comes is heard where it is waited for. */
static int post_copy(struct copying *copy, struct error *error)
{
	struct changes all = { 0 }, last = { 0 };
	int err = look(copy, false, error);
	if (!err)
		err = moment_data(&copy->moment, &all, error);
	if (!err && copy->wish->mode == MIGRATE_HYBRID && !(err = send_round(copy, &all, error)))
		err = copying_round_end(copy, error);
	copy->first = copy->moment;
	copy->moment = MOMENT_NONE;
	if (!err)
		err = look(copy, true, error);
	if (!err)
		err = moment_data(&copy->moment, &last, error);
	if (!err)
		err = begin_push(copy, &copy->first, &copy->moment, &all, &last, error);
	changes_free(&all);
	changes_free(&last);
	return err;
}

/* ---- post-copy where the monitor cannot tell: it stands still while its memory is copied within this host ---- */

/* All of it is sent while the VM runs; *last: what differs from that when it stands still. */
static int send_first(struct copying *copy, struct changes *last, struct error *error)
{
	struct changes all = { 0 };
	int err = moment_data(&copy->moment, &all, error);
	copying_let_go(copy);
	copy->first = copy->moment;
	copy->moment = MOMENT_NONE;
	if (!err)
		err = send_moment(copy, &copy->first, &all, error);
	if (!err)
		err = moment_prepare(&copy->first, &copy->moment, error);
	if (!err)
		err = copying_round_end(copy, error);
	if (!err)
		err = stand_still(copy, error);
	changes_free(&all);
	if (!err)
		err = moment_compare(&copy->first, &copy->moment, last, error);
	moment_drop(&copy->first); /* as much memory as the VM has, and nothing is asked of it from here on */
	return err;
}

static int post_copy_by_copying(struct copying *copy, struct error *error)
{
	struct changes all = { 0 }, last = { 0 };
	int err = moment_prepare(&MOMENT_NONE, &copy->moment, error);
	if (!err)
		err = stand_still(copy, error);
	if (!err)
		err = copy->wish->mode == MIGRATE_HYBRID ? send_first(copy, &last, error) : moment_data(&copy->moment, &all, error);
	if (!err) /* the second is whole, too, so that nothing of the first is asked for */
		err = begin_push(copy, &copy->moment, NULL, &all, &last, error);
	changes_free(&all);
	changes_free(&last);
	return err;
}

int copying_expect(struct copying *copy, enum lv_migrate_type type, struct error *error)
{
	int err = wire_receive(copy->wire, error);
	while (!err && copy->wire->frame.type == LV_MIG_WANT) {
		err = push_answer(&copy->push, &copy->pieces, error);
		if (!err)
			err = wire_receive(copy->wire, error);
	}
	if (!err && copy->wire->frame.type != type)
		err = error_set(error, -EPROTO, "%s came in place of %s", migrate_type_name(copy->wire->frame.type), migrate_type_name(type));
	return err;
}

int copying_push(struct copying *copy, struct error *error)
{
	uint64_t before = copy->pieces.sent;
	int err = push_all(&copy->push, &copy->pieces, error);
	copy->report->pushed_bytes = copy->pieces.sent - before;
	copy->report->memory_bytes += copy->pieces.sent;
	return err;
}

int copying_push_all(struct copying *copy, const struct changes *all, struct error *error)
{
	copy->pieces = (struct pieces){ .wire = copy->wire, .type = LV_MIG_MEMORY, .step = "memory", .told = copying_tell, .context = copy, .bandwidth = copy->wish->bandwidth, .of = all->bytes, .asked = true };
	int err = push_begin(&copy->push, &copy->moment, NULL, error);
	if (err)
		return err;
	push_add(&copy->push, all, 0, UINT64_MAX);
	return copying_push(copy, error);
}

void copying_free(struct copying *copy)
{
	copying_let_go(copy);
	push_free(&copy->push);
	moment_drop(&copy->moment);
	moment_drop(&copy->first);
}

/* ---- which one ---- */

static int one_way(struct copying *copy, struct error *error)
{
	switch (copy->wish->mode) {
	case MIGRATE_STOP_AND_COPY:
		return stop_and_copy(copy, error);
	case MIGRATE_POST_COPY:
	case MIGRATE_HYBRID:
		if (!copy->report->instead)
			return copy->wish->compare ? -EOPNOTSUPP : post_copy(copy, error);
		break;
	default:
		break;
	}
	copy->report->pre_copy = true;
	return copy->wish->compare ? -EOPNOTSUPP : pre_copy(copy, error);
}

int copying_run(struct copying *copy, struct error *error)
{
	int err = one_way(copy, error);
	if (err == -EOPNOTSUPP && !copy->report->rounds) {
		copy->report->compares = true;
		moment_drop(&copy->moment);
		moment_drop(&copy->first);
		err = copy->report->pre_copy ? pre_copy_by_comparing(copy, error) : post_copy_by_copying(copy, error);
	}
	if (!err && copy->disks)
		err = lend_disks(copy, error);
	return err ? err : send_state(copy, error);
}
