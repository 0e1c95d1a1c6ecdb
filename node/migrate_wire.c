/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/deadline.h"

#define BODY_STEP (64u << 10) /* of a long body that is made room for at a time, as it comes */

void wire_open(struct wire *wire, struct tls_link *link, enum migrate_side side, const uint8_t *uuid)
{
	*wire = WIRE_NONE;
	wire->link = *link;
	*link = TLS_LINK_NONE;
	migrate_begin(&wire->migration, side, uuid);
}

void wire_close(struct wire *wire)
{
	tls_link_close(&wire->link);
	free(wire->body);
	free(wire->out);
	*wire = WIRE_NONE;
}

static int lost(struct wire *wire, int err, struct error *error)
{
	wire->lost = true;
	if (err == -ETIMEDOUT)
		return error_set(error, err, "nothing came from the other host for %d s", wire->patience_ms / 1000);
	return error_set(error, err == -EPIPE || !err ? -ECONNRESET : err, "the connection to the other host is lost");
}

/* ---- out ---- */

static int await_room(struct wire *wire)
{
	struct pollfd wait = { .fd = wire->link.out, .events = POLLOUT };
	int n;
	while ((n = poll(&wait, 1, wire->patience_ms)) < 0 && errno == EINTR)
		;
	return n > 0 ? 0 : n ? -errno : -ETIMEDOUT;
}

static void advance(struct iovec *iov, size_t n)
{
	for (; n; iov++) {
		size_t part = n < iov->iov_len ? n : iov->iov_len;
		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
		n -= part;
	}
}

static int put(struct wire *wire, struct iovec iov[3])
{
	size_t left = iov[0].iov_len + iov[1].iov_len + iov[2].iov_len;
	while (left) {
		struct msghdr message = { .msg_iov = iov, .msg_iovlen = 3 };
		ssize_t n = sendmsg(wire->link.out, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = n >= 0 ? 0 : errno == EAGAIN ? await_room(wire) : errno == EINTR ? 0 : -errno;
		if (err)
			return err;
		if (n > 0)
			advance(iov, (size_t)n);
		left -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The judge wants to see a body whole; of pieces only the head matters. */
int wire_send(struct wire *wire, enum lv_migrate_type type, const void *first, size_t first_size, const void *second, size_t second_size, struct error *error)
{
	struct lv_migrate_frame frame = migrate_frame(&wire->migration, type, (uint32_t)(first_size + second_size));
	struct iovec iov[] = { { &frame, sizeof(frame) }, { (void *)first, first_size }, { (void *)second, second_size } };
	if (wire->lost)
		return lost(wire, -ECONNRESET, error);
	int err = migrate_take(&wire->migration, wire->migration.side, &frame, first, NULL, error);
	if (err)
		return err;
	err = put(wire, iov);
	return err ? lost(wire, err, error) : 0;
}

/* ---- in ---- */

static int get(struct wire *wire, void *data, size_t size)
{
	uint8_t *at = data;
	while (size) {
		ssize_t n = recv(wire->link.in, at, size, MSG_DONTWAIT);
		if (!n)
			return -ECONNRESET;
		int err = n > 0 ? 0 : errno == EAGAIN ? deadline_readable(wire->link.in, deadline_in(wire->patience_ms)) : errno == EINTR ? 0 : -errno;
		if (err)
			return err;
		at += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int make_room(struct wire *wire, size_t size)
{
	if (wire->room >= size + 1)
		return 0;
	uint8_t *more = realloc(wire->body, size + 1);
	if (!more)
		return -ENOMEM;
	wire->body = more;
	wire->room = size + 1;
	return 0;
}

/* A length that was only promised takes no memory. */
static int get_body(struct wire *wire, uint32_t size)
{
	int err = make_room(wire, size < WIRE_BODY ? WIRE_BODY : 0);
	for (uint32_t at = 0; at < size && !err;) {
		uint32_t part = size <= WIRE_BODY ? size : size - at < BODY_STEP ? size - at : BODY_STEP;
		err = make_room(wire, at + part);
		if (!err)
			err = get(wire, wire->body + at, part);
		at += part;
	}
	if (!err)
		wire->body[size] = 0;
	return err;
}

static int receive_one(struct wire *wire, bool *ignored, struct error *error)
{
	int err = wire->lost ? -ECONNRESET : get(wire, &wire->frame, sizeof(wire->frame));
	if (err)
		return lost(wire, err, error);
	err = migrate_check(&wire->migration, &wire->frame, error);
	if (err)
		return err;
	err = get_body(wire, wire->frame.size);
	if (err == -ENOMEM)
		return error_set(error, err, "out of memory");
	if (err)
		return lost(wire, err, error);
	return migrate_take(&wire->migration, !wire->migration.side, &wire->frame, wire->body, ignored, error);
}

int wire_receive(struct wire *wire, struct error *error)
{
	bool ignored = true;
	int err = 0;
	while (!err && ignored)
		err = receive_one(wire, &ignored, error);
	if (err == -EPROTO || err == -EPROTONOSUPPORT) /* who breaks the rules is not understood from here on */
		return error_prefix(error, "the migration protocol was broken");
	if (err || wire->frame.type != LV_MIG_ABANDON)
		return err;
	memcpy(wire->why, wire->body, wire->frame.size + 1);
	return error_set(error, -ECANCELED, "%s", wire->why);
}

int wire_expect(struct wire *wire, enum lv_migrate_type type, struct error *error)
{
	int err = wire_receive(wire, error);
	if (!err && wire->frame.type != type)
		err = error_set(error, -EPROTO, "%s came in place of %s", migrate_type_name(wire->frame.type), migrate_type_name(type));
	return err;
}

uint8_t *wire_buffer(struct wire *wire)
{
	if (!wire->out)
		wire->out = aligned_alloc(64, LV_MIGRATE_DATA);
	return wire->out;
}

bool wire_has(const struct wire *wire)
{
	struct pollfd wait = { .fd = wire->link.in, .events = POLLIN };
	return poll(&wait, 1, 0) > 0;
}

static bool other_left(const struct wire *wire)
{
	return wire->migration.phase == (wire->migration.side == MIGRATE_SOURCE ? MIGRATE_LEAVING_DESTINATION : MIGRATE_LEAVING_SOURCE);
}

void wire_abandon(struct wire *wire, const char *reason)
{
	struct error ignored = { 0 };
	size_t n = strlen(reason);
	int err = 0;
	if (!wire->lost && !other_left(wire) && migrate_may_abandon(&wire->migration))
		err = wire_send(wire, LV_MIG_ABANDON, reason, n < LV_MIGRATE_TEXT_MAX ? n : LV_MIGRATE_TEXT_MAX, NULL, 0, &ignored);
	/* The answer, or another ABANDON, which crossed ours and is answered in turn. */
	while (!err && !wire->lost && !migrate_ended(&wire->migration) && !other_left(wire) && migrate_is_leaving(&wire->migration))
		err = wire_receive(wire, &ignored) == -ECANCELED ? 0 : ignored.code;
	if (!err && !wire->lost && other_left(wire))
		wire_send(wire, LV_MIG_ABANDONED, NULL, 0, NULL, 0, &ignored);
}
