/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/host/vsock_unix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

/* ---- how connections begin ---- */

/* "CONNECT port\n", and nothing else. */
static int parse_greeting(const char *line, size_t len, uint32_t *port)
{
	static const char word[] = "CONNECT ";
	const size_t start = sizeof(word) - 1;
	uint64_t number = 0;
	size_t at = start;

	if (len < start || strncasecmp(line, word, start))
		return -EPROTO;
	for (; at < len && line[at] >= '0' && line[at] <= '9' && number <= UINT32_MAX; at++)
		number = number * 10 + (line[at] - '0');
	if (at == start || at + 1 != len || number >= UINT32_MAX) /* the last one is VMADDR_PORT_ANY */
		return -EPROTO;
	*port = number;
	return 0;
}

int vsock_unix_greeting(int fd, struct vsock_unix_line *line, uint32_t *port)
{
	char *at = line->text + line->len;
	ssize_t n = recv(fd, at, sizeof(line->text) - line->len, MSG_PEEK | MSG_DONTWAIT);
	const char *end = n > 0 ? memchr(at, '\n', n) : NULL;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN : -EPIPE;
	n = end ? end + 1 - at : n;
	if (recv(fd, at, n, MSG_DONTWAIT) != n)
		return -EPIPE;
	line->len += n;
	if (end)
		return parse_greeting(line->text, line->len, port);
	return line->len < sizeof(line->text) ? -EAGAIN : -EPROTO;
}

int vsock_unix_welcome(int fd, uint32_t host_port)
{
	char line[VSOCK_UNIX_LINE];
	int len = snprintf(line, sizeof(line), "OK %u\n", host_port);

	/* The first that this socket is sent: it fits, or the client has gone. */
	return send(fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) == len ? 0 : -EPIPE;
}

int vsock_unix_listen(int dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	/* A path of any length fits that way. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/vsock", dir);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int vsock_unix_dial(uint32_t port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "vsock_%u", port);
	/* It does not wait: with a backlog that is full the answer is EAGAIN. */
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* ---- what the socket did not take yet ---- */

void vsock_unix_drop(struct vsock_unix_rest *rest)
{
	free(rest->bytes);
	*rest = (struct vsock_unix_rest){ 0 };
}

static void append(struct vsock_unix_rest *rest, const uint8_t *from, uint32_t len)
{
	uint32_t at = (rest->first + rest->count) % rest->size;
	uint32_t front = len < rest->size - at ? len : rest->size - at;

	memcpy(rest->bytes + at, from, front);
	memcpy(rest->bytes, from + front, len - front);
	rest->count += len;
}

/* Everything of the parts but the first skip bytes. */
static int keep(struct vsock_unix_rest *rest, uint32_t size, const struct iovec *part, unsigned parts, uint32_t len,
		uint32_t skip)
{
	if (!rest->bytes) {
		*rest = (struct vsock_unix_rest){ malloc(size), size, 0, 0 };
		if (!rest->bytes)
			return -ENOMEM;
	}
	if (len - skip > rest->size - rest->count)
		return -ENOSPC;
	for (unsigned i = 0; i < parts; i++) {
		uint32_t over = skip < part[i].iov_len ? skip : part[i].iov_len;

		append(rest, (uint8_t *)part[i].iov_base + over, part[i].iov_len - over);
		skip -= over;
	}
	return 0;
}

static int64_t send_parts(int fd, const struct iovec *part, unsigned parts)
{
	struct msghdr message = { .msg_iov = (struct iovec *)part, .msg_iovlen = parts };
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
}

int64_t vsock_unix_send(int fd, struct vsock_unix_rest *rest, uint32_t size, const struct iovec *part, unsigned parts,
			uint32_t len)
{
	int64_t n = rest->count ? vsock_unix_flush(fd, rest) : 0, m = 0;
	int r;

	if (n < 0)
		return n;
	if (!rest->count)
		m = send_parts(fd, part, parts);
	if (m < 0)
		return m;
	r = m < len ? keep(rest, size, part, parts, len, m) : 0;
	return r ? r : n + m;
}

int64_t vsock_unix_flush(int fd, struct vsock_unix_rest *rest)
{
	int64_t all = 0, n = 1;

	while (rest->count && n > 0) {
		uint32_t front = rest->count < rest->size - rest->first ? rest->count : rest->size - rest->first;
		struct iovec part[2] = { { rest->bytes + rest->first, front }, { rest->bytes, rest->count - front } };

		n = send_parts(fd, part, 2);
		if (n < 0)
			return n;
		rest->first = (rest->first + n) % rest->size;
		rest->count -= n;
		all += n;
	}
	if (!rest->count)
		vsock_unix_drop(rest);
	return all;
}
