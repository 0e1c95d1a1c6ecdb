/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_switched.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "node/migrate_sweep.h"

/*
 * The monitor waits for memory while it loads the state, and when it is told to run: whoever tells it may not be who brings that memory. So that is a thread of its own, which
 * says when it is done with either, by a byte; what it was done with, both know.
 */
struct worker {
	struct arriving *vm;
	uint64_t memory_size;
	int order[2], done[2]; /* pipes: to run it, closed: not to; and that the first or the second is done */
	int monitor; /* pidfd: its end ends the waiting for it */
	pthread_t thread;
	bool started, ordered; /* ordered: it may have committed */
	int err;
	struct error error;
};

static int run_it(struct arriving *vm, struct error *error)
{
	int err = arriving_commit(vm, error);
	if (!err)
		migrate_record_done(&vm->record);
	return err;
}

static void say_done(const struct worker *worker)
{
	ssize_t n = write(worker->done[1], "", 1);
	(void)n; /* it has room */
}

static void *work(void *context)
{
	struct worker *worker = context;
	char byte;
	worker->err = arriving_start(worker->vm, worker->memory_size, &worker->error);
	say_done(worker);
	if (worker->err || read(worker->order[0], &byte, 1) != 1)
		return NULL;
	worker->err = run_it(worker->vm, &worker->error);
	say_done(worker);
	return NULL;
}

static int start_worker(struct worker *worker, struct error *error)
{
	int err = pipe2(worker->order, O_CLOEXEC) || pipe2(worker->done, O_CLOEXEC) ? -errno : 0;
	worker->monitor = err ? -1 : fcntl(worker->vm->shell.monitor.pidfd, F_DUPFD_CLOEXEC, 3);
	if (!err && worker->monitor < 0)
		err = -errno;
	if (!err)
		err = -pthread_create(&worker->thread, NULL, work, worker);
	worker->started = !err;
	return err ? error_set(error, err, "starting the VM that comes: %s", strerror(-err)) : 0;
}

