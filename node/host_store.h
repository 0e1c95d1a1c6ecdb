/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This host's identity and the hosts that it trusts, in the directory "hosts" of what is kept (node/kept.h): own.pem, key and certificate, readable by its owner
 * alone; NAME.json for each other host. Who is in there may move VMs to this host, and this host VMs to it.
 */
#ifndef LV_NODE_HOST_STORE_H
#define LV_NODE_HOST_STORE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "node/tls_link.h"

#define HOST_PORT 7433
#define HOSTS_MAX 1000

struct host {
	char *name, *address; /* address: as it was given */
	char fingerprint[TLS_FINGERPRINT + 1];
};

/* Makes key and certificate. -EEXIST: they are there, unless renew is set, which every other host has to be told of. */
int host_init(const char *name, bool renew, struct error *error);
/* The key's file, at its beginning; the caller's. -ENOENT with a message that names "lightvm host init"; -EACCES: others may read it. */
int host_own_open(struct error *error);
/* The fingerprint that other hosts know this one by; out: TLS_FINGERPRINT + 1 bytes. And the certificate alone, which is no secret; NULL: not wanted. */
int host_own(char *out, char **certificate, struct error *error);

/* -EEXIST: another host has the name or the fingerprint. */
int host_add(const struct host *host, struct error *error);
int host_find(const char *name, struct host *host, struct error *error);
/* Its name, the caller's; NULL: nobody has this fingerprint. */
char *host_name_of(const char *fingerprint);
int host_remove(const char *name, struct error *error);
/* An array of objects: name, address, fingerprint; NULL with a message. */
json_t *hosts_list(struct error *error);
/* The fingerprints of all. */
int hosts_trusted(struct strings *out, struct error *error);
void host_free(struct host *host);

#endif
