/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secured connection to another host: mutual TLS 1.3, each side known by its certificate. The TLS is done by a process of its own (tls_program.h), which
 * alone holds the key. Where the kernel encrypts (kTLS) what is sent goes to the socket at once; what comes in is relayed, since OpenSSL 3.0 leaves no
 * received data of TLS 1.3 to the kernel.
 */
#ifndef LV_NODE_TLS_LINK_H
#define LV_NODE_TLS_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/spawn.h"
#include "base/text.h"

#define TLS_FINGERPRINT 64

struct tls_link { /* TLS_LINK_NONE; blocking descriptors, the same one unless the kernel sends */
	int in, out;
	struct spawned helper;
	bool kernel_sends;
	char peer[TLS_FINGERPRINT + 1]; /* also after a refusal; empty: nobody came */
	char cipher[40];
};
#define TLS_LINK_NONE ((struct tls_link){ .in = -1, .out = -1, .helper = SPAWNED_NONE })

struct tls_terms {
	int own;                      /* this host's key and certificate, PEM; borrowed, read from its beginning */
	const struct strings *trusted; /* fingerprints, one of which the other side has to have */
	bool relay;                   /* never by the kernel: for tests and figures */
	uint64_t deadline;            /* of the handshake (base/deadline.h) */
};

/* Takes socket, which is connected, in every case. 0, or a negative errno with a message: -EACCES, one side does not trust the other; -ETIMEDOUT. */
int tls_link_connect(int socket, const struct tls_terms *terms, struct tls_link *link, struct error *error);
int tls_link_accept(int socket, const struct tls_terms *terms, struct tls_link *link, struct error *error);
/* Ends the connection and its process; what was sent goes out before. Accepts TLS_LINK_NONE. */
void tls_link_close(struct tls_link *link);

/* A new key and certificate as PEM in *pem, the caller's, who wipes it. */
int tls_new_identity(const char *name, char **pem, size_t *size, struct error *error);
/* Of the PEM certificate in fd, read from where it stands; out: TLS_FINGERPRINT + 1 bytes. */
int tls_fingerprint(int fd, char *out, struct error *error);
/* 64 hexadecimal digits, with or without colons between bytes, of either case: 0 and the usual form in out; -EINVAL. */
int tls_fingerprint_parse(const char *word, char *out);

#endif
