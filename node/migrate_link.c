/* SPDX-License-Identifier: Apache-2.0 */
#include "node/migrate_link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/address.h"
#include "base/deadline.h"
#include "node/host_store.h"

#define CONNECT_MS 10000 /* for the connection and its handshake */

static int reach(const struct host *host, uint64_t deadline, struct error *error)
{
	int socket = address_tcp_connect(host->address, HOST_PORT, deadline, error);
	if (socket != -ECONNREFUSED)
		return socket;
	const struct error cause = *error;
	return error_set(error, socket, "%s; is \"lightvm host serve\" running there?", cause.text);
}

static int secure(const struct host *host, const struct link_order *order, struct tls_link *link, struct error *error)
{
	struct strings trusted = { 0 };
	struct tls_terms terms = { .own = host_own_open(error), .trusted = &trusted, .relay = order->relay, .deadline = deadline_in(CONNECT_MS) };
	if (terms.own < 0)
		return terms.own;
	strings_add(&trusted, host->fingerprint);
	int socket = reach(host, terms.deadline, error), err = socket < 0 ? socket : 0;
	if (!err && order->reached)
		order->reached(order->context);
	if (!err)
		err = tls_link_connect(socket, &terms, link, error);
	if (err == -EACCES && strcmp(link->peer, host->fingerprint))
		error_set(error, err, "what answers at %s is not the host \"%s\", or its key is another one: its fingerprint is %s", host->address, host->name, link->peer);
	else if (err == -EACCES)
		error_set(error, err, "\"lightvm host add\" has to be run there, with the fingerprint that \"lightvm host show\" prints here");
	strings_free(&trusted);
	close(terms.own);
	return err;
}

static int greet(struct wire *wire, struct error *error)
{
	const struct lv_migrate_hello hello = { .oldest = LV_MIGRATE_OLDEST, .newest = LV_MIGRATE_VERSION };
	int err = wire_send(wire, LV_MIG_HELLO, &hello, sizeof(hello), NULL, 0, error);
	return err ? err : wire_expect(wire, LV_MIG_HELLO, error);
}

int migrate_link_open(const struct link_order *order, const uint8_t uuid[LV_MIGRATE_UUID], struct wire *wire, struct error *error)
{
	struct tls_link link = TLS_LINK_NONE;
	struct host host;
	*wire = WIRE_NONE;
	int err = host_find(order->host, &host, error);
	if (err)
		return err;
	err = secure(&host, order, &link, error);
	if (!err) {
		wire_open(wire, &link, MIGRATE_SOURCE, uuid);
		err = greet(wire, error);
	}
	host_free(&host);
	return err ? error_prefix(error, "host %s", order->host) : 0;
}