/* Not before it has run what it was told to. */
static void end_worker(struct worker *worker, bool failed)
{
	const int fds[] = { worker->order[0], worker->done[0], worker->done[1], worker->monitor };
	if (failed && worker->monitor >= 0 && !worker->ordered)
		syscall(SYS_pidfd_send_signal, worker->monitor, SIGKILL, NULL, 0);
	if (worker->order[1] >= 0)
		close(worker->order[1]);
	if (worker->started)
		pthread_join(worker->thread, NULL);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* ---- the conversation ---- */

static int hear_worker(struct worker *worker, struct wire *wire, struct error *error)
{
	char byte;
	if (read(worker->done[0], &byte, 1) != 1)
		return error_set(error, -EIO, "starting the VM that comes: %s", strerror(errno));
	*error = worker->error;
	if (worker->err)
		return worker->err;
	return wire_send(wire, wire->migration.phase == MIGRATE_COMPLETE ? LV_MIG_READY : LV_MIG_COMMITTED, NULL, 0, NULL, 0, error);
}

static int take_memory(struct wire *wire, struct coming *coming, struct error *error)
{
	struct lv_migrate_piece piece;
	memcpy(&piece, wire->body, sizeof(piece));
	return coming_take(coming, &piece, wire->body + sizeof(piece), wire->frame.size - sizeof(piece), error);
}

static int hear_source(struct wire *wire, struct coming *coming, struct worker *worker, struct error *error)
{
	int err = wire_receive(wire, error);
	if (err)
		return err;
	switch (wire->frame.type) {
	case LV_MIG_MEMORY:
		return take_memory(wire, coming, error);
	case LV_MIG_COMMIT:
		worker->ordered = true;
		return write(worker->order[1], "", 1) == 1 ? 0 : error_set(error, -EIO, "running the VM that comes: %s", strerror(errno));
	default: /* ROUND */
		err = coming_end(coming, error);
		return err ? err : wire_send(wire, LV_MIG_TAKEN, NULL, 0, NULL, 0, error);
	}
}

/* worker NULL: it runs already. */
static int converse(struct wire *wire, struct coming *coming, struct worker *worker, struct error *error)
{
	int err = 0;
	while (!err && !migrate_ended(&wire->migration)) {
		struct pollfd wait[] = { { .fd = wire->link.in, .events = POLLIN }, { .fd = coming->pager, .events = POLLIN }, { .fd = worker ? worker->done[0] : -1, .events = POLLIN } };
		int n = poll(wait, 3, wire->patience_ms);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(error, n ? -errno : -ETIMEDOUT, "nothing came from the other host for %d s", wire->patience_ms / 1000);
		if (wait[1].revents)
			err = coming_hear(coming, error);
		if (!err && wait[2].revents)
			err = hear_worker(worker, wire, error);
		if (!err && wait[0].revents)
			err = hear_source(wire, coming, worker, error);
	}
	return err;
}

int switched_run(struct wire *wire, struct arriving *vm, struct error *error)
{
	struct worker worker = { .vm = vm, .memory_size = wire->migration.memory_size, .order = { -1, -1 }, .done = { -1, -1 }, .monitor = -1 };
	int err = arriving_later(vm, wire, error);
	if (!err)
		err = start_worker(&worker, error);
	if (!err)
		err = converse(wire, &vm->coming, &worker, error);
	end_worker(&worker, err != 0);
	if (!err)
		migrate_renew(vm->state, &vm->record);
	return err;
}

/* ---- after the connection was lost ---- */

static int say(struct wire *wire, enum lv_migrate_outcome outcome, struct error *error)
{
	const struct lv_migrate_resolved resolved = { .outcome = outcome };
	return wire_send(wire, LV_MIG_RESOLVED, &resolved, sizeof(resolved), NULL, 0, error);
}

static int join(const struct state *state, const struct migrate_record *record, struct wire *wire, struct coming *coming, struct error *error)
{
	struct vm_dir vm;
	int err = vm_open(state, record->id, &vm);
	if (err)
		return err;
	err = coming_join(coming, wire, vm.dir, error);
	vm_close(&vm);
	return err;
}

static int give_memory(struct wire *wire, struct coming *coming, struct error *error)
{
	int err = wire_send(wire, LV_MIG_COMMITTED, NULL, 0, NULL, 0, error);
	return err ? err : converse(wire, coming, NULL, error);
}

/* Its process may have been killed before the VM was shown, or told to run, which waits for memory, too. What is at the source may go only when nobody here can want it. */
static int recover_one(const struct state *state, struct migrate_record *record, struct wire *wire, struct error *error)
{
	struct coming coming = COMING_NONE;
	struct error ignored;
	bool runs = !migrate_finish(state, record, &ignored);
	int err = join(state, record, wire, &coming, error);
	const bool came = !err;
	if (came)
		err = give_memory(wire, &coming, error);
	else
		err = say(wire, runs && (err == -ENOENT || err == -ECONNREFUSED) ? LV_MIG_DESTINATION_RUNS : LV_MIG_UNDECIDED, error);
	coming_free(&coming);
	if (!err && record->step == MIGRATE_HAS_COMMITTED && !migrate_finish(state, record, &ignored))
		migrate_record_done(record);
	if (!err && (came || runs)) /* one that stands still answers nobody, and the record would be held for as long as that is waited for */
		migrate_renew(state, record);
	return err;
}

int switched_recover(const struct state *state, struct wire *wire, struct error *error)
{
	struct migrate_record record;
	char hex[MIGRATE_HEX + 1];
	hex_print(wire->migration.uuid, LV_MIGRATE_UUID, hex);
	int err = migrate_record_open(state, hex, &record, error);
	if (err == -ENOENT) {
		err = say(wire, LV_MIG_SOURCE_RUNS, error);
	} else if (err) {
		err = say(wire, LV_MIG_UNDECIDED, error);
	} else if (record.step == MIGRATE_RECEIVING) {
		migrate_discard(state, &record);
		err = say(wire, LV_MIG_SOURCE_RUNS, error);
	} else {
		err = recover_one(state, &record, wire, error);
	}
	migrate_record_close(&record);
	return err;
}
