/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lightvm-tls, the one program of ours that links a TLS library: a process that secures one connection and knows nothing of what is said on it.
 * Peers are known by the SHA-256 of their certificate and by nothing else: no authority, no name, no date makes one trusted.
 */
#ifndef LV_NODE_TLS_PROGRAM_H
#define LV_NODE_TLS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#define TLS_FINGERPRINT 64 /* lower-case hexadecimal digits of a SHA-256 */

/* ---- tls_identity.c ---- */

/* A new key (P-256) and a certificate of it, as PEM on standard output; name: who it is for people. 0, or -1 with *why. */
int identity_make(const char *name, const char **why);
/* The fingerprint of the PEM certificate on standard input, on standard output with a line's end. 0, or -1 with *why. */
int identity_print(const char **why);
/* out: TLS_FINGERPRINT + 1 bytes. False: the certificate cannot be read. */
bool identity_fingerprint(const X509 *certificate, char *out);
/* Key and certificate from the PEM in fd. 0, or -1 with *why. */
int identity_use(SSL_CTX *context, int fd, const char **why);

/* ---- tls_relay.c ---- */

/*
 * Carries bytes between the connection and plain until both directions have ended. Both descriptors non-blocking. Where the kernel encrypts, nothing comes
 * from plain but its end: somebody else has written to the socket.
 */
void relay_run(SSL *ssl, int socket, int plain);

#endif
