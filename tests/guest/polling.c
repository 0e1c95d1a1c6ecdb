/* SPDX-License-Identifier: Apache-2.0 */
/* poll, select, epoll: level, edge, one shot, nested, time-outs. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

#include "check.h"

static char buffer[70000];

static void check_poll(void)
{
	struct pollfd fds[3];
	int64_t start = now_ms();
	int p[2];

	IS(pipe2(p, O_NONBLOCK), 0);
	fds[0] = (struct pollfd){.fd = p[0], .events = POLLIN};
	fds[1] = (struct pollfd){.fd = p[1], .events = POLLOUT};
	fds[2] = (struct pollfd){.fd = 77, .events = POLLIN};
	IS(poll(fds, 1, 0), 0);
	IS(poll(fds, 1, 25), 0);
	CHECK(now_ms() - start >= 24);
	IS(poll(fds, 3, -1), 2);
	CHECK(fds[0].revents == 0 && fds[1].revents == POLLOUT && fds[2].revents == POLLNVAL);
	IS(write(p[1], "x", 1), 1);
	fds[2].fd = -1;
	IS(poll(fds, 3, -1), 2);
	CHECK(fds[0].revents == POLLIN && fds[2].revents == 0);
	close(p[1]);
	IS(poll(fds, 1, -1), 1);
	IS(fds[0].revents, POLLIN | POLLHUP);
	IS(read(p[0], buffer, 10), 1);
	IS(poll(fds, 1, -1), 1);
	IS(fds[0].revents, POLLHUP);
	close(p[0]);
	start = now_ms();
	IS(poll(NULL, 0, 20), 0);
	CHECK(now_ms() - start >= 19);
}

/* More entries than lie in one piece of libos' memory. */
static void check_many(void)
{
	struct rlimit limit;
	int p[2];

	IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
	nfds_t count = limit.rlim_max < 60000 ? limit.rlim_max : 60000;
	struct pollfd *fds = calloc(count, sizeof(*fds));
	IS(pipe(p), 0);
	for (nfds_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = p[0], .events = POLLIN };
	IS(poll(fds, count, 0), 0);
	fds[count - 1] = (struct pollfd){ .fd = p[1], .events = POLLOUT };
	IS(poll(fds, count, -1), 1);
	CHECK(fds[count - 1].revents == POLLOUT && !fds[0].revents);
	IS(write(p[1], "x", 1), 1);
	CHECK(poll(fds, count, -1) == (int)count);
	close(p[0]), close(p[1]);
	free(fds);
}

static void check_select(void)
{
	struct timeval wait = {0, 20000};
	fd_set in, out;
	int p[2];

	IS(pipe(p), 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(p[0], &in);
	FD_SET(p[1], &out);
	IS(select(p[1] + 1, &in, &out, NULL, &wait), 1);
	CHECK(!FD_ISSET(p[0], &in) && FD_ISSET(p[1], &out));
	FD_SET(p[0], &in);
	IS(select(p[1] + 1, &in, NULL, NULL, &wait), 0);
	CHECK(!FD_ISSET(p[0], &in));
	IS(write(p[1], "y", 1), 1);
	FD_SET(p[0], &in);
	IS(select(p[1] + 1, &in, NULL, NULL, NULL), 1);
	CHECK(FD_ISSET(p[0], &in));
	FD_SET(40, &in);
	FAILS(select(41, &in, NULL, NULL, NULL), EBADF);
	close(p[0]);
	close(p[1]);
}

static int wait_one(int ep, struct epoll_event *event, int ms)
{
	memset(event, 0, sizeof(*event));
	return epoll_wait(ep, event, 1, ms);
}

static void check_level(void)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0};
	int ep = epoll_create1(EPOLL_CLOEXEC), p[2];

	IS(pipe2(p, O_NONBLOCK), 0);
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
	FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
	IS(wait_one(ep, &e, 0), 0);
	IS(write(p[1], "ab", 2), 2);
	CHECK(wait_one(ep, &e, -1) == 1 && e.events == EPOLLIN && e.data.u64 == 0x123456789abcdef0);
	CHECK(wait_one(ep, &e, 0) == 1);
	IS(read(p[0], buffer, 10), 2);
	IS(wait_one(ep, &e, 0), 0);
	e = (struct epoll_event){.events = EPOLLOUT, .data.fd = p[1]};
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &e), 0);
	CHECK(wait_one(ep, &e, 0) == 1 && e.events == EPOLLOUT && e.data.fd == p[1]);
	IS(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL), 0);
	FAILS(epoll_ctl(ep, EPOLL_CTL_DEL, p[1], NULL), ENOENT);
	FAILS(epoll_ctl(ep, EPOLL_CTL_MOD, p[1], &e), ENOENT);
	FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
	FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, 333, &e), EBADF);
	FAILS(epoll_wait(ep, &e, 0, 0), EINVAL);
	FAILS(epoll_wait(p[0], &e, 1, 0), EINVAL);
	close(p[1]);
	CHECK(wait_one(ep, &e, -1) == 1 && e.events == EPOLLHUP);
	close(p[0]);
	IS(wait_one(ep, &e, 0), 0);
	close(ep);
}

