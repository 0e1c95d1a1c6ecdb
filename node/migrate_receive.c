/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_receive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/file.h"
#include "node/host_store.h"
#include "node/migrate_arrive.h"
#include "node/migrate_sweep.h"
#include "node/migrate_switched.h"
#include "node/migrate_wire.h"

#define HANDSHAKE_MS 10000

/* ---- an older one is asked about ---- */

/* From then on it is its user's alone: nobody has it go on once more. */
static int finish(const struct state *state, struct migrate_record *record, struct error *error)
{
	int err = migrate_finish(state, record, error);
	if (!err && record->step == MIGRATE_HAS_COMMITTED)
		migrate_record_done(record);
	return err;
}

/* What it says holds for ever: what has not taken COMMIT by now never will, since nobody works on it any more and its record goes. record: stays open. */
static enum lv_migrate_outcome resolve(const struct state *state, const uint8_t *uuid, struct migrate_record *record)
{
	struct error error = { 0 };
	char hex[MIGRATE_HEX + 1];
	enum lv_migrate_outcome outcome = LV_MIG_UNDECIDED;
	hex_print(uuid, LV_MIGRATE_UUID, hex);
	int err = migrate_record_open(state, hex, record, &error);
	if (err == -ENOENT)
		outcome = LV_MIG_SOURCE_RUNS;
	else if (!err && record->step != MIGRATE_RECEIVING)
		outcome = finish(state, record, &error) ? LV_MIG_UNDECIDED : LV_MIG_DESTINATION_RUNS;
	else if (!err) {
		migrate_discard(state, record);
		outcome = LV_MIG_SOURCE_RUNS;
	}
	return outcome;
}

static int answer(const struct state *state, struct wire *wire, struct error *error)
{
	struct migrate_record record;
	const struct lv_migrate_resolved resolved = { .outcome = resolve(state, wire->migration.uuid, &record) };
	int err = wire_send(wire, LV_MIG_RESOLVED, &resolved, sizeof(resolved), NULL, 0, error);
	if (resolved.outcome == LV_MIG_DESTINATION_RUNS) /* it may be the sweep that had it go on, which does not wait for guests */
		migrate_renew(state, &record);
	migrate_record_close(&record);
	return err;
}

/* ---- the conversation ---- */

static int greet(struct wire *wire, struct error *error)
{
	int err = wire_expect(wire, LV_MIG_HELLO, error);
	const struct lv_migrate_hello hello = { .oldest = wire->migration.version, .newest = wire->migration.version };
	return err ? err : wire_send(wire, LV_MIG_HELLO, &hello, sizeof(hello), NULL, 0, error);
}

static bool may_wait(void)
{
	int device = coming_device();
	if (device >= 0)
		close(device);
	return device >= 0;
}

static int take_offer(struct wire *wire, struct arriving *vm, struct error *error)
{
	bool wants_image = false;
	int err = arriving_offer(vm, wire->body, wire->frame.size, &wants_image, error);
	const struct lv_migrate_wanted wanted = { .image = wants_image, .post_copy = wire->migration.version >= 2 && arriving_may_wait(vm) && may_wait() };
	migrate_expect(&wire->migration, vm->save.manifest.image_size);
	return err ? err : wire_send(wire, LV_MIG_WANTED, &wanted, sizeof(wanted), NULL, 0, error);
}

static int take_piece(struct wire *wire, struct arriving *vm, struct error *error)
{
	struct lv_migrate_piece piece;
	const uint8_t *data = wire->body + sizeof(piece);
	size_t size = wire->frame.size - sizeof(piece);
	memcpy(&piece, wire->body, sizeof(piece));
	switch (wire->frame.type) {
	case LV_MIG_IMAGE:
		return arriving_image(vm, piece.offset, data, size, error);
	case LV_MIG_LACKING:
		return arriving_lacking(vm, &piece, data, size, error);
	case LV_MIG_MEMORY:
		return arriving_memory(vm, piece.offset, data, size, piece.total, error);
	default:
		return arriving_state(vm, piece.offset, data, size, error);
	}
}

static int take_round(struct wire *wire, struct arriving *vm, struct error *error)
{
	int err = wire->migration.phase == MIGRATE_IMAGE_END ? arriving_image_end(vm, error) : 0;
	if (!err)
		err = wire_send(wire, LV_MIG_TAKEN, NULL, 0, NULL, 0, error);
	return err ? err : arriving_ahead(vm, error);
}

