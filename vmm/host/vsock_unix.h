/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side of a vsock connection: a Unix stream socket, by the convention that Firecracker made known. A client of
 * the VM's socket says "CONNECT port\n" and hears "OK hostport\n"; what the guest connects to at port P of the host is
 * the socket vsock_P in the monitor's working directory. Nothing here blocks.
 */
#ifndef LV_VMM_HOST_VSOCK_UNIX_H
#define LV_VMM_HOST_VSOCK_UNIX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Makes the socket "vsock" in a directory and listens: a descriptor, or a negative errno (-EADDRINUSE: it is there). */
int vsock_unix_listen(int dir);

#define VSOCK_UNIX_LINE 32 /* the longest first line of a client, its end included */

struct vsock_unix_line { /* all zero: nothing yet */
	char text[VSOCK_UNIX_LINE];
	uint32_t len;
};
/*
 * Takes the client's first line off the socket, and not a byte more. 0 and *port; -EAGAIN: the line is not complete yet;
 * -EPROTO: not such a line; -EPIPE: the client has gone.
 */
int vsock_unix_greeting(int fd, struct vsock_unix_line *line, uint32_t *port);

/* Tells the client that the guest has accepted. 0 or a negative errno. */
int vsock_unix_welcome(int fd, uint32_t host_port);

/* Connects to the socket vsock_PORT of the working directory: a non-blocking descriptor, or a negative errno. */
int vsock_unix_dial(uint32_t port);

/* Bytes that the socket did not take yet. All zero: empty. */
struct vsock_unix_rest {
	uint8_t *bytes; /* a ring of size bytes; NULL: nothing waits */
	uint32_t size, first, count;
};
void vsock_unix_drop(struct vsock_unix_rest *rest);

/*
 * Sends parts (len bytes) behind what waits; what the socket does not take waits too, in a buffer of size bytes. Bytes that
 * the socket took, of either; -ENOSPC if the buffer overflows; -EPIPE or another negative errno if the peer has gone.
 */
int64_t vsock_unix_send(int fd, struct vsock_unix_rest *rest, uint32_t size, const struct iovec *part, unsigned parts,
			uint32_t len);
/* Sends what waits, as much as the socket takes: bytes, or a negative errno if the peer has gone. */
int64_t vsock_unix_flush(int fd, struct vsock_unix_rest *rest);

#endif