static void check_edge(void)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLET};
	int ep = epoll_create1(0), p[2];

	IS(pipe2(p, O_NONBLOCK), 0);
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
	IS(write(p[1], "a", 1), 1);
	IS(wait_one(ep, &e, 100), 1);
	IS(wait_one(ep, &e, 0), 0);
	IS(write(p[1], "b", 1), 1);
	IS(wait_one(ep, &e, 100), 1);
	IS(read(p[0], buffer, 10), 2);
	IS(wait_one(ep, &e, 0), 0);
	e = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT};
	IS(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), 0);
	IS(write(p[1], "c", 1), 1);
	IS(wait_one(ep, &e, 100), 1);
	IS(write(p[1], "d", 1), 1);
	IS(wait_one(ep, &e, 0), 0);
	e = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT};
	IS(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), 0);
	IS(wait_one(ep, &e, 100), 1);
	close(p[0]);
	close(p[1]);
	close(ep);
}

/* An edge is told once, to the last of several that wait for their turn; the writer's when room comes back. */
static void check_edges(void)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0), p[2], q[2], first, n = 0;
	static char much[4096];

	IS(pipe2(p, O_NONBLOCK), 0);
	IS(pipe2(q, O_NONBLOCK), 0);
	e.data.fd = p[0];
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), 0);
	e = (struct epoll_event){ .events = EPOLLIN | EPOLLET, .data.fd = q[0] };
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, q[0], &e), 0);
	CHECK(write(p[1], "a", 1) == 1 && write(q[1], "a", 1) == 1);
	IS(wait_one(ep, &e, 100), 1);
	first = e.data.fd;
	IS(wait_one(ep, &e, 100), 1);
	CHECK(first != e.data.fd);
	IS(wait_one(ep, &e, 0), 0);
	/* drained and written again between two waits: an edge */
	CHECK(read(p[0], buffer, 10) == 1 && write(p[1], "b", 1) == 1);
	CHECK(wait_one(ep, &e, 100) == 1 && e.data.fd == p[0]);
	e = (struct epoll_event){ .events = EPOLLOUT | EPOLLET, .data.fd = q[1] };
	IS(epoll_ctl(ep, EPOLL_CTL_ADD, q[1], &e), 0);
	IS(wait_one(ep, &e, 0), 1);
	while (write(q[1], much, sizeof(much)) > 0)
		n++;
	CHECK(n > 0 && errno == EAGAIN);
	epoll_ctl(ep, EPOLL_CTL_DEL, q[0], NULL);
	IS(wait_one(ep, &e, 0), 0);
	while (read(q[0], much, sizeof(much)) > 0)
		;
	CHECK(wait_one(ep, &e, 100) == 1 && e.events == EPOLLOUT && e.data.fd == q[1]);
	close(p[0]), close(p[1]), close(q[0]), close(q[1]), close(ep);
}

static void check_nested(void)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = 1};
	int outer = epoll_create1(0), inner = epoll_create1(0), event = eventfd(0, EFD_NONBLOCK);
	struct pollfd fd = {.fd = outer, .events = POLLIN};
	uint64_t one = 1;

	IS(epoll_ctl(inner, EPOLL_CTL_ADD, event, &e), 0);
	IS(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &e), 0);
	IS(poll(&fd, 1, 0), 0);
	IS(write(event, &one, 8), 8);
	IS(poll(&fd, 1, 1000), 1);
	IS(wait_one(outer, &e, 0), 1);
	IS(wait_one(inner, &e, 0), 1);
	FAILS(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &e), ELOOP);
	IS(read(event, &one, 8), 8); /* what was ready inside is gone */
	IS(wait_one(outer, &e, 0), 0);
	IS(poll(&fd, 1, 0), 0);
	one = 1;
	IS(write(event, &one, 8), 8);
	IS(wait_one(outer, &e, 0), 1);
	close(inner);
	inner = -1;
	IS(wait_one(outer, &e, 0), 0);
	close(outer);
	close(event);
}

static void *write_later(void *fd)
{
	struct timespec pause = {0, 20000000};

	nanosleep(&pause, NULL);
	return (void *)write(*(int *)fd, "z", 1);
}

static void check_wake(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int ep = epoll_create1(0), p[2];
	struct pollfd fd;
	pthread_t thread;

	IS(pipe(p), 0);
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e);
	pthread_create(&thread, NULL, write_later, &p[1]);
	IS(wait_one(ep, &e, 5000), 1);
	pthread_join(thread, NULL);
	IS(read(p[0], buffer, 10), 1);
	fd = (struct pollfd){.fd = p[0], .events = POLLIN};
	pthread_create(&thread, NULL, write_later, &p[1]);
	IS(poll(&fd, 1, 5000), 1);
	pthread_join(thread, NULL);
	close(p[0]);
	close(p[1]);
	close(ep);
}

static void on_alarm(int signo)
{
	(void)signo;
}

static void check_signal(void)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct epoll_event e;
	sigset_t none, blocked;
	int ep = epoll_create1(0);

	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGALRM);
	IS(wait_one(ep, &e, 10), 0);
	FAILS(epoll_pwait(ep, &e, 1, 5000, &none), EINTR);
	raise(SIGALRM);
	FAILS(ppoll(NULL, 0, &(struct timespec){5, 0}, &none), EINTR);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	close(ep);
}

int main(void)
{
	check_poll();
	check_many();
	check_select();
	check_level();
	check_edge();
	check_edges();
	check_nested();
	check_wake();
	check_signal();
	return check_end();
}