static int take_data(struct wire *wire, struct arriving *vm, struct error *error)
{
	int err = 0;
	while (!err && wire->migration.phase != MIGRATE_COMPLETE) {
		err = wire_receive(wire, error);
		if (!err)
			err = wire->frame.type == LV_MIG_ROUND ? take_round(wire, vm, error) : take_piece(wire, vm, error);
	}
	return err;
}

/* The VM runs before the source hears of it. */
static int commit(struct wire *wire, struct arriving *vm, struct error *error)
{
	int err = arriving_commit(vm, error);
	if (err)
		return err;
	err = wire_send(wire, LV_MIG_COMMITTED, NULL, 0, NULL, 0, error);
	migrate_record_done(&vm->record);
	migrate_renew(vm->state, &vm->record);
	return err;
}

static int receive_vm(const struct state *state, const struct migrate_places *places, struct wire *wire, struct arriving *vm, struct error *error)
{
	int err = arriving_begin(vm, state, wire->migration.uuid, places, error);
	if (!err)
		err = take_offer(wire, vm, error);
	if (!err)
		err = arriving_ahead(vm, error); /* afterwards: the source takes its first look meanwhile */
	if (!err)
		err = take_data(wire, vm, error);
	if (!err && wire->migration.post)
		return switched_run(wire, vm, error);
	if (!err)
		err = arriving_start(vm, wire->migration.memory_size, error);
	if (!err)
		err = wire_send(wire, LV_MIG_READY, NULL, 0, NULL, 0, error);
	if (!err)
		err = wire_expect(wire, LV_MIG_COMMIT, error);
	return err ? err : commit(wire, vm, error);
}

static void tell(struct arriving *vm, struct migrate_arrival *arrival)
{
	memcpy(arrival->id, vm->config.id, sizeof(arrival->id));
	arrival->name = vm->config.name ? alloc_copy(vm->config.name) : NULL;
	arrival->arrived = vm->committed;
}

static int converse(const struct state *state, const struct migrate_places *places, struct wire *wire, struct migrate_arrival *arrival, struct error *error)
{
	struct arriving *vm;
	int err = greet(wire, error);
	if (!err)
		err = wire_receive(wire, error);
	arrival->asked = !err && wire->frame.type == LV_MIG_RESOLVE;
	if (arrival->asked)
		return answer(state, wire, error);
	if (!err && wire->frame.type == LV_MIG_RECOVER)
		return switched_recover(state, wire, error);
	vm = err ? NULL : arriving_new();
	if (!err)
		err = vm ? receive_vm(state, places, wire, vm, error) : error_set(error, -ENOMEM, "out of memory");
	/* What it leaves is removed first: ABANDONED says that there is nothing. */
	if (vm) {
		tell(vm, arrival);
		arriving_free(vm);
	}
	if (err && !arrival->arrived) /* whoever has committed has nothing to take back, and the source asks */
		wire_abandon(wire, error->text);
	return err;
}

/* ---- the connection ---- */

static int secure(int socket, struct tls_link *link, struct error *error)
{
	struct strings trusted = { 0 };
	struct tls_terms terms = { .own = host_own_open(error), .trusted = &trusted, .relay = getenv("LIGHTVM_NO_KTLS") != NULL, .deadline = deadline_in(HANDSHAKE_MS) };
	int err = terms.own < 0 ? terms.own : hosts_trusted(&trusted, error);
	if (!err)
		err = tls_link_accept(socket, &terms, link, error);
	else
		close(socket);
	if (terms.own >= 0)
		close(terms.own);
	strings_free(&trusted);
	return err;
}

int migrate_receive(const struct state *state, int socket, const struct migrate_places *places, struct migrate_arrival *arrival, struct error *error)
{
	struct tls_link link = TLS_LINK_NONE;
	struct wire wire = WIRE_NONE;
	*arrival = (struct migrate_arrival){ 0 };
	int err = secure(socket, &link, error);
	if (err)
		return err == -EACCES && link.peer[0] ? error_prefix(error, "%.16s...", link.peer) : err;
	arrival->host = host_name_of(link.peer);
	wire_open(&wire, &link, MIGRATE_DESTINATION, NULL);
	err = converse(state, places, &wire, arrival, error);
	wire_close(&wire);
	return err;
}

void migrate_arrival_free(struct migrate_arrival *arrival)
{
	free(arrival->host);
	free(arrival->name);
	*arrival = (struct migrate_arrival){ 0 };
}
