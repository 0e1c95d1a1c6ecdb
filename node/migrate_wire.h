/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of a migration on their connection: each is judged (migrate_protocol.h) before it goes out and when it has come. */
#ifndef LV_NODE_MIGRATE_WIRE_H
#define LV_NODE_MIGRATE_WIRE_H

#include "node/migrate_protocol.h"
#include "node/tls_link.h"

#define WIRE_PATIENCE_MS 30000 /* without one byte from the other side, where it has something to say or to take */
#define WIRE_BODY (sizeof(struct lv_migrate_piece) + LV_MIGRATE_DATA)

struct wire { /* WIRE_NONE */
	struct tls_link link;
	struct migration migration;
	int patience_ms;
	struct lv_migrate_frame frame; /* that came last */
	uint8_t *body; /* of it; terminated by a zero byte that size does not count */
	size_t room;
	uint8_t *out; /* wire_buffer */
	bool lost; /* the connection: nothing can be said on it any more */
	char why[LV_MIGRATE_TEXT_MAX + 1]; /* what the ABANDON said that came */
};
#define WIRE_NONE ((struct wire){ .link = TLS_LINK_NONE, .patience_ms = WIRE_PATIENCE_MS })

/* Takes the connection. */
void wire_open(struct wire *wire, struct tls_link *link, enum migrate_side side, const uint8_t *uuid);
void wire_close(struct wire *wire);

/* A frame of one or two parts; second may be empty. 0, or a negative errno with a message: the connection is lost then, unless wire->lost says otherwise. */
int wire_send(struct wire *wire, enum lv_migrate_type type, const void *first, size_t first_size, const void *second, size_t second_size, struct error *error);
/*
 * The next frame; those that an ABANDON has crossed are passed over. An ABANDON that comes is -ECANCELED with its text as the message. It is not answered here.
 */
int wire_receive(struct wire *wire, struct error *error);
/* The same, and it has to be of this type. */
int wire_expect(struct wire *wire, enum lv_migrate_type type, struct error *error);
/* LV_MIGRATE_DATA bytes for who sends; the wire's. NULL: out of memory. */
uint8_t *wire_buffer(struct wire *wire);
/* Is there something to receive? */
bool wire_has(const struct wire *wire);
/*
 * The end of a migration that failed for a reason: says ABANDON, if it may be said, and waits for the answer; answers one that came. After it nobody says
 * anything more. Nothing where the connection is lost.
 */
void wire_abandon(struct wire *wire, const char *reason);

#endif
