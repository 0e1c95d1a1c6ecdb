/* SPDX-License-Identifier: Apache-2.0 */
#include "base/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/deadline.h"
#include "base/number.h"

/* Where the address ends and its port begins; NULL: there is no port. */
static const char *find_port(const char *word)
{
	const char *colon = strrchr(word, ':'), *bracket = strrchr(word, ']');
	return colon && (word[0] != '[' || (bracket && bracket < colon)) ? colon : NULL;
}

int address_parse(const char *word, uint16_t port, struct sockaddr_storage *out, socklen_t *size, struct error *error)
{
	char host[64];
	uint64_t number = port;
	const char *colon = find_port(word);
	size_t n = colon ? (size_t)(colon - word) : strlen(word);
	bool six = n > 1 && word[0] == '[' && word[n - 1] == ']';
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	memset(out, 0, sizeof(*out));
	if (!n || n >= sizeof(host) || (colon && number_parse(colon + 1, &number)) || !number || number > UINT16_MAX)
		return error_set(error, -EINVAL, "\"%.80s\" is not ADDRESS%s", word, port ? "[:PORT]" : ":PORT");
	memcpy(host, word + six, n - 2 * six);
	host[n - 2 * six] = 0;
	*size = six ? sizeof(*v6) : sizeof(*v4);
	if (six)
		*v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)number) };
	else
		*v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)number) };
	if (inet_pton(six ? AF_INET6 : AF_INET, host, six ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr) == 1)
		return 0;
	return error_set(error, -EINVAL, "\"%s\" is not an address in numbers, as 192.0.2.7 or [2001:db8::7]", host);
}

/* A socket of the address' family, which does not wait, or a negative errno. */
static int tcp_socket(const char *word, uint16_t port, struct sockaddr_storage *address, socklen_t *size, struct error *error)
{
	int err = address_parse(word, port, address, size, error);
	if (err)
		return err;
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? error_set(error, -errno, "%s: %s", word, strerror(errno)) : fd;
}

/* Closes what did not become what was wanted. */
static int tcp_failed(int fd, const char *word, int err, struct error *error)
{
	close(fd);
	return error_set(error, err, "%s: %s", word, strerror(-err));
}

int address_tcp_listen(const char *word, uint16_t port, struct error *error)
{
	struct sockaddr_storage address;
	socklen_t size = 0;
	const int yes = 1;
	int fd = tcp_socket(word, port, &address, &size, error);
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	return bind(fd, (struct sockaddr *)&address, size) || listen(fd, SOMAXCONN) ? tcp_failed(fd, word, -errno, error) : fd;
}

static int await_connection(int fd, uint64_t deadline)
{
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	int err = 0, n;
	socklen_t size = sizeof(err);
	while ((n = poll(&wait, 1, deadline_left(deadline))) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return n ? -errno : -ETIMEDOUT;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) ? -errno : -err;
}

int address_tcp_connect(const char *word, uint16_t port, uint64_t deadline, struct error *error)
{
	struct sockaddr_storage address;
	socklen_t size = 0;
	const int yes = 1;
	int err = 0, fd = tcp_socket(word, port, &address, &size, error);
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&address, size))
		err = errno == EINPROGRESS ? await_connection(fd, deadline) : -errno;
	if (!err && (fcntl(fd, F_SETFL, 0) || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes))))
		err = -errno;
	return err ? tcp_failed(fd, word, err, error) : fd;
}
