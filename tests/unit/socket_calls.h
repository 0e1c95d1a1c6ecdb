/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of sockets for tests of libos' network stack on the host: what they all do before they begin. */
#ifndef LV_TEST_SOCKET_CALLS_H
#define LV_TEST_SOCKET_CALLS_H

#include "tests/unit/net_services.h"

#include "libos/core/libos.h"
#include "libos/fs/fs.h"
#include "libos/net/linux_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define X(name) SYSCALL(name);
#include "libos/net/syscalls.list"
#undef X

#define CALL(name, ...) sys_##name((const long[6]){__VA_ARGS__})
#define P(x) ((long)(x))

static inline struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = __builtin_bswap16(port), .sin_addr.s_addr = __builtin_bswap32(0x7f000001)};
}

static inline int make(int family, int type)
{
	int fd = CALL(socket, family, type, 0);
	assert_true(fd >= 0);
	return fd;
}

static inline uint16_t port_of(int fd)
{
	union address addr;
	uint32_t len = sizeof(addr);
	assert_int_equal(CALL(getsockname, fd, P(&addr), P(&len)), 0);
	return __builtin_bswap16(addr.in.sin_port);
}

static inline int listen_on(uint16_t port, int backlog)
{
	struct sockaddr_in addr = loopback(port);
	int fd = make(AF_INET, SOCK_STREAM);
	int one = 1;
	assert_int_equal(CALL(setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, P(&one), sizeof(one)), 0);
	assert_int_equal(CALL(bind, fd, P(&addr), sizeof(addr)), 0);
	assert_int_equal(CALL(listen, fd, backlog), 0);
	return fd;
}

static inline int connect_to(uint16_t port)
{
	struct sockaddr_in addr = loopback(port);
	int fd = make(AF_INET, SOCK_STREAM);
	assert_int_equal(CALL(connect, fd, P(&addr), sizeof(addr)), 0);
	return fd;
}

static inline void tcp_pair(int pair[2])
{
	int listener = listen_on(0, 5);
	pair[0] = connect_to(port_of(listener));
	pair[1] = CALL(accept4, listener, 0, 0, 0);
	assert_true(pair[1] >= 0);
	fd_close(listener);
}

static inline void close_pair(const int pair[2])
{
	fd_close(pair[0]);
	fd_close(pair[1]);
	test_pump();
}

static inline long send_text(int fd, const char *text)
{
	return CALL(sendto, fd, P(text), strlen(text), 0, 0, 0);
}

static inline uint32_t events_of(int fd)
{
	struct waitq *queue;
	struct file *file = fd_get(fd);
	test_pump();
	return file->ops->poll(file, &queue);
}

/* What poll() with a time-out of 0 tells. */
static inline uint32_t seen_now(int fd)
{
	struct waitq *queue;
	struct file *file = fd_get(fd);
	return file->ops->poll(file, &queue);
}

#endif
