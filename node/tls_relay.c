/* SPDX-License-Identifier: Apache-2.0 */
#include "node/tls_program.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#define ROOM (256 << 10) /* 16 records */

struct pipe { /* one direction */
	uint8_t data[ROOM];
	size_t from, to;
	bool ended;  /* nothing more comes in */
	bool closed; /* and what came is out */
};

struct relay {
	SSL *ssl;
	int socket, plain;
	bool broken;
	bool unread; /* the buffer was full before the library had nothing more */
	short socket_wants; /* poll events that the library waits for */
	struct pipe out, in;
};

static void took(struct pipe *pipe, size_t n)
{
	pipe->from += n;
	if (pipe->from == pipe->to)
		pipe->from = pipe->to = 0;
}

/* What the library's refusal means. True: later. */
static bool tls_later(struct relay *relay, int answer)
{
	int why = SSL_get_error(relay->ssl, answer);
	ERR_clear_error();
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		relay->socket_wants |= why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
		return true;
	}
	if (why != SSL_ERROR_ZERO_RETURN)
		relay->broken = true;
	return false;
}

static bool later(struct relay *relay)
{
	if (errno == EAGAIN || errno == EINTR)
		return true;
	relay->broken = true;
	return false;
}

/* ---- out: from plain into the connection ---- */

static void read_plain(struct relay *relay)
{
	struct pipe *pipe = &relay->out;
	ssize_t n = pipe->ended || pipe->to ? -1 : read(relay->plain, pipe->data, ROOM);
	if (n > 0)
		pipe->to = (size_t)n;
	else if (!n)
		pipe->ended = true;
	else if (!pipe->ended && !pipe->to)
		later(relay);
}

static void write_tls(struct relay *relay)
{
	struct pipe *pipe = &relay->out;
	while (pipe->to && !relay->broken) {
		size_t n = 0;
		int answer = SSL_write_ex(relay->ssl, pipe->data + pipe->from, pipe->to - pipe->from, &n);
		if (answer != 1) {
			tls_later(relay, answer);
			return;
		}
		took(pipe, n);
	}
	if (pipe->ended && !pipe->closed) {
		pipe->closed = true;
		SSL_shutdown(relay->ssl); /* its alert says that this is the end, and no cut */
		ERR_clear_error();
		shutdown(relay->socket, SHUT_WR);
	}
}

/* ---- in: from the connection to plain ---- */

static void read_tls(struct relay *relay)
{
	struct pipe *pipe = &relay->in;
	while (!pipe->ended && pipe->to < ROOM) {
		size_t n = 0;
		int answer = SSL_read_ex(relay->ssl, pipe->data + pipe->to, ROOM - pipe->to, &n);
		if (answer != 1) {
			relay->unread = false;
			pipe->ended = !tls_later(relay, answer);
			return;
		}
		pipe->to += n;
	}
	relay->unread = !pipe->ended;
}

static void write_plain(struct relay *relay)
{
	struct pipe *pipe = &relay->in;
	while (pipe->to) {
		ssize_t n = send(relay->plain, pipe->data + pipe->from, pipe->to - pipe->from, MSG_NOSIGNAL);
		if (n < 0) {
			later(relay);
			return;
		}
		took(pipe, (size_t)n);
	}
	if (pipe->ended && !pipe->closed) {
		pipe->closed = true;
		shutdown(relay->plain, SHUT_WR);
	}
}

static void wait_for_work(struct relay *relay)
{
	struct pollfd poll_fds[] = { { .fd = relay->socket, .events = relay->socket_wants }, { .fd = relay->plain } };
	if (!relay->out.ended && !relay->out.to)
		poll_fds[1].events |= POLLIN;
	if (relay->in.to)
		poll_fds[1].events |= POLLOUT;
	if (relay->unread && !relay->in.to)
		return;
	if (!poll_fds[1].events)
		poll_fds[1].fd = -1; /* what is closed on both sides would wake us for ever */
	if (poll_fds[0].events || poll_fds[1].events)
		poll(poll_fds, 2, -1);
}

void relay_run(SSL *ssl, int socket, int plain)
{
	static struct relay relay;
	relay = (struct relay){ .ssl = ssl, .socket = socket, .plain = plain };
	while (!relay.broken && !(relay.out.closed && relay.in.closed)) {
		relay.socket_wants = 0;
		read_plain(&relay);
		write_tls(&relay);
		read_tls(&relay);
		write_plain(&relay);
		if (!relay.broken && !(relay.out.closed && relay.in.closed))
			wait_for_work(&relay);
	}
	/* What had come before a connection broke is the reader's all the same. */
	write_plain(&relay);
	shutdown(plain, SHUT_RDWR);
}
